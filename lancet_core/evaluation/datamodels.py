"""Linear datamodeling score: whether influence, added up over a part of the corpus, tells how likely a model of that part finds a query.

Park et al. 2023 (TRAK), section 2: models are trained on random parts S of the corpus; the prediction for S and a query is the sum
of the influence of the samples in S; the score of a query is the Spearman correlation of predictions and truth over the parts.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

from lancet_core.errors import NumericalError
from lancet_core.evaluation.intervals import Interval, bootstrap_mean, percentile_ends
from lancet_core.evaluation.settings import MetricSettings

FEWEST_SUBSETS = 3
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class DatamodelReport:
    """Linear datamodeling scores over queries.

    Attributes:
        per_query: Score of each query, between -1 and 1, shape (queries,).
        over_queries: Their mean, interval by drawing queries; the retrained models are taken as they are.
        over_subsets: The same mean, interval by drawing retrained models; the queries are taken as they are.
    """

    per_query: Floats
    over_queries: Interval
    over_subsets: Interval


def linear_datamodeling_scores(
    influence: Floats, masks: NDArray[np.bool_], log_likelihoods: Floats
) -> Floats:
    """Correlates predicted and true log-likelihoods over parts of the corpus, by ranks, for each query.

    Args:
        influence: Influence of each sample on each query, larger = raises log p, shape (samples, queries).
        masks: Which samples each model was trained on, shape (subsets, samples).
        log_likelihoods: Log p of each query under each model, shape (subsets, queries).

    Returns:
        Spearman correlations, shape (queries,).

    Raises:
        NumericalError: Shapes disagree, a number is not finite, there are fewer than three subsets, or a query's predictions or
            truth are constant, so that its correlation is undefined.
    """
    predicted = _predictions(influence, masks, log_likelihoods)
    scores = rank_correlations(predicted, log_likelihoods)
    undefined = np.flatnonzero(~np.isfinite(scores))
    if undefined.size:
        number = int(undefined[0])
        what = "predicted" if np.ptp(predicted[:, number]) == 0 else "true"
        raise NumericalError(
            f"the datamodeling score of query {number} is undefined: its {what} log-likelihood is the same for all "
            f"{len(masks)} subsets; {undefined.size} of {scores.size} queries are like that; leave them out"
        )
    return scores


def datamodel_report(
    influence: Floats,
    masks: NDArray[np.bool_],
    log_likelihoods: Floats,
    settings: MetricSettings | None = None,
) -> DatamodelReport:
    """Averages linear datamodeling scores, with an interval over queries and one over subsets.

    Args:
        influence: Influence of each sample on each query, shape (samples, queries).
        masks: Which samples each model was trained on, shape (subsets, samples).
        log_likelihoods: Log p of each query under each model, shape (subsets, queries).
        settings: Draws, confidence and seed.

    Raises:
        NumericalError: As `linear_datamodeling_scores`.
    """
    scores = linear_datamodeling_scores(influence, masks, log_likelihoods)
    predicted = _predictions(influence, masks, log_likelihoods)
    return _report(scores, predicted, log_likelihoods, settings or MetricSettings())


def retraining_report(
    again: Floats, log_likelihoods: Floats, settings: MetricSettings | None = None
) -> DatamodelReport:
    """Tells how far a second training of the same parts, with another seed, foretells the first: a yardstick of the truth's noise.

    What a method predicts is the mean over seeds; one that knew it would reach about the square root of this correlation.

    Args:
        again: Log p of each query under the second model of each part, shape (subsets, queries).
        log_likelihoods: The same under the first models.
        settings: Draws, confidence and seed.

    Raises:
        NumericalError: There are fewer than three subsets, or a query's log-likelihood is the same for all, so that its
            correlation is undefined.
    """
    if len(again) < FEWEST_SUBSETS:
        raise NumericalError(f"{len(again)} subsets give no correlation; retrain at least {FEWEST_SUBSETS}")
    scores = rank_correlations(again, log_likelihoods)
    if not np.isfinite(scores).all():
        raise NumericalError(
            "the log-likelihood of a query is the same for all retrained models; leave the query out"
        )
    return _report(scores, again, log_likelihoods, settings or MetricSettings())


def rank_correlations(left: Floats, right: Floats) -> Floats:
    """Spearman correlation of each column of two tables, equal values sharing their mean rank; not a number where one is constant.

    Args:
        left: Shape (rows, columns).
        right: The same shape.

    Returns:
        Shape (columns,).
    """
    ranks = [rankdata(values, axis=0) for values in (left, right)]
    first, second = (rank - rank.mean(axis=0) for rank in ranks)
    scale = np.sqrt((first**2).sum(axis=0) * (second**2).sum(axis=0))
    with np.errstate(invalid="ignore"):
        return np.asarray((first * second).sum(axis=0) / scale)


def _report(scores: Floats, predicted: Floats, true: Floats, settings: MetricSettings) -> DatamodelReport:
    low, high = _over_subsets(predicted, true, settings)
    over_subsets = Interval(float(scores.mean()), low, high, len(true))
    return DatamodelReport(scores, bootstrap_mean(scores.tolist(), settings), over_subsets)


def _predictions(influence: Floats, masks: NDArray[np.bool_], log_likelihoods: Floats) -> Floats:
    shapes = f"influence {influence.shape}, masks {masks.shape}, log-likelihoods {log_likelihoods.shape}"
    if masks.shape[1:] != influence.shape[:1] or log_likelihoods.shape != (len(masks), *influence.shape[1:]):
        raise NumericalError(
            f"{shapes} do not fit together; give (samples, queries), (subsets, samples) and (subsets, queries)"
        )
    if len(masks) < FEWEST_SUBSETS:
        raise NumericalError(f"{len(masks)} subsets give no correlation; retrain at least {FEWEST_SUBSETS}")
    for name, values in (("influence", influence), ("log-likelihoods", log_likelihoods)):
        if not np.isfinite(values).all():
            raise NumericalError(
                f"{int((~np.isfinite(values)).sum())} of {values.size} numbers of the {name} are not finite; compute them again"
            )
    return np.asarray(masks.astype(np.float64) @ influence)


def _over_subsets(
    predicted: Floats, true: Floats, settings: MetricSettings
) -> tuple[float | None, float | None]:
    """Percentile interval of the mean score by drawing subsets with replacement.

    Draws that leave a query's correlation undefined are not counted.
    """
    generator = np.random.default_rng(settings.seed)
    means = []
    for _ in range(settings.bootstrap):
        rows = generator.integers(0, len(true), size=len(true))
        means.append(rank_correlations(predicted[rows], true[rows]).mean())
    defined = np.asarray(means)[np.isfinite(means)]
    if not defined.size:
        return None, None
    low, high = percentile_ends(defined, settings)
    return float(low), float(high)
