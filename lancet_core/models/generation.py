"""Answers of a language model: whole and in batches, or streamed token by token."""

import zlib
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from queue import SimpleQueue
from threading import Event
from typing import Any

import numpy as np
import torch
from torch import Tensor
from transformers import (
    GenerationConfig,
    LogitsProcessor,
    LogitsProcessorList,
    StoppingCriteria,
    StoppingCriteriaList,
)
from transformers.generation.streamers import BaseStreamer

from lancet_core.data.conversations import Asked, as_json
from lancet_core.models.encoding import encode_prompt
from lancet_core.models.loading import LanguageModel
from lancet_core.models.settings import GenerationSettings
from lancet_core.models.templates import turn_end
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
    """Applies one choice to each row of a batch and reports that work goes on."""

    def __init__(self, choices: Sequence[_Choice], report: Callable[[], None]) -> None:
        self.choices, self.report = choices, report

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        """Adjusts logits of shape (rows, vocabulary)."""
        self.report()
        return torch.stack([choice.adjust(row) for choice, row in zip(self.choices, scores, strict=True)])


def generate(  # noqa: PLR0917
    lm: LanguageModel,
    prompts: Sequence[Asked],
    template: str,
    settings: GenerationSettings,
    progress: Progress = silent,
) -> list[str]:
    """Answers prompts in batches of similar length.

    Args:
        lm: The model.
        prompts: What is asked, each a text or messages; one too long for the context is cut from its left.
        template: Template of the study.
        settings: Length, temperature, seed and batch size.
        progress: Told at every token.

    Returns:
        Answers in the order of the prompts, without surrounding white space.

    Raises:
        ConfigError: The answer's length leaves no place for a prompt.
    """
    encoded = [encode_prompt(lm, prompt, template, settings.max_new_tokens) for prompt in prompts]
    ends = end_tokens(lm, template)
    answers = continue_texts(
        lm, encoded, settings, progress, ends=ends, seeds=[_seed(prompt) for prompt in prompts]
    )
    progress(STAGE, len(prompts), len(prompts))
    return [_clean(lm.tokenizer.decode(tokens, skip_special_tokens=True)) for tokens in answers]


def continue_texts(
    lm: LanguageModel,
    prompts: Sequence[Sequence[int]],
    settings: GenerationSettings,
    progress: Progress = silent,
    *,
    ends: Sequence[int],
    seeds: Sequence[str] = (),
) -> list[list[int]]:
    """Continues texts that are given as token ids, in batches of similar length.

    Args:
        lm: The model.
        prompts: Token ids to go on from, each with room for `max_new_tokens` in the context.
        settings: Length, temperature, seed and batch size.
        progress: Told at every token.
        ends: Tokens that end a text.
        seeds: What the noise of each text depends on beside the seed; its token ids where nothing is given.

    Returns:
        New token ids of each text, without the token that ended it.
    """
    order = sorted(range(len(prompts)), key=lambda index: -len(prompts[index]))
    seeds = seeds or [str(list(prompt)) for prompt in prompts]
    continued: list[list[int]] = [[] for _ in prompts]
    for start in range(0, len(order), settings.batch_size):
        rows = order[start : start + settings.batch_size]
        choices = [_Choice(seeds[index], settings) for index in rows]

        def report(done: int = start) -> None:
            progress(STAGE, done, len(prompts))

        answers = _generate_batch(
            lm, [list(prompts[index]) for index in rows], _Choices(choices, report), settings, ends
        )
        for index, tokens in zip(rows, answers, strict=True):
            continued[index] = tokens
    return continued


def stream(  # noqa: PLR0917
    lm: LanguageModel,
    prompt: Asked,
    template: str,
    settings: GenerationSettings,
    stop: Callable[[], bool] = lambda: False,
) -> Iterator[str]:
    """Answers one prompt piece by piece; the pieces joined are what `generate` gives.

    Args:
        lm: The model.
        prompt: What is asked, a text or messages.
        template: Template of the study.
        settings: Length, temperature and seed.
        stop: Asked before every token that is shown.

    Yields:
        Pieces of text, never empty; no half of a character and no trailing white space.

    Raises:
        ConfigError: The answer's length leaves no place for a prompt.
    """
    encoded = encode_prompt(lm, prompt, template, settings.max_new_tokens)
    shown = ""
    ends = end_tokens(lm, template)
    with closing(_growing_answer(lm, encoded, _Choice(_seed(prompt), settings), settings, ends)) as answer:
        for text in answer:
            if stop():
                return
            if text.startswith(shown) and len(text) > len(shown):
                yield text[len(shown) :]
                shown = text


def _seed(asked: Asked) -> str:
    return asked if isinstance(asked, str) else as_json(asked)


