"""A study of contamination from the shell, with real workers: sets, two models, mined queries."""

import json
import shutil

from tests.written_rows import plain_rows, write_lines


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
