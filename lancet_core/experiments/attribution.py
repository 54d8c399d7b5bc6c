"""How well each method ranks unsafe samples and foretells retrained models: one row for each variant of the settings."""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lancet_core.config import fingerprint
from lancet_core.errors import NumericalError
from lancet_core.evaluation.datamodels import (
    FEWEST_SUBSETS,
    DatamodelReport,
    datamodel_report,
    retraining_report,
)
from lancet_core.evaluation.intervals import Interval, mean_by
from lancet_core.evaluation.ranking import average_precision
from lancet_core.evaluation.settings import MetricSettings
from lancet_core.experiments.markdown import number, seconds, told, write_table
from lancet_core.experiments.retraining import Bank
from lancet_core.experiments.scoring import Bench, CorpusScores, Floats, score_corpus
from lancet_core.files import write_json
from lancet_core.influence.recall import build_tfidf, most_similar, similarities
from lancet_core.influence.settings import InfluenceSettings
from lancet_core.progress import Progress, silent

CANDIDATES = 100
ANOTHER_SEED = "same halves, another seed"
# Raise it where a change of the measures changes rows: kept ones are then measured again.
MEASURE_VERSION = 1
COLUMNS = (
    "method",
    f"within {CANDIDATES} recalled",
    "whole corpus",
    "same category",
    "query batch",
    "LDS",
    "LDS, query batch",
    "fit, s",
    "score, s",
)
Places = NDArray[np.int64]


@dataclass(frozen=True)
class Row:
    """What was measured of one variant.

    Attributes:
        within: Average precision for unsafe samples, single queries, among the samples that TF-IDF recalls.
        whole: The same in the whole corpus.
        category: The same among the samples of the query's category.
        batch: The same for query batches in the whole corpus.
        lds: Linear datamodeling score of single queries, interval over queries; None without a bank.
        lds_subsets: The same, interval over retrained models.
        lds_batch: The same of query batches: how likely a model finds the queries of a batch, on average.
        lds_batch_subsets: The same, interval over retrained models.
        fit_seconds: Seconds of estimating the curvature; None where there is none or an earlier row had it.
        score_seconds: Seconds of the rest, for all queries and batches in one pass.
    """

    within: Interval
    whole: Interval
    category: Interval
    batch: Interval
    lds: Interval | None
    lds_subsets: Interval | None
    lds_batch: Interval | None
    lds_batch_subsets: Interval | None
    fit_seconds: float | None
    score_seconds: float


@dataclass(frozen=True)
class Yardstick:
    """What scores of one corpus are compared with.

    Attributes:
        bench: Corpus and model.
        bank: Retrained models; None leaves the datamodeling scores out.
        settings: Draws and seed of the intervals.
    """

    bench: Bench
    bank: Bank | None
    settings: MetricSettings = MetricSettings()

    @cached_property
    def key(self) -> str:
        """Fingerprint of everything beside the scores that a row depends on."""
        truth = (
            []
            if self.bank is None
            else [self.bank.masks.sum(axis=1).tolist(), self.bank.log_likelihoods.tolist()]
        )
        return fingerprint([truth, asdict(self.settings), CANDIDATES, MEASURE_VERSION])

    @cached_property
    def unsafe(self) -> NDArray[np.bool_]:
        """Whether each sample is unsafe, shape (samples,)."""
        return np.asarray(~self.bench.corpus.samples["is_safe"].astype(bool))

    @cached_property
    def recalled(self) -> list[Places]:
        """Samples that TF-IDF recalls for each query."""
        corpus = self.bench.corpus
        index = build_tfidf(corpus.samples)
        found = similarities(index, [(query.prompt, query.response) for query in corpus.queries])
        return [most_similar(row, CANDIDATES) for row in found]

    @cached_property
    def same_category(self) -> list[Places]:
        """Samples of each query's category."""
        categories = self.bench.corpus.samples["categories"]
        return [
            np.flatnonzero([query.group in found for found in categories])
            for query in self.bench.corpus.queries
        ]

    @property
    def everything(self) -> Places:
        """All samples."""
        return np.arange(len(self.unsafe))

    def precision(self, scores: Floats, chosen: Sequence[Places]) -> Interval:
        """Mean average precision for unsafe samples, each column of scores among its own samples.

        Raises:
            NumericalError: It is undefined for every column: none of the samples is unsafe.
        """
        pairs = [
            (scores[places, column], self.unsafe[places])
            for column, places in enumerate(chosen)
            if self.unsafe[places].any()
        ]
        if not pairs:
            raise NumericalError(
                f"average precision is undefined for all {len(chosen)} queries of the corpus {self.bench.corpus.name!r}: "
                "none of their samples is unsafe"
            )
        return mean_by(self.settings, [average_precision(*pair) for pair in pairs])

    def foretold(self, scores: Floats, members: Sequence[Sequence[int]]) -> DatamodelReport | None:
        """Linear datamodeling score of queries or batches; None without a bank."""
        if self.bank is None:
            return None
        truth = _mean_over(self.bank.log_likelihoods, members)
        return datamodel_report(scores, self.bank.masks, truth, self.settings)

    def foretold_again(self, members: Sequence[Sequence[int]]) -> DatamodelReport | None:
        """How far second models of the same parts foretell the first; None without a bank that has enough of them."""
        if self.bank is None or len(self.bank.again) < FEWEST_SUBSETS:
            return None
        again = _mean_over(self.bank.again, members)
        first = _mean_over(self.bank.log_likelihoods[: len(again)], members)
        return retraining_report(again, first, self.settings)

    @property
    def single_members(self) -> list[list[int]]:
        """Each query as a batch of one."""
        return [[place] for place in range(len(self.bench.singles))]

    @property
    def batch_members(self) -> list[list[int]]:
        """Places of the queries of each query batch."""
        return list(self.bench.batches.values())

    def measure(self, scores: CorpusScores) -> Row:
        """Measures the scores of one variant.

        Raises:
            NumericalError: A score is missing or a measure undefined.
        """
        single, single_subsets = _intervals(self.foretold(scores.singles, self.single_members))
        batch, batch_subsets = _intervals(self.foretold(scores.batches, self.batch_members))
        return Row(
            within=self.precision(scores.singles, self.recalled),
            whole=self.precision(scores.singles, [self.everything] * len(self.single_members)),
            category=self.precision(scores.singles, self.same_category),
            batch=self.precision(scores.batches, [self.everything] * len(self.batch_members)),
            lds=single,
            lds_subsets=single_subsets,
            lds_batch=batch,
            lds_batch_subsets=batch_subsets,
            fit_seconds=scores.fit_seconds,
            score_seconds=scores.score_seconds,
        )

    def another_seed(self) -> Sequence[Sequence[str]]:
        """The row of second models of the same parts; nothing without them."""
        found = [self.foretold_again(members) for members in (self.single_members, self.batch_members)]
        cells = [told(report.over_queries, report.over_subsets) for report in found if report is not None]
        return [(ANOTHER_SEED, "", "", "", "", *cells, "", "")] if cells else []

    def chance(self) -> Sequence[str]:
        """The row of what a ranking that knows nothing reaches."""
        shares = [
            float(np.mean([self.unsafe[places].mean() for places in chosen if self.unsafe[places].any()]))
            for chosen in (self.recalled, [self.everything], self.same_category, [self.everything])
        ]
        return ("chance", *map(number, shares), number(0.0), number(0.0), "", "")


