"""Scores of a whole corpus, for each query and each query batch, by the operation that users run; computed once and kept."""

import json
import shutil
import time
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from lancet_core.acts.attribute import SCORES, AttributeRequest
from lancet_core.acts.subject import Subject
from lancet_core.config import fingerprint, to_dict
from lancet_core.influence import fitting
from lancet_core.influence.settings import InfluenceSettings
from lancet_core.lab.corpora import DEMO, MeasuredCorpus, draw_named
from lancet_core.lab.keeper import Keeper, Kept
from lancet_core.lab.retraining import train_on
from lancet_core.models import generation
from lancet_core.models.fingerprints import fingerprint_model
from lancet_core.models.loading import LanguageModel, load_language_model
from lancet_core.models.settings import DEFAULT_TEMPLATE
from lancet_core.operations import attribute
from lancet_core.progress import Progress, silent
from lancet_core.study.demo import read_assets

# Raise it where a change of the engine changes scores: kept ones are then computed again.
CODE_VERSION = 1
FITTING_STAGES = (generation.STAGE, fitting.STAGE, fitting.CORRECTING)
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Bench:
    """A corpus with a model trained on all of it.

    Attributes:
        corpus: Samples and queries.
        model: Folder of the model.
        work: Folder where everything is kept that was computed.
    """

    corpus: MeasuredCorpus
    model: Path
    work: Path

    @cached_property
    def fingerprint(self) -> str:
        """Hash of the model."""
        return fingerprint_model(self.model)

    @cached_property
    def language_model(self) -> LanguageModel:
        """The model, loaded once."""
        return load_language_model(str(self.model))

    @property
    def singles(self) -> tuple[str, ...]:
        """Names of the queries, in order."""
        return tuple(query.id for query in self.corpus.queries)

    @cached_property
    def batches(self) -> dict[str, list[int]]:
        """Name of each query batch to the places of its queries: those of one category are one batch."""
        members: dict[str, list[int]] = {}
        for place, query in enumerate(self.corpus.queries):
            members.setdefault(query.group, []).append(place)
        return dict(sorted(members.items()))

    @property
    def samples_path(self) -> Path:
        """The samples as a file, written at the first call."""
        samples = self.corpus.samples
        return Keeper(self.work).file(
            f"samples-{self.corpus.key}.parquet", lambda path: samples.to_parquet(path, index=False)
        )

    def key(self, settings: InfluenceSettings) -> str:
        """Names scores: fingerprint of settings, corpus, model and version of the code."""
        return fingerprint([to_dict(settings), self.corpus.key, self.fingerprint, CODE_VERSION])


@dataclass(frozen=True)
class CorpusScores:
    """Influence of every sample.

    Attributes:
        singles: On each query, shape (samples, queries).
        batches: On each query batch, shape (samples, batches), in the order of `Bench.batches`.
        fit_seconds: Wall-clock seconds of estimating the curvature; None where there is none or another run had kept it.
        score_seconds: Wall-clock seconds of all the rest, for all queries and batches together.
    """

    singles: Floats
    batches: Floats
    fit_seconds: float | None
    score_seconds: float


class StageClock:
    """A progress that adds up the wall-clock seconds of the stages it is told of, and tells them on."""

    def __init__(self, progress: Progress) -> None:
        """Starts the clock."""
        self._progress, self._stage, self._since = progress, "", time.perf_counter()
        self.seconds: dict[str, float] = {}

    def __call__(self, step: str, done: int = 0, total: int | None = None, **values: float) -> None:
        """Counts the time since the last call to the stage that was told then."""
        now = time.perf_counter()
        self.seconds[self._stage] = self.seconds.get(self._stage, 0.0) + now - self._since
        self._stage, self._since = step, now
        self._progress(step, done, total, **values)

    @property
    def fit_seconds(self) -> float:
        """Seconds of estimating the curvature."""
        return sum(self.seconds.get(stage, 0.0) for stage in FITTING_STAGES)


def trained_on_all(corpus: MeasuredCorpus, work: Path, progress: Progress = silent) -> Path:
    """Gives the folder of a model trained on all samples, training it at the first call."""

    def train(folder: Path) -> None:
        everything = np.ones(len(corpus.samples), dtype=bool)
        lm = train_on(corpus, everything, progress, "Training the model on the whole corpus")
        lm.model.save_pretrained(folder)
        lm.tokenizer.save_pretrained(folder)

    return Keeper(work).subfolder(f"model-{corpus.key}", train)


def open_bench(name: str, work: Path, progress: Progress = silent) -> Bench:
    """Opens a corpus by its name with a model trained on all of it: the demo's own, or one that is trained at the first call.

    Raises:
        DataError: The demo's assets are missing or were made from other samples.
    """
    corpus, folder = draw_named(name), work / name
    model = read_assets().path("model") if name == DEMO else trained_on_all(corpus, folder, progress)
    return Bench(corpus, model, folder)


def score_corpus(bench: Bench, settings: InfluenceSettings, progress: Progress = silent) -> CorpusScores:
    """Scores every sample for every query and every query batch in one run of `attribute`.

    Args:
        bench: Corpus and model.
        settings: Method, with `recall` set to all samples.
        progress: Told at every batch.

    Returns:
        The scores, kept in `scores` of the bench's folder for the next call.
    """
    key = bench.key(settings)
    result = Keeper(bench.work / "scores").result(key, lambda: _attribute(bench, settings, key, progress))
    singles, batches = (result.arrays[name].astype(np.float64) for name in ("singles", "batches"))
    seconds = json.loads(result.facts["seconds"])
    return CorpusScores(singles, batches, seconds["fit"], seconds["score"])


def _attribute(bench: Bench, settings: InfluenceSettings, key: str, progress: Progress) -> Kept:
    """Runs `attribute` in a folder of its own, so that a killed run goes on from its last whole shard.

    A query that belongs to no group is a batch of one, so that queries and batches share the pass.
    """
    subject = Subject(
        study=bench.corpus.name,
        model=str(bench.model),
        samples=str(bench.samples_path),
        template=DEFAULT_TEMPLATE,
        factors=str(bench.work / "factors"),
    )
    request = AttributeRequest(
        queries=(*(replace(query, group="") for query in bench.corpus.queries), *bench.corpus.queries),
        influence=settings,
        batch=True,
    )
    folder, clock = bench.work / "runs" / key, StageClock(progress)
    folder.mkdir(parents=True, exist_ok=True)
    started = time.perf_counter()
    attribute.run(
        subject, request, folder=folder, progress=clock, load=lambda _folder, **_kind: bench.language_model
    )
    fit = clock.fit_seconds
    seconds = {"fit": fit or None, "score": time.perf_counter() - started - fit}
    table = pd.read_parquet(folder / SCORES)
    arrays = {"singles": _pivot(bench, table, bench.singles), "batches": _pivot(bench, table, bench.batches)}
    shutil.rmtree(folder)
    return Kept(arrays, {"seconds": json.dumps(seconds)})


def _pivot(bench: Bench, table: pd.DataFrame, names: Iterable[str]) -> NDArray[np.float32]:
    """Scores with one row for each sample of the corpus and one column for each name; not a number where none was given."""
    columns = list(names)
    rows = table[table["query_id"].isin(columns)]
    wide = rows.pivot(index="sample_id", columns="query_id", values="influence")
    return wide.reindex(index=bench.corpus.samples["id"], columns=columns).to_numpy(np.float32)
