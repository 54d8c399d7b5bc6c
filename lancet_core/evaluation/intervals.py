"""Means with bootstrap intervals, and paired changes."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lancet_core.errors import NumericalError
from lancet_core.evaluation.settings import MetricSettings

USUAL = MetricSettings()
_CELLS_AT_ONCE = 4_000_000


@dataclass(frozen=True)
class Interval:
    """A mean with its bootstrap interval.

    Attributes:
        value: The mean.
        low: Lower end, None where fewer than two values leave it undefined.
        high: Upper end, None likewise.
        n: Number of values.
    """

    value: float
    low: float | None
    high: float | None
    n: int


def bootstrap_mean(values: Sequence[float], settings: MetricSettings = USUAL) -> Interval:
    """Takes the mean of values and its percentile bootstrap interval.

    Args:
        values: Independent measurements, all finite.
        settings: Draws, confidence and seed; the same settings and values give the same interval.

    Returns:
        The mean and its interval; the ends are None where there is one value only.

    Raises:
        NumericalError: There is no value, or one is not finite.
    """
    return _with_interval(np.mean, values, settings=settings)


def difference_of_means(
    values: Sequence[float], others: Sequence[float], settings: MetricSettings = USUAL
) -> Interval:
    """Takes the mean of values minus the mean of others, unpaired, with its interval: each set is resampled by itself.

    Returns:
        The difference and its interval; `n` counts both sets, and the ends are None where either set holds one value.

    Raises:
        NumericalError: A set is empty, or a value is not finite.
    """
    return _with_interval(_mean_difference, values, others, settings=settings)


def paired_change(before: Sequence[float], after: Sequence[float]) -> Interval:
    """Takes the mean of after minus before over the same items, with its 95 % interval.

    Raises:
        NumericalError: The lengths differ, there is no pair, or a value is not finite.
    """
    if len(before) != len(after):
        raise NumericalError(
            f"{len(before)} values before and {len(after)} after cannot be paired; measure the same items"
        )
    change = np.asarray(after, dtype=np.float64) - np.asarray(before, dtype=np.float64)
    return bootstrap_mean(change.tolist())


def percentile_ends(draws: Any, settings: MetricSettings) -> tuple[Any, Any]:
    """Ends of the percentile interval of draws, over their first axis."""
    low, high = np.quantile(draws, [(1 - settings.confidence) / 2, (1 + settings.confidence) / 2], axis=0)
    return low, high


def _with_interval(
    statistic: Callable[..., Any], *samples: Sequence[float], settings: MetricSettings
) -> Interval:
    """Takes a statistic of sets of values, each of which is resampled by itself."""
    from scipy.stats import bootstrap

    data = [_finite(values) for values in samples]
    value, count = float(statistic(*data)), sum(values.size for values in data)
    if min(values.size for values in data) == 1:
        return Interval(value, None, None, count)
    ends = bootstrap(
        data,
        statistic,
        n_resamples=settings.bootstrap,
        batch=max(1, _CELLS_AT_ONCE // max(values.size for values in data)),
        confidence_level=settings.confidence,
        method="percentile",
        rng=settings.seed,
    ).confidence_interval
    return Interval(value, float(ends.low), float(ends.high), count)


def _finite(values: Sequence[float]) -> NDArray[np.float64]:
    data = np.asarray(values, dtype=np.float64)
    if data.size == 0:
        raise NumericalError("the mean of no values is undefined; at least one is needed")
    if not np.isfinite(data).all():
        raise NumericalError(
            f"{int((~np.isfinite(data)).sum())} of {data.size} values are not finite; a mean needs numbers"
        )
    return data


def _mean_difference(values: Any, others: Any, axis: int = -1) -> Any:
    return np.mean(values, axis=axis) - np.mean(others, axis=axis)
