"""Ten hand-written rows of each schema, the traps of the real ones, and the real files where they lie."""

import json

import pandas as pd
import pytest

from lancet_core.data.adapters import FORMATS, detect_format, split_dialogue
from lancet_core.data.columns import ColumnMap, parse_columns, write_columns
from lancet_core.data.loading import load_samples
from lancet_core.errors import ConfigError, DataError

CATEGORIES = ("animal_abuse", "controversial_topics,politics", "self_harm")


def write(tmp_path, rows):
    path = tmp_path / "rows.jsonl"
    path.write_text("\n".join(row if isinstance(row, str) else json.dumps(row) for row in rows))
    return path


def beavertails_rows(count=10):
    return [
        {
            "prompt": f"Question {n}?",
            "response": f"Answer {n}.",
            "category": {name: place == n % 4 for place, name in enumerate(CATEGORIES)},
            "is_safe": n % 4 == 3,
        }
        for n in range(count)
    ]


def hh_rows(count=10):
    start = "\n\nHuman: Hello {n}\n\nAssistant: Hi.\n\nHuman: And now?\n\nAssistant:"
    return [
        {"chosen": start.format(n=n) + " Tea.", "rejected": start.format(n=n) + f" Coffee {n}."}
        for n in range(count)
    ]


def plain_rows(count=10):
    return [
        {"prompt": f"Question {n}?", "response": f"Answer {n}.", "is_safe": n % 2 == 0} for n in range(count)
    ]


@pytest.mark.parametrize(
    ("rows", "format", "samples"),
    [(plain_rows(), "plain", 10), (beavertails_rows(), "plain", 10), (hh_rows(), "hh", 20)],
)
def test_ten_rows_of_each_format(tmp_path, rows, format, samples):
    loaded = load_samples(write(tmp_path, rows))
    assert (loaded.format, len(loaded.frame), loaded.rejected, loaded.rows) == (format, samples, [], 10)
    assert detect_format(rows[0]) == format
    assert load_samples(write(tmp_path, rows), format).frame.equals(loaded.frame)


def test_beavertails_keeps_labels_and_categories_with_commas(tmp_path):
    frame = load_samples(write(tmp_path, beavertails_rows())).frame
    assert frame["is_safe"].tolist() == [n % 4 == 3 for n in range(10)]
    assert list(frame["categories"][1]) == ["controversial_topics,politics"]
    assert list(frame["categories"][3]) == []


def test_hh_splits_each_side_at_its_own_last_answer(tmp_path):
    row = {
        "chosen": "\n\nHuman: One?\n\nAssistant: Yes.\n\nHuman: Two?\n\nAssistant: Two.",
        "rejected": "\n\nHuman: One?\n\nAssistant: No.",
    }
    frame = load_samples(write(tmp_path, [row])).frame
    assert frame["prompt"].tolist() == [
        "\n\nHuman: One?\n\nAssistant: Yes.\n\nHuman: Two?\n\nAssistant:",
        "\n\nHuman: One?\n\nAssistant:",
    ]
    assert frame["response"].tolist() == [" Two.", " No."]
    assert frame["pair_id"].nunique() == 1
    assert frame["is_safe"].isna().all()


def test_an_instruction_and_what_it_is_about_are_one_prompt(tmp_path):
    row = {"instruction": "Sum up.", "input": "A long text.", "output": "Short.", "author": "me"}
    frame = load_samples(write(tmp_path, [row])).frame
    assert frame["prompt"].tolist() == ["Sum up.\n\nA long text."]
    assert frame["response"].tolist() == ["Short."]
    assert json.loads(frame["extra"][0]) == {"author": "me"}


SYSTEM, ONE, YES, TWO, ALSO = (
    {"role": role, "content": content}
    for role, content in (
        ("system", "Be brief."), ("user", "One?"), ("assistant", "Yes."), ("user", "Two?"), ("assistant", "Also."),
    )
)  # fmt: skip
PARTS = {"role": "user", "content": [{"type": "text", "text": "On"}, {"type": "text", "text": "e?"}]}
CALL = {"role": "assistant", "content": None, "tool_calls": [{"function": {"name": "w", "arguments": "{}"}}]}
TOOL = {"role": "tool", "content": "sun"}


