"""Review on a real index: proposals, decisions, undo, bulk approval, two reviewers, exports."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from lancet_core.correction.pair_files import read_pairs
from lancet_core.correction.settings import PairSettings
from lancet_core.data.samples import Query, Sample, samples_frame
from lancet_core.errors import ConfigError, StoreError
from lancet_core.operations.configs import AttributeConfig
from lancet_core.runs import launcher
from lancet_core.store import database, runs
from lancet_core.store.decisions import StaleDecision
from lancet_core.store.studies import NewStudy, add_study, delete_study
from lancet_core.workbench import reviews
from lancet_core.workspace import Workspace, open_workspace

PAIRS = 12


@pytest.fixture
def workspace(tmp_path: Path):
    opened = open_workspace(tmp_path / "ws")
    yield opened
    database.close(opened)


@pytest.fixture
def study(workspace: Workspace, tmp_path: Path) -> str:
    """A study with 30 scored samples of its own prompt each, but the first pair's prompts are equal."""
    made = add_study(workspace, NewStudy("s", "some/model"))
    samples = [
        Sample("Is it safe?" if i in {0, 29} else f"Question {i * 7919}?", f"Answer {i}") for i in range(30)
    ]
    frame = samples_frame(samples)
    frame.to_parquet(made.samples)
    scores = pd.DataFrame(
        {"sample_id": frame["id"], "harmful": np.where(np.arange(30) < 15, 0.9, 0.1), "helpful": 0.5}
    )
    scores.to_parquet(made.folder / "scores.parquet")
    propose(workspace, tmp_path, np.linspace(1.0, -1.0, 30) + 1e-3)
    return "s"


def propose(
    workspace: Workspace, tmp_path: Path, influence: np.ndarray, count: int = PAIRS, study: str = "s"
) -> str:
    """Enters an attribution of one cluster and proposes from it."""
    results = tmp_path / f"results-{study}-{len(runs.list_runs(workspace))}"
    results.mkdir()
    ids = pd.read_parquet(workspace.studies / study / "samples.parquet")["id"]
    table = pd.DataFrame({"query_id": "0", "sample_id": ids, "influence": influence})
    table.to_parquet(results / "scores.parquet")
    (results / "result.json").write_text("{}")
    config = attribute_config(study, float(influence.sum()))
    run_id = launcher.adopt(workspace, "attribute", config, results=results, study=study)
    assert reviews.propose(workspace, study, run_id, PairSettings(count=count)) > 0
    return run_id


def attribute_config(study: str, mark: float) -> AttributeConfig:
    from lancet_core.influence.settings import InfluenceSettings

    queries = (Query(f"q{mark}", "r", group="0"),)
    return AttributeConfig(
        study=study,
        model="m",
        samples="s",
        template="auto",
        queries=queries,
        influence=InfluenceSettings(),
        batch=True,
    )


def first(workspace: Workspace, reviewer: str = "ann", **filters) -> pd.Series:
    return reviews.queue(workspace, "s", reviewer=reviewer, **filters).iloc[0]


def approve(workspace: Workspace, reviewer: str = "ann"):
    return reviews.decide(workspace, first(workspace, reviewer)["pair_id"], "approve", reviewer=reviewer)


def test_the_queue_begins_with_the_strongest_pair(workspace, study):
    pairs = reviews.queue(workspace, study, reviewer="ann")
    samples = pd.read_parquet(workspace.studies / study / "samples.parquet").set_index("id")["response"]
    assert len(pairs) == PAIRS
    assert samples[pairs.loc[0, "positive_id"]] == "Answer 0"
    assert samples[pairs.loc[0, "negative_id"]] == "Answer 29"
    assert pairs["verdict"].tolist() == [""] * PAIRS
    by_influence = reviews.queue(workspace, study, reviewer="ann", order="influence")
    assert (by_influence["positive_influence"] - by_influence["negative_influence"]).is_monotonic_decreasing


