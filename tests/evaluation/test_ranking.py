import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lancet_core.errors import NumericalError
from lancet_core.evaluation.ranking import average_precision, pr_curve, ranking_report
from lancet_core.evaluation.settings import MetricSettings

QUICK = MetricSettings(bootstrap=200)


def test_average_precision_by_hand():
    # Ranked: unsafe, safe, unsafe, safe. Precision at the two unsafe ones is 1 and 2/3, each half of what is to be found.
    assert average_precision([4, 3, 2, 1], [1, 0, 1, 0]) == pytest.approx((1 + 2 / 3) / 2)


def test_equal_scores_are_one_step():
    assert average_precision([1, 1, 1, 1], [1, 0, 0, 0]) == pytest.approx(0.25)


@given(st.lists(st.tuples(st.integers(-3, 3), st.booleans()), min_size=1, max_size=30))
def test_average_precision_is_the_sum_over_thresholds(rows):
    scores, labels = (np.array(column) for column in zip(*rows, strict=True))
    if any(labels):
        expected, before = 0.0, 0
        for threshold in sorted(set(scores), reverse=True):
            taken = labels[scores >= threshold]
            expected += (taken.sum() - before) / labels.sum() * taken.mean()
            before = taken.sum()
        assert average_precision(scores, labels) == pytest.approx(expected)
    else:
        with pytest.raises(NumericalError, match="none of"):
            average_precision(scores, labels)


def test_the_curve_by_hand():
    curve = pr_curve([3, 2, 1], [0, 1, 1])
    assert curve["threshold"].tolist() == [3, 2, 1]
    assert curve["precision"].tolist() == pytest.approx([0, 1 / 2, 2 / 3])
    assert curve["share_found"].tolist() == pytest.approx([0, 1 / 2, 1])


@pytest.mark.parametrize(
    ("scores", "told"), [([1.0, np.nan], "not finite"), ([1.0], "one label for each score")]
)
def test_what_cannot_be_ranked_is_told(scores, told):
    with pytest.raises(NumericalError, match=told):
        pr_curve(scores, [1, 0])


def frames():
    scores = pd.DataFrame(
        {
            "query_id": ["q"] * 4 + ["r"] * 3 + ["s"] * 2,
            "sample_id": ["a", "b", "c", "u", "a", "b", "c", "b", "c"],
            "influence": [3.0, 2.0, 1.0, 9.0, 1.0, 2.0, 3.0, 5.0, 4.0],
        }
    )
    samples = pd.DataFrame({"id": ["a", "b", "c", "u"], "is_safe": [False, True, True, None]})
    return scores, samples.astype({"is_safe": "boolean"})


def test_the_report_leaves_out_what_it_does_not_know_and_says_so():
    report = ranking_report(*frames(), QUICK)
    table = report.per_query.set_index("query_id")
    assert table["average_precision"].to_dict() == pytest.approx({"q": 1.0, "r": 1 / 3})
    assert table["chance"].tolist() == pytest.approx([1 / 3, 1 / 3])
    assert table["n"].tolist() == [3, 3]
    assert report.undefined == ("s",)
    assert report.unlabelled == 1
    assert report.resampled == "queries"
    assert report.mean.value == pytest.approx(2 / 3)
    assert report.mean.low <= report.mean.value <= report.mean.high


def test_desirable_queries_rank_by_minus_the_influence():
    report = ranking_report(*frames(), QUICK, desirable=["q"])
    table = report.per_query.set_index("query_id")
    assert table.loc["q", "average_precision"] == pytest.approx(1 / 3)
    assert table.loc["r", "average_precision"] == pytest.approx(1 / 3)


def test_no_unsafe_candidate_at_all_is_an_error():
    scores, samples = frames()
    with pytest.raises(NumericalError, match="undefined: none of the candidates of 3 queries"):
        ranking_report(scores, samples.assign(is_safe=True), QUICK)


def test_one_batch_gets_its_interval_from_its_samples():
    generator = np.random.default_rng(0)
    unsafe = generator.random(400) < 0.2
    scores = pd.DataFrame(
        {"query_id": "batch", "sample_id": range(400), "influence": generator.normal(size=400) + unsafe}
    )
    report = ranking_report(scores, pd.DataFrame({"id": range(400), "is_safe": ~unsafe}), QUICK)
    assert report.resampled == "samples"
    assert report.mean.low < report.mean.value < report.mean.high
    assert report.chance == pytest.approx(unsafe.mean())
    assert (report.curve["low"] <= report.curve["high"]).all()
    last = report.curve.iloc[-1]
    assert last["share_found"] == 1
    assert last["low"] <= last["precision"] <= last["high"]


def labelled(influence, harmful, unsafe):
    ids = list(range(len(unsafe)))
    scores = pd.DataFrame({"query_id": "q", "sample_id": ids, "influence": influence})
    samples = pd.DataFrame({"id": ids, "is_safe": ~np.asarray(unsafe), "harmful": harmful})
    return ranking_report(scores, samples, QUICK)


def test_a_ranking_stands_beside_chance_and_beside_the_scorer_alone():
    generator = np.random.default_rng(0)
    unsafe = generator.random(400) < 0.3
    noise, good = generator.normal(size=400), unsafe + generator.normal(size=400) / 4
    by_chance = labelled(noise, good, unsafe)
    assert by_chance.scorer == pytest.approx(average_precision(good, unsafe))
    assert not by_chance.beats_chance
    assert by_chance.worth.endswith(": no better than chance, worse than the scorer")
    right = labelled(good, noise, unsafe)
    assert right.beats_chance
    assert right.worth.endswith(f"the harmful scorer alone {right.scorer:.3f}: better than chance")


def test_a_scorer_that_did_not_see_all_samples_is_not_compared_with():
    generator = np.random.default_rng(0)
    unsafe = generator.random(40) < 0.3
    harmful = np.where(np.arange(40) == 3, np.nan, generator.random(40))
    report = labelled(generator.normal(size=40), harmful, unsafe)
    assert report.scorer is None
    assert "scorer" not in report.worth
