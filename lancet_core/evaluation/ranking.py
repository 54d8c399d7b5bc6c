"""How well influence ranks unsafe training samples: average precision, precision against share found, chance."""

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from lancet_core.errors import NumericalError
from lancet_core.evaluation.intervals import Interval, bootstrap_mean, percentile_ends
from lancet_core.evaluation.settings import MetricSettings

GRID = np.linspace(0.01, 1.0, 100)
_DRAWS_AT_ONCE = 100
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class RankingReport:
    """Average precision for unsafe samples over queries.

    Attributes:
        per_query: Columns `query_id`, `average_precision`, `chance`, `scorer` (average precision of the harmful scores alone, NaN where one
            of the labelled candidates has none), `unsafe`, `n` (candidates with a known label).
        mean: Mean average precision with its interval.
        chance: Mean share of unsafe samples among the candidates.
        scorer: Mean average precision of the harmful scores alone, without influence; None where there are none.
        curve: Columns `share_found`, `precision`, `low`, `high`: the mean curve and its 95 % band.
        resampled: What the bootstrap drew: `queries`, or `samples` where there is one query only.
        undefined: Queries left out because no candidate is known to be unsafe.
        unlabelled: Candidates left out because their label is unknown, over all queries.
    """

    per_query: pd.DataFrame
    mean: Interval
    chance: float
    scorer: float | None
    curve: pd.DataFrame
    resampled: str
    undefined: tuple[str, ...]
    unlabelled: int

    @property
    def beats_chance(self) -> bool:
        """Whether the whole interval lies above chance."""
        return (self.mean.value if self.mean.low is None else self.mean.low) > self.chance

    @property
    def worth(self) -> str:
        """What the ranking is worth, in words: beside chance, and beside the scorer alone."""
        ends = "" if self.mean.low is None else f" [{self.mean.low:.3f}, {self.mean.high:.3f}]"
        alone = "" if self.scorer is None else f", the harmful scorer alone {self.scorer:.3f}"
        judged = "better than chance" if self.beats_chance else "no better than chance"
        if self.scorer is not None and self.scorer > (
            self.mean.value if self.mean.high is None else self.mean.high
        ):
            judged += ", worse than the scorer"
        return f"average precision for unsafe samples {self.mean.value:.3f}{ends}, chance {self.chance:.3f}{alone}: {judged}"


def average_precision(scores: ArrayLike, labels: ArrayLike) -> float:
    """Averages the precision at each unsafe sample in descending order of score.

    Equal scores are one step of the ranking, so that their order does not matter (sum over steps of the rise in share found
    times precision, no interpolation).

    Args:
        scores: One number for each sample, larger = ranked first.
        labels: True for unsafe samples.

    Returns:
        Average precision in (0, 1].

    Raises:
        NumericalError: No sample is unsafe, a score is not finite, or the lengths differ.
    """
    from sklearn.metrics import average_precision_score

    values, unsafe = _checked(scores, labels)
    return float(average_precision_score(unsafe, values))


def pr_curve(scores: ArrayLike, unsafe: ArrayLike) -> pd.DataFrame:
    """Lists precision and share found at each threshold.

    Args:
        scores: One number for each sample, larger = ranked first.
        unsafe: True for unsafe samples.

    Returns:
        Columns `threshold` (descending; samples at or above it are taken), `precision`, `share_found`.

    Raises:
        NumericalError: No sample is unsafe, a score is not finite, or the lengths differ.
    """
    from sklearn.metrics import precision_recall_curve

    values, labels = _checked(scores, unsafe)
    precision, share_found, thresholds = precision_recall_curve(labels, values)
    ascending = pd.DataFrame(
        {"threshold": thresholds, "precision": precision[:-1], "share_found": share_found[:-1]}
    )
    return ascending.iloc[::-1].reset_index(drop=True)


def ranking_report(
    scores: pd.DataFrame,
    samples: pd.DataFrame,
    settings: MetricSettings | None = None,
    *,
    desirable: Collection[str] = (),
) -> RankingReport:
    """Measures how influence ranks unsafe samples, for each query over its own candidates.

    Samples of unknown label are left out. Desirable queries rank by minus the influence. The interval draws queries; where
    there is one (a batch) it draws that query's samples.

    Args:
        scores: `query_id`, `sample_id`, `influence`: the candidates of each query.
        samples: `id`, `is_safe` (None where unknown), and `harmful` where there is a scorer.
        settings: Draws and seed.
        desirable: Ids of the queries whose answer is wanted.

    Returns:
        The report; queries without a known unsafe candidate are named in it and not counted.

    Raises:
        NumericalError: Average precision is undefined for every query.
    """
    settings = settings or MetricSettings()
    known = samples.set_index("id")
    is_safe = scores["sample_id"].map(known["is_safe"]).astype("boolean")
    harmful = scores["sample_id"].map(known["harmful"]) if "harmful" in known else np.nan
    sign = np.where(scores["query_id"].isin(list(desirable)), -1.0, 1.0)
    labelled = pd.DataFrame(
        {
            "query_id": scores["query_id"],
            "score": sign * scores["influence"],
            "unsafe": ~is_safe,
            "harmful": harmful,
        },
    ).loc[is_safe.notna()]
    ranked: dict[str, tuple[Floats, NDArray[np.bool_]]] = {}
    alone: dict[str, float] = {}
    for query_id, rows in labelled.groupby("query_id", sort=False):
        if rows["unsafe"].any():
            labels = rows["unsafe"].to_numpy(bool)
            ranked[str(query_id)] = (rows["score"].to_numpy(np.float64), labels)
            has_scores = rows["harmful"].notna().all()
            alone[str(query_id)] = average_precision(rows["harmful"], labels) if has_scores else float("nan")
    queries = [str(query_id) for query_id in scores["query_id"].drop_duplicates()]
    if not ranked:
        raise NumericalError(
            f"average precision is undefined: none of the candidates of {len(queries)} queries is labelled unsafe "
            f"({int(is_safe.isna().sum())} have no label); label samples or widen the recall"
        )
    per_query = pd.DataFrame([_query_row(query_id, *pair) for query_id, pair in ranked.items()])
    per_query["scorer"] = list(alone.values())
    mean, curve = (
        _over_queries(ranked, per_query, settings) if len(ranked) > 1 else _over_samples(ranked, settings)
    )
    return RankingReport(
        per_query=per_query,
        mean=mean,
        chance=float(per_query["chance"].mean()),
        scorer=float(per_query["scorer"].mean()) if per_query["scorer"].notna().all() else None,
        curve=curve,
        resampled="queries" if len(ranked) > 1 else "samples",
        undefined=tuple(query_id for query_id in queries if query_id not in ranked),
        unlabelled=int(is_safe.isna().sum()),
    )