def test_a_decision_leaves_the_queue_and_stays(workspace, study):
    decision = reviews.decide(
        workspace, first(workspace)["pair_id"], "approve", reviewer=" ann ", seconds=2.5
    )
    assert (decision.reviewer, decision.seconds, decision.revision) == ("ann", 2.5, 1)
    assert reviews.counts(workspace, study) == {
        "total": PAIRS, "undecided": PAIRS - 1, "approve": 1, "reject": 0, "skip": 0, "flag": 0,
    }  # fmt: skip
    shown = reviews.queue(workspace, study, reviewer="ann", show="approve").iloc[0]
    assert (shown["verdict"], shown["decided_by"], shown["decision_id"]) == ("approve", "ann", decision.id)
    assert shown["decided_at"].to_pydatetime() == decision.decided_at
    database.close(workspace)
    assert reviews.counts(workspace, study)["approve"] == 1


def test_a_decision_fired_twice_is_kept_once(workspace, study):
    pair_id = first(workspace)["pair_id"]
    ids = {reviews.decide(workspace, pair_id, "reject", reviewer="ann").id for _ in range(3)}
    assert len(ids) == 1
    assert len(reviews.decisions(workspace, study)) == 1


def test_a_stale_verdict_is_refused_with_the_others(workspace, study):
    pair_id = first(workspace)["pair_id"]
    reviews.decide(workspace, pair_id, "reject", reviewer="bea")
    with pytest.raises(StaleDecision, match="bea rejected pair") as caught:
        reviews.decide(workspace, pair_id, "approve", reviewer="ann")
    assert caught.value.decision.verdict == "reject"
    changed = reviews.decide(
        workspace, pair_id, "approve", reviewer="ann", seen_decision_id=caught.value.decision.id
    )
    assert changed.supersedes == caught.value.decision.id
    reviews.undo(workspace, study, "ann")
    with pytest.raises(StaleDecision, match="bea rejected"):
        reviews.decide(workspace, pair_id, "skip", reviewer="cid", seen_decision_id=changed.id)


def test_undo_adds_rows_and_walks_back(workspace, study):
    one, two = approve(workspace), approve(workspace)
    assert reviews.undo(workspace, study, "bea") is None
    assert reviews.undo(workspace, study, "ann").pair_id == two.pair_id
    assert reviews.undo(workspace, study, "ann").pair_id == one.pair_id
    assert reviews.undo(workspace, study, "ann") is None
    assert reviews.counts(workspace, study)["undecided"] == PAIRS
    log = reviews.decisions(workspace, study)
    assert log["verdict"].tolist() == ["approve", "approve", "undo", "undo"]
    assert log["supersedes"].tolist()[2:] == [two.id, one.id]


def test_undo_brings_back_what_was_superseded(workspace, study):
    earlier = approve(workspace)
    reviews.decide(workspace, earlier.pair_id, "reject", reviewer="ann", seen_decision_id=earlier.id)
    reviews.undo(workspace, study, "ann")
    assert first(workspace, show="approve")["decision_id"] == earlier.id


def test_undo_leaves_what_somebody_else_decided_since(workspace, study):
    mine = approve(workspace)
    reviews.decide(workspace, mine.pair_id, "reject", reviewer="bea", seen_decision_id=mine.id)
    assert reviews.undo(workspace, study, "ann") is None
    assert first(workspace, show="reject")["decided_by"] == "bea"


def test_what_one_skips_another_still_sees(workspace, study):
    pair_id = first(workspace)["pair_id"]
    reviews.decide(workspace, pair_id, "skip", reviewer="bea")
    assert pair_id not in reviews.queue(workspace, study, reviewer="bea")["pair_id"].tolist()
    assert first(workspace, "ann")["pair_id"] == pair_id
    assert reviews.decide(workspace, pair_id, "approve", reviewer="ann").verdict == "approve"


def test_bulk_approval_is_one_undo(workspace, study):
    approve(workspace)
    rejected = first(workspace)["pair_id"]
    reviews.decide(workspace, rejected, "reject", reviewer="ann")
    bulk = reviews.preview_bulk(workspace, study, "ann")
    assert bulk.count == PAIRS - 2
    assert len(set(bulk.examples)) == 5
    assert rejected not in bulk.examples
    assert bulk == reviews.preview_bulk(workspace, study, "ann")
    assert reviews.approve_bulk(workspace, study, "ann") == PAIRS - 2
    assert reviews.approve_bulk(workspace, study, "ann") == 0
    assert reviews.counts(workspace, study)["approve"] == PAIRS - 1
    assert reviews.undo(workspace, study, "ann").bulk
    found = reviews.counts(workspace, study)
    assert (found["approve"], found["reject"], found["undecided"]) == (1, 1, PAIRS - 2)


