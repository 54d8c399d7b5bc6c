"""Queries and prompts: one wrong row refuses the file and is named."""

import json

import pytest

from lancet_core.data.inputs import load_prompts, load_queries
from lancet_core.errors import DataError


def write(tmp_path, rows):
    path = tmp_path / "rows.jsonl"
    path.write_text("\n".join(json.dumps(row) for row in rows))
    return path


def test_queries_keep_order_polarity_and_group(tmp_path):
    first, second = (
        {"prompt": "a?", "response": "b"},
        {"prompt": "c?", "response": "d", "polarity": "desirable", "group": "g"},
    )
    queries = load_queries(write(tmp_path, [first, second, first]))
    assert [(query.prompt, query.polarity, query.group) for query in queries] == [
        ("a?", "undesirable", ""),
        ("c?", "desirable", "g"),
    ]


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ([], "holds no query"),
        ([{"prompt": "a?"}], "row 1: no column 'response'; columns found: prompt"),
        ([{"prompt": "a?", "response": ""}], "row 1: response is ''"),
        (
            [{"prompt": "a?", "response": "b", "polarity": "bad"}],
            "polarity is 'bad'; accepted are undesirable, desirable",
        ),
    ],
)
def test_a_wrong_queries_file_is_refused(tmp_path, rows, words):
    with pytest.raises(DataError, match=words):
        load_queries(write(tmp_path, rows))


def test_prompts_take_their_defaults_and_xstest_labels(tmp_path):
    frame = load_prompts(
        write(tmp_path, [{"prompt": "a?"}, {"prompt": "b?", "label": "unsafe"}, {"prompt": "a?"}])
    )
    assert frame[["prompt", "split", "kind"]].values.tolist() == [
        ["a?", "unseen", "unknown"],
        ["b?", "unseen", "wrong"],
    ]


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ([], "holds no prompt"),
        ([{"question": "a?"}], "no column 'prompt'; columns found: question"),
        ([{"prompt": "a?", "kind": "odd"}], "kind is 'odd'"),
        ([{"prompt": "a?", "split": "test"}], "split is 'test'"),
    ],
)
def test_a_wrong_prompts_file_is_refused(tmp_path, rows, words):
    with pytest.raises(DataError, match=words):
        load_prompts(write(tmp_path, rows))


def test_real_prompt_files(shared_data):
    assert load_prompts(shared_data / "xstest/xstest_prompts.csv")["kind"].value_counts().to_dict() == {
        "benign": 250,
        "wrong": 200,
    }
    assert len(load_prompts(shared_data / "beavertails_evaluation/BeaverTails-Evaluation.json")) == 650


@pytest.mark.parametrize("reference", [5, ["a"], {"a": 1}, True])
def test_a_reference_that_is_no_text_is_told(tmp_path, reference):
    path = write(tmp_path, [{"prompt": "a?", "reference": reference}])
    with pytest.raises(DataError, match="row 1: reference is"):
        load_prompts(path)
