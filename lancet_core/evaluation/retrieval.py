"""Attribution as a search, measured as DATE-LM does: AUPRC for unsafe samples, Recall@50 and MRR for the samples behind a fact.

Source: Jiao et al. 2025, *DATE-LM: Benchmarking Data Attribution Evaluation for Large Language Models* (arXiv 2507.09424), section 3, and
its `evaluation/evaluate_application.py` (commit 95c9a6d). AUPRC is the area under precision against recall by trapezoids, a little above
the average precision that `ranking` tells, which does not interpolate.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from lancet_core.errors import NumericalError

K = 50


@dataclass(frozen=True)
class Retrieval:
    """The metrics of DATE-LM; None where they are undefined.

    Attributes:
        auprc: Area under the precision-recall curve for unsafe samples, each by its mean score over the queries.
        recall_at_50: Mean over queries of the share of their relevant samples that are among the first 50.
        mrr: Mean over queries of 1 / the place of the first relevant sample.
        relevant: What is relevant to a query: all samples that are `unsafe`; where none is labelled so, those of its `category`, which
            for DATE-LM's rows is their fact.
        queries: Queries with a relevant candidate, which Recall@50 and MRR are means of.
    """

    auprc: float | None
    recall_at_50: float | None
    mrr: float | None
    relevant: str
    queries: int

    @property
    def words(self) -> str:
        """The metrics in a line."""
        values = {"AUPRC": self.auprc, f"Recall@{K}": self.recall_at_50, "MRR": self.mrr}
        told = ", ".join(
            f"{name} {'undefined' if value is None else f'{value:.3f}'}" for name, value in values.items()
        )
        return f"as DATE-LM measures: {told}"


def area_under_curve(scores: ArrayLike, unsafe: ArrayLike) -> float:
    """Measures the area under precision against recall, by trapezoids between the thresholds.

    Args:
        scores: One number for each sample, larger = ranked first.
        unsafe: True for unsafe samples.

    Raises:
        NumericalError: No sample is unsafe.
    """
    from sklearn.metrics import auc, precision_recall_curve

    labels = np.asarray(unsafe, dtype=bool)
    if not labels.any():
        raise NumericalError(
            f"AUPRC is undefined: none of {labels.size} samples is unsafe; at least one is needed"
        )
    precision, recall, _thresholds = precision_recall_curve(labels, np.asarray(scores, dtype=np.float64))
    return float(auc(recall, precision))


def recall_and_rank(scores: ArrayLike, relevant: ArrayLike, k: int = K) -> tuple[float, float]:
    """Measures how early the relevant samples of one query come; equal scores in the order given.

    Args:
        scores: One number for each sample, larger = ranked first.
        relevant: True for samples that are relevant, at least one.
        k: How many of the first are looked at.

    Returns:
        Share of the relevant samples among the first `k`, and 1 / the place of the first relevant one.
    """
    order = np.argsort(-np.asarray(scores, dtype=np.float64), kind="stable")
    found = np.asarray(relevant, dtype=bool)[order]
    return float(found[:k].sum() / found.sum()), float(1 / (1 + int(np.argmax(found))))


def measure_retrieval(
    scores: pd.DataFrame, samples: pd.DataFrame, categories: Mapping[str, Collection[str]]
) -> Retrieval:
    """Measures an attribution as DATE-LM does.

    Args:
        scores: `query_id`, `sample_id`, `influence`, larger = ranked first.
        samples: `id`, `is_safe` (None where unknown) and `categories` (lists).
        categories: Query ids to the categories of their answers (in DATE-LM: their facts), empty where unknown.
    """
    known = samples.set_index("id")
    safe = known["is_safe"].astype("boolean")
    unsafe = {str(name) for name in safe.index[safe.notna() & ~safe.fillna(True)]}
    labelled = set(safe.index[safe.notna()])
    mean = scores.groupby("sample_id", sort=False)["influence"].mean()
    mean = mean[mean.index.isin(labelled)]
    is_unsafe = mean.index.isin(unsafe)
    auprc = area_under_curve(mean, is_unsafe) if is_unsafe.any() else None
    wanted = {name for names in categories.values() for name in names if name}
    of_sample = known["categories"].map(set)
    by_category = not unsafe and any(wanted & names for names in of_sample)
    found = []
    for query_id, rows in scores.groupby("query_id", sort=False):
        if by_category:
            own = {name for name in categories.get(str(query_id), ()) if name}
            relevant = rows["sample_id"].map(lambda sample, own=own: bool(own & of_sample[sample]))
        else:
            relevant = rows["sample_id"].isin(unsafe)
        if relevant.any():
            found.append(recall_and_rank(rows["influence"], relevant))
    recall, mrr = (float(np.mean(values)) for values in zip(*found, strict=True)) if found else (None, None)
    return Retrieval(auprc, recall, mrr, "category" if by_category else "unsafe", len(found))