@pytest.mark.parametrize(
    ("row", "format", "samples"),
    [
        ({"messages": [ONE, YES]}, "messages", [("One?", "Yes.", False)]),
        ({"messages": [PARTS, YES]}, "messages", [("One?", "Yes.", False)]),
        ({"messages": json.dumps([ONE, YES])}, "messages", [("One?", "Yes.", False)]),
        ({"messages": [ONE, YES], "prompt": "One?", "response": ""}, "messages", [("One?", "Yes.", False)]),
        ({"messages": None, "prompt": "One?", "response": "Yes."}, "plain", [("One?", "Yes.", False)]),
        (
            {"messages": [SYSTEM, ONE, YES, TWO, ALSO]}, "messages",
            [("[system] Be brief.\n\n[user] One?\n\n[assistant] Yes.\n\n[user] Two?", "Also.", True)],
        ),
        ({"messages": [ONE, CALL, TOOL, ALSO]}, "messages", [(
            '[user] One?\n\n[assistant] [{"function": {"name": "w", "arguments": "{}"}}]\n\n[tool] sun', "Also.", True,
        )]),
        ({"conversations": [{"from": "human", "value": "Hi?"}, {"from": "gpt", "value": "Hello."}]}, "messages",
         [("Hi?", "Hello.", False)]),
        ({"prompt": [ONE], "completion": [YES]}, "messages", [("One?", "Yes.", False)]),
        ({"prompt": [SYSTEM, ONE], "response": "Yes."}, "messages", [("[system] Be brief.\n\n[user] One?", "Yes.", True)]),
        ({"prompt": "Hi?", "chosen": "Hello.", "rejected": "Go."}, "preference", [("Hi?", "Hello.", False), ("Hi?", "Go.", False)]),
        ({"chosen": [ONE, YES], "rejected": [ONE, ALSO]}, "preference", [("One?", "Yes.", False), ("One?", "Also.", False)]),
        ({"prompt": "One?", "chosen": [ONE, YES], "rejected": [ONE, ALSO], "messages": [ONE, YES]}, "preference",
         [("One?", "Yes.", False), ("One?", "Also.", False)]),
        ({"prompt": [ONE], "chosen": [YES], "rejected": [ALSO]}, "preference", [("One?", "Yes.", False), ("One?", "Also.", False)]),
        ({"question": "Who?", "answer": "I."}, "plain", [("Who?", "I.", False)]),
        ({"prompt": "Hi?", "completion": "Hello.", "label": True}, "plain", [("Hi?", "Hello.", False)]),
        ({"prompt": "Hi?", "response": None, "question": "", "completion": "Hello."}, "plain", [("Hi?", "Hello.", False)]),
    ],
)  # fmt: skip
def test_a_row_is_read_by_what_stands_in_it(tmp_path, row, format, samples):
    loaded = load_samples(write(tmp_path, [row]))
    frame = loaded.frame
    assert (loaded.format, loaded.rejected) == (format, [])
    found = zip(frame["prompt"], frame["response"], frame["messages"] != "", strict=True)
    assert list(found) == samples
    assert frame["is_safe"].isna().all()
    assert frame["pair_id"].notna().tolist() == [len(samples) == 2] * len(samples)
    assert frame["pair_id"].nunique() == (len(samples) == 2)


def test_both_sides_of_a_pku_row_have_their_own_label(tmp_path):
    row = {
        "prompt": "How?", "response_0": "So.", "response_1": "No.",
        "is_response_0_safe": False, "is_response_1_safe": True, "better_response_id": 1,
        "response_0_harm_category": {"Violence": True, "Drugs": False}, "response_1_harm_category": {"Violence": False},
        "response_0_severity_level": 2, "response_1_severity_level": 0,
    }  # fmt: skip
    loaded = load_samples(write(tmp_path, [row]))
    assert (loaded.format, loaded.frame["response"].tolist()) == ("pku", ["So.", "No."])
    assert loaded.frame["is_safe"].tolist() == [False, True]
    assert list(map(list, loaded.frame["categories"])) == [["Violence"], []]
    assert loaded.frame["pair_id"].nunique() == 1
    assert [json.loads(extra)["severity_level"] for extra in loaded.frame["extra"]] == [2, 0]


