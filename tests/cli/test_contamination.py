"""A study of contamination from the shell, with real workers: sets, two models, mined queries."""

import json

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
