"""Small inputs that stand for kinds that people bring, each with its right answer."""

import json

import pytest

from lancet_core.data.inputs import load_prompts, load_queries
from lancet_core.data.loading import load_samples
from lancet_core.data.samples import Query
from lancet_core.errors import DataError
from lancet_core.influence.recall import most_similar, word_similarities


@pytest.mark.parametrize(
    ("name", "samples", "pairs"),
    [
        ("chat_five_turns.jsonl", [("[user] Two?", "Also.")], 0),
        ("chat_parts.jsonl", [("One?", "Yes.")], 0),
        ("chat_tool_call.jsonl", [("[tool] sun", "Sunny.")], 0),
        ("sharegpt.jsonl", [("Hi?", "Hello.")], 0),
        ("preference_messages.jsonl", [("Hi?", "Hello."), ("Hi?", "Go.")], 1),
        ("preference_texts.jsonl", [("Hi?", "Hello."), ("Hi?", "Go away.")], 1),
        ("kto_rows.jsonl", [("Hi?", "Hello."), ("Hi?", "Go away.")], 0),
        (
            "question_answer_named.json",
            [("Who wrote it?", "Nobody knows."), ("When?", "Long ago.")],
            0,
        ),
    ],
)
def test_a_file_is_read_as_its_samples(shared_cases, name, samples, pairs):
    loaded = load_samples(shared_cases / name)
    frame = loaded.frame
    assert loaded.rejected == []
    assert [
        (prompt.rpartition("\n\n")[2], response)
        for prompt, response in zip(frame["prompt"], frame["response"], strict=True)
    ] == samples
    assert frame["pair_id"].nunique() == pairs
    assert not frame["prompt"].str.contains("Human:").any()


def test_the_whole_conversation_is_kept(shared_cases):
    (row,) = load_samples(shared_cases / "chat_tool_call.jsonl").frame.to_dict("records")
    messages = json.loads(row["messages"])
    assert [message["role"] for message in messages] == ["user", "assistant", "tool", "assistant"]
    assert messages[1]["tool_calls"][0]["function"]["name"] == "w"


def test_labels_are_read_in_all_their_forms(shared_cases):
    labels = load_samples(shared_cases / "labels.jsonl").frame["is_safe"]
    assert labels.astype(object).where(labels.notna(), None).tolist() == [
        True,
        False,
        None,
        True,
        False,
        True,
    ]


def test_half_a_character_rejects_its_row(shared_cases):
    path = shared_cases / "lone_surrogate.jsonl"
    loaded = load_samples(path)
    assert (len(loaded.frame), [rejected.row for rejected in loaded.rejected]) == (1, [2])
    assert "surrogate" in loaded.rejected[0].reason
    for load in (load_queries, load_prompts):
        with pytest.raises(DataError, match=r"row 2: .*surrogate"):
            load(path)


def test_a_chinese_query_finds_its_sample(shared_cases):
    samples = load_samples(shared_cases / "chinese.jsonl").frame
    asked = [Query("生锈的水壶怎么清洗", "用醋")]
    for kind in ("tfidf", "bm25"):
        similarity = word_similarities(kind, samples, asked, text="prompt+response")
        assert most_similar(similarity[0], 2)[0] == 0
