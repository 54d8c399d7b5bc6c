import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lancet_core.correction.near_duplicates import admit_distinct
from lancet_core.correction.pairs import choose_retain_set, propose_pairs, scale_influence
from lancet_core.correction.settings import PairSettings
from lancet_core.data.samples import content_id
from lancet_core.errors import DataError, NumericalError

TOPICS = [
    "apple",
    "bridge",
    "candle",
    "desert",
    "engine",
    "forest",
    "guitar",
    "harbor",
    "island",
    "jacket",
    "kettle",
    "ladder",
]


def scores_of(clusters):
    rows = [
        (cluster, sample, influence)
        for cluster, influences in clusters.items()
        for sample, influence in influences.items()
    ]
    return pd.DataFrame(rows, columns=["cluster", "sample_id", "influence"])


def samples_of(scores, **columns):
    ids = list(dict.fromkeys(scores["sample_id"]))
    frame = pd.DataFrame(
        {"id": ids, "prompt": [f"{TOPICS[i % 12]} {sample}" for i, sample in enumerate(ids)]}
    )
    return frame.assign(**{name: frame["id"].map(values) for name, values in columns.items()})


def sides(pairs):
    return list(zip(pairs["positive_id"], pairs["negative_id"], strict=True))


def test_the_ith_most_positive_meets_the_ith_most_negative():
    scores = scores_of({0: {"a": 4.0, "b": 1.0, "c": -1.0, "d": -2.0, "e": 0.0}})
    pairs = propose_pairs(scores, samples_of(scores), PairSettings(count=5))
    assert sides(pairs) == [("a", "d"), ("b", "c")]
    assert pairs["rank"].tolist() == [1, 2]
    assert pairs["positive_influence"].tolist() == [1.0, 0.25]
    assert pairs["negative_raw"].tolist() == [-2.0, -1.0]
    assert pairs["pair_id"].tolist() == [content_id("a", "d"), content_id("b", "c")]


def test_clusters_take_turns_strongest_difference_first():
    # Scaled differences by hand: cluster 0 gives 1.5 and .4, cluster 1 gives 2 and .3.
    scores = scores_of(
        {0: {"a": 2.0, "b": 0.4, "c": -1.0, "d": -0.4}, 1: {"e": 5.0, "f": 1.0, "g": -5.0, "h": -0.5}}
    )
    pairs = propose_pairs(scores, samples_of(scores), PairSettings(count=3))
    assert sides(pairs) == [("e", "g"), ("a", "c"), ("b", "d")]
    assert pairs["cluster"].tolist() == [1, 0, 0]


def test_the_strongest_claim_wins_and_the_next_in_line_moves_up():
    # Both clusters want x: |Î| is 1 in cluster 0 and .5 in cluster 1, whose next positive is y.
    scores = scores_of({0: {"x": 3.0, "p": 1.0, "q": -3.0}, 1: {"x": 5.0, "y": 4.0, "n": -10.0}})
    pairs = propose_pairs(scores, samples_of(scores), PairSettings(count=2)).set_index("cluster")
    assert pairs.loc[0, "positive_id"] == "x"
    assert pairs.loc[1, "positive_id"] == "y"


def test_asking_for_more_pairs_leaves_the_first_ones_as_they_are():
    # Cluster 1 claims x more strongly (.98 against .9), but only in its second turn: by then cluster 0 has it.
    scores = scores_of(
        {
            0: {"x": 1.8, "p": 1.0, "n": -2.0, "m": -0.8},
            1: {"y": 5.0, "x": 4.9, "z": 1.0, "o": -5.0, "r": -1.0},
        }
    )
    asked = [sides(propose_pairs(scores, samples_of(scores), PairSettings(count=n))) for n in (1, 2, 3, 100)]
    assert asked[-1] == [("y", "o"), ("x", "n"), ("p", "m"), ("z", "r")]
    assert all(pairs == asked[-1][: len(pairs)] for pairs in asked)


def test_a_sample_wanted_on_both_sides_stands_on_one():
    scores = scores_of({0: {"x": 1.0, "p": 0.2, "n": -1.0}, 1: {"x": -0.5, "m": -0.1, "r": 1.0}})
    pairs = propose_pairs(scores, samples_of(scores), PairSettings(count=2)).set_index("cluster")
    assert pairs.loc[0, "positive_id"] == "x"
    assert pairs.loc[1, "negative_id"] == "m"


