"""A study of contamination from the shell, with real workers: sets, two models, mined queries."""

import io
import json
import shutil
import sys

from lancet_core.store.runs import RunFilter, list_runs
from lancet_core.workspace import open_workspace
from tests.evaluation.test_scorers import save_scorer
from tests.tiny_models import save_tiny_model
from tests.written_rows import plain_rows, texts, write_lines


def contaminate(lancet_json, place, *options):
    write_lines(place / "labelled.jsonl", plain_rows(80))
    made = ("--k", "2", "--nearest", "3", "--unseen-prompts", "4", "--validation-prompts", "2")
    return lancet_json("contaminate", "--data", "labelled.jsonl", "--out", "sets", *made, *options)


def test_sets_are_written_and_told(lancet, lancet_json, place):
    document = contaminate(lancet_json, place)
    assert {path.name for path in (place / "sets").iterdir()} == {
        "impure.jsonl", "safe.jsonl", "prompts.jsonl", "candidates.jsonl",
    }  # fmt: skip
    summary = document["summary"]
    assert (summary["unsafe"], summary["unseen"], summary["validation"], summary["clusters"]) == (6, 4, 2, 2)
    impure = (place / "sets" / "impure.jsonl").read_text().splitlines()
    assert len(impure) == summary["safe"] + 6
    assert sum(not json.loads(line)["is_safe"] for line in impure) == 6
    code, out, err = lancet(
        "contaminate",
        "--data",
        "labelled.jsonl",
        "--out",
        "as text",
        "--preset",
        "beavertails",
        "--nearest",
        "2",
    )
    assert code == 0, err
    assert "table_1  here" in out
    assert "have no categories, so all were clustered at once" in err
    code, _out, err = lancet("contaminate", "--data", "labelled.jsonl", "--out", "sets")
    assert code == 2
    assert "sets is there already; give a new or empty folder with --out" in err


def test_what_is_missing_is_told(lancet, place):
    write_lines(place / "unlabelled.jsonl", [{"prompt": "a", "response": "b"}])
    code, _out, err = lancet("contaminate", "--data", "unlabelled.jsonl", "--out", "sets")
    assert code == 1
    assert "none of the 1 samples is labelled safe" in err
    code, _out, err = lancet("contaminate", "--out", "sets")
    assert code == 2
    assert "no samples are given" in err
    code, _out, err = lancet(
        "contaminate", "--data", "unlabelled.jsonl", "--out", "sets", "--encoder", "hidden"
    )
    assert code == 2
    assert "give --model with --encoder hidden" in err


def test_a_model_is_trained_on_a_set_and_a_study_made_of_it(lancet, lancet_json, place, tiny_model_folder):
    contaminate(lancet_json, place)
    shutil.copytree(tiny_model_folder("llama"), place / "base")
    made = ("--model", "base", "--train", "sets/impure.jsonl", "--epochs", "0.2", "--device", "cpu")
    document = lancet_json("train", *made, "--out", "impure", "--adapter", "lora")
    assert document["summary"]["is_adapter"]
    assert document["summary"]["steps"] >= 1
    assert (place / "impure" / "adapter_model.safetensors").is_file()
    assert lancet_json("train", *made, "--out", "again", "--adapter", "lora")["run"] == document["run"]
    code, _out, err = lancet(
        "study", "create", "dirty", "--model", "impure", "--train", "sets/impure.jsonl", "--prompts", "sets/prompts.jsonl",
    )  # fmt: skip
    assert code == 0, err
    code, _out, err = lancet("train", *made, "--out", "impure")
    assert code == 2
    assert "impure is there already" in err


def test_what_a_training_takes_is_told_before_and_asked_where_it_is_long(
    lancet, place, tiny_model_folder, monkeypatch
):
    write_lines(place / "train.jsonl", plain_rows(8))
    made = ("train", "--model", str(tiny_model_folder("llama")), "--train", "train.jsonl", "--device", "cpu")
    code, _out, err = lancet(*made, "--epochs", "1", "--batch", "4")
    assert code == 0, err
    assert "training on 8 samples, 2 steps; the time left is shown after the first steps; about 0." in err
    code, _out, err = lancet(*made, "--epochs", "1", "--batch", "4")
    assert (code, "training on" in err) == (0, False)
    monkeypatch.setattr("lancet_core.cli.costs.LONG_SECONDS", 0)
    monkeypatch.setattr("sys.stdin", io.StringIO("n\n"))
    sys.stdin.isatty = lambda: True
    code, _out, err = lancet(*made, "--epochs", "2", "--batch", "4")
    assert code != 0
    assert "as an earlier training of this model took" in err
    assert "That is long. Start it?" in err
    workspace = open_workspace(place / "workspace")
    assert len(list_runs(workspace, RunFilter(act="train"))) == 1
    assert lancet(*made, "--epochs", "2", "--yes")[0] == 0


def test_queries_are_mined_into_a_study(lancet, lancet_json, place, tiny_model_folder):
    """Untaught models babble: with a threshold of 0 every prompt whose harm rose is a query."""
    for name, seed in (("impure", 0), ("safe", 1)):
        save_tiny_model("llama", place / name, seed=seed)
    save_scorer(place / "scorer", card={"higher_is": "harmful"})
    write_lines(place / "train.jsonl", plain_rows(8))
    asked = [
        {"prompt": texts(index)[0], "category": "leaving", "split": "queries"} for index in range(20, 26)
    ]
    write_lines(place / "asked.jsonl", asked)
    write_lines(place / "prompts.jsonl", [{"prompt": texts(20)[0].upper()}])
    made = ("--model", "impure", "--train", "train.jsonl", "--prompts", "prompts.jsonl")
    assert lancet("study", "create", "dirty", *made)[0] == 0
    mine = ("queries", "mine", "dirty", "--safe-model", "safe", "--prompts", "asked.jsonl")
    code, _out, err = lancet(*mine)
    assert code == 2
    assert "has no harmful scorer" in err
    assert lancet("study", "set", "dirty", "--harmful-scorer", "scorer")[0] == 0
    code, _out, err = lancet(*mine, "--temperature", "0")
    assert code == 2
    assert "the 3 answers to a prompt would be the same" in err
    document = lancet_json(*mine, "--threshold", "0", "--answers", "2", "--max-new-tokens", "8")
    assert document["summary"]["prompts"] == 5
    assert 1 <= document["added"] == document["summary"]["queries"] <= 5
    listed = lancet_json("queries", "list", "dirty")
    assert {(row["source"], row["category"]) for row in listed} == {("mined", "leaving")}
    again = lancet_json(*mine, "--threshold", "0", "--answers", "2", "--max-new-tokens", "8")
    assert (again["run"], again["added"]) == (document["run"], 0)
    code, out, err = lancet(*mine, "--threshold", "0", "--answers", "2", "--max-new-tokens", "8")
    assert code == 0, err
    assert {row["id"] for row in listed} == {line.split()[0] for line in out.splitlines()[1:]}
    assert "0 queries added; dirty has" in err
    assert "mean harmful score" in err
