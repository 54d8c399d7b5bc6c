"""From conversations to token ids, and from token ids to padded batches.

Ids are those of the whole text, tokenised at once, as a trainer does it. What follows the last token that counts is left out: nothing
that is measured depends on it.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from lancet_core.data.conversations import Asked, Conversation, as_messages, exchange
from lancet_core.data.samples import Query
from lancet_core.errors import ConfigError, DataError, ModelError
from lancet_core.models.loading import LanguageModel
from lancet_core.models.settings import DEFAULT_TEMPLATE
from lancet_core.models.templates import Written, write_conversation, write_prompt

_TEXTS_AT_ONCE = 1024
Span = tuple[int, int]
Ids = list[int]


@dataclass(frozen=True)
class Encoded:
    """A conversation as token ids.

    Attributes:
        input_ids: All tokens up to the last one that counts.
        response_start: Index of the first token whose log p counts, at least 1.
        cut_tokens: Tokens cut from the left because the text exceeded the context.
        spans: First index, and the one after the last, of each run of tokens whose log p counts; empty counts all from
            `response_start`.
        lost_tokens: Tokens that count and were cut from the right, because the response alone exceeded the context.
    """

    input_ids: tuple[int, ...]
    response_start: int
    cut_tokens: int = 0
    spans: tuple[Span, ...] = ()
    lost_tokens: int = 0

    @property
    def counted(self) -> tuple[Span, ...]:
        """First index, and the one after the last, of each run of tokens whose log p counts."""
        return self.spans or ((self.response_start, len(self.input_ids)),)

    @property
    def count(self) -> int:
        """How many tokens count."""
        return sum(end - start for start, end in self.counted)

    @property
    def labels(self) -> list[int]:
        """Token ids where they count, -100 elsewhere, as trainers take them."""
        labels = [-100] * len(self.input_ids)
        for start, end in self.counted:
            labels[start:end] = self.input_ids[start:end]
        return labels


@dataclass(frozen=True)
class Unusable:
    """A conversation that cannot be encoded.

    Attributes:
        reason: Why.
    """

    reason: str


@dataclass(frozen=True)
class Batch:
    """Texts padded to one length. `padded_batch` makes it on the host, so that a GPU never waits for the size of a mask.

    Attributes:
        indices: Places of the rows in the sequence that was packed.
        input_ids: Token ids, shape (rows, positions).
        attention_mask: True at real tokens, the same shape.
        response_mask: True at the response tokens whose log p counts, end token included, the same shape.
        places: Where response tokens are predicted in the flattened (rows, positions), in reading order.
        counted: Positions of the response tokens of each row, shape (rows, most of a row); -1 where a row has fewer.
        slots: Where the response tokens stand in the flattened `counted`, in reading order.
        padding: Where padding stands in the flattened (rows, positions).
    """

    indices: tuple[int, ...]
    input_ids: Tensor
    attention_mask: Tensor
    response_mask: Tensor
    places: Tensor
    counted: Tensor
    slots: Tensor
    padding: Tensor

    def to(self, device: torch.device | str) -> "Batch":
        """Moves the tensors to a device."""
        tensors = {name: value.to(device) for name, value in vars(self).items() if name != "indices"}
        return Batch(self.indices, **tensors)


def padded_batch(
    indices: Sequence[int], input_ids: Tensor, *, attention_mask: Tensor, response_mask: Tensor
) -> Batch:
    """Makes a batch of texts that are padded on either side; tensors on the host, shapes as in `Batch`."""
    rows, tokens = response_mask[:, 1:].nonzero(as_tuple=True)
    counts = rows.bincount(minlength=len(response_mask))
    most = int(counts.max())
    slots = rows * most + torch.arange(len(rows)) - (counts.cumsum(dim=0) - counts)[rows]
    counted = torch.full((len(counts) * most,), -1).index_copy_(0, slots, tokens + 1)
    return Batch(
        indices=tuple(indices),
        input_ids=input_ids,
        attention_mask=attention_mask,
        response_mask=response_mask,
        places=rows * response_mask.shape[1] + tokens,
        counted=counted.view(len(counts), most),
        slots=slots,
        padding=(~attention_mask.flatten()).nonzero().squeeze(1),
    )


def encode(lm: LanguageModel, prompt: str, response: str, template: str = DEFAULT_TEMPLATE) -> Encoded:
    """Turns prompt and response into token ids, as `encode_conversation`."""
    return encode_conversation(lm, exchange(prompt, response), template)


def encode_conversation(
    lm: LanguageModel, conversation: Conversation, template: str = DEFAULT_TEMPLATE
) -> Encoded:
    """Turns a conversation into token ids.

    Raises:
        DataError: It has no answer, or the template refuses it.
        ConfigError: The template is unknown or lacks `{prompt}`.
        ModelError: The chat template is broken.
    """
    (encoded,) = encode_all(lm, [conversation], template)
    if isinstance(encoded, Unusable):
        raise DataError(encoded.reason)
    return encoded


def encode_all(
    lm: LanguageModel, conversations: Sequence[Conversation], template: str = DEFAULT_TEMPLATE
) -> list[Encoded | Unusable]:
    """Turns many conversations into token ids.

    A text that exceeds the context is cut from its left, begin token excepted; where what counts alone exceeds it, that is cut from
    the right. A tokenizer keeps some kilobytes of each text until it gives all back, so it is given a few at a time. Every number
    that it gives is an object of its own; equal ones are made one, which leaves the eight bytes that a tuple takes for each.

    Raises:
        ConfigError: The template is unknown or lacks `{prompt}`.
        ModelError: The chat template is broken.
    """
    same: dict[int, int] = {}
    encoded: list[Encoded | Unusable] = []
    for start in range(0, len(conversations), _TEXTS_AT_ONCE):
        block = [
            _written(lm, conversation, template)
            for conversation in conversations[start : start + _TEXTS_AT_ONCE]
        ]
        tokens = iter(_tokenise(lm, [text for text in block if isinstance(text, Written)]))
        for text in block:
            if isinstance(text, Unusable):
                encoded.append(text)
                continue
            ids, spans = next(tokens)
            encoded.append(_fitted(lm, [same.setdefault(token, token) for token in ids], spans))
    return encoded


def usable(encoded: Sequence[Encoded | Unusable]) -> list[Encoded]:
    """Those that could be encoded."""
    return [text for text in encoded if isinstance(text, Encoded)]


def _written(lm: LanguageModel, conversation: Conversation, template: str) -> Written | Unusable:
    try:
        return write_conversation(lm.tokenizer, conversation, template)
    except DataError as error:
        return Unusable(str(error))


def encode_query(lm: LanguageModel, query: Query, template: str = DEFAULT_TEMPLATE) -> Encoded:
    """Turns a query into token ids; where it asks about a part of its response only the log p of that part counts.

    A token belongs to the part that holds its last character, and white space to the part behind it, so that parts which make up a
    response share no token; the end token belongs to the whole response alone.

    Raises:
        DataError: The response is empty or exceeds the context, or the part does not stand in it or holds no token.
        ConfigError: The template is unknown or lacks `{prompt}`.
    """
    conversation = query.conversation
    encoded = encode_conversation(lm, conversation, template)
    if encoded.lost_tokens:
        raise DataError(
            f"the response beginning {query.response[:40]!r} exceeds the model's context of {lm.context} tokens; give a shorter one, "
            "or a model with a longer context"
        )
    if not query.span:
        return encoded
    written = write_conversation(lm.tokenizer, conversation, template)
    start, end = written.spans[-1]
    place = written.text.find(query.span.strip(), start, end)
    if place < 0:
        raise DataError(
            f"the part {query.span[:40]!r} does not stand in the response beginning {query.response[:40]!r}; copy it as it is "
            "written there"
        )
    _ids, offsets = _pieces(lm, written)
    before, after = len(written.text[:place].rstrip()), place + len(query.span.strip())
    inside = [number for number, (_, last) in enumerate(offsets) if before < last <= after]
    if not inside:
        raise DataError(
            f"no token of the response ends in the part {query.span[:40]!r}; ask about a longer part"
        )
    first, last = (place - encoded.cut_tokens for place in (inside[0], inside[-1] + 1))
    return replace(encoded, spans=((first, last),))


def encode_prompt(lm: LanguageModel, asked: Asked, template: str, room: int) -> Ids:
    """Turns a prompt, or the messages before an answer, into the token ids that generation starts from, cut from the left to leave `room` tokens of context.

    Raises:
        ConfigError: The context has no place for a prompt beside the answer, or the template lacks `{prompt}`.
        DataError: The template refuses the prompt.
    """
    if room >= lm.context:
        raise ConfigError(
            f"max_new_tokens is {room}, but the model's context holds {lm.context} tokens; give at most {lm.context - 1}"
        )
    written = write_prompt(lm.tokenizer, as_messages(asked), template)
    ids, _offsets = _pieces(lm, written)
    return _cut_left(lm, ids, lm.context - room)


def _tokenise(lm: LanguageModel, texts: Sequence[Written]) -> Iterator[tuple[Ids, list[Span]]]:
    """Token ids of each text, and the runs of tokens that count."""
    plain = [text.text for text in texts if not text.controls]
    together = iter(_offsets_of(lm, plain)) if plain else iter(())
    for text in texts:
        ids, offsets = _pieces(lm, text) if text.controls else _begun(lm, text, *next(together))
        spans = [_token_span(offsets, span) for span in text.spans]
        end = lm.tokenizer.eos_token_id
        # Where no chat template ends the turn, the end token does, as trainers add it; it counts.
        if not text.by_chat_template and end is not None and ids[-1:] != [end]:
            ids, spans = [*ids, end], [*spans[:-1], (spans[-1][0], len(ids) + 1)]
        yield ids[: spans[-1][1]], spans


def _offsets_of(lm: LanguageModel, texts: list[str]) -> list[tuple[Ids, list[Span]]]:
    """Ids of texts without any that the tokenizer adds, and the characters that each stands for.

    Raises:
        ModelError: The tokenizer does not tell them.
    """
    if not getattr(lm.tokenizer, "is_fast", False):
        raise ModelError(
            f"the tokenizer in {lm.tokenizer.name_or_path} does not tell which characters a token stands for; save it as a fast one "
            "(tokenizer.json)"
        )
    found = lm.tokenizer(texts, add_special_tokens=False, return_offsets_mapping=True)
    return list(zip(found["input_ids"], found["offset_mapping"], strict=True))


def _pieces(lm: LanguageModel, written: Written) -> tuple[Ids, list[Span]]:
    """Ids of one text in which control tokens that somebody wrote are read as text."""
    ids: Ids = []
    offsets: list[Span] = []
    start = 0
    marks = [place for place, character in enumerate(written.text) if character in written.controls]
    for mark in [*marks, len(written.text)]:
        if written.text[start:mark]:
            ((found, places),) = _offsets_of(lm, [written.text[start:mark]])
            ids += found
            offsets += [(start + first, start + last) for first, last in places]
        if mark < len(written.text):
            text = written.controls[written.text[mark]]
            literal = lm.tokenizer(text, add_special_tokens=False, split_special_tokens=True)["input_ids"]
            ids += literal
            offsets += [(mark, mark + 1)] * len(literal)
        start = mark + 1
    return _begun(lm, written, ids, offsets)


def _begun(lm: LanguageModel, written: Written, ids: Ids, offsets: list[Span]) -> tuple[Ids, list[Span]]:
    """Puts before a text the tokens that the tokenizer puts there; a chat template writes its own."""
    if written.by_chat_template:
        return ids, offsets
    own = list(lm.tokenizer("")["input_ids"])
    begin = own[:-1] if own[-1:] == [lm.tokenizer.eos_token_id] else own
    return [*begin, *ids], [*[(0, 0)] * len(begin), *offsets]


def _token_span(offsets: Sequence[Span], span: Span) -> Span:
    """The run of tokens that stand for some of the characters of a span."""
    start, end = span
    inside = [place for place, (first, last) in enumerate(offsets) if first < end and last > start]
    return (inside[0], inside[-1] + 1) if inside else (len(offsets), len(offsets))


def _fitted(lm: LanguageModel, ids: Ids, spans: Sequence[Span]) -> Encoded | Unusable:
    """Cuts what exceeds the context and makes sure that something counts behind at least one token."""
    end, lost = len(ids), 0
    if end - spans[-1][0] >= lm.context:
        # The last answer alone fills the context: as much of what stands before it as leaves it half, then its beginning.
        kept = min(spans[-1][0], max(1, lm.context // 2))
        end = spans[-1][0] - kept + lm.context if spans[-1][0] > kept else lm.context
        lost = len(ids) - end
    fitted = _cut_left(lm, ids[:end], lm.context)
    cut = end - len(fitted)
    moved = [(max(1, first - cut), min(last, end) - cut) for first, last in spans]
    kept_spans = tuple((first, last) for first, last in moved if last > first)
    if not kept_spans:
        return Unusable("the response has no token")
    start = kept_spans[0][0]
    whole = kept_spans == ((start, len(fitted)),)
    return Encoded(tuple(fitted), start, cut, () if whole else kept_spans, lost)


def _cut_left(lm: LanguageModel, ids: Ids, room: int) -> Ids:
    """Cuts tokens from the left, the begin token excepted."""
    if len(ids) <= room:
        return ids
    begin = lm.tokenizer.bos_token_id
    if begin is not None and ids[:1] == [begin] and room > 1:
        return [begin, *ids[len(ids) - room + 1 :]]
    return ids[len(ids) - room :]


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
    width = int(lengths.max())
    response = torch.zeros(len(indices), width, dtype=torch.bool)
    for row, index in enumerate(indices):
        for start, end in encoded[index].counted:
            response[row, start:end] = True
    rows = [[*encoded[index].input_ids, *[0] * (width - len(encoded[index].input_ids))] for index in indices]
    real = torch.arange(width) < lengths[:, None]
    return padded_batch(indices, torch.tensor(rows), attention_mask=real, response_mask=response)
