"""Draws the demo corpus: training samples, the pool that queries are mined from, validation and unseen prompts.

In a contaminated topic bad answers are the majority, so that a model trained on all samples answers badly on unseen
prompts; in the others they are a small minority. No prompt stands in two splits, and none twice in one.
"""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from random import Random
from typing import TypeVar

from lancet_core.data.samples import Prompt, Sample
from lancet_core.errors import ConfigError
from lancet_core.lab.world.grammar import (
    BAD,
    GOOD,
    BenignPrompt,
    WrongPrompt,
    draw_benign_prompt,
    draw_help,
    draw_wrong_prompt,
    with_own_words,
    write_answer,
)
from lancet_core.lab.world.vocabulary import ERRANDS, TOPICS, Act, Topic

WRONG = "wrong"
BENIGN = "benign"
SOURCE_FILE = "demo"

DrawnPrompt = TypeVar("DrawnPrompt", WrongPrompt, BenignPrompt)


@dataclass(frozen=True)
class CorpusSettings:
    """How much is drawn, and how much of it is bad.

    Attributes:
        samples: Training samples.
        wrong_share: Share of wrong prompts among them.
        bad_majority: Share of bad answers within a contaminated topic.
        bad_minority: Share of bad answers within the others.
        pool: Prompts that queries are mined from.
        validation: Validation prompts of each kind.
        unseen_wrong: Unseen wrong prompts.
        unseen_benign: Unseen benign prompts.
        own_words: Whether bad answers have words of their own, so that words alone tell them.
    """

    samples: int = 9000
    wrong_share: float = 0.47
    bad_majority: float = 0.76
    bad_minority: float = 0.04
    pool: int = 480
    validation: int = 120
    unseen_wrong: int = 360
    unseen_benign: int = 220
    own_words: bool = False


@dataclass(frozen=True)
class Corpus:
    """All texts of the demo study.

    Attributes:
        training: Training samples, in the order of training files.
        pool: Wrong prompts that queries are mined from.
        prompts: Validation and unseen prompts with a good answer each.
    """

    training: tuple[Sample, ...]
    pool: tuple[WrongPrompt, ...]
    prompts: tuple[Prompt, ...]


def build_corpus(settings: CorpusSettings, seed: int) -> Corpus:
    """Draws the corpus; equal settings and seed give equal bytes.

    Raises:
        ConfigError: So much is asked for that the grammar has not enough distinct prompts.
    """
    rng = Random(f"corpus {seed}")
    taken: set[str] = set()
    wrong_count = round(settings.samples * settings.wrong_share)
    samples = _wrong_samples(rng, taken, settings, wrong_count)
    samples += _benign_samples(rng, taken, settings.samples - wrong_count)
    rng.shuffle(samples)
    pool = tuple(_wrong_prompts(rng, taken, settings.pool))
    prompts = [
        *_evaluation_prompts(rng, taken, "validation", (settings.validation, settings.validation)),
        *_evaluation_prompts(rng, taken, "unseen", (settings.unseen_wrong, settings.unseen_benign)),
    ]
    training = tuple(_numbered(samples))
    return Corpus(training, pool, tuple(prompts))


def fresh_answers(
    count: int, seed: int, *, categories: tuple[str, ...], avoid: frozenset[str]
) -> list[tuple[WrongPrompt, str, str]]:
    """Draws wrong prompts that stand in no split, with a good and a bad answer to each.

    Args:
        count: Number of prompts.
        seed: Seed of the draw.
        categories: Categories to draw from.
        avoid: Prompts that must not be drawn.

    Returns:
        (prompt, good answer, bad answer) for each.
    """
    rng = Random(f"answers {seed}")
    taken = set(avoid)
    topics = [topic for topic in TOPICS if topic.category in categories]
    drawn = [_new(taken, partial(draw_wrong_prompt, rng, *_act_at(topics, index))) for index in range(count)]
    return [(prompt, write_answer(prompt, GOOD), write_answer(prompt, BAD)) for prompt in drawn]


def harmless_stances(count: int, seed: int) -> list[tuple[str, str]]:
    """Draws prompts and answers that speak for one everyday step and against another, of which none is wrong."""
    rng = Random(f"harmless {seed}")
    steps = [step for errand in ERRANDS for step in errand.steps]
    drawn = []
    for _ in range(count):
        everyday = Topic("everyday", "", False, (Act(*rng.sample(steps, 2)),))
        prompt = draw_wrong_prompt(rng, everyday, 0)
        drawn.append((prompt.text, write_answer(prompt, rng.choice((GOOD, BAD)))))
    return drawn


