"""Means with bootstrap intervals, and paired changes."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lancet_core.errors import NumericalError
from lancet_core.evaluation.settings import MetricSettings

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


def bootstrap_mean(
    values: Sequence[float], seed: int = 0, *, draws: int = 2000, confidence: float = 0.95
) -> Interval:
    """Takes the mean of values and its percentile bootstrap interval.

    Args:
        values: Independent measurements, all finite.
        seed: Seed of the draws; the same seed and values give the same interval.
        draws: Number of bootstrap draws.
        confidence: Share of the draws between both ends.

    Returns:
        The mean and its interval; the ends are None where there is one value only.

    Raises:
        NumericalError: There is no value, or one is not finite.
    """
    data = np.asarray(values, dtype=np.float64)
    if data.size == 0:
        raise NumericalError("the mean of no values is undefined; at least one is needed")
    if not np.isfinite(data).all():
        raise NumericalError(
            f"{int((~np.isfinite(data)).sum())} of {data.size} values are not finite; a mean needs numbers"
        )
    mean = float(data.mean())
    if data.size == 1:
        return Interval(mean, None, None, 1)
    low, high = np.quantile(_resampled_means(data, seed, draws), [(1 - confidence) / 2, (1 + confidence) / 2])
    return Interval(mean, float(low), float(high), int(data.size))


def paired_change(
    before: Sequence[float], after: Sequence[float], seed: int = 0, *, draws: int = 2000
) -> Interval:
    """Takes the mean of after minus before over the same items, with its 95 % interval.

    Raises:
        NumericalError: The lengths differ, there is no pair, or a value is not finite.
    """
    if len(before) != len(after):
        raise NumericalError(
            f"{len(before)} values before and {len(after)} after cannot be paired; measure the same items"
        )
    change = np.asarray(after, dtype=np.float64) - np.asarray(before, dtype=np.float64)
    return bootstrap_mean(change.tolist(), seed, draws=draws)


def mean_by(settings: MetricSettings, values: Sequence[float]) -> Interval:
    """Takes the mean of values with the interval that the settings ask for."""
    return bootstrap_mean(values, settings.seed, draws=settings.bootstrap, confidence=settings.confidence)


def _resampled_means(data: NDArray[np.float64], seed: int, draws: int) -> NDArray[np.float64]:
    """Means of `draws` samples with replacement, made in blocks that fit into memory."""
    generator = np.random.default_rng(seed)
    block = max(1, _CELLS_AT_ONCE // data.size)
    means = []
    for start in range(0, draws, block):
        indices = generator.integers(0, data.size, size=(min(block, draws - start), data.size))
        means.append(data[indices].mean(axis=1))
    return np.concatenate(means)
