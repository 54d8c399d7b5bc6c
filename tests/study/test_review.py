"""Review on a real index: proposals, decisions, undo, bulk approval, two reviewers, exports."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from lancet_core.acts.attribute import SCORES, AttributeRequest, Attribution, Group
from lancet_core.correction.pair_files import read_pairs
from lancet_core.correction.settings import PairSettings
from lancet_core.data.samples import Query, Sample, samples_frame
from lancet_core.errors import ConfigError, StoreError
from lancet_core.models.encoding import encode
from lancet_core.models.loading import LanguageModel
from lancet_core.runs.launcher import Task
from lancet_core.runs.run import list_runs
from lancet_core.store import database
from lancet_core.store.decisions import StaleDecision
from lancet_core.store.queries import add_queries
from lancet_core.store.studies import NewStudy, add_study
from lancet_core.study import review
from lancet_core.study.queue import Counts, Scope, View, counts, queue
from lancet_core.study.study import handle
from lancet_core.study.subjects import subject_of
from tests.browser.written_study import adopt
from tests.tiny_models import byte_level_tokenizer

PAIRS = 12


@pytest.fixture
def study(workspace, tmp_path: Path):
    """A study with 30 scored samples of its own prompt each, but the first pair's prompts are equal."""
    made = handle(add_study(workspace, NewStudy("s", "some/model")))
    samples = [
        Sample("Is it safe?" if i in {0, 29} else f"Question {i * 7919}?", f"Answer {i}") for i in range(30)
    ]
    harmful = np.where(np.arange(30) < 15, 0.9, 0.1)
    samples_frame(samples).assign(harmful=harmful, helpful=0.5).to_parquet(made.samples_file)
    propose(made, tmp_path, np.linspace(1.0, -1.0, 30) + 1e-3)
    return made


def propose(study, tmp_path: Path, influence: np.ndarray, count: int = PAIRS):
    """Enters an attribution of one cluster and proposes from it."""
    results = tmp_path / f"results-{study.name}-{len(study.runs())}"
    table = pd.DataFrame(
        {
            "query_id": "0",
            "sample_id": study.samples()["id"],
            "influence": influence,
            "percentile": 0.0,
            "rank": 1,
        }
    )
    request = AttributeRequest((Query(f"q{influence.sum()}", "r", group="0"),), batch=True)
    run = adopt(study, Task("attribute", subject_of(study), request), Attribution(), results, {SCORES: table})
    assert review.propose_for_clusters(study, run, PairSettings(count=count)) > 0
    return run


def pairs_of(study, reviewer: str = "ann", **filters) -> pd.DataFrame:
    return queue(study, View(reviewer, **filters))


def first(study, reviewer: str = "ann", **filters) -> pd.Series:
    return pairs_of(study, reviewer, **filters).iloc[0]


def decide(study, pair_id, verdict="approve", reviewer="ann", **more):
    return review.decide(study.workspace, pair_id, verdict, reviewer=reviewer, **more)


def approve(study, reviewer: str = "ann"):
    return decide(study, first(study, reviewer)["pair_id"], reviewer=reviewer)


def undone(study, reviewer="ann") -> list[str]:
    return [decision.pair_id for decision in review.undo(study, reviewer)]


def test_the_queue_begins_with_the_strongest_pair(study):
    pairs = pairs_of(study, "ann")
    samples = study.samples().set_index("id")["response"]
    assert len(pairs) == PAIRS
    assert samples[pairs.loc[0, "positive_id"]] == "Answer 0"
    assert samples[pairs.loc[0, "negative_id"]] == "Answer 29"
    assert pairs["verdict"].tolist() == [""] * PAIRS
    by_influence = pairs_of(study, "ann", order="influence")
    assert (by_influence["positive_influence"] - by_influence["negative_influence"]).is_monotonic_decreasing


def test_a_decision_leaves_the_queue_and_stays(study):
    decision = decide(study, first(study)["pair_id"], "approve", reviewer=" ann ", seconds=2.5)
    assert (decision.reviewer, decision.seconds, decision.revision) == ("ann", 2.5, 1)
    assert counts(study) == Counts(PAIRS, PAIRS - 1, approve=1, reject=0, skip=0, flag=0)
    shown = pairs_of(study, "ann", show="approve").iloc[0]
    assert (shown["verdict"], shown["decided_by"], shown["decision_id"]) == ("approve", "ann", decision.id)
    assert shown["decided_at"].to_pydatetime() == decision.decided_at
    database.close(study.workspace)
    assert counts(study).approve == 1


def test_a_decision_fired_twice_is_kept_once(study):
    pair_id = first(study)["pair_id"]
    ids = {decide(study, pair_id, "reject", reviewer="ann").id for _ in range(3)}
    assert len(ids) == 1
    assert len(review.decisions(study)) == 1


