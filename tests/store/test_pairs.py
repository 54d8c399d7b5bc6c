"""Proposals for cases and for the study: which pairs stand, what stays of the old ones, what a decision does to them."""

import pandas as pd
import pytest

from lancet_core.store import database, decisions, pairs, studies
from lancet_core.store.decisions import Draft
from lancet_core.store.pairs import ALL_CASES, Source
from lancet_core.workspace import open_workspace


@pytest.fixture
def study(tmp_path):
    workspace = open_workspace(tmp_path)
    yield studies.add_study(workspace, studies.NewStudy("a", "m"))
    database.close(workspace)


def proposals(*sides: str, strength: float = 1.0) -> pd.DataFrame:
    rows = [
        {
            "positive_id": side[0], "negative_id": side[1], "origin": "trace", "cluster": "", "rank": rank, "scored": 100,
            "positive_influence": strength, "negative_influence": -1.0, "positive_raw": 2.0, "negative_raw": -2.0,
        }
        for rank, side in enumerate(sides, start=1)
    ]  # fmt: skip
    return pd.DataFrame(rows)


def propose(study, *sides, case_id="q", run_id="run", strength=1.0):
    return pairs.replace_proposals(
        study, proposals(*sides, strength=strength), Source(run_id, "corpus"), case_id=case_id
    )


def standing(study, case_id="q"):
    table = pairs.list_pairs(study)
    return (table["positive_id"] + table["negative_id"])[table["case_id"] == case_id].tolist()


def test_a_case_has_its_own_pairs_beside_those_of_the_study(study):
    assert propose(study, "ab", "cd") == 2
    propose(study, "ef", "ab", case_id=ALL_CASES)
    assert (standing(study), standing(study, ALL_CASES)) == (["ab", "cd"], ["ef", "ab"])
    assert pairs.list_pairs(study)["pair_id"].nunique() == 3


def test_new_proposals_take_the_place_of_undecided_ones_of_the_same_case_alone(study):
    propose(study, "ab", "cd")
    propose(study, "ab", case_id=ALL_CASES)
    propose(study, "gh")
    assert (standing(study), standing(study, ALL_CASES)) == (["gh"], ["ab"])


def test_a_decided_pair_stays_whatever_is_proposed(study):
    propose(study, "ab", "cd")
    pair_id = pairs.pair_key("a", "a", "b")
    decisions.add_decision(study.workspace, Draft(pair_id, "approve", "ann"))
    propose(study, "cd")
    table = pairs.list_pairs(study).set_index("pair_id")
    assert table.loc[pair_id, ["verdict", "current"]].tolist() == ["approve", False]
    assert sorted(standing(study)) == ["ab", "cd"]


def test_evidence_that_changes_raises_the_revision(study):
    propose(study, "ab")
    assert pairs.list_pairs(study)["revision"].tolist() == [1]
    propose(study, "ab")
    assert pairs.list_pairs(study)["revision"].tolist() == [1]
    propose(study, "ab", strength=0.5)
    assert pairs.list_pairs(study)["revision"].tolist() == [2]


def test_a_second_case_does_not_change_the_evidence_of_the_first(study):
    propose(study, "ab", run_id="first")
    propose(study, "ab", case_id="other", run_id="second")
    table = pairs.list_pairs(study)
    assert dict(zip(table["case_id"], table["run_id"], strict=True)) == {"q": "first", "other": "second"}
    assert set(table["revision"]) == {1}


def test_what_a_review_works_from_is_what_it_was_sent_with(study):
    assert pairs.review_source(study, "q") is None
    propose(study, "ab", run_id="first")
    propose(study, "ab", run_id="second")
    assert pairs.review_source(study, "q") == Source("second", "corpus")
    assert pairs.count_pairs_from(study.workspace, "second") == 1
    assert pairs.count_pairs_from(study.workspace, "first") == 0


def test_undo_gives_back_all_decisions_of_a_bulk_act(study):
    propose(study, "ab", "cd")
    ids = pairs.list_pairs(study)["pair_id"].tolist()
    decisions.add_decisions(study.workspace, [Draft(pair_id, "approve", "ann") for pair_id in ids])
    assert sorted(undone.pair_id for undone in decisions.undo_last(study, "ann")) == sorted(ids)
    assert set(pairs.list_pairs(study)["verdict"]) == {""}
    assert decisions.undo_last(study, "ann") == []