def _checked(scores: ArrayLike, unsafe: ArrayLike) -> tuple[Floats, NDArray[np.bool_]]:
    values, labels = np.asarray(scores, dtype=np.float64), np.asarray(unsafe, dtype=bool)
    if values.shape != labels.shape:
        raise NumericalError(
            f"{values.size} scores and {labels.size} labels cannot be ranked; give one label for each score"
        )
    if not np.isfinite(values).all():
        raise NumericalError(
            f"{int((~np.isfinite(values)).sum())} of {values.size} scores are not finite; score again"
        )
    if not labels.any():
        raise NumericalError(
            f"average precision is undefined: none of {labels.size} samples is unsafe; at least one is needed"
        )
    return values, labels


def _query_row(query_id: str, values: Floats, labels: NDArray[np.bool_]) -> dict[str, object]:
    return {
        "query_id": query_id,
        "average_precision": average_precision(values, labels),
        "chance": float(labels.mean()),
        "unsafe": int(labels.sum()),
        "n": int(labels.size),
    }


def _on_grid(curve: pd.DataFrame) -> Floats:
    """Precision where a share of GRID has just been found."""
    share_found = curve["share_found"].to_numpy()
    return np.asarray(
        curve["precision"].to_numpy()[np.searchsorted(share_found, GRID - 1e-9)], dtype=np.float64
    )


def _over_queries(
    ranked: dict[str, tuple[Floats, NDArray[np.bool_]]], per_query: pd.DataFrame, settings: MetricSettings
) -> tuple[Interval, pd.DataFrame]:
    mean = bootstrap_mean(per_query["average_precision"].tolist(), settings)
    curves = np.stack([_on_grid(pr_curve(*pair)) for pair in ranked.values()])
    generator = np.random.default_rng(settings.seed)
    counts = generator.multinomial(
        len(curves), np.full(len(curves), 1 / len(curves)), size=settings.bootstrap
    )
    return mean, _band(curves.mean(axis=0), counts @ curves / len(curves), settings)


def _over_samples(
    ranked: dict[str, tuple[Floats, NDArray[np.bool_]]], settings: MetricSettings
) -> tuple[Interval, pd.DataFrame]:
    """Interval of one query's average precision by drawing its samples with replacement.

    Draws without an unsafe sample leave it undefined and are not counted.
    """
    (values, labels) = next(iter(ranked.values()))
    order = np.argsort(-values, kind="stable")
    generator = np.random.default_rng(settings.seed)
    precisions, curves = [], []
    for start in range(0, settings.bootstrap, _DRAWS_AT_ONCE):
        size = min(_DRAWS_AT_ONCE, settings.bootstrap - start)
        counts = generator.multinomial(values.size, np.full(values.size, 1 / values.size), size=size)
        unsafe, taken = np.cumsum(counts * labels[order], axis=1), np.cumsum(counts, axis=1)
        defined = unsafe[:, -1] > 0
        unsafe, taken, counts = unsafe[defined], np.maximum(taken[defined], 1), counts[defined]
        precision = unsafe / taken
        precisions.append((precision * counts * labels[order]).sum(axis=1) / unsafe[:, -1])
        shares = unsafe / unsafe[:, -1:]
        curves += [
            row[np.searchsorted(share, GRID - 1e-9)] for row, share in zip(precision, shares, strict=True)
        ]
    low, high = percentile_ends(np.concatenate(precisions), settings)
    mean = Interval(average_precision(values, labels), float(low), float(high), 1)
    return mean, _band(_on_grid(pr_curve(values, labels)), np.stack(curves), settings)


def _band(mean: Floats, draws: Floats, settings: MetricSettings) -> pd.DataFrame:
    low, high = percentile_ends(draws, settings)
    return pd.DataFrame({"share_found": GRID, "precision": mean, "low": low, "high": high})