def test_agreement_counts_single_decisions_only(workspace, study):
    assert reviews.agreement(workspace, study) == reviews.Agreement(0, 0, None)
    for verdict in ("approve", "approve", "reject", "skip"):
        reviews.decide(workspace, first(workspace)["pair_id"], verdict, reviewer="ann")
    reviews.approve_bulk(workspace, study, "ann")
    assert reviews.agreement(workspace, study) == reviews.Agreement(3, 2, 2 / 3)


def test_without_scores_there_is_nothing_to_agree_with(workspace, study):
    (workspace.studies / study / "scores.parquet").unlink()
    approve(workspace)
    assert reviews.agreement(workspace, study).n == 0
    assert reviews.preview_bulk(workspace, study, "ann").count == 0


def test_new_proposals_keep_decided_pairs_and_share_no_approved_sample(workspace, study, tmp_path):
    decided = approve(workspace)
    undone = approve(workspace)
    reviews.undo(workspace, study, "ann")
    approved = first(workspace, show="approve")
    turned = np.linspace(-1.0, 1.0, 30) + 1e-3
    propose(workspace, tmp_path, turned)
    every = reviews.queue(workspace, study, reviewer="ann", show="all")
    assert decided.pair_id in set(every["pair_id"])
    assert undone.pair_id not in set(every["pair_id"])
    others = every[every["pair_id"] != decided.pair_id]
    assert len(others) == PAIRS - 1
    sides = set(others["positive_id"]) | set(others["negative_id"])
    assert not sides & {approved["positive_id"], approved["negative_id"]}
    assert len(reviews.decisions(workspace, study)) == 3


def test_the_same_proposal_again_changes_nothing_and_new_evidence_is_a_revision(workspace, study, tmp_path):
    decision = approve(workspace)
    before = reviews.queue(workspace, study, reviewer="ann", show="all")
    reviews.propose(workspace, study, runs.list_runs(workspace)[0].id, PairSettings(count=PAIRS))
    pd.testing.assert_frame_equal(before, reviews.queue(workspace, study, reviewer="ann", show="all"))
    propose(workspace, tmp_path, np.linspace(1.0, -1.0, 30) * 3 + 1e-3)
    after = reviews.queue(workspace, study, reviewer="ann", show="approve").iloc[0]
    assert (after["decision_id"], after["revision"]) == (decision.id, 2)


def test_two_studies_on_the_same_samples_are_reviewed_each_for_itself(workspace, study, tmp_path):
    other = add_study(workspace, NewStudy("t", "some/model"))
    other.samples.write_bytes((workspace.studies / study / "samples.parquet").read_bytes())
    propose(workspace, tmp_path, np.linspace(1.0, -1.0, 30) + 1e-3, study="t")
    approve(workspace)
    assert reviews.counts(workspace, "t")["approve"] == 0


@pytest.mark.parametrize(
    ("verdict", "reviewer", "message"), [("maybe", "ann", "approve, reject"), ("approve", "  ", "no name")]
)
def test_what_is_no_decision_is_refused(workspace, study, verdict, reviewer, message):
    with pytest.raises(ConfigError, match=message):
        reviews.decide(workspace, first(workspace)["pair_id"], verdict, reviewer=reviewer)


def test_an_unknown_pair_or_run_is_named(workspace, study):
    with pytest.raises(StoreError, match="no pair 'f00'"):
        reviews.decide(workspace, "f00", "approve", reviewer="ann")
    with pytest.raises(StoreError, match="no run 'f00'"):
        reviews.propose(workspace, study, "f00", PairSettings())


