"""The queue of a case: its own pairs first, at once; then those of its cluster; every pair says why it is there."""

import pandas as pd
import pytest

from lancet_core.correction.settings import PairSettings
from lancet_core.data.samples import Query
from lancet_core.errors import DataError, StoreError
from lancet_core.influence.presets import preset
from lancet_core.store import pairs as store
from lancet_core.study import corrections, review
from lancet_core.study.attributions import attribute_clusters, latest_clustering
from lancet_core.study.queue import (
    EVERYTHING,
    Scope,
    View,
    cluster_of,
    contradictions,
    counts,
    ordinal,
    queue,
    reason,
)
from tests.browser import written_study

CASE = written_study.written_queries()[0]
OTHER = written_study.written_queries()[-1]
ME = "ada"


@pytest.fixture
def trace(written, tmp_path):
    return written_study.adopt_trace(written, CASE, tmp_path / "trace")


def shown(study, case=CASE, *, reach="case", show="undecided") -> pd.DataFrame:
    return queue(study, View(ME, Scope(case.id if case else "", reach), show))


def approve(study, pair_id) -> None:
    review.decide(study.workspace, pair_id, "approve", reviewer=ME)


def test_what_a_trace_shows_comes_first(written, trace):
    written.propose_pairs(trace)
    strongest = trace.result.read(CASE.id)["sample_id"].head(10)
    assert len(set(strongest) & set(shown(written)["positive_id"].head(10))) >= 8


def test_a_case_is_sent_to_review_without_any_run(written, trace, started):
    assert len(written.propose_pairs(trace).table) >= review.PAIRS_OF_A_CASE
    assert started == []


def test_pairs_are_made_of_what_the_trace_scored(written, tmp_path, trace):
    scores = trace.result.scores
    few = pd.concat([scores.head(3), scores.tail(3)])
    few.to_parquet(trace.record.folder / "scores.parquet")
    own = written.propose_pairs(trace).table.query("origin == 'trace'")
    assert {*own["positive_id"], *own["negative_id"]} == set(few["sample_id"])
    assert set(own["scored"]) == {6}


def test_its_own_pairs_come_before_those_of_its_cluster_and_others_only_when_asked(written, trace):
    written.propose_pairs(trace)
    near = shown(written)
    assert near["origin"].tolist() == sorted(near["origin"], key=["trace", "cluster"].index)
    assert set(near["case_id"]) == {CASE.id, ""}
    assert set(near.query("origin == 'cluster'")["cluster"]) == {cluster_of(written, CASE.id)}
    everything = shown(written, reach=EVERYTHING)
    assert set(everything["cluster"]) == {"", "0", "1", "2"}
    pd.testing.assert_frame_equal(
        everything.head(len(near.query("origin == 'trace'"))), near.query("origin == 'trace'")
    )


def test_another_case_has_none_of_its_pairs(written, trace):
    written.propose_pairs(trace)
    assert set(shown(written, OTHER)["origin"]) == {"cluster"}
    assert set(shown(written, OTHER)["cluster"]) == {cluster_of(written, OTHER.id)}
    stranger = Query("What is new?", "Nothing.")
    assert shown(written, stranger).empty
    assert cluster_of(written, stranger.id) == ""


def test_picked_samples_come_first_and_say_so(written, trace):
    ranked = trace.result.read(CASE.id)["sample_id"]
    picked = ranked.iloc[[40, 30]].tolist()
    table = written.propose_pairs(trace, PairSettings(count=5), picked=picked).table
    assert table["positive_id"].tolist()[:3] == [ranked[30], ranked[40], ranked[0]]
    assert table["why"].tolist()[:3] == [
        "31st strongest of 180 for this answer, chosen by hand",
        "41st strongest of 180 for this answer, chosen by hand",
        "strongest of 180 for this answer",
    ]


def test_pairs_of_a_cluster_say_how_many_answers_it_holds(written):
    first = shown(written, None).iloc[0]
    assert first["why"] == f"strongest of 180 for {written_study.QUERIES_OF_TOPIC} similar answers"


@pytest.mark.parametrize(
    ("pair", "answers", "words"),
    [
        ({"origin": "trace", "rank": 1, "scored": 100}, 0, "strongest of 100 for this answer"),
        ({"origin": "trace", "rank": 2, "scored": 1234}, 0, "2nd strongest of 1,234 for this answer"),
        (
            {"origin": "picked", "rank": 3, "scored": 100},
            0,
            "3rd strongest of 100 for this answer, chosen by hand",
        ),
        ({"origin": "cluster", "rank": 4, "scored": 0}, 7, "4th strongest for 7 similar answers"),
        ({"origin": "cluster", "rank": 5, "scored": 9}, 0, "5th strongest of 9 in cluster 8"),
    ],
)
def test_a_pair_says_why_it_is_there(pair, answers, words):
    assert reason({**pair, "cluster": "8"}, answers=answers) == words


def test_places_are_written_in_words():
    numbers = [1, 2, 3, 4, 11, 12, 13, 21, 22, 101, 111, 112]
    endings = ["st", "nd", "rd", "th", "th", "th", "th", "st", "nd", "st", "th", "th"]
    assert [ordinal(number) for number in numbers] == [
        f"{number}{ending}" for number, ending in zip(numbers, endings, strict=True)
    ]


SAFE, UNSAFE, UNKNOWN = (
    {"is_safe": True, "harmful": 0.1},
    {"is_safe": False, "harmful": 0.9},
    {"is_safe": pd.NA, "harmful": float("nan")},
)