def test_only_the_two_strongest_of_nearly_equal_prompts_enter():
    scores = scores_of({0: {"a": 4.0, "b": 3.0, "c": 2.0, "d": 1.0, "n": -4.0, "m": -3.0, "o": -2.0}})
    samples = samples_of(scores)
    samples.loc[samples["id"].isin(["a", "b", "c"]), "prompt"] = [
        "May one keep a borrowed ladder?",
        "may one keep a borrowed ladder",
        "May one keep a borrowed ladder!",
    ]
    pairs = propose_pairs(scores, samples, PairSettings(count=5))
    assert pairs["positive_id"].tolist() == ["a", "b", "d"]
    free = propose_pairs(scores, samples, PairSettings(count=5, similar_prompts=0))
    assert free["positive_id"].tolist() == ["a", "b", "c"]


def test_the_scorer_can_be_asked_to_agree():
    scores = scores_of({0: {"a": 4.0, "b": 3.0, "c": 2.0, "n": -3.0, "m": -2.0}})
    samples = samples_of(scores, harmful={"a": 0.4, "b": 0.5, "c": 0.9, "n": 0.5, "m": 0.1})
    agreed = propose_pairs(scores, samples, PairSettings(scorer_agreement=True))
    assert sides(agreed) == [("b", "m")]
    turned = propose_pairs(scores, samples, PairSettings(scorer_agreement=True, polarity="desirable"))
    assert sides(turned) == [("a", "n")]


def test_agreement_without_scores_is_told():
    scores = scores_of({0: {"a": 1.0, "n": -1.0}})
    with pytest.raises(DataError, match="no harmful scores"):
        propose_pairs(scores, samples_of(scores), PairSettings(scorer_agreement=True))


def test_there_may_be_fewer_pairs_than_asked_and_none_is_an_error():
    scores = scores_of({0: {"a": 1.0, "b": 0.5, "n": -1.0}})
    pairs = propose_pairs(scores, samples_of(scores), PairSettings(count=10))
    assert len(pairs) == 1
    one_sided = scores_of({0: {"a": 1.0, "b": 0.5}})
    with pytest.raises(DataError, match="no pair can be made"):
        propose_pairs(one_sided, samples_of(one_sided), PairSettings())


@pytest.mark.parametrize("influence", [float("nan"), float("inf")])
def test_influence_that_is_no_number_is_refused(influence):
    with pytest.raises(NumericalError, match="sample a in cluster 0"):
        scale_influence(scores_of({0: {"a": influence, "b": 1.0}}))


def test_a_cluster_without_influence_is_refused():
    with pytest.raises(NumericalError, match="every influence in cluster 7 is 0"):
        scale_influence(scores_of({7: {"a": 0.0, "b": 0.0}}))


def test_top_k_ignores_the_turns_of_clusters():
    scores = scores_of(
        {0: {"a": 1.0, "b": 0.9, "n": -0.9, "m": -0.8}, 1: {"c": 0.5, "d": 0.1, "o": -1.0, "p": -0.1}}
    )
    pairs = propose_pairs(scores, samples_of(scores), PairSettings(count=2, selection="top_k"))
    assert sides(pairs) == [("a", "o"), ("b", "n")]


def test_pareto_keeps_the_share_that_the_lomax_distribution_gives():
    # P(draw > 1 - |Î|) = (1 + 1 - |Î|)^-9: .42 at .9 and .026 at .5.
    ids = [f"s{number}" for number in range(4000)]
    influence = np.where(np.arange(4000) % 2 == 0, 0.9, -0.9)
    scores = pd.DataFrame({"cluster": 0, "sample_id": ids, "influence": influence})
    scores.loc[0, "influence"] = 1.0
    samples = pd.DataFrame({"id": ids, "prompt": ids})
    settings_ = PairSettings(count=4000, selection="pareto", similar_prompts=0)
    pairs = propose_pairs(scores, samples, settings_)
    assert len(pairs) / 2000 == pytest.approx(0.42, abs=0.04)
    assert sides(pairs) == sides(propose_pairs(scores, samples, settings_))


