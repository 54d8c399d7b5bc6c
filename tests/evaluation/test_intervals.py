import numpy as np
import pytest
from scipy.stats import bootstrap

from lancet_core.errors import NumericalError
from lancet_core.evaluation.intervals import bootstrap_mean, difference_of_means, paired_change
from lancet_core.evaluation.settings import MetricSettings


@pytest.mark.parametrize(("count", "draws"), [(2, 50), (150, 2000), (3000, 2000)])
def test_the_interval_is_that_of_means_drawn_one_by_one(count, draws):
    values = np.random.default_rng(3).gamma(2.0, size=count)
    settings = MetricSettings(bootstrap=draws, seed=5)
    interval = bootstrap_mean(values.tolist(), settings)
    generator = np.random.default_rng(5)
    means = [values[generator.integers(0, count, size=count)].mean() for _ in range(draws)]
    assert interval.value == pytest.approx(values.mean())
    assert (interval.low, interval.high) == pytest.approx(
        tuple(np.quantile(means, [0.025, 0.975])), rel=1e-12
    )
    assert interval == bootstrap_mean(values.tolist(), settings)


def test_the_interval_of_two_values_by_hand():
    # The mean of two draws is 0, 1/2 or 1, with probability 1/4, 1/2 and 1/4.
    wide = bootstrap_mean([0.0, 1.0], MetricSettings(bootstrap=4000))
    narrow = bootstrap_mean([0.0, 1.0], MetricSettings(bootstrap=4000, confidence=0.4))
    assert (wide.low, wide.high, narrow.low, narrow.high) == (0, 1, 0.5, 0.5)


def test_equal_values_have_an_interval_without_width():
    constant = bootstrap_mean([0.25] * 5)
    assert (constant.low, constant.high) == (0.25, 0.25)


def test_the_interval_of_a_difference_agrees_with_scipy():
    generator = np.random.default_rng(5)
    values, others = generator.gamma(2.0, size=90), generator.normal(1.0, 2.0, size=60)
    ours = difference_of_means(values.tolist(), others.tolist(), MetricSettings(bootstrap=8000))
    theirs = bootstrap(
        (values, others),
        lambda left, right, axis: left.mean(axis) - right.mean(axis),
        n_resamples=8000,
        method="percentile",
        rng=1,
    ).confidence_interval
    assert (ours.value, ours.n) == (pytest.approx(values.mean() - others.mean()), 150)
    assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high), abs=0.04)


def test_the_difference_of_equal_sets_has_the_width_of_both():
    """Each set is resampled by itself: equal draws would cancel and leave no width."""
    values = np.random.default_rng(0).normal(size=100).tolist()
    difference, mean = difference_of_means(values, values), bootstrap_mean(values)
    assert difference.value == 0
    assert difference.high - difference.low == pytest.approx(2**0.5 * (mean.high - mean.low), rel=0.1)


def test_a_paired_change_is_narrower_than_the_noise_between_items():
    before = np.random.default_rng(0).normal(0, 10, size=200)
    change = paired_change(before.tolist(), (before - 0.5).tolist())
    assert change.value == pytest.approx(-0.5)
    assert change.high - change.low < 1e-9


def test_one_value_has_no_interval():
    only = bootstrap_mean([0.3])
    assert (only.value, only.low, only.high, only.n) == (0.3, None, None, 1)
    difference = difference_of_means([0.3], [0.1, 0.2])
    assert (difference.low, difference.high) == (None, None)


@pytest.mark.parametrize(
    ("values", "told"), [([], "no values"), ([1.0, float("nan")], "1 of 2 values are not finite")]
)
def test_undefined_means_are_errors(values, told):
    with pytest.raises(NumericalError, match=told):
        bootstrap_mean(values)


def test_values_that_cannot_be_paired_are_told():
    with pytest.raises(NumericalError, match="2 values before and 1 after"):
        paired_change([1, 2], [1])
