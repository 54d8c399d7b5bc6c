"""Scores of a whole corpus, for each query and each query batch, by the operation that users run; computed once and kept."""

import json
import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from lancet_core.config import fingerprint, to_dict
from lancet_core.experiments.corpora import MeasuredCorpus
from lancet_core.experiments.retraining import train_on
from lancet_core.files import replacing_folder, write_table, write_tensors
from lancet_core.influence import fitting
from lancet_core.influence.settings import InfluenceSettings
from lancet_core.models import generation
from lancet_core.models.fingerprints import fingerprint_model
from lancet_core.models.loading import LanguageModel, load_language_model
from lancet_core.models.settings import DEFAULT_TEMPLATE
from lancet_core.operations import attribute
from lancet_core.operations.configs import AttributeConfig
from lancet_core.progress import Progress, silent

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
        path = self.work / f"samples-{self.corpus.key}.parquet"
        if not path.is_file():
            write_table(path, self.corpus.samples)
        return path

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


def trained_on_all(corpus: MeasuredCorpus, work: Path, progress: Progress = silent) -> Path:
    """Gives the folder of a model trained on all samples, training it at the first call; it is written whole or not at all."""
    folder = work / f"model-{corpus.key}"
    if folder.is_dir():
        return folder
    everything = np.ones(len(corpus.samples), dtype=bool)
    lm = train_on(corpus, everything, progress, "Training the model on the whole corpus")
    with replacing_folder(folder) as temporary:
        lm.model.save_pretrained(temporary)
        lm.tokenizer.save_pretrained(temporary)
    return folder


def score_corpus(bench: Bench, settings: InfluenceSettings, progress: Progress = silent) -> CorpusScores:
    """Scores every sample for every query and every query batch in one run of `attribute`.

    A query that belongs to no group is a batch of one, so that queries and batches share the pass. A killed run goes on from
    its last whole shard.

    Args:
        bench: Corpus and model.
        settings: Method, with `recall` set to all samples.
        progress: Told at every batch.

    Returns:
        The scores, kept in `scores` of the bench's folder for the next call.
    """
    key = bench.key(settings)
    path = bench.work / "scores" / f"{key}.safetensors"
    kept = _read(path)
    if kept is not None:
        return kept
    config = AttributeConfig(
        study=bench.corpus.name,
        model=str(bench.model),
        samples=str(bench.samples_path),
        template=DEFAULT_TEMPLATE,
        queries=(*(replace(query, group="") for query in bench.corpus.queries), *bench.corpus.queries),
        influence=settings,
        batch=True,
        detail=0,
        factors=str(bench.work / "factors"),
    )
    folder, clock = bench.work / "runs" / key, StageClock(progress)
    folder.mkdir(parents=True, exist_ok=True)
    started = time.perf_counter()
    attribute.run(config, folder, clock, load=lambda _folder: bench.language_model)
    elapsed = time.perf_counter() - started
    fit = sum(clock.seconds.get(stage, 0.0) for stage in FITTING_STAGES)
    table = pd.read_parquet(folder / "scores.parquet")
    scores = CorpusScores(
        _pivot(bench, table, bench.singles),
        _pivot(bench, table, list(bench.batches)),
        fit or None,
        elapsed - fit,
    )
    _write(path, scores)
    shutil.rmtree(folder)
    return scores


def _pivot(bench: Bench, table: pd.DataFrame, names: Sequence[str]) -> Floats:
    """Scores with one row for each sample of the corpus and one column for each name; not a number where none was given."""
    rows = table[table["query_id"].isin(names)]
    wide = rows.pivot(index="sample_id", columns="query_id", values="influence")
    return wide.reindex(index=bench.corpus.samples["id"], columns=list(names)).to_numpy(np.float64)


def _write(path: Path, scores: CorpusScores) -> None:
    seconds = {"fit": scores.fit_seconds, "score": scores.score_seconds}
    arrays = {"singles": scores.singles, "batches": scores.batches}
    tensors = {name: np.ascontiguousarray(values, np.float32) for name, values in arrays.items()}
    write_tensors(path, save_file, tensors, {"seconds": json.dumps(seconds)})


def _read(path: Path) -> CorpusScores | None:
    """Reads kept scores; None where there are none, or their file is broken."""
    if not path.is_file():
        return None
    try:
        with safe_open(path, framework="np") as file:
            seconds = json.loads((file.metadata() or {})["seconds"])
            singles, batches = (file.get_tensor(name).astype(np.float64) for name in ("singles", "batches"))
    except SafetensorError:
        return None
    return CorpusScores(singles, batches, seconds["fit"], seconds["score"])
