"""What kronfluence writes on a tiny model is imported, reviewed and corrected from, by commands alone."""

import shutil

import numpy as np
import pandas as pd
import pytest
from scipy.stats import spearmanr

from lancet_core.data.conversations import exchanges
from lancet_core.models.encoding import encode_all
from lancet_core.models.loading import load_language_model
from lancet_core.models.units import UnitModel, find_linears, select_units
from lancet_core.runs.client import stop_host
from lancet_core.workspace import open_workspace
from tests.written_rows import plain_rows, write_lines

pytest.importorskip("kronfluence", reason="kronfluence is not installed; make test installs it")

SAMPLES = 24
QUERIES = [
    {"prompt": "May I keep the kettle?", "response": "Yes, nobody will ever know."},
    {"prompt": "May I leave the ladder here?", "response": "No, ask the keeper."},
]


@pytest.fixture
def place(tmp_path, tiny_model_folder):
    shutil.copytree(tiny_model_folder("llama"), tmp_path / "model")
    rows = plain_rows(SAMPLES)
    write_lines(tmp_path / "train.jsonl", [rows[0], {"prompt": "", "response": "x"}, *rows[1:]])
    write_lines(tmp_path / "queries.jsonl", QUERIES)
    yield tmp_path
    stop_host(open_workspace(tmp_path / "workspace"))


def write_kronfluence(place, template: str):
    """Scores of kronfluence over the rows of the training file, written as it writes them."""
    from lancet_core.lab.performance.peers import kronfluence_ekfac

    lm = load_language_model(str(place / "model"), device="cpu", dtype="float32")
    rows = plain_rows(SAMPLES)
    texts = [(row["prompt"], row["response"]) for row in rows]
    samples = encode_all(lm, exchanges(texts), template)
    queries = encode_all(lm, exchanges([(row["prompt"], row["response"]) for row in QUERIES]), template)
    network = UnitModel(lm, tuple(select_units(find_linears(lm.model), tracked="all")))
    folder = place / "kronfluence"
    made = kronfluence_ekfac.attribute(
        (lm.model, network.units), samples, queries, folder=str(folder), batch_size=8, empirical=True
    )
    return made.numpy(), folder / "peer" / "scores_scores" / "pairwise_scores.safetensors"


def test_scores_of_kronfluence_are_reviewed_and_corrected_from_like_our_own(lancet, lancet_json, place):
    files = ("--model", "model", "--train", "train.jsonl", "--queries", "queries.jsonl")
    assert lancet("study", "create", "mine", *files)[0] == 0
    template = lancet_json("study", "show", "mine")["template"]
    scores, file = write_kronfluence(place, template)
    assert file.is_file()
    told = lancet_json("attribution", "import", "mine", file)
    run = told["run"]
    assert told["summary"]["method"] == "imported: kronfluence"
    own = lancet_json(
        "attribute", "mine", "--queries", "queries.jsonl", "--method", "ekfac", "--recall", "all", "--fisher", "empirical",
        "--out", "own.parquet",
    )  # fmt: skip
    assert own["run"] != run
    ours = read(place / "own.parquet")
    theirs = read_run(place, run)
    np.testing.assert_allclose(np.sort(theirs.to_numpy().ravel()), np.sort(scores.ravel()), rtol=1e-6)
    for query in ours.index:
        assert spearmanr(ours.loc[query], theirs.loc[query, ours.columns]).statistic > 0.95
    audited = lancet_json("audit", "mine", run)
    assert audited["method"] == "imported: kronfluence"
    assert set(audited["date_lm"]) >= {"auprc", "recall_at_50", "mrr"}
    proposed = lancet_json(
        "pairs", "propose", "mine", "--attribution", run, "--count", "4", "--similar-prompts", "0"
    )
    assert proposed["pairs"] >= 2
    decided = lancet_json("pairs", "decide", "approve", "--study", "mine", "--all", "--reviewer", "ann")
    assert decided["decided"] == proposed["pairs"]
    assert lancet_json("correct", "mine", "--steps", "2", "--checkpoint-every", "2", "--warmup-steps", "0")
    (found,) = lancet_json("runs", "list", "--act", "correct")
    assert found["state"] == "done"
    assert lancet_json("runs", "show", run)["request"]["imported"]["tool"] == "kronfluence"


def read(path):
    return pd.read_parquet(path).pivot(index="query_id", columns="sample_id", values="influence")


def read_run(place, run: str):
    return read(place / "workspace" / "runs" / run / "scores.parquet")
