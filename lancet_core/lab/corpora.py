"""The corpora that attribution is measured on: the demo, one of another seed, one whose bad answers have own words, and a tiny one."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from random import Random

import pandas as pd

from lancet_core.config import fingerprint
from lancet_core.data.samples import DESIRABLE, Query, read_samples, samples_frame
from lancet_core.errors import DataError
from lancet_core.lab.factory.scorers import VOCABULARY
from lancet_core.lab.factory.training import TrainingSettings, train_tokenizer
from lancet_core.lab.world.corpus import CorpusSettings, build_corpus
from lancet_core.lab.world.grammar import BAD, GOOD, WrongPrompt, with_own_words, write_answer
from lancet_core.lab.world.vocabulary import TOPICS
from lancet_core.study.demo import read_assets

DEMO = "demo"
SMALL = CorpusSettings(samples=4500)
QUERIES_PER_CATEGORY = 5
ANOTHER_SEED = 1000


@dataclass(frozen=True)
class Recipe:
    """How a corpus is drawn.

    Attributes:
        settings: Sizes and shares.
        training: How its models are trained; its seed is that of the corpus too.
        queries: File of mined queries with columns `prompt`, `response`, `category`; None takes prompts of the pool that no
            sample shares, each with the bad answer of the grammar.
        every: Of the prompts taken from the pool, one in so many.
    """

    settings: CorpusSettings
    training: TrainingSettings
    queries: Path | None = None
    every: int = 1


@dataclass(frozen=True)
class MeasuredCorpus:
    """Samples, queries and a training procedure, so that a model can be trained on any part of the samples.

    Attributes:
        name: Its name.
        samples: Training samples, columns as `samples_frame` writes them.
        queries: Bad answers whose cause is sought, `group` is the category.
        training: How each model is trained.
        good_answers: The good answer to the prompt of each query, in the order of the queries.
    """

    name: str
    samples: pd.DataFrame
    queries: tuple[Query, ...]
    training: TrainingSettings
    good_answers: tuple[Query, ...] = ()

    @cached_property
    def key(self) -> str:
        """Fingerprint of everything that retrained models and their answers depend on."""
        queries = [query.id for query in self.queries]
        return fingerprint([list(self.samples["id"]), queries, fingerprint(self.training)])

    @cached_property
    def tokenizer(self) -> object:
        """Tokenizer, trained on all samples: models of parts share it."""
        texts = [f"{prompt}\n\n{response}" for prompt, response in self.pairs]
        return train_tokenizer(texts, VOCABULARY)

    def reseeded(self) -> "MeasuredCorpus":
        """The same samples and queries, its models trained with another seed: other weights at the start, another order."""
        return replace(self, training=replace(self.training, seed=self.training.seed + ANOTHER_SEED))

    def asked_both_ways(self) -> "MeasuredCorpus":
        """The same corpus, its good answers asked for after its queries."""
        return replace(self, queries=(*self.queries, *self.good_answers))

    @property
    def pairs(self) -> list[tuple[str, str]]:
        """Prompt and response of each sample."""
        return list(zip(self.samples["prompt"], self.samples["response"], strict=True))


def recipes(demo_queries: Path) -> Mapping[str, Recipe]:
    """Names the corpora.

    Args:
        demo_queries: The demo's mined queries.
    """
    own_words = replace(SMALL, own_words=True)
    return {
        DEMO: Recipe(CorpusSettings(), TrainingSettings(), demo_queries),
        "other-seed": Recipe(SMALL, TrainingSettings(seed=1)),
        "own-words": Recipe(own_words, TrainingSettings(seed=2)),
        "tiny": Recipe(
            CorpusSettings(samples=600),
            TrainingSettings(epochs=6, batch=16, width=32, layers=2, seed=3),
            every=3,
        ),
    }


def draw_named(name: str) -> MeasuredCorpus:
    """Draws a corpus of `recipes` by its name.

    Raises:
        DataError: The corpus is the demo, and the demo's assets were made from other samples.
    """
    assets = read_assets()
    corpus = draw(name, recipes(assets.path("queries"))[name])
    if name == DEMO and list(read_samples(assets.path("samples"))["id"]) != list(corpus.samples["id"]):
        raise DataError(
            f"the demo in {assets.folder} was made from other samples than the corpus {DEMO!r}; restore the shipped one, or "
            "remake it with its defaults: lancet demo build"
        )
    return corpus


def draw(name: str, recipe: Recipe) -> MeasuredCorpus:
    """Draws a corpus; equal recipes give equal bytes."""
    corpus = build_corpus(recipe.settings, recipe.training.seed)
    queries = _mined(recipe.queries) if recipe.queries else _written(corpus.pool, recipe)
    good = {prompt.text: write_answer(prompt, GOOD) for prompt in corpus.pool}
    good_answers = tuple(Query(query.prompt, good[query.prompt], DESIRABLE) for query in queries)
    return MeasuredCorpus(name, samples_frame(corpus.training), queries, recipe.training, good_answers)


def _mined(path: Path) -> tuple[Query, ...]:
    table = pd.read_parquet(path)
    rows = zip(table["prompt"], table["response"], table["category"], strict=True)
    return tuple(Query(prompt, response, group=category) for prompt, response, category in rows)


def _written(pool: Sequence[WrongPrompt], recipe: Recipe) -> tuple[Query, ...]:
    """Bad answers to prompts of contaminated topics that stand in no split."""
    rng = Random(f"queries {recipe.training.seed}")
    contaminated = {topic.name for topic in TOPICS if topic.contaminated}
    queries: dict[str, list[Query]] = {}
    for prompt in pool:
        chosen = queries.setdefault(prompt.category, [])
        if prompt.topic in contaminated and len(chosen) < QUERIES_PER_CATEGORY:
            answer = write_answer(prompt, BAD)
            answer = with_own_words(rng, answer) if recipe.settings.own_words else answer
            chosen.append(Query(prompt.text, answer, group=prompt.category))
    return tuple(query for category in sorted(queries) for query in queries[category])[:: recipe.every]
