"""Commands on one small study: what they print, what they keep, and how they end."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from lancet_core.acts.attribute import SCORES, AttributeRequest, Attribution
from lancet_core.data.samples import Query
from lancet_core.influence.presets import preset
from lancet_core.runs import launcher
from lancet_core.runs.client import stop_host
from lancet_core.runs.launcher import Task
from lancet_core.runs.run import Run
from lancet_core.runs.run_folder import RunFolder
from lancet_core.store.run_status import FAILED, Status
from lancet_core.store.runs import NewRun, RunFilter, delete_run, list_runs, register
from lancet_core.study.study import list_studies, open_study
from lancet_core.study.subjects import subject_of
from lancet_core.workspace import open_workspace
from tests.browser.written_study import adopt
from tests.tiny_models import CONTEXT, save_tiny_model
from tests.written_rows import plain_rows, write_lines

LANCET = Path(sys.executable).with_name("lancet")
LONG = "word and word " * CONTEXT


@pytest.fixture(scope="module")
def place(tmp_path_factory, tiny_model_folder):
    """A folder with a copy of a model, a training file with wrong rows, and the workspace."""
    folder = tmp_path_factory.mktemp("place")
    shutil.copytree(tiny_model_folder("llama"), folder / "model")
    rows = plain_rows(24)
    rows += [
        rows[0],
        {"prompt": "Too long?", "response": LONG},
        {"prompt": LONG, "response": "Short."},
        {"prompt": ""},
    ]
    write_lines(folder / "train.jsonl", rows)
    yield folder
    stop_host(open_workspace(folder / "workspace"))


@pytest.fixture
def study(lancet, place):
    workspace = open_workspace(place / "workspace")
    if not list_studies(workspace=workspace):
        made = ("--model", "model", "--train", "train.jsonl", "--too-long", "reject")
        assert lancet("study", "create", "mine", *made)[0] == 0
    return open_study("mine", workspace=workspace)


def test_create_tells_what_was_kept_cut_doubled_and_rejected(lancet, study, place):
    code, out, _err = lancet("study", "show", "mine", "--json")
    document = json.loads(out)
    assert code == 0
    assert document["model"] == str(place / "model")
    told = {
        name: document["counts"][name]
        for name in ("rows", "samples", "rejected", "too_long", "cut", "duplicates")
    }
    assert told == {"rows": 28, "samples": 25, "rejected": 2, "too_long": 1, "cut": 1, "duplicates": 1}
    rejected = [json.loads(line) for line in study.rejected_file.read_text().splitlines()]
    assert [row["row"] for row in rejected] == [26, 28]
    assert f"context of {CONTEXT} tokens" in rejected[0]["reason"]


def test_a_response_that_is_too_long_keeps_its_beginning(lancet, study):
    code, out, _err = lancet("study", "create", "cut", "--model", "model", "--train", "train.jsonl", "--json")
    counts = json.loads(out)["counts"]
    assert code == 0
    assert (counts["samples"], counts["shortened"], counts["too_long"]) == (26, 1, 0)
    assert lancet("study", "delete", "cut", "--yes")[0] == 0


def test_the_tokens_of_a_sample_are_shown_with_those_that_count(lancet, study, stop_hosts):
    stop_hosts(study.workspace.folder)
    row = study.samples().iloc[0]
    tokens = json.loads(lancet("study", "tokens", "mine", row["id"], "--json")[1])["tokens"]
    assert "".join(token["text"] for token in tokens if token["counts"]) == f" {row['response']}</s>"
    assert "".join(token["text"] for token in tokens) == (
        f"<s>\n\nHuman: {row['prompt']}\n\nAssistant: {row['response']}</s>"
    )
    code, out, _err = lancet("study", "tokens", "mine", row["id"])
    assert code == 0
    assert len(out.splitlines()) == len(tokens) + 1
    code, _out, err = lancet("study", "tokens", "mine", "0123456789abcdef")
    assert code == 2
    assert "has no sample '0123456789abcdef'" in err


@pytest.mark.parametrize(
    ("option", "value", "words"),
    [
        ("--turns", "first", "turns is 'first'; accepted are last, all"),
        ("--too-long", "keep", "too_long is 'keep'; accepted are cut, reject"),
        ("--map", "prompt", "'prompt' names no column"),
        ("--template", "rag", "the template 'rag' is none of this model"),
    ],
)
def test_a_choice_that_is_none_is_told(lancet, study, option, value, words):
    code, _out, err = lancet(
        "study", "create", "no", "--model", "model", "--train", "train.jsonl", option, value
    )
    assert code == 2
    assert words in err
    assert len(list_studies(workspace=study.workspace)) == 1


@pytest.mark.parametrize(
    "command",
    [
        ("study", "create", "no", "--model", "model", "--train", "train.jsonl"),
        ("study", "look", "--model", "model", "--train", "train.jsonl"),
        ("study", "set", "mine"),
        ("train", "--model", "model", "--train", "train.jsonl"),
    ],
    ids=lambda command: " ".join(command[:2]),
)
def test_a_template_that_is_none_starts_no_worker(lancet, study, command):
    before = list_runs(study.workspace, RunFilter())
    code, _out, err = lancet(*command, "--template", "rag")
    assert code == 2
    assert "the template 'rag' is none of this model; it has auto, safe-rlhf, alpaca," in err
    assert list_runs(study.workspace, RunFilter()) == before


def test_a_name_is_taken_once_and_the_study_stays(lancet, study):
    code, _out, err = lancet("study", "create", "mine", "--model", "model", "--train", "train.jsonl")
    assert code == 2
    assert "already a study 'mine'" in err
    assert study.samples_file.is_file()


def test_people_see_tables_and_machines_json(lancet, study, place):
    assert "mine" in lancet("study", "list")[1]
    assert [row["name"] for row in json.loads(lancet("study", "list", "--json")[1])] == ["mine"]
    assert "no run yet" in lancet("runs", "list", "--act", "evaluate")[1]
    run_id = adopt_attribution(place, study).id
    assert run_id in lancet("runs", "list")[1]
    for flag in ("--act", "--operation"):
        assert [row["id"] for row in json.loads(lancet("runs", "list", flag, "attribute", "--json")[1])] == [
            run_id
        ]
    shown = json.loads(lancet("runs", "show", run_id, "--json")[1])
    assert (shown["status"]["state"], shown["outcome"], shown["result"]["candidates"]) == (
        "done",
        "25 samples scored",
        25,
    )
    assert shown["request"]["batch"] is True
    assert "25 samples scored" in lancet("runs", "show", run_id)[1]
    assert lancet("runs", "logs", run_id)[0] == 0
    code, _out, err = lancet("runs", "resume", run_id)
    assert code == 1
    assert "nothing to resume" in err


def test_a_run_of_another_version_is_shown_and_not_resumed(lancet, study, place):
    folder = adopt_attribution(place, study).record.folder
    config = (folder / "config.json").read_text()
    older = json.loads(config)
    older = {**older, "operation": older.pop("act"), "config": older.pop("request")}
    older.pop("subject")
    (folder / "config.json").write_text(json.dumps(older))
    code, out, _err = lancet("runs", "show", folder.name, "--json")
    assert (code, json.loads(out)["request"]["batch"]) == (0, True)
    workspace = open_workspace(place / "workspace")
    shutil.copytree(folder, folder.with_name("score-1"))
    register(workspace, NewRun("score-1", "score", key="k", study="mine"))
    code, out, err = lancet("runs", "show", "score-1", "--json")
    assert (code, json.loads(out)["result"]) == (0, None)
    assert "there is no act 'score'" in err
    shutil.copytree(folder, folder.with_name("attribute-1"))
    RunFolder(folder.with_name("attribute-1")).write_status(Status(FAILED, error="it died"))
    register(workspace, NewRun("attribute-1", "attribute", key="k", study="mine"))
    code, _out, err = lancet("runs", "resume", "attribute-1")
    assert (code, err.count("\n")) == (1, 1)
    assert "another version of LANCET" in err
    (folder / "config.json").write_text(config)
    for name in ("score-1", "attribute-1"):
        delete_run(workspace, name)


def test_generate_answers_the_same_for_the_same_seed(lancet, study):
    given = ("generate", "mine", "--prompt", "Is tea warm?", "--max-new-tokens", "6", "--json")
    code, out, _err = lancet(*given, "--temperature", "1", "--seed", "3")
    assert code == 0
    assert json.loads(out)["response"]
    assert lancet(*given, "--temperature", "1", "--seed", "3")[1] == out
    assert lancet("generate", "mine", "--prompt", " ")[0] == 2


def adopt_attribution(place, study, query=Query("a?", "b", group="0")):  # noqa: B008 - frozen
    """Enters an attribution whose scores are written here: of a batch where the query has a group."""
    request = AttributeRequest((query,), preset(recall="all"), batch=bool(query.group))
    task = Task("attribute", subject_of(study), request)
    done = launcher.find(study.workspace, task)
    if done is not None:
        return Run(study.workspace, done)
    ids = study.samples()["id"]
    ((_, name),) = request.grouped_queries
    table = pd.DataFrame({"query_id": name, "sample_id": ids, "influence": np.linspace(1, -0.9, len(ids))})
    table = table.assign(percentile=0.0, rank=np.arange(len(ids)) + 1)
    result = Attribution(candidates=len(ids), method="linfac-head", recall="all")
    return adopt(study, task, result, place / f"results-{name}", {SCORES: table})


def test_pairs_of_a_case_are_proposed_and_listed_for_it(lancet, study, place):
    case = Query("Is tea warm?", "No, never.")
    source = adopt_attribution(place, study, case).id
    assert lancet("pairs", "propose", "mine", "--attribution", source, "--count", "3")[0] == 0
    pairs = json.loads(lancet("pairs", "list", "mine", "--case", case.id, "--json")[1])["pairs"]
    strongest = study.samples()["id"].head(3).tolist()
    assert [pair["positive_id"] for pair in pairs][:3] == strongest
    assert pairs[0]["why"] == "strongest of 25 for this answer"
    assert "strongest of 25 for this answer" in lancet("pairs", "list", "mine", "--case", case.id)[1]
    code, _out, err = lancet("correct", "mine", "--case", case.id)
    assert code == 2
    assert "no pair is approved yet" in err


def test_pairs_are_proposed_listed_decided_and_exported(lancet, study, place):
    source = adopt_attribution(place, study).id
    code, out, err = lancet("pairs", "propose", "mine", "--attribution", source, "--count", "50")
    assert code == 0
    assert "pairs are up for review" in out
    assert "fewer than the 50 asked for" in err
    listed = json.loads(lancet("pairs", "list", "mine", "--json")[1])
    pair = listed["pairs"][0]
    assert pair["positive_influence"] > 0 > pair["negative_influence"]
    assert lancet("pairs", "decide", pair["pair_id"], "approve", "--reviewer", "ann")[0] == 0
    code, _out, err = lancet("pairs", "decide", pair["pair_id"], "reject", "--reviewer", "bob")
    assert code == 2
    assert "ann approved" in err
    assert "--replace" in err
    assert lancet("pairs", "decide", pair["pair_id"], "maybe")[0] == 2
    again = lancet("pairs", "decide", pair["pair_id"], "reject", "--reviewer", "bob", "--replace", "--json")
    assert [each["verdict"] for each in json.loads(again[1])["decisions"]] == ["reject"]
    assert lancet("pairs", "decide", pair["pair_id"], "approve", "--reviewer", "ann", "--replace")[0] == 0
    assert lancet("pairs", "export", "mine", place / "pairs.jsonl")[0] == 0
    (line,) = (place / "pairs.jsonl").read_text().splitlines()
    assert json.loads(line)["verdict"] == "approve"


def test_a_correction_needs_one_source_and_a_new_folder(lancet, study, place):
    for given, words in (
        (("--pairs", "a", "--attribution", "b"), "give one of them"),
        (("--pairs", place / "nowhere.jsonl"), "cannot be read"),
        (("--out", place), "is there already"),
    ):
        code, _out, err = lancet("correct", "mine", *given)
        assert code == 2
        assert words in err


def written_pairs(place, study):
    sides = study.samples()[["prompt", "response"]].to_dict("records")
    rows = [{"positive": sides[2 * n], "negative": sides[2 * n + 1]} for n in range(4)]
    return write_lines(place / "written.jsonl", rows)


def test_ctrl_c_cancels_the_run_and_ends_with_130(lancet, study, place):
    command = [LANCET, "correct", "mine", "--pairs", written_pairs(place, study), "--steps", "50000"]
    environment = {**os.environ, "LANCET_WORKSPACE": str(place / "workspace"), "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True)
    workspace = open_workspace(place / "workspace")
    deadline = time.monotonic() + 300
    while not any(run.state == "running" for run in list_runs(workspace, RunFilter(act="correct"))):
        assert time.monotonic() < deadline
        assert process.poll() is None, process.stderr.read()
        time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    _out, err = process.communicate(timeout=120)
    assert process.returncode == 130
    assert "Traceback" not in err
    (cancelled,) = list_runs(workspace, RunFilter(act="correct"))
    assert cancelled.state == "cancelled"
    assert lancet("runs", "resume", cancelled.id, "--no-wait")[0] == 0
    code, out, _err = lancet("runs", "cancel", cancelled.id, "--json")
    assert code == 0
    assert json.loads(out)["state"] == "cancelled"


def test_a_run_that_fails_ends_with_1_and_says_why(lancet, study, place):
    hidden = place / "hidden"
    (place / "model").rename(hidden)
    stop_host(open_workspace(place / "workspace"))
    code, _out, err = lancet("attribute", "mine", "--prompt", "a?", "--response", "b", "--candidates", "5")
    hidden.rename(place / "model")
    assert code == 1
    ahead, told = err.splitlines()
    assert ahead.startswith("scoring 5 of 25 samples")
    assert told.startswith("error: run attribute-")
    assert "model" in told


QUESTION = ("--prompt", "Is tea warm?", "--response", "Yes, nobody will mind.", "--candidates", "6")
SMALL = ("--dimensions", "8", "--basis-samples", "16")


def shards(study):
    return sorted(study.index_folder.rglob("projections-*.safetensors"))


def test_an_index_is_missed_built_shown_and_searched(lancet, study):
    assert "no gradient index; build it: lancet index build mine" in lancet("index", "show", "mine")[1]
    code, _out, err = lancet("attribute", "mine", *QUESTION, "--recall", "index")
    assert code == 2
    assert "no gradient index for linfac-head; build it with: lancet index build mine" in err
    code, out, err = lancet("index", "build", "mine", *SMALL)
    assert code == 0
    assert out.startswith("25 samples, 8 dimensions and ")
    assert "--recall index" in err
    (shown,) = json.loads(lancet("index", "show", "mine", "--json")[1])["indexes"]
    assert (shown["samples"], shown["dimensions"], shown["usable"]) == (25, 8, True)
    assert "linfac" in lancet("index", "show", "mine")[1]
    code, out, err = lancet("attribute", "mine", *QUESTION, "--recall", "index", "--json")
    assert code == 0
    summary = json.loads(out)["summary"]
    assert (summary["candidates"], summary["recall"]) == (6, "index")
    assert lancet("attribute", "mine", *QUESTION, "--recall", "index", "--damping", "0.5")[0] == 2


def test_notes_of_an_attribution_are_told_beside_its_result(lancet, study):
    _code, out, err = lancet("attribute", "mine", *QUESTION)
    assert "not tracked, share of the parameters" in err
    assert "the curvature was estimated from 25 samples" in err
    assert "not tracked" not in out


def test_a_ranking_is_told_beside_chance(lancet, study, place):
    rows = plain_rows(4)
    asked = (
        "--prompt",
        rows[0]["prompt"],
        "--response",
        rows[0]["response"],
        "--method",
        "bm25",
        "--recall",
        "all",
    )
    code, _out, err = lancet("attribute", "mine", *asked)
    assert (code, "average precision for unsafe samples" in err, "chance 0.250" in err) == (0, True, True)
    code, out, _err = lancet("audit", "mine", "--json", "--out", place / "curve.parquet")
    found = json.loads(out)
    assert (code, found["method"], found["chance"], found["scorer"]) == (0, "bm25", 0.25, None)
    assert found["beats_chance"] == (found["average_precision"]["low"] > found["chance"])
    assert len(pd.read_parquet(place / "curve.parquet")) == len(found["curve"])
    code, out, _err = lancet("audit", "mine", found["run"])
    assert (code, "average precision for unsafe samples" in out) == (0, True)
    assert lancet("audit", "mine", "nowhere")[0] == 2


def test_a_broken_shard_is_named_and_made_again(lancet, study):
    assert lancet("index", "build", "mine", *SMALL)[0] == 0
    unasked = ("--prompt", "Is tea cold?", *QUESTION[2:])
    (shard,) = shards(study)
    whole = shard.read_bytes()
    shard.write_bytes(whole[:-20])
    code, _out, err = lancet("attribute", "mine", *unasked, "--recall", "index")
    assert code == 1
    assert "shard 0 of projections of the gradient index" in err
    (basis,) = study.index_folder.rglob("basis-*.safetensors")
    before = basis.stat().st_mtime_ns
    assert json.loads(lancet("index", "build", "mine", *SMALL, "--json")[1])["summary"]["samples"] == 25
    assert shard.stat().st_size == len(whole)
    assert basis.stat().st_mtime_ns == before
    assert lancet("attribute", "mine", *unasked, "--recall", "index")[0] == 0


def test_an_index_of_another_model_is_told(lancet, study, place):
    assert lancet("index", "build", "mine", *SMALL)[0] == 0
    hidden = place / "hidden"
    (place / "model").rename(hidden)
    save_tiny_model("llama", place / "model", seed=1)
    code, _out, err = lancet("attribute", "mine", *QUESTION, "--recall", "index")
    shown = lancet("index", "show", "mine")
    shutil.rmtree(place / "model")
    hidden.rename(place / "model")
    assert code == 2
    assert "the model has changed since it was built" in err
    assert "the model has changed since it was built; build it again" in shown[2]


def test_delete_asks_and_takes_everything_along(lancet, study, place):
    code, _out, err = lancet("study", "delete", "mine")
    assert code == 2
    assert "give --yes" in err
    assert study.folder.is_dir()
    assert lancet("study", "delete", "mine", "--yes")[0] == 0
    assert not study.folder.exists()
    assert lancet("study", "show", "mine")[0] == 2


def test_a_part_of_the_answer_is_asked_about(study, lancet):
    asked = ("attribute", "mine", *QUESTION, "--json")
    whole, part = (json.loads(lancet(*asked, *more)[1]) for more in ((), ("--span", "nobody")))
    ids = [document["summary"]["queries"][0]["query_id"] for document in (whole, part)]
    assert ids[0] != ids[1]
    code, _out, err = lancet(*asked, "--span", "quagga")
    assert code == 1
    assert "'quagga' does not stand in the response" in err


def test_the_process_that_keeps_models_loaded_is_shown_and_ended(lancet, study):
    assert lancet("generate", "mine", "--prompt", "Why?", "--max-new-tokens", "2")[0] == 0
    code, out, _err = lancet("runs", "host", "--json")
    facts = json.loads(out)["host"]
    assert (code, [Path(model).name for model in facts["models"]]) == (0, ["model"])
    assert facts["memory"] > 10_000_000
    code, out, err = lancet("runs", "host", "--stop")
    assert (code, str(facts["pid"]) in out, "it is ended" in err) == (0, True, True)
    code, out, _err = lancet("runs", "host")
    assert (code, "no model is kept loaded" in out) == (0, True)