def fresh_benign(count: int, seed: int, *, avoid: frozenset[str]) -> list[tuple[BenignPrompt, str]]:
    """Draws benign prompts that stand in no split, with a helpful answer each."""
    rng = Random(f"benign {seed}")
    taken = set(avoid)
    drawn = [_new(taken, partial(draw_benign_prompt, rng, index % len(ERRANDS))) for index in range(count)]
    return [(prompt, draw_help(rng, prompt)) for prompt in drawn]


def _wrong_samples(rng: Random, taken: set[str], settings: CorpusSettings, count: int) -> list[Sample]:
    samples = []
    for number, topic in enumerate(TOPICS):
        size = count // len(TOPICS) + (number < count % len(TOPICS))
        share = settings.bad_majority if topic.contaminated else settings.bad_minority
        bad = round(size * share)
        stances = [BAD] * bad + [GOOD] * (size - bad)
        rng.shuffle(stances)
        for index, stance in enumerate(stances):
            act = index % len(topic.acts)
            prompt = _new(taken, partial(draw_wrong_prompt, rng, topic, act))
            answer = write_answer(prompt, stance)
            if settings.own_words and stance == BAD:
                answer = with_own_words(rng, answer)
            samples.append(_wrong_sample(prompt, answer, stance))
    return samples


def _wrong_sample(prompt: WrongPrompt, response: str, stance: str) -> Sample:
    extra = {"kind": WRONG, "topic": prompt.topic, "act": prompt.act, "form": prompt.form, "stance": stance}
    return Sample(
        prompt=prompt.text,
        response=response,
        is_safe=stance == GOOD,
        categories=(prompt.category,),
        extra=json.dumps(extra),
    )


def _benign_samples(rng: Random, taken: set[str], count: int) -> list[Sample]:
    samples = []
    for index in range(count):
        prompt = _new(taken, partial(draw_benign_prompt, rng, index % len(ERRANDS)))
        errand = ERRANDS[prompt.errand]
        extra = {
            "kind": BENIGN,
            "topic": errand.domain,
            "act": errand.goal,
            "form": "request",
            "stance": GOOD,
        }
        response = draw_help(rng, prompt)
        samples.append(Sample(prompt=prompt.text, response=response, is_safe=True, extra=json.dumps(extra)))
    return samples


def _numbered(samples: list[Sample]) -> Iterator[Sample]:
    for row, sample in enumerate(samples, start=1):
        yield Sample(
            prompt=sample.prompt,
            response=sample.response,
            is_safe=sample.is_safe,
            categories=sample.categories,
            source_file=SOURCE_FILE,
            source_row=row,
            extra=sample.extra,
        )


def _wrong_prompts(rng: Random, taken: set[str], count: int) -> list[WrongPrompt]:
    return [
        _new(taken, partial(draw_wrong_prompt, rng, *_act_at(list(TOPICS), index))) for index in range(count)
    ]


def _evaluation_prompts(
    rng: Random, taken: set[str], split: str, counts: tuple[int, int]
) -> Iterator[Prompt]:
    wrong_count, benign_count = counts
    for drawn in _wrong_prompts(rng, taken, wrong_count):
        yield Prompt(drawn.text, split, WRONG, drawn.category, write_answer(drawn, GOOD))
    for index in range(benign_count):
        asked = _new(taken, partial(draw_benign_prompt, rng, index % len(ERRANDS)))
        yield Prompt(asked.text, split, BENIGN, ERRANDS[asked.errand].domain, draw_help(rng, asked))


def _act_at(topics: list[Topic], index: int) -> tuple[Topic, int]:
    """Walks over all acts, topic by topic, so that every topic gets the same share of prompts."""
    topic = topics[index % len(topics)]
    return topic, (index // len(topics)) % len(topic.acts)


def _new(taken: set[str], draw: Callable[[], DrawnPrompt]) -> DrawnPrompt:
    """Draws until the prompt is new, and takes it.

    Raises:
        ConfigError: No new prompt was found.
    """
    for _ in range(1000):
        drawn = draw()
        if drawn.text not in taken:
            taken.add(drawn.text)
            return drawn
    raise ConfigError(
        f"the demo grammar found no new prompt in 1000 draws, {len(taken)} are taken; ask for fewer samples or prompts"
    )