def test_two_processes_decide_on_the_same_pairs_and_one_wins_each(workspace, study):
    script = (
        "import sys; from lancet_core.workbench import reviews; from lancet_core.workspace import open_workspace\n"
        "from lancet_core.store.decisions import StaleDecision\n"
        "ws, me, verdict = open_workspace(sys.argv[1]), sys.argv[2], sys.argv[3]; refused = 0\n"
        "ids = reviews.queue(ws, 's', reviewer=me)['pair_id'].tolist()\n"
        "print('ready', flush=True); input()\n"
        "for pair_id in ids:\n"
        "    try: reviews.decide(ws, pair_id, verdict, reviewer=me)\n"
        "    except StaleDecision as error: refused += error.decision.reviewer != me\n"
        "print(refused)"
    )
    both = [
        subprocess.Popen(
            [sys.executable, "-c", script, str(workspace.folder), *who],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=Path(__file__).parents[2],
        )
        for who in (("ann", "approve"), ("bea", "reject"))
    ]
    assert [process.stdout.readline() for process in both] == ["ready\n"] * 2
    for process in both:
        process.stdin.write("\n")
        process.stdin.flush()
    refused = [int(process.communicate(timeout=60)[0]) for process in both]
    assert sum(refused) == PAIRS
    log = reviews.decisions(workspace, study)
    assert len(log) == PAIRS
    assert log["pair_id"].is_unique


def lines(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_exports_hold_what_their_formats_ask_for(workspace, study, tmp_path):
    approved = approve(workspace)
    approve(workspace)
    reviews.decide(workspace, first(workspace)["pair_id"], "reject", reviewer="ann")
    out = tmp_path / "out"
    assert reviews.export_pairs(workspace, study, out, "pairs") == 3
    pairs = read_pairs(out)
    assert [pair.verdict for pair in pairs] == ["approve", "approve", "reject"]
    assert pairs[0].pair_id == approved.pair_id
    assert (pairs[0].positive.response, pairs[0].positive.harmful, pairs[0].reviewer) == (
        "Answer 0",
        0.9,
        "ann",
    )
    assert reviews.export_pairs(workspace, study, out, "kto") == 4
    assert lines(out)[0] == {"prompt": "Is it safe?", "completion": "Answer 0", "label": False}
    assert lines(out)[1] == {"prompt": "Is it safe?", "completion": "Answer 29", "label": True}
    assert reviews.export_pairs(workspace, study, out, "dpo") == 1
    assert lines(out) == [{"prompt": "Is it safe?", "chosen": "Answer 29", "rejected": "Answer 0"}]
    assert reviews.export_pairs(workspace, study, out, "csv") == PAIRS
    assert pd.read_csv(out)["positive_response"][0] == "Answer 0"
    assert reviews.export_pairs(workspace, study, out, "parquet") == PAIRS
    assert pd.read_parquet(out)["verdict"].tolist()[:4] == ["approve", "approve", "reject", ""]
    reviews.undo(workspace, study, "ann")
    assert reviews.export_pairs(workspace, study, out, "decisions") == 4
    assert [row["verdict"] for row in lines(out)] == ["approve", "approve", "reject", "undo"]
    assert lines(out)[0]["supersedes"] is None


def test_an_export_of_nothing_says_what_is_missing(workspace, study, tmp_path):
    with pytest.raises(StoreError, match="no pair is approved yet"):
        reviews.export_pairs(workspace, study, tmp_path / "out", "kto")
    approve(workspace)
    reviews.undo(workspace, study, "ann")
    pair_id = reviews.queue(workspace, study, reviewer="ann").iloc[1]["pair_id"]
    reviews.decide(workspace, pair_id, "approve", reviewer="ann")
    with pytest.raises(StoreError, match="export as kto"):
        reviews.export_pairs(workspace, study, tmp_path / "out", "dpo")
    assert not (tmp_path / "out").exists()


def test_a_deleted_study_takes_its_review_along(workspace, study):
    approve(workspace)
    delete_study(workspace, study)
    with pytest.raises(StoreError, match="no study 's'"):
        reviews.counts(workspace, study)
    assert list(workspace.runs.iterdir()) == []


def test_an_attribution_under_review_is_deleted_only_on_purpose(workspace, study):
    from lancet_core.workbench.runs import delete

    (run,) = runs.list_runs(workspace)
    with pytest.raises(StoreError, match=f"{PAIRS} pairs under review"):
        delete(workspace, run.id)
    delete(workspace, run.id, even_if_used=True)
    assert reviews.counts(workspace, study)["total"] == PAIRS
