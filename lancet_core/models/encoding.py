"""From prompt and response to token ids, and from token ids to padded batches."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from jinja2 import TemplateError
from torch import Tensor

from lancet_core.data.samples import Query
from lancet_core.errors import ConfigError, DataError, ModelError
from lancet_core.models.loading import LanguageModel
from lancet_core.models.settings import DEFAULT_TEMPLATE, RAW_TEMPLATE

DEFAULT_TEXT = "\n\nHuman: {prompt}\n\nAssistant:"
_PLACE = "{prompt}"
_TEXTS_AT_ONCE = 1024
# A template is a program: besides Jinja's own errors it can raise those of the values that it computes with.
_TEMPLATE_ERRORS = (
    TemplateError,
    TypeError,
    ValueError,
    ArithmeticError,
    LookupError,
    AttributeError,
    RecursionError,
)


@dataclass(frozen=True)
class Encoded:
    """A prompt and response as token ids.

    Attributes:
        input_ids: All tokens: begin token where there is one, prompt, response, end token where there is one.
        response_start: Index of the first response token, at least 1.
        cut_tokens: Prompt tokens cut from the left because the text exceeded the context.
        span: First index, and the one after the last, of the response tokens whose log p counts; None counts all.
    """

    input_ids: tuple[int, ...]
    response_start: int
    cut_tokens: int = 0
    span: tuple[int, int] | None = None

    @property
    def counted(self) -> tuple[int, int]:
        """First index, and the one after the last, of the tokens whose log p counts."""
        return self.span or (self.response_start, len(self.input_ids))


@dataclass(frozen=True)
class Batch:
    """Texts padded to one length. `padded_batch` makes it on the host, so that a GPU never waits for the size of a mask.

    Attributes:
        indices: Places of the rows in the sequence that was packed.
        input_ids: Token ids, shape (rows, positions).
        attention_mask: True at real tokens, the same shape.
        response_mask: True at the response tokens whose log p counts, end token included, the same shape.
        columns: Positions that predict a response token in some row, shape (columns,).
        places: Where response tokens are predicted in the flattened (rows, columns), in reading order.
        other_places: All other places of the flattened (rows, columns).
        padding: Where padding stands in the flattened (rows, positions).
    """

    indices: tuple[int, ...]
    input_ids: Tensor
    attention_mask: Tensor
    response_mask: Tensor
    columns: Tensor
    places: Tensor
    other_places: Tensor
    padding: Tensor

    def to(self, device: torch.device | str) -> "Batch":
        """Moves the tensors to a device."""
        tensors = {name: value.to(device) for name, value in vars(self).items() if name != "indices"}
        return Batch(self.indices, **tensors)


def padded_batch(
    indices: Sequence[int], input_ids: Tensor, *, attention_mask: Tensor, response_mask: Tensor
) -> Batch:
    """Makes a batch of texts that are padded on either side; tensors on the host, shapes as in `Batch`."""
    predicted = response_mask[:, 1:]
    columns = predicted.any(dim=0).nonzero().squeeze(1)
    chosen = predicted[:, columns].flatten()
    places, other_places, padding = (
        mask.nonzero().squeeze(1) for mask in (chosen, ~chosen, ~attention_mask.flatten())
    )
    return Batch(
        tuple(indices), input_ids, attention_mask, response_mask, columns, places, other_places, padding
    )


def format_prompt(tokenizer: Any, prompt: str, template: str = DEFAULT_TEMPLATE) -> str:
    """Writes everything that stands before the response.

    Args:
        tokenizer: Tokenizer whose chat template `auto` uses where it has one.
        prompt: What is asked.
        template: `auto`, `raw` (the prompt as it is) or a text that contains `{prompt}`.

    Raises:
        ConfigError: A template of one's own lacks `{prompt}`.
        ModelError: The chat template is broken or refuses the turns.
    """
    if template == RAW_TEMPLATE:
        return prompt
    if template == DEFAULT_TEMPLATE and tokenizer.chat_template:
        turns = [{"role": "user", "content": prompt}]
        return _written_turns(tokenizer, turns, add_generation_prompt=True)
    text = DEFAULT_TEXT if template == DEFAULT_TEMPLATE else template
    if _PLACE not in text:
        raise ConfigError(
            f"the template {template!r} does not say where the prompt goes; write {_PLACE} in it, or take auto or raw"
        )
    return text.replace(_PLACE, prompt)


def encode(lm: LanguageModel, prompt: str, response: str, template: str = DEFAULT_TEMPLATE) -> Encoded:
    """Turns prompt and response into token ids.

    Prompt and response are tokenised apart and joined, so that the same response has the same tokens after every prompt. The
    prompt is cut from its left where both exceed the context.

    Raises:
        DataError: The response is empty, or alone exceeds the context.
        ConfigError: The template lacks `{prompt}`.
    """
    (encoded,) = encode_all(lm, [(prompt, response)], template)
    if encoded is None:
        raise DataError(
            f"the response beginning {response[:40]!r} has no token or exceeds the model's context of {lm.context} tokens; "
            "give a shorter one, or a model with a longer context"
        )
    return encoded


def encode_query(lm: LanguageModel, query: Query, template: str = DEFAULT_TEMPLATE) -> Encoded:
    """Turns a query into token ids; where it asks about a part of its response only the log p of that part counts.

    A token belongs to the part that holds its last character, and white space to the part behind it, so that parts which make up a
    response share no token; the end token belongs to the whole response alone.

    Raises:
        DataError: The response is empty or exceeds the context, or the part does not stand in it or holds no token.
        ConfigError: The template lacks `{prompt}`.
    """
    encoded = encode(lm, query.prompt, query.response, template)
    if not query.span:
        return encoded
    prefix = format_prompt(lm.tokenizer, query.prompt, template)
    text = _response_text(lm.tokenizer, (query.prompt, query.response), template=template, prefix=prefix)
    place = text.find(query.span.strip())
    if place < 0:
        raise DataError(
            f"the part {query.span[:40]!r} does not stand in the response beginning {query.response[:40]!r}; copy it as it is "
            "written there"
        )
    offsets = lm.tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)["offset_mapping"]
    before, after = len(text[:place].rstrip()), place + len(query.span.strip())
    inside = [number for number, (_, end) in enumerate(offsets) if before < end <= after]
    if not inside:
        raise DataError(
            f"no token of the response ends in the part {query.span[:40]!r}; ask about a longer part"
        )
    first = encoded.response_start
    return replace(encoded, span=(first + inside[0], first + inside[-1] + 1))


def encode_all(
    lm: LanguageModel, texts: Sequence[tuple[str, str]], template: str = DEFAULT_TEMPLATE
) -> list[Encoded | None]:
    """Turns many prompts and responses into token ids: as `encode`, but None where that raises DataError.

    A tokenizer keeps some kilobytes of each text until it gives all back, so it is given a few at a time. Every number that it
    gives is an object of its own; equal ones are made one, which leaves the eight bytes that a tuple takes for each.
    """
    same: dict[int, int] = {}
    encoded: list[Encoded | None] = []
    for start in range(0, len(texts), _TEXTS_AT_ONCE):
        block = texts[start : start + _TEXTS_AT_ONCE]
        for (_, response), (before, after) in zip(block, _tokenise(lm, block, template), strict=True):
            shared = [[same.setdefault(token, token) for token in ids] for ids in (before, after)]
            encoded.append(_joined(lm, *shared) if response.strip() else None)
    return encoded


def _tokenise(
    lm: LanguageModel, texts: Sequence[tuple[str, str]], template: str
) -> Iterator[tuple[list[int], list[int]]]:
    """Token ids of each prompt and of each response."""
    prefixes = [format_prompt(lm.tokenizer, prompt, template) for prompt, _ in texts]
    endings = [
        _response_text(lm.tokenizer, text, template=template, prefix=prefix)
        for text, prefix in zip(texts, prefixes, strict=True)
    ]
    before, after = (
        lm.tokenizer(parts, add_special_tokens=False)["input_ids"] for parts in (prefixes, endings)
    )
    return zip(before, after, strict=True)


def encode_prompt(lm: LanguageModel, prompt: str, template: str, room: int) -> list[int]:
    """Turns a prompt into the token ids that generation starts from, cut from the left to leave `room` tokens of context.

    Raises:
        ConfigError: The context has no place for a prompt beside the answer, or the template lacks `{prompt}`.
    """
    if room >= lm.context:
        raise ConfigError(
            f"max_new_tokens is {room}, but the model's context holds {lm.context} tokens; give at most {lm.context - 1}"
        )
    text = format_prompt(lm.tokenizer, prompt, template)
    ids = _with_begin(lm, lm.tokenizer(text, add_special_tokens=False)["input_ids"])
    return _cut_left(lm, ids, lm.context - room)


def pack(encoded: Sequence[Encoded], max_tokens: int) -> list[Batch]:
    """Sorts texts by length and pads them to the right, in batches of at most `max_tokens` tokens, padding included.

    A text longer than `max_tokens` makes a batch of its own. The longest come first, so that memory runs out at once or never.
    """
    lengths = [len(text.input_ids) for text in encoded]
    return [_padded(encoded, indices) for indices in batch_by_length(lengths, max_tokens)]


def batch_by_length(lengths: Sequence[int], max_tokens: int) -> list[list[int]]:
    """Cuts texts into batches of at most `max_tokens` padded tokens, the longest first.

    Args:
        lengths: Tokens of each text; one longer than `max_tokens` makes a batch of its own.
        max_tokens: Rows times the longest of a batch.

    Returns:
        Places of the texts of each batch.
    """
    order = sorted(range(len(lengths)), key=lambda index: -lengths[index])
    batches = []
    while order:
        rows = max(1, max_tokens // max(1, lengths[order[0]]))
        batches.append(order[:rows])
        order = order[rows:]
    return batches


def _padded(encoded: Sequence[Encoded], indices: Sequence[int]) -> Batch:
    lengths = torch.tensor([len(encoded[index].input_ids) for index in indices])
    starts, ends = torch.tensor([encoded[index].counted for index in indices]).T[:, :, None]
    width = int(lengths.max())
    rows = [[*encoded[index].input_ids, *[0] * (width - len(encoded[index].input_ids))] for index in indices]
    positions = torch.arange(width)
    real = positions < lengths[:, None]
    response = (positions >= starts) & (positions < ends)
    return padded_batch(indices, torch.tensor(rows), attention_mask=real, response_mask=response)


def _response_text(tokenizer: Any, text: tuple[str, str], *, template: str, prefix: str) -> str:
    """Writes the response as it follows the prefix: after one space, or with the end of turn of a chat template."""
    prompt, response = text
    if template == DEFAULT_TEMPLATE and tokenizer.chat_template:
        turns = [{"role": "user", "content": prompt}, {"role": "assistant", "content": response.strip()}]
        whole = _written_turns(tokenizer, turns, add_generation_prompt=False)
        # Some templates write an opening of the answer only when asked for a generation prompt.
        return whole[len(prefix) :].rstrip("\n") if whole.startswith(prefix) else response.strip()
    if _writes_own_space(tokenizer):
        return response.removeprefix(" ")
    return response if response[:1].isspace() or prefix[-1:].isspace() else f" {response}"


def _written_turns(tokenizer: Any, turns: list[dict[str, str]], *, add_generation_prompt: bool) -> str:
    """Writes turns by the chat template that came with the model."""
    try:
        return str(
            tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=add_generation_prompt)
        )
    except _TEMPLATE_ERRORS as error:
        raise ModelError(
            f"the chat template of the model in {tokenizer.name_or_path} fails: {error}; correct it, or give the study a "
            "template of its own (raw, or a text with {prompt})"
        ) from error


def _writes_own_space(tokenizer: Any) -> bool:
    """Whether a tokenizer puts a space before every text (SentencePiece), so that ours would be a second one."""
    return bool(tokenizer.tokenize("a")[0].startswith("\u2581"))


def _joined(lm: LanguageModel, prefix: list[int], response: list[int]) -> Encoded | None:
    """Joins both parts, ends them and cuts the prompt; None where the response alone exceeds the context."""
    end = lm.tokenizer.eos_token_id
    if end is not None and response[-1:] != [end]:
        response = [*response, end]
    before = _with_begin(lm, prefix)
    room = lm.context - len(response)
    # One token before the response is the least: its first token is predicted from there.
    if room < 1 or not response or not before:
        return None
    prompt = _cut_left(lm, before, room)
    return Encoded((*prompt, *response), len(prompt), len(before) - len(prompt))


def _with_begin(lm: LanguageModel, ids: list[int]) -> list[int]:
    begin = lm.tokenizer.bos_token_id
    return [begin, *ids] if begin is not None and ids[:1] != [begin] else list(ids)


def _cut_left(lm: LanguageModel, ids: list[int], room: int) -> list[int]:
    """Cuts tokens from the left, the begin token excepted."""
    if len(ids) <= room:
        return ids
    begin = lm.tokenizer.bos_token_id
    if begin is not None and ids[:1] == [begin] and room > 1:
        return [begin, *ids[len(ids) - room + 1 :]]
    return ids[len(ids) - room :]