def _growing_answer(  # noqa: PLR0917
    lm: LanguageModel, prompt: list[int], choice: _Choice, settings: GenerationSettings, ends: Sequence[int]
) -> Generator[str]:
    """Yields the answer so far before it begins, after every token, and whole at the end."""
    tokens: list[int] = []
    yield ""
    with closing(_arriving_tokens(lm, prompt, choice, settings, ends)) as arriving:
        for token in arriving:
            if token in ends:
                break
            tokens.append(token)
            text = lm.tokenizer.decode(tokens, skip_special_tokens=True)
            if _NEXT_TURN in text:
                break
            # Held back: a character of which only some bytes are there, and what may become the next turn.
            yield "" if text.endswith("\ufffd") else _clean(text.removesuffix("Human").removesuffix("Human:"))
    yield _clean(lm.tokenizer.decode(tokens, skip_special_tokens=True))


def _arriving_tokens(  # noqa: PLR0917
    lm: LanguageModel, prompt: list[int], choice: _Choice, settings: GenerationSettings, ends: Sequence[int]
) -> Generator[int]:
    """Yields new tokens as they are made, by a thread that ends at its next token once this is closed."""
    sink = _Sink()
    with ThreadPoolExecutor(1) as pool:
        made = pool.submit(
            _generate_batch, lm, [prompt], _Choices([choice], lambda: None), settings, ends, sink=sink
        )
        made.add_done_callback(lambda _: sink.end())
        try:
            yield from iter(sink.tokens.get, None)
            made.result()
        finally:
            sink.closed.set()


class _Sink(BaseStreamer, StoppingCriteria):  # type: ignore[misc]  # transformers carries no types that mypy follows here
    """Takes the tokens of one text from transformers' loop, and ends the loop when nobody wants more.

    Attributes:
        tokens: New tokens, then None.
        closed: Set by whoever wants no more.
    """

    def __init__(self) -> None:
        self.tokens: SimpleQueue[int | None] = SimpleQueue()
        self.closed = Event()

    def put(self, value: Tensor) -> None:
        """Takes the next token, of shape (1,); the prompt, which comes first with shape (1, positions), is passed over."""
        if value.dim() == 1:
            self.tokens.put(int(value))

    def end(self) -> None:
        """Says that no token follows."""
        self.tokens.put(None)

    def __call__(self, input_ids: Tensor, scores: Any, **_: Any) -> Tensor:
        """Whether each row of a batch is to end."""
        return torch.full((len(input_ids),), self.closed.is_set(), device=input_ids.device)


def _generate_batch(  # noqa: PLR0917
    lm: LanguageModel,
    prompts: Sequence[list[int]],
    choices: _Choices,
    settings: GenerationSettings,
    ends: Sequence[int],
    sink: _Sink | None = None,
) -> list[list[int]]:
    """Generates the new tokens of each prompt, padded to the left; those of a single one go to a sink as they are made."""
    width = max(len(prompt) for prompt in prompts)
    padding = lm.tokenizer.pad_token_id if lm.tokenizer.pad_token_id is not None else (ends[0] if ends else 0)
    ids = torch.tensor([[padding] * (width - len(prompt)) + prompt for prompt in prompts], device=lm.device)
    mask = torch.tensor(
        [[0] * (width - len(prompt)) + [1] * len(prompt) for prompt in prompts], device=lm.device
    )
    plain = GenerationConfig(
        do_sample=False,
        max_new_tokens=settings.max_new_tokens,
        pad_token_id=padding,
        eos_token_id=list(ends) or None,
    )
    with torch.no_grad(), _without_own_generation_settings(lm.model):
        output = lm.model.generate(
            input_ids=ids,
            attention_mask=mask,
            generation_config=plain,
            logits_processor=LogitsProcessorList([choices]),
            stopping_criteria=StoppingCriteriaList([] if sink is None else [sink]),
            streamer=sink,
        )
    return [_before_end(row, set(ends)) for row in output[:, width:].tolist()]


@contextmanager
def _without_own_generation_settings(model: Any) -> Iterator[None]:
    """Hides the sampling settings that a model folder ships, which `generate` would merge into ours."""
    shipped = model.generation_config
    model.generation_config = GenerationConfig()
    try:
        yield
    finally:
        model.generation_config = shipped


def end_tokens(lm: LanguageModel, template: str) -> list[int]:
    """Tokens that end an answer: the tokenizer's, those that the model folder declares, and what the chat template ends a turn with."""
    declared = getattr(lm.model.generation_config, "eos_token_id", None)
    listed = declared if isinstance(declared, list) else [declared]
    turn = lm.tokenizer(turn_end(lm.tokenizer, template), add_special_tokens=False)["input_ids"]
    # An end of several tokens is written in words, which an answer may hold.
    ends_turn = turn if len(turn) == 1 else []
    return sorted({token for token in [lm.tokenizer.eos_token_id, *listed, *ends_turn] if token is not None})


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