def test_the_retain_set_has_little_influence_and_is_in_no_pair():
    scores = scores_of(
        {
            0: {"a": 9.0, "b": 0.1, "c": -0.2, "d": -8.0, "e": 5.0},
            1: {"a": 0.1, "b": 0.2, "c": 7.0, "d": -6.0, "e": 0.3},
        }
    )
    pairs = pd.DataFrame({"positive_id": ["a"], "negative_id": ["d"]})
    # Scaled by 9 and 7 the largest magnitudes are a 1, b .03, c 1, d .89, e .56: below their median .89 are b and e.
    assert choose_retain_set(scores, pairs, PairSettings()) == ["b", "e"]
    # The medians of the clusters are 5 and .3: b is below both, c and e are not; a and d are in the pair.
    assert choose_retain_set(scores, pairs, PairSettings(retain="below-every-median")) == ["b"]
    assert choose_retain_set(scores, pairs, PairSettings(retain="rest")) == ["b", "c", "e"]
    assert choose_retain_set(scores, pairs, PairSettings(), sample_ids=["a", "z"]) == ["b", "e", "z"]


def test_an_empty_retain_set_is_told():
    scores = scores_of({0: {"a": 1.0, "d": -1.0}})
    pairs = pd.DataFrame({"positive_id": ["a"], "negative_id": ["d"]})
    with pytest.raises(DataError, match="the retain set is empty"):
        choose_retain_set(scores, pairs, PairSettings())


def test_without_scores_every_sample_in_no_pair_is_retained():
    scores = pd.DataFrame({"cluster": [], "sample_id": [], "influence": np.empty(0)})
    pairs = pd.DataFrame({"positive_id": ["a"], "negative_id": ["d"]})
    assert choose_retain_set(scores, pairs, PairSettings(), sample_ids=["a", "b", "d"]) == ["b"]


def test_prompts_that_differ_in_one_word_of_ten_are_nearly_the_same():
    words = TOPICS[:10]
    other = [*TOPICS[:9], "lantern"]
    # Jaccard similarity 9 / 11 = .82 in the first case and 8 / 12 = .67 in the second.
    assert admit_distinct([" ".join(words), " ".join(other)], 1) == [True, False]
    assert admit_distinct([" ".join(words), " ".join([*other[:8], "x", "y"])], 1) == [True, True]


prompts_strategy = st.lists(
    st.lists(st.sampled_from(TOPICS), min_size=1, max_size=8).map(" ".join), max_size=40
)


@given(prompts_strategy, st.integers(1, 3))
def test_the_prefix_filter_finds_what_comparing_all_finds(prompts, limit):
    sets = [frozenset(prompt.split()) for prompt in prompts]
    frequent = {w for w in TOPICS if sum(w in s for s in sets) > max(20, 0.05 * len(prompts))}
    sets = [(s - frequent) or s for s in sets]
    entered, expected = [], []
    for words in sets:
        near = sum(len(words & sets[i]) / len(words | sets[i]) >= 0.8 for i in entered)
        expected.append(near < limit)
        if near < limit:
            entered.append(len(expected) - 1)
    assert admit_distinct(prompts, limit) == expected


tables = st.dictionaries(
    st.integers(0, 3),
    st.dictionaries(
        st.sampled_from([f"s{number}" for number in range(12)]),
        st.floats(-5, 5).filter(lambda value: abs(value) > 1e-3),
        min_size=2,
        max_size=12,
    ),
    min_size=1,
    max_size=4,
)


@settings(max_examples=60, deadline=None)
@given(tables, st.integers(1, 8), st.randoms(use_true_random=False))
def test_pairs_hold_their_promises_whatever_the_scores(clusters, count, random):
    scores = scores_of(clusters)
    samples = samples_of(scores)
    wanted = PairSettings(count=count)
    try:
        pairs = propose_pairs(scores, samples, wanted)
    except DataError:
        return
    used = [*pairs["positive_id"], *pairs["negative_id"]]
    assert len(used) == len(set(used))
    assert len(pairs) <= count
    assert (pairs["positive_influence"] > 0).all()
    assert (pairs["negative_influence"] < 0).all()
    for _, rows in pairs.groupby("cluster", sort=False):
        assert rows["rank"].tolist() == list(range(1, len(rows) + 1))
        assert rows["positive_influence"].is_monotonic_decreasing
        assert rows["negative_influence"].is_monotonic_increasing
    shuffled = scores.sample(frac=1, random_state=random.randrange(1000), ignore_index=True)
    assert sides(propose_pairs(shuffled, samples, wanted)) == sides(pairs)
    try:
        retained = choose_retain_set(scores, pairs, wanted)
    except DataError:
        return
    assert not set(retained) & set(used)
