"""Answers of a language model: whole and in batches, or streamed token by token."""

import zlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from transformers import GenerationConfig, LogitsProcessor, LogitsProcessorList

from lancet_core.models.encoding import encode_prompt
from lancet_core.models.loading import LanguageModel
from lancet_core.models.settings import GenerationSettings
from lancet_core.progress import Progress, silent

STAGE = "Generating answers"
# A dialogue model without end of turn goes on with the next question; the answer ends there.
_NEXT_TURN = "\n\nHuman:"


class _Choice:
    """Chooses the next token of one prompt: the likeliest, or one drawn by adding Gumbel noise (an exact draw).

    The noise depends on the seed, the prompt and the place alone, so that an answer does not depend on its batch.
    """

    def __init__(self, prompt: str, settings: GenerationSettings) -> None:
        self.settings = settings
        self.random = np.random.default_rng([settings.seed, zlib.crc32(prompt.encode())])

    def adjust(self, logits: Tensor) -> Tensor:
        """Turns logits of shape (vocabulary,) into values whose largest is the chosen token."""
        if self.settings.temperature == 0.0:
            return logits
        values = _nucleus(logits.float().cpu() / self.settings.temperature, self.settings.top_p)
        noise = torch.from_numpy(self.random.gumbel(size=len(values)).astype(np.float32))
        return (values + noise).to(logits.device)


class _Choices(LogitsProcessor):  # type: ignore[misc]  # transformers carries no types that mypy follows here
    """Applies one choice to each row of a batch and tells that work goes on."""

    def __init__(self, choices: Sequence[_Choice], tell: Callable[[], None]) -> None:
        self.choices, self.tell = choices, tell

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        """Adjusts logits of shape (rows, vocabulary)."""
        self.tell()
        return torch.stack([choice.adjust(row) for choice, row in zip(self.choices, scores, strict=True)])


def generate(  # noqa: PLR0917
    lm: LanguageModel,
    prompts: Sequence[str],
    template: str,
    settings: GenerationSettings,
    progress: Progress = silent,
) -> list[str]:
    """Answers prompts in batches of similar length.

    Args:
        lm: The model.
        prompts: What is asked; a prompt too long for the context is cut from its left.
        template: Template of the study.
        settings: Length, temperature, seed and batch size.
        progress: Told at every token.

    Returns:
        Answers in the order of the prompts, without surrounding white space.

    Raises:
        ConfigError: The answer's length leaves no place for a prompt.
    """
    encoded = [encode_prompt(lm, prompt, template, settings.max_new_tokens) for prompt in prompts]
    answers = continue_texts(lm, encoded, settings, progress, seeds=prompts)
    progress(STAGE, len(prompts), len(prompts))
    return [_clean(lm.tokenizer.decode(tokens, skip_special_tokens=True)) for tokens in answers]


def continue_texts(
    lm: LanguageModel,
    prompts: Sequence[Sequence[int]],
    settings: GenerationSettings,
    progress: Progress = silent,
    *,
    seeds: Sequence[str] = (),
) -> list[list[int]]:
    """Continues texts that are given as token ids, in batches of similar length.

    Args:
        lm: The model.
        prompts: Token ids to go on from, each with room for `max_new_tokens` in the context.
        settings: Length, temperature, seed and batch size.
        progress: Told at every token.
        seeds: What the noise of each text depends on beside the seed; its token ids where nothing is given.

    Returns:
        New token ids of each text, without the token that ended it.
    """
    order = sorted(range(len(prompts)), key=lambda index: -len(prompts[index]))
    named = seeds or [str(list(prompt)) for prompt in prompts]
    continued: list[list[int]] = [[] for _ in prompts]
    for start in range(0, len(order), settings.batch_size):
        rows = order[start : start + settings.batch_size]
        choices = [_Choice(named[index], settings) for index in rows]

        def tell(done: int = start) -> None:
            progress(STAGE, done, len(prompts))

        found = _generate_batch(
            lm, [list(prompts[index]) for index in rows], _Choices(choices, tell), settings
        )
        for index, tokens in zip(rows, found, strict=True):
            continued[index] = tokens
    return continued