def test_a_stale_verdict_is_refused_with_the_others(study):
    pair_id = first(study)["pair_id"]
    decide(study, pair_id, "reject", reviewer="bea")
    with pytest.raises(StaleDecision, match="bea rejected pair") as caught:
        decide(study, pair_id, "approve", reviewer="ann")
    assert caught.value.decision.verdict == "reject"
    changed = decide(study, pair_id, "approve", reviewer="ann", seen_decision_id=caught.value.decision.id)
    assert changed.supersedes == caught.value.decision.id
    review.undo(study, "ann")
    with pytest.raises(StaleDecision, match="bea rejected"):
        decide(study, pair_id, "skip", reviewer="cid", seen_decision_id=changed.id)


def test_undo_adds_rows_and_walks_back(study):
    one, two = approve(study), approve(study)
    assert undone(study, "bea") == []
    assert undone(study) == [two.pair_id]
    assert undone(study) == [one.pair_id]
    assert undone(study) == []
    assert counts(study).undecided == PAIRS
    log = review.decisions(study)
    assert log["verdict"].tolist() == ["approve", "approve", "undo", "undo"]
    assert log["supersedes"].tolist()[2:] == [two.id, one.id]


def test_undo_brings_back_what_was_superseded(study):
    earlier = approve(study)
    decide(study, earlier.pair_id, "reject", reviewer="ann", seen_decision_id=earlier.id)
    review.undo(study, "ann")
    assert first(study, show="approve")["decision_id"] == earlier.id


def test_undo_leaves_what_somebody_else_decided_since(study):
    mine = approve(study)
    decide(study, mine.pair_id, "reject", reviewer="bea", seen_decision_id=mine.id)
    assert undone(study) == []
    assert first(study, show="reject")["decided_by"] == "bea"


def test_what_one_skips_another_still_sees(study):
    pair_id = first(study)["pair_id"]
    decide(study, pair_id, "skip", reviewer="bea")
    assert pair_id not in pairs_of(study, "bea")["pair_id"].tolist()
    assert first(study, "ann")["pair_id"] == pair_id
    assert decide(study, pair_id, "approve", reviewer="ann").verdict == "approve"


def test_bulk_approval_is_one_undo(study):
    approve(study)
    rejected = first(study)["pair_id"]
    decide(study, rejected, "reject", reviewer="ann")
    bulk = review.preview_bulk(study, "ann")
    assert bulk.count == PAIRS - 2
    assert len(set(bulk.examples)) == 5
    assert rejected not in bulk.examples
    assert bulk == review.preview_bulk(study, "ann")
    assert len(review.approve_bulk(study, "ann")) == PAIRS - 2
    assert review.approve_bulk(study, "ann") == []
    assert counts(study).approve == PAIRS - 1
    taken_back = review.undo(study, "ann")
    assert len(taken_back) == PAIRS - 2
    assert {decision.bulk for decision in taken_back} != {""}
    assert counts(study) == Counts(PAIRS, PAIRS - 2, approve=1, reject=1, skip=0, flag=0)


def test_agreement_counts_single_decisions_only(study):
    assert review.agreement(study) == review.Agreement(0, 0, None)
    for verdict in ("approve", "approve", "reject", "skip"):
        decide(study, first(study)["pair_id"], verdict, reviewer="ann")
    review.approve_bulk(study, "ann")
    assert review.agreement(study) == review.Agreement(3, 2, 2 / 3)


def test_without_scores_there_is_nothing_to_agree_with(study):
    study.samples().assign(harmful=float("nan")).to_parquet(study.samples_file)
    approve(study)
    assert review.agreement(study).n == 0
    assert review.preview_bulk(study, "ann").count == 0


def test_new_proposals_keep_decided_pairs_and_share_no_approved_sample(study, tmp_path):
    decided = approve(study)
    withdrawn = approve(study)
    review.undo(study, "ann")
    approved = first(study, show="approve")
    turned = np.linspace(-1.0, 1.0, 30) + 1e-3
    propose(study, tmp_path, turned)
    every = pairs_of(study, "ann", show="all")
    assert decided.pair_id in set(every["pair_id"])
    assert withdrawn.pair_id not in set(every["pair_id"])
    others = every[every["pair_id"] != decided.pair_id]
    assert len(others) == PAIRS - 1
    sides = set(others["positive_id"]) | set(others["negative_id"])
    assert not sides & {approved["positive_id"], approved["negative_id"]}
    assert len(review.decisions(study)) == 3


