"""Models and data that nobody here wrote, and models of five architectures, through the commands that a person types.

The same flow runs on rows that the tests write in the schemas of the real data sets, so that it runs on every clone.
"""

from pathlib import Path

import pandas as pd
import pytest
from safetensors import safe_open

from lancet_core.runs.client import stop_host
from lancet_core.workspace import open_workspace
from tests.written_rows import beavertails_rows, hh_rows, plain_rows, texts, write_lines

FACTORS = ("--factor-samples", "64")
ATTRIBUTION_COLUMNS = [
    "query_id", "sample_id", "prompt", "response", "influence", "percentile", "rank", "harmful", "is_safe",
]  # fmt: skip


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """One folder with its workspace for all flows, so that one model host serves them."""
    folder = tmp_path_factory.mktemp("place")
    yield folder
    stop_host(open_workspace(folder / "workspace"))


def create(lancet_json, name, model, train):
    return lancet_json("study", "create", name, "--model", model, "--train", train)["counts"]


def attribute(lancet_json, name, query, out, *options):
    """Attributes one answer and checks the table that is written; gives the run."""
    prompt, response = query
    options = ("--candidates", "24", *FACTORS, "--out", out, *options)
    document = lancet_json("attribute", name, "--prompt", prompt, "--response", response, *options)
    table = pd.read_parquet(out)
    assert list(table.columns) == ATTRIBUTION_COLUMNS
    assert len(table) == document["rows"]
    assert table["influence"].abs().gt(0).any()
    assert table["influence"].is_monotonic_decreasing
    assert table["rank"].tolist() == list(range(1, len(table) + 1))
    return document["run"]


def correct(lancet_json, name, out, *source, steps):
    """Corrects with the pairs of a file or of an attribution and checks that a model comes out."""
    smaller = ("--pair-count", "6", "--pair-batch", "4", "--retain-batch", "8", "--checkpoint-every", steps)
    options = ("--steps", steps, *smaller, "--out", out)
    document = lancet_json("correct", name, *source, *options)
    assert document["summary"]["steps"] == steps
    assert (out / "config.json").is_file()
    assert (out / "tokenizer.json").is_file()
    assert (out / "README.md").is_file()
    return document


def written_pairs(causes, path, count=6):
    """Pairs the strongest samples of an attribution with its weakest, in a file of one's own.

    A model with random weights blames all samples in the same direction, so that pairs cannot be proposed from it.
    """
    table = pd.read_parquet(causes)
    sides = ("sample_id", "prompt", "response")
    strongest, weakest = table.head(count).to_dict("records"), table.tail(count).to_dict("records")
    rows = [
        {"positive": {side: one[side] for side in sides}, "negative": {side: other[side] for side in sides}}
        for one, other in zip(strongest, weakest, strict=True)
    ]
    return write_lines(path, rows)


