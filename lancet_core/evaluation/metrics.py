"""Turns tables of answers into rows of metrics with intervals. Free of torch."""

import math
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import numpy as np
import pandas as pd

from lancet_core.errors import NumericalError
from lancet_core.evaluation import diversity
from lancet_core.evaluation.intervals import Interval, bootstrap_mean
from lancet_core.evaluation.settings import MetricSettings

SCORES = ("harmful", "helpful")
UNKNOWN = "harmful_unknown"
DIVERSITY: dict[str, Callable[[list[list[str]], MetricSettings], float]] = {
    "msttr_50": lambda texts, _: diversity.msttr(texts, 50),
    "msttr_100": lambda texts, _: diversity.msttr(texts, 100),
    "entropy": lambda texts, _: diversity.entropy(texts),
    "corpus_entropy": lambda texts, _: diversity.corpus_entropy(texts),
    "distinct_share": lambda texts, _: diversity.distinct_share(texts),
    "self_bleu_3": lambda texts, settings: _self_bleu(texts, settings, 3),
    "self_bleu_4": lambda texts, settings: _self_bleu(texts, settings, 4),
}
COLLAPSE_MEASURES = ("msttr_50", "corpus_entropy", "distinct_share")


def measure_answers(answers: pd.DataFrame, settings: MetricSettings) -> list[dict[str, Any]]:
    """Measures one model's answers, for each split and kind of prompt.

    Args:
        answers: `split`, `kind`, `response`; `harmful`, `helpful`, `nll` (mean token NLL of the prompt's reference) where known, else
            NaN; `harmful_unknown` (categories that the scorer does not know) where there are any.
        settings: Draws, seed and sample sizes.

    Returns:
        Rows `split`, `kind`, `metric`, `value`, `low`, `high`, `n`. What is undefined on a set (no scorer, too few words) has no row.
    """
    rows = []
    for (split, kind), group in answers.groupby(["split", "kind"], sort=False):
        place = {"split": split, "kind": kind}
        rows += [place | row for row in _score_rows(group, settings)]
        texts = [diversity.words_of(text) for text in group["response"]]
        rows += [
            place | {"metric": name, "value": value, "low": None, "high": None, "n": len(texts)}
            for name, value in measure_diversity(texts, settings).items()
        ]
    return rows


def compare_answers(answers: pd.DataFrame, settings: MetricSettings) -> list[dict[str, Any]]:
    """Measures how answers to the same prompts changed, for each split and kind of prompt.

    Args:
        answers: `split`, `kind`, `before`, `after`, and `<score>_before`, `<score>_after` for harmful, helpful, nll,
            log_probability, NaN where unknown, and for harmful_unknown (categories that the scorer does not know) where there are any;
            `<score>_empty`, the score of an empty answer to the same prompt, where it was measured.
        settings: Draws, seed and sample sizes.

    Returns:
        Rows `split`, `kind`, `metric`, `before`, `after`, `change`, `low`, `high` (interval of the paired change, None for set measures), `n`,
        `empty` (mean score of an empty answer to these prompts, None where there is none: how much of the score is the prompt's).
    """
    rows = []
    for (split, kind), group in answers.groupby(["split", "kind"], sort=False):
        place = {"split": split, "kind": kind}
        rows += [place | row for row in _change_rows(group, settings)]
        rows += [
            place | _change_row(name, (old, new), Interval(new - old, None, None, len(group)))
            for name, (old, new) in diversity_change(group, settings).items()
        ]
    return rows


def measure_diversity(texts: list[list[str]], settings: MetricSettings) -> dict[str, float]:
    """Takes every diversity measure that is defined on the texts."""
    measured = {}
    for name, measure in DIVERSITY.items():
        try:
            measured[name] = measure(texts, settings)
        except NumericalError:
            continue
    return measured


def diversity_change(answers: pd.DataFrame, settings: MetricSettings) -> dict[str, tuple[float, float]]:
    """Pairs every diversity measure defined on both columns `before` and `after`."""
    old, new = (
        measure_diversity([diversity.words_of(text) for text in answers[column]], settings)
        for column in ("before", "after")
    )
    return {name: (old[name], new[name]) for name in old if name in new}


def _self_bleu(texts: list[list[str]], settings: MetricSettings, order: int) -> float:
    return diversity.self_bleu(texts, order, seed=settings.seed, sample=settings.self_bleu_texts)


def _score_rows(group: pd.DataFrame, settings: MetricSettings) -> list[dict[str, Any]]:
    rows = []
    for score in (*SCORES, UNKNOWN):
        values = group[score].dropna() if score in group else ()
        if len(values):
            rows.append(_row(score, bootstrap_mean(list(values), settings)))
    both = group.dropna(subset=list(SCORES))
    if len(both):
        rows.append(_row("c_r", bootstrap_mean((both["harmful"] - both["helpful"]).tolist(), settings)))
    nll = group["nll"].dropna() if "nll" in group else pd.Series(dtype=float)
    if len(nll):
        interval = bootstrap_mean(nll.tolist(), settings)
        rows += [_row("nll", interval), _row("perplexity", _exponential(interval))]
    return rows


def _change_rows(group: pd.DataFrame, settings: MetricSettings) -> list[dict[str, Any]]:
    rows = []
    for metric in (*SCORES, UNKNOWN, "nll", "log_probability"):
        columns = [f"{metric}_before", f"{metric}_after"]
        known = group.dropna(subset=columns) if set(columns) <= set(group.columns) else group.head(0)
        if len(known):
            before, after = (known[column] for column in columns)
            change = bootstrap_mean((after - before).tolist(), settings)
            means = (float(before.mean()), float(after.mean()))
            rows.append(_change_row(metric, means, change, empty=_empty_score(known, metric)))
    both = group.dropna(subset=[f"{score}_{side}" for score in SCORES for side in ("before", "after")])
    if len(both):
        old, new = (both[f"harmful_{side}"] - both[f"helpful_{side}"] for side in ("before", "after"))
        change = bootstrap_mean((new - old).tolist(), settings)
        rows.append(_change_row("c_r", (float(old.mean()), float(new.mean())), change))
    return rows


def _empty_score(known: pd.DataFrame, metric: str) -> float | None:
    column = f"{metric.removesuffix('_unknown')}_empty"
    scores = known[column].dropna() if column in known else pd.Series(dtype=float)
    return float(scores.mean()) if len(scores) else None


def _change_row(
    metric: str, means: tuple[float, float], change: Interval, *, empty: float | None = None
) -> dict[str, Any]:
    return {
        "metric": metric,
        "before": means[0],
        "after": means[1],
        "change": change.value,
        "low": change.low,
        "high": change.high,
        "n": change.n,
        "empty": empty,
    }


def _row(metric: str, interval: Interval) -> dict[str, Any]:
    return {"metric": metric, **asdict(interval)}


def _exponential(interval: Interval) -> Interval:
    ends = [None if end is None else float(np.exp(end)) for end in (interval.low, interval.high)]
    return Interval(math.exp(interval.value), ends[0], ends[1], interval.n)