def measure_all(
    yardstick: Yardstick,
    rows: Mapping[str, InfluenceSettings],
    progress: Progress = silent,
    tell: Callable[[str, Row], None] | None = None,
) -> dict[str, Row]:
    """Measures variants one after another; rows measured before are read.

    Args:
        yardstick: Corpus, model, truth.
        rows: Name of each row to its settings.
        progress: Told at every batch, the name of the row first.
        tell: Told of each row when it stands.

    Returns:
        Name of each row to what was measured.
    """
    measured = {}
    for place, (name, settings) in enumerate(rows.items(), start=1):
        named = _named(progress, f"{place}/{len(rows)} {name}")
        path = yardstick.bench.work / "rows" / f"{yardstick.bench.key(settings)}-{yardstick.key}.json"
        row = _read(path)
        if row is None:
            scores = score_corpus(yardstick.bench, settings, named)
            named("Measuring")
            row = yardstick.measure(scores)
            _write(path, row)
        measured[name] = row
        if tell is not None:
            tell(name, row)
    return measured


def attribution_table(yardstick: Yardstick, rows: Mapping[str, Row]) -> str:
    """Writes the rows as a Markdown table; datamodeling scores have their interval over queries, then that over models."""
    return write_table(COLUMNS, [*_cells(rows.items()), *yardstick.another_seed(), yardstick.chance()])


def _intervals(report: DatamodelReport | None) -> tuple[Interval | None, Interval | None]:
    """Over queries and over retrained models."""
    return (None, None) if report is None else (report.over_queries, report.over_subsets)


def _mean_over(log_likelihoods: Floats, members: Sequence[Sequence[int]]) -> Floats:
    """Mean over the queries of each batch, shape (models, batches)."""
    return np.stack([log_likelihoods[:, list(places)].mean(axis=1) for places in members], axis=1)


def _named(progress: Progress, name: str) -> Progress:
    """Puts the name of a row before every step."""

    def tell(step: str, done: int = 0, total: int | None = None, **values: float) -> None:
        progress(f"{name}: {step}", done, total, **values)

    return tell


def _cells(rows: Iterable[tuple[str, Row]]) -> list[Sequence[str]]:
    return [
        (
            name,
            told(row.within),
            told(row.whole),
            told(row.category),
            told(row.batch),
            told(row.lds, row.lds_subsets),
            told(row.lds_batch, row.lds_batch_subsets),
            seconds(row.fit_seconds),
            seconds(row.score_seconds),
        )
        for name, row in rows
    ]


def _write(path: Path, row: Row) -> None:
    write_json(path, asdict(row))


def _read(path: Path) -> Row | None:
    """Reads a kept row; None where there is none, or its file is broken."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        values: dict[str, Any] = {
            name: Interval(**value) if isinstance(value, dict) else value for name, value in found.items()
        }
        return Row(**values)
    except (OSError, ValueError, TypeError):
        return None