def stream(  # noqa: PLR0917
    lm: LanguageModel,
    prompt: str,
    template: str,
    settings: GenerationSettings,
    stop: Callable[[], bool] = lambda: False,
) -> Iterator[str]:
    """Answers one prompt piece by piece; the pieces joined are what `generate` gives.

    Args:
        lm: The model.
        prompt: What is asked.
        template: Template of the study.
        settings: Length, temperature and seed.
        stop: Asked before every token.

    Yields:
        Pieces of text, never empty; no half of a character and no trailing white space.

    Raises:
        ConfigError: The answer's length leaves no place for a prompt.
    """
    shown = ""
    for text in _growing_answer(lm, prompt, template, settings):
        if stop():
            return
        if text.startswith(shown) and len(text) > len(shown):
            yield text[len(shown) :]
            shown = text


def _growing_answer(
    lm: LanguageModel, prompt: str, template: str, settings: GenerationSettings
) -> Iterator[str]:
    """Yields the answer so far after every token that may be shown, and at the end."""
    choice = _Choice(prompt, settings)
    given = encode_prompt(lm, prompt, template, settings.max_new_tokens)
    ids = torch.tensor([given], device=lm.device)
    cache = None
    tokens: list[int] = []
    ends = set(_end_tokens(lm))
    yield ""
    for _ in range(settings.max_new_tokens):
        with torch.no_grad():
            output = lm.model(input_ids=ids, past_key_values=cache, use_cache=True)
        cache = output.past_key_values
        token = int(choice.adjust(output.logits[0, -1]).argmax())
        if token in ends:
            break
        tokens.append(token)
        ids = torch.tensor([[token]], device=lm.device)
        text = lm.tokenizer.decode(tokens, skip_special_tokens=True)
        if _NEXT_TURN in text:
            break
        # Held back: a character of which only some bytes are there, and what may become the next turn.
        yield "" if text.endswith("\ufffd") else _clean(text.removesuffix("Human").removesuffix("Human:"))
    yield _clean(lm.tokenizer.decode(tokens, skip_special_tokens=True))


def _generate_batch(
    lm: LanguageModel, prompts: Sequence[list[int]], choices: _Choices, settings: GenerationSettings
) -> list[list[int]]:
    """Generates the new tokens of each prompt, padded to the left."""
    width = max(len(prompt) for prompt in prompts)
    ends = _end_tokens(lm)
    padding = lm.tokenizer.pad_token_id if lm.tokenizer.pad_token_id is not None else (ends[0] if ends else 0)
    ids = torch.tensor([[padding] * (width - len(prompt)) + prompt for prompt in prompts], device=lm.device)
    mask = torch.tensor(
        [[0] * (width - len(prompt)) + [1] * len(prompt) for prompt in prompts], device=lm.device
    )
    plain = GenerationConfig(
        do_sample=False,
        max_new_tokens=settings.max_new_tokens,
        pad_token_id=padding,
        eos_token_id=ends or None,
    )
    with torch.no_grad(), _without_own_generation_settings(lm.model):
        output = lm.model.generate(
            input_ids=ids,
            attention_mask=mask,
            generation_config=plain,
            logits_processor=LogitsProcessorList([choices]),
        )
    return [_before_end(row, set(ends)) for row in output[:, width:].tolist()]


class _without_own_generation_settings:  # noqa: N801  # reads as a phrase after `with`
    """Hides the sampling settings that a model folder ships, which `generate` would merge into ours."""

    def __init__(self, model: Any) -> None:
        self.model, self.own = model, model.generation_config

    def __enter__(self) -> None:
        self.model.generation_config = GenerationConfig()

    def __exit__(self, *_: object) -> None:
        self.model.generation_config = self.own


def _end_tokens(lm: LanguageModel) -> list[int]:
    """Tokens that end an answer: the tokenizer's, and those that the model folder declares (end of turn)."""
    declared = getattr(lm.model.generation_config, "eos_token_id", None)
    listed = declared if isinstance(declared, list) else [declared]
    return sorted({token for token in [lm.tokenizer.eos_token_id, *listed] if token is not None})


def _before_end(tokens: list[int], ends: set[int]) -> list[int]:
    return next((tokens[:place] for place, token in enumerate(tokens) if token in ends), tokens)


def _clean(text: str) -> str:
    return text.split(_NEXT_TURN, maxsplit=1)[0].strip()


def _nucleus(logits: Tensor, top_p: float) -> Tensor:
    """Sets tokens outside the smallest set that holds `top_p` of the probability to minus infinity; the likeliest stays."""
    if top_p >= 1.0:
        return logits
    ordered, places = logits.sort(descending=True)
    before = ordered.softmax(dim=0).cumsum(dim=0) - ordered.softmax(dim=0)
    return logits.index_fill(0, places[before >= top_p], float("-inf"))