@pytest.mark.parametrize(
    ("values", "label"),
    [
        ({"is_safe": 1.0}, True), ({"is_safe": 0.0}, False), ({"is_safe": None}, None), ({"is_safe": ""}, None),
        ({"is_safe": float("nan")}, None), ({"is_safe": "1"}, True), ({"is_safe": "0.0"}, False), ({"is_safe": "no"}, False),
        ({"is_safe": "safe"}, True), ({"is_safe": "Unsafe"}, False), ({"is_safe": "unharmful"}, True),
        ({"response_harm_label": "harmful"}, False), ({"label": "unsafe"}, False), ({"label": True}, None), ({"label": "spam"}, None),
        ({"severity_level": 0}, True), ({"severity_level": 3}, False), ({"is_safe": False, "severity_level": 0}, False),
    ],
)  # fmt: skip
def test_labels_are_read_in_the_words_that_people_use(tmp_path, values, label):
    (found,) = load_samples(write(tmp_path, [{"prompt": "a?", "response": "b", **values}])).frame["is_safe"]
    assert (None if found is pd.NA else bool(found)) is label


def test_columns_are_named_by_hand(tmp_path):
    rows = [{"Q": f"a{number}?", "A": "b", "is_harmful": number, "prompt": "not this"} for number in (0, 1)]
    columns = parse_columns("prompt=Q, response=A, label=is_harmful:inverted")
    frame = load_samples(write(tmp_path, rows), columns=columns).frame
    assert frame["prompt"].tolist() == ["a0?", "a1?"]
    assert frame["is_safe"].tolist() == [True, False]
    with pytest.raises(DataError, match="no column 'Z'; columns found: Q, A"):
        load_samples(write(tmp_path, rows), columns=parse_columns("prompt=Z"))


@pytest.mark.parametrize("text", ["prompt", "prompt=", "answer=A", "=A"])
def test_a_mapping_that_names_no_column_is_told(text):
    with pytest.raises(ConfigError, match="names no column; write ours=theirs"):
        parse_columns(text)


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ('{"prompt": "a"', "line 2 has broken JSON"),
        ({"prompt": "a"}, "no column 'response'; columns found: prompt"),
        ({"prompt": " ", "response": "b"}, "prompt is empty"),
        ({"prompt": "a", "response": None}, "response is empty"),
        ({"prompt": 7, "response": "b"}, "prompt is 7"),
        ({"prompt": "a", "response": "b", "is_safe": "perhaps"}, "is_safe is 'perhaps'"),
        ({"messages": [{"role": "user", "content": "a"}]}, "messages holds no text of the assistant"),
        ({"messages": [None]}, "messages, message 1 is None"),
        (
            {"messages": [{"role": "user"}, {"role": "assistant", "content": "b"}]},
            "messages, message 1 has no content",
        ),
        ({"messages": [{"role": "assistant", "content": "b"}]}, "nothing stands before"),
        (
            {"messages": [{"role": "user", "content": [{"type": "image"}]}]},
            "a part that is no text but image",
        ),
        ({"messages": "[{"}, "messages has broken JSON"),
    ],
)
def test_a_wrong_row_is_rejected_with_its_number_and_the_rest_kept(tmp_path, row, reason):
    good = {"prompt": "Is tea warm?", "response": "Yes."}
    loaded = load_samples(write(tmp_path, [good, row, {**good, "response": "No."}]))
    assert len(loaded.frame) == 2
    assert [rejected.row for rejected in loaded.rejected] == [2]
    assert reason in loaded.rejected[0].reason


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ({"chosen": "Hello", "rejected": "\n\nHuman: a\n\nAssistant: b"}, "chosen holds no turn"),
        (
            {"chosen": "\n\nHuman: a\n\nAssistant: b", "rejected": "\n\nHuman: a\n\nAssistant: "},
            "rejected has an empty response",
        ),
        (
            {"chosen": "\n\nHuman: \n\nAssistant: b", "rejected": "\n\nHuman: a\n\nAssistant: b"},
            "chosen has an empty prompt",
        ),
    ],
)
def test_a_broken_dialogue_is_rejected(tmp_path, row, reason):
    loaded = load_samples(write(tmp_path, [*hh_rows(2), row]))
    assert len(loaded.frame) == 4
    assert reason in loaded.rejected[0].reason


def test_equal_rows_are_kept_once_and_counted(tmp_path):
    loaded = load_samples(write(tmp_path, plain_rows(3) * 2))
    assert (len(loaded.frame), loaded.duplicates) == (3, 3)


