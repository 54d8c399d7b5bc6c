"""Kinds of rows that people's data sets hold beside the cases: each is read as it was trained on, or rejected with what helps."""

import json

import pandas as pd
import pytest

from lancet_core.data.columns import parse_columns
from lancet_core.data.inputs import load_prompts, load_queries
from lancet_core.data.loading import survey_samples
from lancet_core.errors import DataError

S, U, A, T = "system", "user", "assistant", "tool"


def message(role, content, **more):
    return {"role": role, "content": content, **more}


def shared(*turns):
    return [{"from": role, "value": text} for role, text in turns]


ASK, SAY = message(U, "Hi?"), message(A, "Yo.")
TOOL = {"type": "function", "function": {"name": "w"}}
CALL = [{"function": {"name": "w", "arguments": "{}"}}]
EXCHANGE = [(U, "Hi?"), (A, "Yo.")]
WITH_SYSTEM = [(S, "Be brief."), *EXCHANGE]
TWO = [*EXCHANGE, (U, "And?"), (A, "So.")]


@pytest.fixture
def read(tmp_path):
    """Reads one row; gives what was loaded."""

    def loaded(row, columns=""):
        path = tmp_path / "rows.jsonl"
        path.write_text(json.dumps(row) + "\n")
        return survey_samples(path, columns=parse_columns(columns) if columns else None)

    return loaded


def turns_of(row):
    messages = json.loads(row["messages"]) if row["messages"] else [
        message(U, row["prompt"]), message(A, row["response"]),
    ]  # fmt: skip
    return [(each["role"], each["content"]) for each in messages]


