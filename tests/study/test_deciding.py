"""Decisions on many pairs at once: from a file, by a condition, from the shell; one step, one undo."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from lancet_core.acts.attribute import SCORES, AttributeRequest, Attribution
from lancet_core.correction.settings import PairSettings
from lancet_core.data.samples import Query, Sample, samples_frame
from lancet_core.errors import ConfigError, DataError, StoreError
from lancet_core.runs.launcher import Task
from lancet_core.store import pairs as store
from lancet_core.store.decisions import DecidedAlready
from lancet_core.store.studies import NewStudy, add_study
from lancet_core.study import review
from lancet_core.study.deciding import choose_pairs, read_verdicts
from lancet_core.study.queue import View, queue
from lancet_core.study.study import handle
from lancet_core.study.subjects import subject_of
from lancet_core.workspace import open_workspace
from tests.browser.written_study import adopt

SAMPLES, PAIRS = 16, 8


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return tmp_path


@pytest.fixture
def study(place: Path):
    """Eight pairs: the strongest samples towards are unsafe but one without a label; two pairs have equal prompts."""
    made = handle(add_study(open_workspace(place / "workspace"), NewStudy("s", "some/model")))
    labels = [None, *[False] * 7, *[True] * 8]
    prompts = [f"Question {n * 7919}?" for n in range(SAMPLES)]
    prompts[15], prompts[14] = prompts[0], prompts[1]
    samples = [
        Sample(prompt, f"Answer {n}", is_safe=label)
        for n, (prompt, label) in enumerate(zip(prompts, labels, strict=True))
    ]
    table = samples_frame(samples).assign(harmful=np.linspace(1, 0, SAMPLES), helpful=0.5)
    table.to_parquet(made.samples_file)
    influence = np.linspace(1.0, -1.0, SAMPLES)
    scores = pd.DataFrame(
        {"query_id": "0", "sample_id": table["id"], "influence": influence, "percentile": 0.0, "rank": 1}
    )
    request = AttributeRequest((Query("q", "r", group="0"),), batch=True)
    task = Task("attribute", subject_of(made), request)
    run = adopt(made, task, Attribution(), place / "results", {SCORES: scores})
    review.propose_for_clusters(made, run, PairSettings(count=PAIRS))
    return made


def verdicts(study) -> list[str]:
    return queue(study, View("", show="all"))["verdict"].tolist()


def ids(study) -> list[str]:
    return queue(study, View("", show="all"))["pair_id"].tolist()


def write(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


def test_a_file_decides_in_one_step_that_one_undo_takes_back(study, lancet_json, place):
    first, second, third, *_others = ids(study)
    rows = [
        {"pair_id": first, "verdict": "approve", "reason": "plain"},
        {"pair_id": second, "verdict": "Reject"},
        {"pair_id": third, "verdict": ""},
    ]
    path = write(place / "decisions.jsonl", "".join(json.dumps(row) + "\n" for row in rows))
    done = lancet_json("pairs", "decide", "--from", path, "--reviewer", "ann")
    assert (done["decided"], done["left"]) == (2, 0)
    assert [each["reason"] for each in done["decisions"]] == ["plain", ""]
    assert verdicts(study)[:3] == ["approve", "reject", ""]
    assert lancet_json("pairs", "decide", "--from", path, "--reviewer", "ann")["left"] == 2
    assert lancet_json("pairs", "undo", "s", "--reviewer", "ann")["undone"] == 2
    assert set(verdicts(study)) == {""}


def test_an_exported_table_is_filled_in_and_handed_back(study, lancet, place):
    review.export_pairs(study, place / "pairs.csv", "csv")
    table = pd.read_csv(place / "pairs.csv", dtype=str, keep_default_na=False)
    table.loc[:1, "verdict"] = "approve"
    table.to_csv(place / "filled.csv", index=False, encoding="utf-8-sig")
    code, out, err = lancet("pairs", "decide", "--from", "filled.csv", "--reviewer", "ann")
    assert (code, out.strip()) == (0, "2 pairs: approve by ann"), err
    assert verdicts(study).count("approve") == 2


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ("pair_id,verdict\nx,maybe\ny,approve\n", r"1 of 2 rows .* row 1: verdict is 'maybe'"),
        ("pair_id,verdict\n,approve\n", "pair_id is missing"),
        ("pair_id,verdict\nx,approve\nx,reject\n", "row 2: pair x has another verdict in an earlier row"),
        ("pair_id,note\nx,hm\n", "decides on no pair"),
    ],
)
def test_a_wrong_row_refuses_the_file(place, rows, words):
    with pytest.raises(DataError, match=words):
        read_verdicts(write(place / "wrong.csv", rows), "ann")


def test_unknown_pairs_are_counted_and_nothing_is_kept(study):
    with pytest.raises(StoreError, match="2 of 3 pairs are not there"):
        study.pairs().decide([ids(study)[0], "x", "y"], "approve", reviewer="ann")
    assert set(verdicts(study)) == {""}


def test_a_verdict_of_before_is_refused_with_the_way_out_and_replaced_when_told(study, lancet):
    first, second, *_others = ids(study)
    study.pairs().approve([first], reviewer="bea")
    with pytest.raises(DecidedAlready, match="1 of 2 pairs are decided otherwise: bea approved pair"):
        study.pairs().decide([first, second], "reject", reviewer="ann")
    code, _out, err = lancet("pairs", "decide", first, "reject", "--reviewer", "ann")
    assert code == 2
    assert "bea approved" in err
    assert "--replace" in err
    assert "opened" not in err
    assert lancet("pairs", "decide", first, second, "reject", "--reviewer", "ann", "--replace")[0] == 0
    assert verdicts(study)[:2] == ["reject", "reject"]
    review.undo(study, "ann")
    assert verdicts(study)[:2] == ["approve", ""]


def test_conditions_choose_by_label_score_and_prompts(study):
    def count(*conditions: str, verdict: str = "reject") -> int:
        return len(choose_pairs(study, conditions, verdict=verdict).pair_ids)

    harmful = queue(study, View("", show="all"))["positive_id"].map(
        study.samples().set_index("id")["harmful"]
    )
    assert count() == PAIRS
    assert count("positive_label=unsafe") == PAIRS - 1
    assert count("positive_label=unknown") == 1
    assert count("positive_label=unsafe", "negative_label=safe", "prompts=equal") == 1
    assert count("prompts=equal") == 2
    assert count("prompts = different") == PAIRS - 2
    assert count("positive_harmful>.7") == int((harmful > 0.7).sum())
    assert count("positive_harmful>.7", "positive_harmful<.7") == 0
    assert count("cluster=0") == PAIRS
    for wrong in ("label=unsafe", "positive_label=bad", "positive_harmful=.7", "positive_harmful>x", "what"):
        with pytest.raises(ConfigError, match="is not understood; accepted are"):
            count(wrong)


def test_of_pairs_that_share_a_sample_one_is_approved(study, place):
    texts = study.samples()["id"].tolist()
    row = {"origin": "trace", "cluster": "", "rank": 1, "scored": 2}
    row |= dict.fromkeys(("positive_influence", "positive_raw"), 1.0)
    row |= dict.fromkeys(("negative_influence", "negative_raw"), -1.0)
    shared = pd.DataFrame([row | {"positive_id": texts[0], "negative_id": texts[n]} for n in (8, 9)])
    store.replace_proposals(study, shared, store.Source("run"), case_id="case")
    chosen = choose_pairs(study, ["positive_label=unknown"], verdict="approve")
    assert (len(chosen.pair_ids), chosen.clashing) == (1, 2)
    assert len(choose_pairs(study, ["positive_label=unknown"], verdict="reject").pair_ids) == 3


def test_the_shell_decides_by_condition_and_says_how_many(study, lancet, lancet_json):
    where = ("--study", "s", "--where", "prompts=equal", "--reviewer", "ann")
    code, out, err = lancet("pairs", "decide", "approve", *where)
    assert (code, out.strip()) == (0, "2 pairs: approve by ann")
    assert "lancet pairs undo" in err
    assert lancet("pairs", "decide", "approve", *where)[0] == 2
    assert lancet_json("pairs", "decide", "reject", "--study", "s", "--all")["decided"] == PAIRS - 2
    for unclear in (("approve",), ("x", "approve", "--study", "s", "--all"), ("approve", "--study", "s"), ()):
        code, _out, err = lancet("pairs", "decide", *unclear)
        assert code == 2
        assert "not clear what to decide" in err


def test_proposing_again_says_what_leaves_the_queue(study, lancet, lancet_json):
    (run,) = study.runs("attribute")
    told = lancet_json("pairs", "propose", "s", "--attribution", run.id, "--count", "3")
    assert (told["pairs"], told["replaced"], told["equal_prompts"]) == (3, PAIRS - 3, 2)
    _code, out, err = lancet("pairs", "propose", "s", "--attribution", run.id, "--count", "2")
    assert "2 pairs are up for review; 2 of 2 have equal prompts" in out
    assert "1 undecided pairs of before are not proposed any more" in err


def test_the_list_shows_label_and_score_and_the_export_tells_its_verdicts(study, lancet, lancet_json, place):
    _code, out, _err = lancet("pairs", "list", "s", "--limit", "1")
    assert "▲ +1.000  [harmful 1.00]" in out
    assert "▼ -1.000  [safe, harmful 0.00]" in out
    pair = lancet_json("pairs", "list", "s")["pairs"][1]
    assert (pair["positive_is_safe"], pair["negative_is_safe"]) == (False, True)
    study.pairs().approve(ids(study)[:3], reviewer="ann")
    study.pairs().decide(ids(study)[3:5], "reject", reviewer="ann")
    _code, out, err = lancet("pairs", "export", "s", "pairs.jsonl")
    assert "5 rows in pairs.jsonl: pairs 3 approved, 2 rejected" in out, err
    assert "takes the approved pairs of this file alone" in err