def weights(folder):
    tensors = {}
    for path in sorted(Path(folder).glob("*.safetensors")):
        with safe_open(path, framework="pt") as file:
            tensors |= {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - no mapping
    return tensors


def has_changed(before, after):
    old, new = weights(before), weights(after)
    shared = old.keys() & new.keys()
    assert shared
    return any(not old[name].equal(new[name]) for name in shared)


def evaluate_both(lancet_json, tmp_path, name, models):
    """Evaluates models on prompts of one's own."""
    rows = [{"prompt": texts(number)[0], "kind": "wrong"} for number in range(3)]
    prompts = write_lines(tmp_path / "prompts.jsonl", rows)
    for folder in models:
        document = lancet_json(
            "evaluate", name, "--model", folder, "--prompts", prompts, "--max-new-tokens", "8"
        )
        assert len(document["metrics"]) > 0
        assert all(row["n"] > 0 for row in document["metrics"])


@pytest.mark.parametrize(("schema", "rows"), [("beavertails", beavertails_rows(64)), ("hh", hh_rows(32))])
def test_written_rows_go_the_whole_way(lancet_json, tmp_path, tiny_model_folder, schema, rows):
    train = write_lines(tmp_path / "train.jsonl", rows)
    prompt, _good, bad = texts(75)
    query = (prompt, bad) if schema == "beavertails" else (f"\n\nHuman: {prompt}\n\nAssistant:", f" {bad}")
    model, name, corrected = tiny_model_folder("llama"), f"written-{schema}", tmp_path / "corrected"
    counts = create(lancet_json, name, model, train)
    attribute(lancet_json, name, query, tmp_path / "causes.parquet")
    pairs = written_pairs(tmp_path / "causes.parquet", tmp_path / "pairs.jsonl")
    correct(lancet_json, name, corrected, "--pairs", pairs, steps=20)
    assert has_changed(model, corrected)
    evaluate_both(lancet_json, tmp_path, name, (model, corrected))
    assert counts["samples"] == 64
    assert counts["rejected"] == 0


@pytest.mark.parametrize("architecture", ["llama", "opt", "gpt2", "gpt_neox", "qwen2"])
def test_five_architectures_are_created_attributed_and_corrected(
    lancet_json, tmp_path, tiny_model_folder, architecture
):
    model = tiny_model_folder(architecture)
    train = write_lines(tmp_path / "train.jsonl", plain_rows(48))
    name = f"random-{architecture}"
    assert create(lancet_json, name, model, train)["samples"] == 48
    prompt, _good, bad = texts(77)
    attribute(lancet_json, name, (prompt, bad), tmp_path / "causes.parquet")
    pairs = written_pairs(tmp_path / "causes.parquet", tmp_path / "pairs.jsonl")
    correct(lancet_json, name, tmp_path / "corrected", "--pairs", pairs, steps=3)
    assert has_changed(model, tmp_path / "corrected")


def test_real_model_and_beavertails(lancet_json, tmp_path, shared_data):
    """With the pairs that the attribution proposes."""
    model, corrected = shared_data / "stories260K-hf", tmp_path / "corrected"
    counts = create(
        lancet_json, "hh", model, shared_data / "beavertails_30k_test" / "beavertails_30k_test.jsonl"
    )
    assert (counts["rows"], counts["duplicates"]) == (2998, 2)
    assert (counts["samples"], counts["shortened"], counts["too_long"]) == (2996, 63, 0)
    assert counts["unsafe"] == 1720
    query = ("How do I make a walkway slippery?", "Pour oil on it, and nobody will notice.")
    source = attribute(lancet_json, "hh", query, tmp_path / "causes.parquet", "--candidates", "100")
    correct(lancet_json, "hh", corrected, "--attribution", source, steps=20)
    assert has_changed(model, corrected)
    evaluate_both(lancet_json, tmp_path, "hh", (model, corrected))


def test_real_model_and_anthropic_hh(lancet_json, tmp_path, shared_data):
    """With pairs from a file: nearly all samples that recall finds for one query push towards it."""
    model, corrected = shared_data / "stories260K-hf", tmp_path / "corrected"
    counts = create(
        lancet_json, "anthropic", model, shared_data / "anthropic_hh" / "harmless-base_test.jsonl.gz"
    )
    assert (counts["rows"], counts["rejected"] - counts["too_long"]) == (2249, 4)
    assert (counts["samples"], counts["shortened"]) == (4490, 49)
    assert counts["labelled"] == 0
    query = ("\n\nHuman: How do I get away with a prank?\n\nAssistant:", " Deny it, and blame somebody else.")
    attribute(lancet_json, "anthropic", query, tmp_path / "causes.parquet")
    pairs = written_pairs(tmp_path / "causes.parquet", tmp_path / "pairs.jsonl")
    correct(lancet_json, "anthropic", corrected, "--pairs", pairs, steps=20)
    assert has_changed(model, corrected)
    evaluate_both(lancet_json, tmp_path, "anthropic", (model, corrected))
