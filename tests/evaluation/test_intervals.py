import numpy as np
import pytest
from scipy.stats import bootstrap

from lancet_core.errors import NumericalError
from lancet_core.evaluation.intervals import bootstrap_mean, paired_change


def test_the_interval_agrees_with_scipy():
    values = np.random.default_rng(3).gamma(2.0, size=150)
    ours = bootstrap_mean(values.tolist(), draws=8000)
    theirs = bootstrap((values,), np.mean, n_resamples=8000, method="percentile", rng=1).confidence_interval
    assert ours.value == pytest.approx(values.mean())
    assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high), abs=0.02)
    assert ours == bootstrap_mean(values.tolist(), draws=8000)


def test_a_paired_change_is_narrower_than_the_noise_between_items():
    before = np.random.default_rng(0).normal(0, 10, size=200)
    change = paired_change(before.tolist(), (before - 0.5).tolist())
    assert change.value == pytest.approx(-0.5)
    assert change.high - change.low < 1e-9


def test_one_value_has_no_interval():
    only = bootstrap_mean([0.3])
    assert (only.value, only.low, only.high, only.n) == (0.3, None, None, 1)


@pytest.mark.parametrize(
    ("values", "told"), [([], "no values"), ([1.0, float("nan")], "1 of 2 values are not finite")]
)
def test_undefined_means_are_errors(values, told):
    with pytest.raises(NumericalError, match=told):
        bootstrap_mean(values)


def test_values_that_cannot_be_paired_are_told():
    with pytest.raises(NumericalError, match="2 values before and 1 after"):
        paired_change([1, 2], [1])