CHATS = {
    "sharegpt, chatgpt": ({"conversations": shared(("human", "Hi?"), ("chatgpt", "Yo."))}, EXCHANGE),
    "sharegpt, bing": ({"conversations": shared(("user", "Hi?"), ("bing", "Yo."))}, EXCHANGE),
    "sharegpt, bard": ({"conversations": shared(("human", "Hi?"), ("bard", "Yo."))}, EXCHANGE),
    "openai in conversations": ({"conversations": [ASK, SAY]}, EXCHANGE),
    "sharegpt in messages": ({"messages": shared(("human", "Hi?"), ("gpt", "Yo."))}, EXCHANGE),
    "a column of another name": ({"id": 7, "dialog": [ASK, SAY]}, EXCHANGE),
    "speaker and text": ({"turns": [{"speaker": "user", "text": "Hi?"}, {"speaker": "assistant", "text": "Yo."}]}, EXCHANGE),
    "gemini": ({"contents": [{"role": "user", "parts": [{"text": "Hi?"}]}, {"role": "model", "parts": [{"text": "Yo."}]}]}, EXCHANGE),
    "content as one part": ({"messages": [{"role": U, "content": {"type": "text", "text": "Hi?"}}, SAY]}, EXCHANGE),
    "parts with empty columns": (
        {"messages": [{"role": U, "content": [{"type": "text", "text": "Hi?", "image": None}], "tool_calls": None}, SAY]}, EXCHANGE,
    ),
    "texts in turn": ({"id": "0", "data": ["Hi?", "Yo.", "And?", "So."]}, TWO),
    "pairs in turn": ({"conversation": [["Hi?", "Yo."], ["And?", "So."]]}, TWO),
    "roles and texts": ({"conversation": [["human", "Hi?"], ["gpt", "Yo."]]}, EXCHANGE),
    "both sides in one": ({"conversation": [{"human": "Hi?", "assistant": "Yo."}, {"human": "And?", "assistant": "So."}]}, TWO),
    "three in one": ({"conversation": [{"system": "Be brief.", "input": "Hi?", "output": "Yo."}]}, WITH_SYSTEM),
    "json": ({"messages": json.dumps([ASK, SAY], indent=1)}, EXCHANGE),
    "python": ({"messages": repr([ASK, SAY])}, EXCHANGE),
    "numpy": ({"messages": f"[{ASK} {SAY}]"}, EXCHANGE),
    "begins with the assistant": ({"messages": [SAY, ASK, SAY]}, [(A, "Yo."), *EXCHANGE]),
    "ends with the user": ({"messages": [ASK, SAY, ASK]}, [*EXCHANGE, (U, "Hi?")]),
    "two users in a row": ({"messages": [ASK, ASK, SAY]}, [(U, "Hi?"), *EXCHANGE]),
    "system in a column": ({"system": "Be brief.", "messages": [ASK, SAY]}, WITH_SYSTEM),
    "system said twice": ({"system": "Be long.", "messages": [message(S, "Be brief."), ASK, SAY]}, WITH_SYSTEM),
    "system prompt": ({"system_prompt": "Be brief.", "question": "Hi?", "response": "Yo."}, WITH_SYSTEM),
    "system of sharegpt": ({"system": "Be brief.", "conversations": shared(("human", "Hi?"), ("gpt", "Yo."))}, WITH_SYSTEM),
    "history": (
        {"instruction": "And?", "input": "", "output": "So.", "history": [["Hi?", "Yo."]], "system": ""}, TWO,
    ),
    "alpaca, null": ({"instruction": "Hi?", "input": None, "output": "Yo."}, EXCHANGE),
    "alpaca, nan": ({"instruction": "Hi?", "input": float("nan"), "output": "Yo."}, EXCHANGE),
    "alpaca, no instruction": ({"instruction": "", "input": "Hi?", "output": "Yo."}, EXCHANGE),
    "dolly": ({"instruction": "Hi", "context": "C", "response": "Yo.", "category": "qa"}, [(U, "Hi\n\nC"), (A, "Yo.")]),
    "input and output": ({"input": "Hi?", "output": "Yo."}, EXCHANGE),
    "inputs and targets": ({"inputs": "Hi?", "targets": "Yo."}, EXCHANGE),
    "capitals and spaces": ({" Prompt": "Hi?", "Response ": "Yo."}, EXCHANGE),
    "a name that is no conversation": ({"conversation": "a1", "prompt": "Hi?", "response": "Yo."}, EXCHANGE),
    "kto as messages": ({"prompt": [ASK], "completion": [SAY], "label": True}, EXCHANGE),
    "the answer alone as messages": ({"prompt": "Hi?", "completion": [SAY]}, EXCHANGE),
    "several turns for an answer": ({"prompt": "Hi?", "response": [SAY, message(U, "And?"), message(A, "So.")]}, TWO),
    "a part of another name": ({"messages": [message(U, [{"type": "text", "content": "Hi?"}]), SAY]}, EXCHANGE),
    "a tool that says nothing": (
        {"messages": [ASK, message(A, "", tool_calls=CALL), message(T, None), SAY]}, [(U, "Hi?"), (A, ""), (T, ""), (A, "Yo.")],
    ),
    "a sentence about messages": (
        {"prompt": '[{"role": "user", "content": "x"}] is what?', "response": "JSON."},
        [(U, '[{"role": "user", "content": "x"}] is what?'), (A, "JSON.")],
    ),
}  # fmt: skip


@pytest.mark.parametrize(("row", "turns"), CHATS.values(), ids=CHATS)
def test_a_conversation_is_read_in_the_forms_that_people_have(read, row, turns):
    loaded = read(row)
    assert loaded.rejected == []
    assert [turns_of(sample) for sample in loaded.frame.to_dict("records")] == [turns]


def test_tools_weights_and_thoughts_stay_with_the_messages(read):
    rows = [
        message(U, "Hi?"),
        message(A, "No.", weight=0),
        message(U, "?"),
        message(A, "Yo.", thinking="Hm.", weight=1),
    ]
    (sample,) = read({"messages": rows, "tools": json.dumps([TOOL])}).frame.to_dict("records")
    assert json.loads(sample["messages"]) == [
        {**rows[0], "tools": [TOOL]}, rows[1], rows[2], message(A, "Yo.", thinking="Hm."),
    ]  # fmt: skip
    (sample,) = read(
        {"messages": [*rows[:3], {**SAY, "weight": 0}, ASK, SAY, ASK, {**SAY, "weight": 0}]}
    ).frame.to_dict("records")
    assert sample["response"] == "Yo."
    assert sample["prompt"].endswith("[user] Hi?")
    assert sample["prompt"].count("[assistant]") == 2