@pytest.mark.parametrize(
    ("rows", "format", "words"),
    [
        ([{"subject": "a", "body": "b"}], "auto", "columns subject, body are of no known format"),
        (
            [{"prompt": "", "response": "b"}],
            "auto",
            "no row that can be used: 1 of 1 rows were rejected; first: row 1",
        ),
        (["{"], "auto", "line 1 has broken JSON"),
        ([], "auto", "is empty"),
        (plain_rows(1), "sharegpt", "unknown format 'sharegpt'"),
        (plain_rows(1), "hh", "no column 'chosen'"),
    ],
)
def test_a_file_without_a_valid_row_is_an_error(tmp_path, rows, format, words):
    with pytest.raises(DataError, match=words):
        load_samples(write(tmp_path, rows), format)


def test_every_format_has_an_example_in_its_docstring():
    assert all("{" in (read.__doc__ or "") for read in FORMATS.values())


def test_split_dialogue_keeps_the_mark_with_the_prompt():
    assert split_dialogue("\n\nHuman: a\n\nAssistant: b", "it") == ("\n\nHuman: a\n\nAssistant:", " b")


@pytest.mark.parametrize(
    ("path", "format", "samples", "rejected", "duplicates"),
    [
        ("beavertails_30k_test/beavertails_30k_test.jsonl", "plain", 2996, 0, 2),
        ("anthropic_hh/harmless-base_test.jsonl.gz", "hh", 4490, 4, 0),
        ("do_not_answer/do_not_answer_long.jsonl", "plain", 5605, 0, 2),
        ("pku_saferlhf_v0_pairs/pku_saferlhf_v0_pairs.jsonl", "pku", 4703, 0, 5451),
        ("tofu/full.json", "plain", 4000, 0, 0),
        ("tofu/forget01_perturbed.json", "plain", 40, 0, 0),
    ],
)
def test_real_files_keep_their_known_counts(shared_data, path, format, samples, rejected, duplicates):
    loaded = load_samples(shared_data / path)
    counts = (loaded.format, len(loaded.frame), len(loaded.rejected), loaded.duplicates)
    assert counts == (format, samples, rejected, duplicates)


def test_five_real_hh_rows_have_different_prompts_on_their_sides(shared_data):
    frame = load_samples(shared_data / "anthropic_hh/harmless-base_test.jsonl.gz").frame
    prompts = frame.groupby("pair_id")["prompt"].nunique()
    assert (prompts == 2).sum() == 5


@pytest.mark.parametrize("text", ['[{"a": 1}] is what?', '[{"a": 1}]', "[{ }", '[{"a": ' + "[" * 100_000])
def test_a_question_that_begins_like_a_list_is_a_text(tmp_path, text):
    loaded = load_samples(write(tmp_path, [{"prompt": text, "response": text}, *plain_rows(1)]))
    assert (loaded.format, loaded.rejected) == ("plain", [])
    assert loaded.frame["prompt"][0] == text


@pytest.mark.parametrize(
    ("text", "words"),
    [("[" * 100_000, "nested too deep"), ('[{"role": "user", "content": "\\ud800"}]', "surrogate"), ("[{", "broken JSON")],
)  # fmt: skip
def test_messages_as_hostile_text_reject_their_row(tmp_path, text, words):
    loaded = load_samples(write(tmp_path, [{"messages": text}, *plain_rows(1)]))
    assert [rejected.row for rejected in loaded.rejected] == [1]
    assert words in loaded.rejected[0].reason


def test_what_other_data_sets_call_type_or_safe_rejects_nothing(tmp_path):
    rows = [{**row, "type": 3, "safe": "perhaps"} for row in plain_rows(2)]
    assert load_samples(write(tmp_path, rows)).rejected == []


@pytest.mark.parametrize(
    "columns",
    [
        {"prompt": "q"},
        {"prompt": "What, exactly?", "response": 'the "answer"', "label": "is bad"},
        {"messages": " begins with space", "category": "a=b"},
    ],
)
@pytest.mark.parametrize("inverted", [False, True])
def test_a_mapping_is_written_as_it_is_read(columns, inverted):
    mapping = ColumnMap(columns, inverted and "label" in columns)
    assert parse_columns(write_columns(mapping)) == mapping