@pytest.mark.parametrize(
    ("towards", "away", "desirable", "words"),
    [
        (UNSAFE, SAFE, False, []),
        (UNKNOWN, UNKNOWN, False, []),
        (SAFE, UNSAFE, True, []),
        (SAFE, SAFE, False, ["The sample to unlearn is labelled safe.", "The scorer calls the sample to unlearn harmless (0.10)."]),
        (UNSAFE, UNSAFE, False, ["The sample to strengthen is labelled unsafe.", "The scorer calls the sample to strengthen harmful (0.90)."]),
        (UNSAFE, UNKNOWN, True, ["The sample to strengthen is labelled unsafe.", "The scorer calls the sample to strengthen harmful (0.90)."]),
        ({"is_safe": False, "harmful": 0.5}, {"is_safe": True, "harmful": 0.5}, False, ["The scorer calls the sample to strengthen harmful (0.50)."]),
    ],
)  # fmt: skip
def test_a_pair_whose_sides_contradict_labels_or_scorer_says_so(towards, away, desirable, words):
    assert contradictions(towards, away, desirable=desirable) == words


def test_a_pair_that_shares_a_sample_with_an_approved_one_leaves_and_comes_back_with_undo(written, trace):
    written.propose_pairs(trace)
    before = shown(written, reach=EVERYTHING)
    sides = before[["positive_id", "negative_id"]]
    chosen = next(
        row
        for row in before.itertuples()
        if sides.isin([row.positive_id, row.negative_id]).any(axis=1).sum() > 1
    )
    approve(written, chosen.pair_id)
    clashing = sides.isin([chosen.positive_id, chosen.negative_id]).any(axis=1)
    after = shown(written, reach=EVERYTHING)
    assert after["pair_id"].tolist() == before.loc[~clashing, "pair_id"].tolist()
    assert counts(written, Scope(CASE.id, EVERYTHING)).total == len(after) + 1
    review.undo(written, ME)
    assert shown(written, reach=EVERYTHING)["pair_id"].tolist() == before["pair_id"].tolist()


def test_a_decided_pair_stays_whatever_is_approved_beside_it(written, trace):
    written.propose_pairs(trace)
    table = shown(written, reach=EVERYTHING)
    sides = table[["positive_id", "negative_id"]]
    first, second = next(
        (row.pair_id, other)
        for row in table.itertuples()
        for other in table.loc[sides.isin([row.positive_id]).any(axis=1), "pair_id"]
        if other != row.pair_id
    )
    review.decide(written.workspace, second, "reject", reviewer=ME)
    approve(written, first)
    assert second in set(shown(written, reach=EVERYTHING, show="reject")["pair_id"])


def look_again(study, tmp_path) -> None:
    """What a person does who ticks a second method on Audit and clusters again by it."""
    for seed, method in enumerate(("ekfac", "linfac"), start=5):
        written_study.adopt_trace(
            study, CASE, tmp_path / method, settings=preset(method, recall="all"), seed=seed
        )
    written_study.adopt_attribution(
        study, study.samples(), folder=tmp_path / "again", parent=latest_clustering(study)
    )


def test_looking_with_another_method_changes_nothing_of_what_was_sent_to_review(written, trace, tmp_path):
    written.propose_pairs(trace)
    for pair_id in shown(written)["pair_id"].iloc[[0, 2, -1]]:
        approve(written, pair_id)
    queues = [shown(written, case, reach=reach) for case in (CASE, OTHER, None) for reach in ("case", "all")]
    source = corrections.reviewed_source(written, Scope(CASE.id))
    assert source.parents[0] == trace.id
    look_again(written, tmp_path)
    for before, (case, reach) in zip(
        queues, [(case, reach) for case in (CASE, OTHER, None) for reach in ("case", "all")], strict=True
    ):
        pd.testing.assert_frame_equal(shown(written, case, reach=reach), before)
    assert corrections.reviewed_source(written, Scope(CASE.id)) == source
    assert store.review_source(written, CASE.id).run_id == trace.id


def test_sending_again_works_from_the_new_run(written, trace, tmp_path):
    written.propose_pairs(trace)
    other = written_study.adopt_trace(written, CASE, tmp_path / "ekfac", settings=preset("ekfac"), seed=7)
    written.propose_pairs(other)
    assert store.review_source(written, CASE.id).run_id == other.id
    assert set(shown(written).query("origin == 'trace'")["run_id"]) == {other.id}


def test_pairs_of_a_run_that_did_not_attribute_the_case_are_refused(written, trace):
    with pytest.raises(StoreError, match="did not attribute"):
        review.propose_for_case(written, trace, OTHER.id)


def test_a_trace_in_which_nothing_pushes_towards_says_that_no_pair_can_be_made(written, trace):
    scores = trace.result.scores
    scores.assign(influence=-scores["influence"].abs() - 1).to_parquet(trace.record.folder / "scores.parquet")
    with pytest.raises(DataError, match="no pair can be made"):
        written.propose_pairs(trace)


def test_pairs_of_a_case_are_read_approved_and_counted_by_the_handle(written, trace):
    pairs = written.propose_pairs(trace)
    table = pairs.table
    assert len(pairs) == len(table)
    pairs.approve(table["pair_id"].tolist()[:2], reviewer=ME)
    approved = written.pairs(CASE.id).approved()
    assert [pair.pair_id for pair in approved] == table["pair_id"].tolist()[:2]
    texts = written.samples().set_index("id")["response"]
    assert approved[0].positive.response == texts[approved[0].positive.sample_id]


def test_clusters_are_sent_in_turn(written, started):
    batch = attribute_clusters(written, latest_clustering(written))
    pairs = written.propose_pairs(batch, PairSettings(count=30, similar_prompts=0)).table
    assert started == []
    assert set(pairs["origin"]) == {"cluster"}
    assert pairs["cluster"].head(6).nunique() == 3
    assert pairs.groupby("cluster")["rank"].apply(lambda ranks: ranks.is_monotonic_increasing).all()