def test_calls_of_tools_are_messages_of_the_assistant(read):
    call = {"name": "w", "arguments": "{}"}
    shapes = (
        shared(("human", "Hi?"), ("function_call", json.dumps(call)), ("observation", "sun"), ("gpt", "Yo.")),
        [ASK, {"role": A, "content": None, "function_call": call}, message("function", "sun"), SAY],
    )
    for shape in shapes:
        (sample,) = read({"conversations": shape}).frame.to_dict("records")
        assert json.loads(sample["messages"]) == [
            ASK,
            {"role": A, "content": None, "tool_calls": [{"type": "function", "function": call}]},
            message(T, "sun"),
            SAY,
        ]


REJECTED = {
    "empty at the end": ({"messages": [ASK, SAY, ASK, message(A, "")]}, "its last message is empty"),
    "a call at the end": ({"messages": [ASK, SAY, ASK, message(A, None, tool_calls=CALL)]}, "holds tool calls and no text"),
    "no message": ({"messages": []}, "messages is empty"),
    "nothing in a side": ({"prompt": "Hi?", "chosen": "Yo.", "rejected": None}, "rejected is empty"),
    "thoughts as a part": ({"messages": [ASK, message(A, [{"type": "thinking", "thinking": "Hm."}])]}, "no text but thinking"),
    "nothing counts": ({"messages": [ASK, {**SAY, "weight": 0}]}, "the weight of each is 0"),
    "half a weight": ({"messages": [ASK, {**SAY, "weight": 0.5}]}, "the weight of messages, message 2 is 0.5"),
    "unknown roles": ({"messages": [message("alice", "Hi?"), message("bob", "Yo.")]}, "its roles are alice, bob"),
    "an image": ({"messages": [message(U, [{"type": "image_url", "image_url": {}}]), SAY]}, "no text but image_url"),
    "a sound": ({"messages": [message(U, [{"type": "input_audio"}]), SAY]}, "no text but input_audio"),
    "cut off": ({"prompt": "Hi?", "chosen": json.dumps([ASK, SAY])[:-3], "rejected": "No."}, "chosen has broken JSON"),
    "two conversations": ({"conversation_a": [ASK, SAY], "conversation_b": [ASK, SAY], "winner": "a"}, "--map messages=conversation_a"),
    "questions alone": ({"question_id": 81, "turns": ["Write.", "Again."]}, "name others with --map"),
    "one message": ({"message_id": "1", "text": "Hi", "role": "prompter"}, "name others with --map"),
    "no prompt": ({"user_query": "Hi?", "chosen": "Yo.", "rejected": "No."}, "chosen is an answer without a prompt; name others with --map prompt="),
    "no response": ({"question": "Hi?", "GPT4_response": "Yo."}, "no column 'response'"),
    "two answers": ({"prompt": "Hi?", "response_1": "Yo.", "response_2": "No."}, "--map response="),
    "an empty side": ({"prompt": "Hi?", "response_0": "Yo.", "response_1": ""}, "response_1 is empty"),
    "scores of categories": ({"prompt": "Hi?", "response": "Yo.", "category": {"hate": 0.93}}, "category holds 0.93"),
}  # fmt: skip


@pytest.mark.parametrize(("row", "reason"), REJECTED.values(), ids=REJECTED)
def test_what_cannot_be_known_is_rejected_with_what_helps(read, row, reason):
    loaded = read(row)
    assert loaded.frame.empty
    assert reason in loaded.rejected[0].reason


BEGUN = "\n\nHuman: Hi\n\nAssistant:"
PAIRS = {
    "with the prompt in the sides": (
        {"prompt": "Hi?", "chosen": [ASK, SAY], "rejected": [ASK, message(A, "No.")], "messages": [ASK, SAY], "score_chosen": 8.0},
        "preference", ["Hi?"], ["Yo.", "No."],
    ),
    "orca": ({"system": "S", "question": "Hi?", "chosen": "Yo.", "rejected": "No."}, "preference", ["[system] S\n\n[user] Hi?"], ["Yo.", "No."]),
    "input": ({"system": "S", "input": "Hi?", "chosen": "Yo.", "rejected": "No."}, "preference", ["[system] S\n\n[user] Hi?"], ["Yo.", "No."]),
    "system beside whole sides": (
        {"system": "S", "chosen": [ASK, SAY], "rejected": [ASK, message(A, "No.")]}, "preference", ["[system] S\n\n[user] Hi?"], ["Yo.", "No."],
    ),
    "sides of one message": ({"prompt": "Hi?", "chosen": SAY, "rejected": message(A, "No.")}, "preference", ["Hi?"], ["Yo.", "No."]),
    "sides as python": (
        {"prompt": "Hi?", "chosen": repr([ASK, SAY]), "rejected": repr([ASK, message(A, "No.")])}, "preference", ["Hi?"], ["Yo.", "No."],
    ),
    "hh with its prompt apart": ({"prompt": BEGUN, "response": " Yo.", "chosen": " Yo.", "rejected": " No."}, "hh", [BEGUN], [" Yo.", " No."]),
    "hh that ends with the human": ({"chosen": BEGUN + " Yo.\n\nHuman: Bye", "rejected": BEGUN + " No. "}, "hh", [BEGUN], [" Yo.", " No. "]),
}  # fmt: skip


