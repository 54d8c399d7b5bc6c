"""Queries and prompts: one wrong row refuses the file and is named."""

import json

import pytest

from lancet_core.data.inputs import load_prompts, load_queries
from lancet_core.data.samples import Query
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


TURNS = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "One?"},
    {"role": "assistant", "content": "Yes."},
    {"role": "user", "content": "Two?"},
]
ANSWER = {"role": "assistant", "content": "No."}


@pytest.mark.parametrize(
    "row",
    [
        {"messages": [*TURNS, ANSWER]},
        {"messages": json.dumps([*TURNS, ANSWER])},
        {"prompt": TURNS, "completion": [ANSWER]},
        {
            "conversations": [
                {
                    "from": {"user": "human", "assistant": "gpt"}.get(turn["role"], turn["role"]),
                    "value": turn["content"],
                }
                for turn in [*TURNS, ANSWER]
            ]
        },
    ],
)
def test_a_query_may_be_a_whole_conversation(tmp_path, row):
    (query,) = load_queries(write(tmp_path, [row | {"category": "numbers"}]))
    assert list(query.conversation.messages) == [*TURNS, ANSWER]
    assert json.loads(query.history) == TURNS
    assert (query.response, query.category) == ("No.", "numbers")
    assert query == Query.of([*TURNS, ANSWER], category="numbers")
    assert query.id != Query(query.prompt, query.response).id


def test_messages_of_one_prompt_are_a_plain_query(tmp_path):
    (query,) = load_queries(write(tmp_path, [{"messages": [TURNS[1], ANSWER]}]))
    assert query == Query("One?", "No.")
    assert (query.history, query.id) == ("", Query("One?", "No.").id)


def test_messages_that_end_with_a_question_are_no_query():
    with pytest.raises(DataError, match="ends with a message of the user"):
        Query.of(TURNS)


@pytest.mark.parametrize("row", [{"prompt": TURNS}, {"messages": TURNS}, {"prompt": json.dumps(TURNS)}])
def test_a_prompt_may_be_messages(tmp_path, row):
    frame = load_prompts(write(tmp_path, [row, {"prompt": "Two?"}, {"prompt": [TURNS[1]]}]))
    assert json.loads(frame["history"][0]) == TURNS
    assert frame["prompt"].tolist()[1:] == ["Two?", "One?"]
    assert frame["history"].tolist()[1:] == ["", ""]


def test_a_prompt_that_ends_with_an_answer_is_refused(tmp_path):
    with pytest.raises(DataError, match="row 1: the last message is the assistant's"):
        load_prompts(write(tmp_path, [{"messages": [*TURNS, ANSWER]}]))


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
        ([{"subject": "a?"}], "no column 'prompt'; columns found: subject"),
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
