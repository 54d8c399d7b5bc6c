"""Pairs whose two samples answer the same prompt come first, as far as the data has them."""

from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lancet_core.correction.case_pairs import pairs_of_case
from lancet_core.correction.pairs import propose_pairs
from lancet_core.correction.settings import PAPER_PAIRS, PairSettings
from lancet_core.data.loading import load_samples
from lancet_core.errors import DataError

ROWS = st.lists(
    st.tuples(st.sampled_from("abcdef"), st.floats(-5, 5).filter(lambda value: abs(value) > 1e-3)),
    min_size=2,
    max_size=24,
)


def table_of(rows, cluster=0):
    """Scores and samples of (prompt, influence) rows."""
    ids = [f"s{number}" for number in range(len(rows))]
    scores = pd.DataFrame({"cluster": cluster, "sample_id": ids, "influence": [row[1] for row in rows]})
    return scores, pd.DataFrame({"id": ids, "prompt": [row[0] for row in rows]})


def equal(pairs, samples):
    prompts = samples.set_index("id")["prompt"]
    return (pairs["positive_id"].map(prompts) == pairs["negative_id"].map(prompts)).tolist()


def test_equal_prompts_come_first_and_then_the_strongest_of_the_rest():
    scores, samples = table_of([("a", 3.0), ("b", 0.5), ("c", 2.0), ("d", -4.0), ("b", -0.25), ("e", -1.0)])
    pairs = propose_pairs(scores, samples, PairSettings(count=3))
    assert pairs[["positive_id", "negative_id"]].values.tolist() == [["s1", "s4"], ["s0", "s3"], ["s2", "s5"]]
    assert pairs["rank"].tolist() == [3, 1, 2]
    without = propose_pairs(scores, samples, PairSettings(count=3, equal_prompts=False))
    assert without[["positive_id", "negative_id"]].values.tolist()[0] == ["s0", "s3"]
    assert not PAPER_PAIRS.equal_prompts


def test_two_samples_of_near_equal_prompts_may_enter_and_they_are_the_pair():
    rows = [("May one keep it?", 3.0), ("may one keep it", 2.0), ("may one keep it", -0.5), ("else", -2.0)]
    scores, samples = table_of(rows)
    pairs = propose_pairs(scores, samples, PairSettings(count=9))
    assert pairs[["positive_id", "negative_id"]].values.tolist() == [["s1", "s2"]]
    with pytest.raises(DataError, match="no pair can be made"):
        propose_pairs(scores.head(2), samples, PairSettings())


@settings(deadline=None)
@given(ROWS, st.integers(1, 12))
def test_all_equal_prompts_are_paired_before_any_other(rows, count):
    scores, samples = table_of(rows)
    try:
        pairs = propose_pairs(scores, samples, PairSettings(count=count, similar_prompts=0))
    except DataError:
        assert len({influence > 0 for _prompt, influence in rows}) == 1
        return
    sides = Counter((prompt, influence > 0) for prompt, influence in rows)
    possible = sum(min(sides[prompt, True], sides[prompt, False]) for prompt in "abcdef")
    are_equal = equal(pairs, samples)
    assert are_equal == sorted(are_equal, reverse=True)
    assert sum(are_equal) == min(possible, count)
    distances = (pairs["positive_influence"] - pairs["negative_influence"])[are_equal]
    assert distances.is_monotonic_decreasing


@settings(deadline=None)
@given(st.lists(ROWS, min_size=2, max_size=3), st.integers(1, 6))
def test_clusters_share_no_sample_and_more_pairs_leave_the_first_ones_as_they_are(clusters, count):
    size = min(len(rows) for rows in clusters)
    prompts = [prompt for prompt, _influence in clusters[0][:size]]
    parts = [table_of([(p, row[1]) for p, row in zip(prompts, rows[:size], strict=True)], name)
             for name, rows in enumerate(clusters)]  # fmt: skip
    scores, samples = pd.concat([part[0] for part in parts], ignore_index=True), parts[0][1]
    try:
        few, many = (propose_pairs(scores, samples, PairSettings(count=n)) for n in (count, 50))
    except DataError:
        return
    used = [*many["positive_id"], *many["negative_id"]]
    assert len(used) == len(set(used))
    assert few["pair_id"].tolist() == many["pair_id"].tolist()[:count]
    joined = scores.merge(samples, left_on="sample_id", right_on="id")
    signs = joined.groupby(["cluster", "prompt"])["influence"].agg(["min", "max"])
    assert equal(many, samples)[0] == ((signs["min"] < 0) & (signs["max"] > 0)).any()


@settings(deadline=None)
@given(ROWS, st.integers(1, 12))
def test_a_trace_too_pairs_equal_prompts_first(rows, count):
    scores, samples = table_of(rows)
    scored = scores.merge(samples, left_on="sample_id", right_on="id")
    if len({influence > 0 for _prompt, influence in rows}) == 1:
        return
    pairs = pairs_of_case(scored, count=count)
    sides = Counter((prompt, influence > 0) for prompt, influence in rows)
    away = sum(influence < 0 for _prompt, influence in rows)
    towards = len(rows) - away
    possible = sum(min(sides[prompt, True], sides[prompt, False]) for prompt in "abcdef")
    assert equal(pairs, samples) == sorted(equal(pairs, samples), reverse=True)
    assert sum(equal(pairs, samples)) == min(possible, count, towards, away)


def test_real_pairs_of_equal_prompts_are_found(shared_data: Path):
    (file,) = (shared_data / "pku_saferlhf_v0_pairs").glob("*.jsonl*")
    samples = load_samples(file).frame.sample(800, random_state=0)
    influence = np.random.default_rng(0).normal(size=len(samples))
    scores = pd.DataFrame({"cluster": 0, "sample_id": samples["id"], "influence": influence})
    before = propose_pairs(scores, samples, PairSettings(equal_prompts=False))
    after = propose_pairs(scores, samples, PairSettings())
    assert len(before) == len(after) == 200
    assert sum(equal(before, samples)) <= 5
    assert sum(equal(after, samples)) >= 100
    assert all(equal(after, samples)[:100])