@pytest.mark.parametrize(("row", "format", "prompts", "responses"), PAIRS.values(), ids=PAIRS)
def test_preferences_are_read_in_the_forms_that_people_have(read, row, format, prompts, responses):
    loaded = read(row)
    assert (loaded.format, loaded.rejected) == (format, [])
    assert list(dict.fromkeys(loaded.frame["prompt"])) == prompts
    assert loaded.frame["response"].tolist() == responses
    assert loaded.frame["pair_id"].nunique() == 1
    assert loaded.frame["is_safe"].isna().all()


@pytest.mark.parametrize(
    ("row", "prompt", "response"),
    [
        ({"transcript": BEGUN + " Yo.\n\nHuman: And?\n\nAssistant: So.", "rating": 4.0}, BEGUN + " Yo.\n\nHuman: And?\n\nAssistant:", " So."),
        ({"transcript": BEGUN + " Yo.\n\nHuman: And?"}, BEGUN, " Yo."),
        ({"prompt": BEGUN, "response": " Yo."}, BEGUN, " Yo."),
        ({"prompt": BEGUN + " ", "completion": "Yo."}, BEGUN, " Yo."),
    ],
)  # fmt: skip
def test_one_dialogue_is_one_sample_that_no_template_wraps(read, row, prompt, response):
    loaded = read(row)
    assert (loaded.format, loaded.rejected) == ("hh", [])
    assert (loaded.frame["prompt"].tolist(), loaded.frame["response"].tolist()) == ([prompt], [response])


PLAIN = {"prompt": "a?", "response": "b"}


@pytest.mark.parametrize(
    ("values", "label"),
    [
        ({"is_safe": " True "}, True), ({"is_safe": "Unsafe "}, False), ({"is_safe": "not harmful"}, True),
        ({"is_safe": "Not_Safe"}, False), ({"is_safe": "non-toxic"}, True), ({"is_safe": "n/a"}, None), ({"is_safe": "None"}, None),
        ({"is_safe": "unknown"}, None), ({"is_safe": "T"}, True), ({"Is Safe": "0.0"}, False), ({"label": "True"}, None),
        ({"label": "Not harmful"}, True), ({"response_label": "unsafe", "prompt_label": "safe"}, False),
        ({"severity": "0"}, True), ({"severity": "3"}, False), ({"severity": "high"}, None), ({"severity": -1}, None),
        ({"severity": 1e999}, None), ({"severity_category": 2}, False),
    ],
)  # fmt: skip
def test_labels_are_read_however_they_were_typed(read, values, label):
    (found,) = read({**PLAIN, **values}).frame["is_safe"]
    assert (None if found is pd.NA else bool(found)) is label


@pytest.mark.parametrize("value", [2, -1, "controversial", {"label": "unsafe"}, [True], 1e999])
def test_a_label_that_says_neither_rejects_its_row(read, value):
    assert "is_safe is" in read({**PLAIN, "is_safe": value}).rejected[0].reason


