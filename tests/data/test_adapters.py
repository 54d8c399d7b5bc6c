"""Ten hand-written rows of each schema, the traps of the real ones, and the real files where they lie."""

import json

import pytest

from lancet_core.data.adapters import ADAPTERS, detect_format, load_samples, split_dialogue
from lancet_core.errors import DataError

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
    [(plain_rows(), "plain", 10), (beavertails_rows(), "beavertails", 10), (hh_rows(), "hh", 20)],
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


def test_plain_reads_instructions_and_messages(tmp_path):
    instruction = {"instruction": "Sum up.", "input": "A long text.", "output": "Short.", "author": "me"}
    messages = {
        "messages": [
            {"role": "user", "content": "One?"},
            {"role": "assistant", "content": "Yes."},
            {"role": "user", "content": "Two?"},
            {"role": "assistant", "content": "Also."},
        ]
    }
    frame = load_samples(write(tmp_path, [instruction, messages])).frame
    assert frame["prompt"].tolist() == ["Sum up.\n\nA long text.", "One?\n\nAssistant: Yes.\n\nHuman: Two?"]
    assert frame["response"].tolist() == ["Short.", "Also."]
    assert json.loads(frame["extra"][0]) == {"author": "me"}


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ('{"prompt": "a"', "line 2 has broken JSON"),
        ({"prompt": "a"}, "no column 'response'; columns found: prompt"),
        ({"prompt": " ", "response": "b"}, "prompt is empty"),
        ({"prompt": "a", "response": None}, "response is empty"),
        ({"prompt": 7, "response": "b"}, "prompt is 7"),
        ({"prompt": "a", "response": "b", "is_safe": "perhaps"}, "is_safe is 'perhaps'"),
        ({"messages": [{"role": "user", "content": "a"}]}, "messages does not end"),
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
        ([{"question": "a", "answer": "b"}], "auto", "columns question, answer"),
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


def test_every_adapter_has_an_example_in_its_docstring():
    assert all("{" in (adapter.__doc__ or "") for adapter in ADAPTERS.values())


def test_split_dialogue_keeps_the_mark_with_the_prompt():
    assert split_dialogue("\n\nHuman: a\n\nAssistant: b", "it") == ("\n\nHuman: a\n\nAssistant:", " b")


@pytest.mark.parametrize(
    ("path", "format", "samples", "rejected", "duplicates"),
    [
        ("beavertails_30k_test/beavertails_30k_test.jsonl", "plain", 2996, 0, 2),
        ("anthropic_hh/harmless-base_test.jsonl.gz", "hh", 4490, 4, 0),
        ("do_not_answer/do_not_answer_long.jsonl", "plain", 5605, 0, 2),
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