def test_the_same_proposal_again_changes_nothing_and_new_evidence_is_a_revision(study, tmp_path):
    decision = approve(study)
    before = pairs_of(study, "ann", show="all")
    review.propose_for_clusters(study, study.runs()[0], PairSettings(count=PAIRS))
    pd.testing.assert_frame_equal(before, pairs_of(study, "ann", show="all"))
    propose(study, tmp_path, np.linspace(1.0, -1.0, 30) * 3 + 1e-3)
    after = pairs_of(study, "ann", show="approve").iloc[0]
    assert (after["decision_id"], after["revision"]) == (decision.id, 2)


def test_two_studies_on_the_same_samples_are_reviewed_each_for_itself(study, tmp_path):
    other = handle(add_study(study.workspace, NewStudy("t", "some/model")))
    other.samples_file.write_bytes(study.samples_file.read_bytes())
    propose(other, tmp_path, np.linspace(1.0, -1.0, 30) + 1e-3)
    approve(study)
    assert (counts(study).approve, counts(other).approve) == (1, 0)


@pytest.mark.parametrize(
    ("verdict", "reviewer", "message"), [("maybe", "ann", "approve, reject"), ("approve", "  ", "no name")]
)
def test_what_is_no_decision_is_refused(study, verdict, reviewer, message):
    with pytest.raises(ConfigError, match=message):
        decide(study, first(study)["pair_id"], verdict, reviewer=reviewer)


def test_an_unknown_pair_is_named(study):
    with pytest.raises(StoreError, match="no pair 'f00'"):
        decide(study, "f00", "approve", reviewer="ann")