@pytest.mark.parametrize(
    ("category", "names"),
    [
        ({"a": False, "b": True, "c": None}, ["b"]), ({"a": "False", "b": "True"}, ["b"]), ({"a": 0, "b": 1.0}, ["b"]),
        ("{'a': False, 'b,c': True}", ["b,c"]), ('{"a": false, "b": true}', ["b"]), ("['a', 'b']", ["a", "b"]), ("['a' 'b c']", ["a", "b c"]), ([], []),
        (3, ["3"]), ([3, 12.0], ["3", "12"]), ("[odd", ["[odd"]), ("violence, hate", ["violence, hate"]),
    ],
)  # fmt: skip
def test_categories_are_read_however_they_were_written(read, category, names):
    (found,) = read({**PLAIN, "category": category}).frame["categories"]
    assert list(found) == names


MAPPED = {
    "do-not-answer": (
        {"risk_area": "r", "question": "Hi?", "GPT4_response": "No.", "GPT4_harmful": "0"},
        "prompt=question,response=GPT4_response,label=GPT4_harmful:inverted,category=risk_area", [("Hi?", "No.", True, ["r"])],
    ),
    "toxicchat": (
        {"user_input": "Hi?", "model_output": "Yo.", "toxicity": 1},
        "prompt=user_input,response=model_output,label=toxicity:inverted", [("Hi?", "Yo.", False, [])],
    ),
    "over messages": ({"messages": [ASK, SAY], "q": "a?", "a": "b"}, "prompt=q,response=a", [("a?", "b", None, [])]),
    "over sides": ({"prompt": "x", "chosen": "c", "rejected": "d", "a": "b"}, "prompt=prompt,response=a", [("x", "b", None, [])]),
    "over a prompt": ({"prompt": "x", "response": "y", "talk": [ASK, SAY]}, "messages=talk", [("Hi?", "Yo.", None, [])]),
    "one of pku's": ({"prompt": "x", "response_0": "y", "response_1": "z"}, "response=response_1", [("x", "z", None, [])]),
    "two sides": (
        {"history": "Hi?", "ref_A": "Yo.", "ref_B": "No."}, "prompt=history,chosen=ref_A,rejected=ref_B",
        [("Hi?", "Yo.", None, []), ("Hi?", "No.", None, [])],
    ),
    "a system message": (
        {"prompt": "Hi?", "response": "Yo.", "persona": "S"}, "system=persona", [("[system] S\n\n[user] Hi?", "Yo.", None, [])],
    ),
    "inside": (
        {"question": "Hi?", "answers": {"text": ["Yo."]}, "judged": {"unsafe": True}},
        "response=answers.text.0,label=judged.unsafe:inverted", [("Hi?", "Yo.", False, [])],
    ),
}  # fmt: skip


@pytest.mark.parametrize(("row", "columns", "samples"), MAPPED.values(), ids=MAPPED)
def test_what_is_named_by_hand_comes_before_what_else_stands_in_a_row(read, row, columns, samples):
    loaded = read(row, columns)
    assert loaded.rejected == []
    labels = loaded.frame["is_safe"].astype(object).where(loaded.frame["is_safe"].notna(), None)
    categories = map(list, loaded.frame["categories"])
    found = list(zip(loaded.frame["prompt"], loaded.frame["response"], labels, categories, strict=True))
    assert found == samples


def test_queries_and_prompts_are_read_in_the_same_forms(tmp_path):
    path = tmp_path / "rows.jsonl"
    queries = [
        {"system": "S", "input": "Hi?", "output": "Yo."},
        {"transcript": BEGUN + " Yo."},
        {"messages": repr([ASK, SAY])},
    ]
    path.write_text("\n".join(map(json.dumps, queries)))
    found = [(query.prompt, query.response) for query in load_queries(path)]
    assert found == [("[system] S\n\n[user] Hi?", "Yo."), (BEGUN, " Yo."), ("Hi?", "Yo.")]
    prompts = [
        {"instruction": "Sum.", "input": "A text."},
        {"messages": [ASK]},
        {"system": "S", "question": "Hi?", "category": {"a": True}},
    ]
    path.write_text("\n".join(map(json.dumps, prompts)))
    frame = load_prompts(path)
    assert frame["prompt"].tolist() == ["Sum.\n\nA text.", "Hi?", "[system] S\n\n[user] Hi?"]
    assert frame["category"].tolist() == ["", "", "a"]
    path.write_text(json.dumps({"prompt": "Hi?", "response_0": "Yo.", "response_1": "No."}))
    with pytest.raises(DataError, match="row 1: the row holds 2 answers"):
        load_queries(path)
