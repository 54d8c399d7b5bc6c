"""Linear datamodeling scores: by hand, against SciPy, and where they are undefined."""

import numpy as np
import pytest
from scipy.stats import spearmanr

from lancet_core.errors import NumericalError
from lancet_core.evaluation.datamodels import datamodel_report, linear_datamodeling_scores, retraining_report

MASKS = np.array([[1, 1, 0], [1, 0, 1], [0, 1, 1], [1, 0, 0]], dtype=bool)
INFLUENCE = np.array([[1.0, -1.0], [2.0, 0.5], [4.0, 0.0]])


def drawn(seed=0, *, samples=40, subsets=30, queries=5, noise=1.0):
    """Log-likelihoods that are a noisy sum of influence."""
    rng = np.random.default_rng(seed)
    influence = rng.normal(size=(samples, queries))
    masks = rng.random((subsets, samples)) < 0.5
    return influence, masks, masks @ influence + noise * rng.normal(size=(subsets, queries))


def test_by_hand():
    """Sums of the subsets: query 0: 3, 5, 6, 1 (ranks 2 3 4 1); query 1: -.5, -1, .5, -1 (ranks 3 1.5 4 1.5).

    Truth of query 0: -9, -8, -7, -6 (ranks 1 2 3 4), so d = 1 1 1 -3 and ρ = 1 - 6·12/(4·15) = -.2.
    Truth of query 1: 3, 1, 4, 2 (ranks 3 1 4 2). Centred ranks (.5 -1 1.5 -1) and (.5 -1.5 1.5 -.5): product .25 + 1.5 + 2.25 + .5 =
    4.5, squares 4.5 and 5, so ρ = 4.5/√22.5 = .9487.
    """
    truth = np.array([[-9.0, 3.0], [-8.0, 1.0], [-7.0, 4.0], [-6.0, 2.0]])
    found = linear_datamodeling_scores(INFLUENCE, MASKS, truth)
    assert found == pytest.approx([-0.2, 4.5 / np.sqrt(22.5)])


def test_agrees_with_scipy():
    influence, masks, truth = drawn()
    found = linear_datamodeling_scores(influence, masks, truth)
    theirs = [spearmanr(masks @ influence[:, query], truth[:, query]).statistic for query in range(5)]
    assert found == pytest.approx(theirs)


def test_a_true_sum_scores_one_and_its_negative_minus_one():
    influence, masks, truth = drawn(noise=0.0)
    assert linear_datamodeling_scores(influence, masks, truth) == pytest.approx(np.ones(5))
    assert linear_datamodeling_scores(-influence, masks, truth) == pytest.approx(-np.ones(5))


def test_intervals_hold_the_mean_and_repeat():
    influence, masks, truth = drawn()
    report = datamodel_report(influence, masks, truth)
    for interval, count in ((report.over_queries, 5), (report.over_subsets, 30)):
        assert interval.value == pytest.approx(report.per_query.mean())
        assert interval.low < interval.value < interval.high
        assert interval.n == count
    again = datamodel_report(influence, masks, truth)
    assert (again.over_queries, again.over_subsets) == (report.over_queries, report.over_subsets)


def test_random_influence_scores_near_zero():
    influence, masks, truth = drawn(queries=60, subsets=60)
    other = np.random.default_rng(9).normal(size=influence.shape)
    assert abs(datamodel_report(other, masks, truth).over_queries.value) < 0.1


@pytest.mark.parametrize(
    ("influence", "truth", "message"),
    [
        (INFLUENCE * [1, 0], np.arange(8.0).reshape(4, 2), "query 1 is undefined: its predicted"),
        (INFLUENCE, np.arange(8.0).reshape(4, 2) * [0, 1], "query 0 is undefined: its true"),
        (INFLUENCE * np.nan, np.arange(8.0).reshape(4, 2), "6 of 6 numbers of the influence"),
        (INFLUENCE, np.arange(6.0).reshape(3, 2), "do not fit together"),
    ],
)
def test_what_is_undefined_raises(influence, truth, message):
    with pytest.raises(NumericalError, match=message):
        linear_datamodeling_scores(influence, MASKS, truth)


def test_two_subsets_are_too_few():
    with pytest.raises(NumericalError, match="at least 3"):
        linear_datamodeling_scores(INFLUENCE, MASKS[:2], np.arange(4.0).reshape(2, 2))


def test_a_second_training_of_the_same_parts_is_correlated_by_ranks():
    first = drawn()[2]
    again = drawn(noise=3.0)[2]
    report = retraining_report(again, first)
    assert report.per_query == pytest.approx(
        [spearmanr(again[:, q], first[:, q]).statistic for q in range(5)]
    )
    assert report.over_queries.n == 5
    assert report.over_subsets.n == 30


@pytest.mark.parametrize(
    ("again", "said"), [(np.ones((2, 3)), "at least 3"), (np.ones((4, 3)), "the same for all")]
)
def test_a_second_training_that_tells_nothing_is_refused(again, said):
    with pytest.raises(NumericalError, match=said):
        retraining_report(again, np.arange(3.0 * len(again)).reshape(-1, 3))