def test_two_processes_decide_on_the_same_pairs_and_one_wins_each(study):
    script = (
        "import sys; from lancet_core.study import review; from lancet_core.study.queue import View, queue\n"
        "from lancet_core.store.decisions import StaleDecision; from lancet_core.study.study import open_study\n"
        "study, me, verdict = open_study('s', workspace=sys.argv[1]), sys.argv[2], sys.argv[3]; refused = 0\n"
        "ids = queue(study, View(me))['pair_id'].tolist()\n"
        "print('ready', flush=True); input()\n"
        "for pair_id in ids:\n"
        "    try: review.decide(study.workspace, pair_id, verdict, reviewer=me)\n"
        "    except StaleDecision as error: refused += error.decision.reviewer != me\n"
        "print(refused)"
    )
    both = [
        subprocess.Popen(
            [sys.executable, "-c", script, str(study.workspace.folder), *who],
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
    log = review.decisions(study)
    assert len(log) == PAIRS
    assert log["pair_id"].is_unique


def lines(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_exports_hold_what_their_formats_ask_for(study, tmp_path, monkeypatch):
    monkeypatch.setattr(review, "resolve_model", Path)
    approved = approve(study)
    approve(study)
    decide(study, first(study)["pair_id"], "reject", reviewer="ann")
    out = tmp_path / "out"
    assert review.export_pairs(study, out, "pairs").rows == 3
    pairs = read_pairs(out)
    assert [pair.verdict for pair in pairs] == ["approve", "approve", "reject"]
    assert pairs[0].pair_id == approved.pair_id
    assert (pairs[0].positive.response, pairs[0].positive.harmful, pairs[0].reviewer) == (
        "Answer 0",
        0.9,
        "ann",
    )
    assert review.export_pairs(study, out, "kto").rows == 4
    prompt = "\n\nHuman: Is it safe?\n\nAssistant:"
    assert lines(out)[0] == {"prompt": prompt, "completion": " Answer 0", "label": False}
    assert lines(out)[1] == {"prompt": prompt, "completion": " Answer 29", "label": True}
    assert review.export_pairs(study, out, "dpo").rows == 1
    assert lines(out) == [{"prompt": prompt, "chosen": " Answer 29", "rejected": " Answer 0"}]
    assert review.export_pairs(study, out, "csv").rows == PAIRS
    assert pd.read_csv(out)["positive_response"][0] == "Answer 0"
    assert review.export_pairs(study, out, "parquet").rows == PAIRS
    assert pd.read_parquet(out)["verdict"].tolist()[:4] == ["approve", "approve", "reject", ""]
    review.undo(study, "ann")
    assert review.export_pairs(study, out, "decisions").rows == 4
    assert [row["verdict"] for row in lines(out)] == ["approve", "approve", "reject", "undo"]
    assert lines(out)[0]["supersedes"] is None


CHAT = (
    "{% for m in messages %}[{{ m.role }}]{{ m.content }}{{ eos_token }}{% endfor %}"
    "{% if add_generation_prompt %}[assistant]{% endif %}"
)


@pytest.mark.parametrize("chat", ["", CHAT], ids=["words", "chat template"])
def test_a_trainer_gets_the_tokens_of_the_study(study, tmp_path, monkeypatch, chat):
    tokenizer = byte_level_tokenizer()
    tokenizer.chat_template = chat or None
    tokenizer.save_pretrained(tmp_path / "model")
    monkeypatch.setattr(review, "resolve_model", lambda _model: tmp_path / "model")
    approve(study)
    assert review.export_pairs(study, tmp_path / "out", "kto").rows == 2
    lm = LanguageModel(None, tokenizer, "", "cpu", 1000, "")
    for row, answer in zip(lines(tmp_path / "out"), ("Answer 0", "Answer 29"), strict=True):
        if chat:
            ids = tokenizer.apply_chat_template(row["prompt"] + row["completion"], return_dict=True)[
                "input_ids"
            ]
        else:
            ids = [*tokenizer(row["prompt"] + row["completion"])["input_ids"], tokenizer.eos_token_id]
        assert ids == list(encode(lm, "Is it safe?", answer).input_ids)


def test_a_wanted_answer_keeps_the_sample_that_pushes_towards_it(workspace, tmp_path, monkeypatch):
    monkeypatch.setattr(review, "resolve_model", Path)
    made = handle(add_study(workspace, NewStudy("wanted", "some/model")))
    samples = samples_frame([Sample("Is it safe?", "Yes"), Sample("Is it safe?", "No")])
    samples.assign(harmful=0.5, helpful=0.5).to_parquet(made.samples_file)
    scores = pd.DataFrame(
        {"sample_id": samples["id"], "influence": [1.0, -1.0], "percentile": 0.0, "rank": 1}
    )
    for query in (Query("a", "b", "desirable"), Query("c", "d")):
        request = AttributeRequest((query,))
        result = Attribution(queries=(Group(query.id, (query.id,), query.prompt, query.polarity),))
        folder = tmp_path / query.id
        add_queries(made, [query], "case")
        run = adopt(
            made,
            Task("attribute", subject_of(made), request),
            result,
            folder,
            {SCORES: scores.assign(query_id=query.id)},
        )
        review.propose_for_case(made, run, query.id)
        decide(made, pairs_of(made, show="all", scope=Scope(query.id)).iloc[0]["pair_id"])
        review.export_pairs(made, tmp_path / "out", "dpo", Scope(query.id))
        wanted = query.polarity == "desirable"
        assert lines(tmp_path / "out")[0]["chosen"] == (" Yes" if wanted else " No")
        review.undo(made, "ann")


def test_a_wanted_cluster_is_exported_the_same_way(study, tmp_path, monkeypatch):
    monkeypatch.setattr(review, "resolve_model", Path)
    (run,) = study.runs("attribute")
    approve(study)
    assert review.export_pairs(study, tmp_path / "out", "dpo").rows == 1
    assert lines(tmp_path / "out")[0]["chosen"] == " Answer 29"
    told = json.loads((run.record.folder / "result.json").read_text())
    told["queries"] = [{"query_id": "0", "polarity": "desirable"}]
    (run.record.folder / "result.json").write_text(json.dumps(told))
    review.export_pairs(study, tmp_path / "out", "dpo")
    assert lines(tmp_path / "out")[0]["chosen"] == " Answer 0"


@pytest.mark.parametrize(
    ("template", "words"),
    [("auto", ""), ("tool_use", "chat template 'tool_use'"), ("auto@2026-07-26", "the date 2026-07-26")],
)
def test_an_export_tells_what_a_trainer_would_do_otherwise(study, template, words):
    told = review._advice(template)
    assert words in told
    assert bool(told) == bool(words)


def test_an_export_of_nothing_says_what_is_missing(study, tmp_path, monkeypatch):
    monkeypatch.setattr(review, "resolve_model", Path)
    with pytest.raises(StoreError, match="no pair is approved yet"):
        review.export_pairs(study, tmp_path / "out", "kto")
    approve(study)
    review.undo(study, "ann")
    pair_id = pairs_of(study, "ann").iloc[1]["pair_id"]
    decide(study, pair_id, "approve", reviewer="ann")
    with pytest.raises(StoreError, match="export as kto"):
        review.export_pairs(study, tmp_path / "out", "dpo")
    assert not (tmp_path / "out").exists()


def test_a_deleted_study_takes_its_review_along(study):
    approve(study)
    study.delete()
    assert counts(study).total == 0
    assert review.decisions(study).empty
    assert list(study.workspace.runs.iterdir()) == []


def test_an_attribution_under_review_is_deleted_only_on_purpose(study):
    (run,) = list_runs(study.workspace)
    with pytest.raises(StoreError, match=f"{PAIRS} pairs under review"):
        run.delete()
    run.delete(even_if_used=True)
    assert counts(study).total == PAIRS


@pytest.mark.parametrize("view", [{"show": "some"}, {"order": "random"}, {"scope": Scope(reach="near")}])
def test_a_view_of_nothing_lists_what_there_is(study, view):
    with pytest.raises(ConfigError, match="it takes one of"):
        pairs_of(study, **view)
