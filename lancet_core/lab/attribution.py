"""How well each method ranks unsafe samples and predicts retrained models: one row for each variant of the settings."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from lancet_core.config import fingerprint
from lancet_core.errors import NumericalError
from lancet_core.evaluation.datamodels import FEWEST_SUBSETS, datamodel_report, retraining_report
from lancet_core.evaluation.intervals import Interval, bootstrap_mean
from lancet_core.evaluation.ranking import average_precision
from lancet_core.evaluation.settings import MetricSettings
from lancet_core.influence.recall import build_tfidf, most_similar, similarities
from lancet_core.influence.settings import InfluenceSettings
from lancet_core.lab.keeper import Keeper, Kept
from lancet_core.lab.markdown import format_interval, format_number, format_seconds, table_of
from lancet_core.lab.retraining import Bank
from lancet_core.lab.scoring import Bench, CorpusScores, Floats, score_corpus
from lancet_core.progress import Progress, silent

CANDIDATES = 100
ANOTHER_SEED = "same halves, another seed"
# Raise it where a change of the measures changes rows: kept ones are then measured again.
MEASURE_VERSION = 1
RECALLED = f"within {CANDIDATES} recalled"
WHOLE, CATEGORY, BATCH, LDS, BATCH_LDS = (
    "whole corpus",
    "same category",
    "query batch",
    "LDS",
    "LDS, query batch",
)
Places = NDArray[np.int64]


@dataclass(frozen=True)
class Row:
    """What was measured of one variant.

    Attributes:
        intervals: Name of each measure to its mean with intervals. Average precision for unsafe samples has one, over queries:
            of single queries among the samples that TF-IDF recalls, in the whole corpus and among the samples of the query's
            category; of query batches in the whole corpus. The linear datamodeling score (LDS) of single queries and of query
            batches has two, over queries and over retrained models; none without a bank.
        fit_seconds: Seconds of estimating the curvature; None where there is none or an earlier row had it.
        score_seconds: Seconds of the rest, for all queries and batches in one pass.
    """

    intervals: dict[str, tuple[Interval, ...]]
    fit_seconds: float | None
    score_seconds: float

    def to_json(self) -> str:
        """Writes the row as JSON."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> "Row":
        """Reads a row."""
        values = json.loads(text)
        intervals = {
            name: tuple(Interval(**interval) for interval in listed)
            for name, listed in values.pop("intervals").items()
        }
        return cls(intervals, **values)


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
        rows = similarities(index, [(query.prompt, query.response) for query in corpus.queries])
        return [most_similar(row, CANDIDATES) for row in rows]

    @cached_property
    def same_category(self) -> list[Places]:
        """Samples of each query's category."""
        categories = self.bench.corpus.samples["categories"]
        return [
            np.flatnonzero([query.group in labels for labels in categories])
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
        return bootstrap_mean([average_precision(*pair) for pair in pairs], self.settings)

    def predicted(self, scores: Floats, members: Sequence[Sequence[int]]) -> tuple[Interval, ...]:
        """Linear datamodeling score of queries or batches, over queries and over models; nothing without a bank."""
        if self.bank is None:
            return ()
        truth = _mean_over(self.bank.log_likelihoods, members)
        report = datamodel_report(scores, self.bank.masks, truth, self.settings)
        return report.over_queries, report.over_subsets

    def repeated(self, members: Sequence[Sequence[int]]) -> tuple[Interval, ...]:
        """How well second models of the same parts predict the first; nothing without a bank that has enough of them."""
        if self.bank is None or len(self.bank.again) < FEWEST_SUBSETS:
            return ()
        again = _mean_over(self.bank.again, members)
        first = _mean_over(self.bank.log_likelihoods[: len(again)], members)
        report = retraining_report(again, first, self.settings)
        return report.over_queries, report.over_subsets

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
        singles, batches = self.single_members, self.batch_members
        intervals = {
            RECALLED: (self.precision(scores.singles, self.recalled),),
            WHOLE: (self.precision(scores.singles, [self.everything] * len(singles)),),
            CATEGORY: (self.precision(scores.singles, self.same_category),),
            BATCH: (self.precision(scores.batches, [self.everything] * len(batches)),),
            LDS: self.predicted(scores.singles, singles),
            BATCH_LDS: self.predicted(scores.batches, batches),
        }
        return Row(intervals, scores.fit_seconds, scores.score_seconds)

    def another_seed(self) -> dict[str, str]:
        """The row of second models of the same parts; empty without them."""
        intervals = {
            LDS: self.repeated(self.single_members),
            BATCH_LDS: self.repeated(self.batch_members),
        }
        cells = {name: format_interval(*both) for name, both in intervals.items() if both}
        return {"method": ANOTHER_SEED, **cells} if cells else {}

    def chance(self) -> dict[str, str]:
        """The row of what a ranking that knows nothing reaches."""
        chosen = {
            RECALLED: self.recalled,
            WHOLE: [self.everything],
            CATEGORY: self.same_category,
            BATCH: [self.everything],
        }
        shares = {
            name: float(
                np.mean([self.unsafe[places].mean() for places in parts if self.unsafe[places].any()])
            )
            for name, parts in chosen.items()
        }
        shares |= {LDS: 0.0, BATCH_LDS: 0.0}
        return {"method": "chance", **{name: format_number(share) for name, share in shares.items()}}


def measure_all(
    yardstick: Yardstick, rows: Mapping[str, InfluenceSettings], progress: Progress = silent
) -> dict[str, Row]:
    """Measures variants one after another; rows measured before are read.

    Args:
        yardstick: Corpus, model, truth.
        rows: Name of each row to its settings.
        progress: Told at every batch, the name of the row first.

    Returns:
        Name of each row to what was measured.
    """
    bench, measured = yardstick.bench, {}
    keeper = Keeper(bench.work / "rows")
    for place, (name, settings) in enumerate(rows.items(), start=1):

        def measure(
            name: str = f"{place}/{len(rows)} {name}", settings: InfluenceSettings = settings
        ) -> Kept:
            row = yardstick.measure(score_corpus(bench, settings, _named(progress, name)))
            return Kept(facts={"row": row.to_json()})

        result = keeper.result(f"{bench.key(settings)}-{yardstick.key}", measure)
        measured[name] = Row.from_json(result.facts["row"])
    return measured


def attribution_table(yardstick: Yardstick, rows: Mapping[str, Row]) -> str:
    """Writes the rows as a Markdown table; datamodeling scores have their interval over queries, then that over models."""
    lines: list[dict[str, str]] = [
        {
            "method": name,
            **{measure: format_interval(*intervals) for measure, intervals in row.intervals.items()},
            "fit, s": format_seconds(row.fit_seconds),
            "score, s": format_seconds(row.score_seconds),
        }
        for name, row in rows.items()
    ]
    return table_of([line for line in (*lines, yardstick.another_seed(), yardstick.chance()) if line])


def _mean_over(log_likelihoods: Floats, members: Sequence[Sequence[int]]) -> Floats:
    """Mean over the queries of each batch, shape (models, batches)."""
    return np.stack([log_likelihoods[:, list(places)].mean(axis=1) for places in members], axis=1)


def _named(progress: Progress, name: str) -> Progress:
    """Puts the name of a row before every step."""

    def named(step: str, done: int = 0, total: int | None = None, **values: float) -> None:
        progress(f"{name}: {step}", done, total, **values)

    return named
