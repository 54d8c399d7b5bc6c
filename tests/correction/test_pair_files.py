import json

import pytest

from lancet_core.correction.pair_files import PairSide, ReviewedPair, read_pairs, usable_pairs, write_pairs
from lancet_core.data.samples import content_id
from lancet_core.errors import DataError


def pair(verdict="", name="a"):
    return ReviewedPair(
        content_id(name, "n"),
        "3",
        PairSide(name, "Is it wise to  swim at night?", 'Yes, "it is".', 0.8, 0.9, False),
        PairSide("n", "Ünïcode prompt", "No.", -0.5, None, True),
        verdict,
        "Ann",
    )


def test_pairs_come_back_as_they_were_written(tmp_path):
    pairs = [pair("approve"), pair("reject", "b")]
    assert write_pairs(tmp_path / "pairs.jsonl", pairs) == 2
    assert read_pairs(tmp_path / "pairs.jsonl") == pairs
    assert [path.name for path in tmp_path.iterdir()] == ["pairs.jsonl"]


def test_a_line_needs_only_prompts_and_responses(tmp_path):
    path = tmp_path / "pairs.jsonl"
    path.write_text(
        json.dumps({side: {"prompt": "p", "response": side} for side in ("positive", "negative")})
    )
    (read,) = read_pairs(path)
    assert (read.positive.influence, read.negative.influence) == (1.0, -1.0)
    assert read.positive.sample_id == content_id("p", "positive")


def test_only_approved_pairs_are_used_once_any_was_reviewed():
    assert usable_pairs([pair(), pair(name="b")]) == [pair(), pair(name="b")]
    assert usable_pairs([pair("approve"), pair("reject", "b"), pair("", "c")]) == [pair("approve")]
    with pytest.raises(DataError, match="none of the 1 pairs is approved"):
        usable_pairs([pair("skip")])


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("{", "line 2 has broken JSON"),
        ("[]", "line 2: a pair is a JSON object"),
        ('{"positive": {"prompt": "p", "response": "r"}}', "line 2: negative is missing"),
        ('{"positive": {"prompt": " ", "response": "r"}, "negative": {}}', "line 2: positive.prompt is ' '"),
        (
            '{"positive": {"prompt": "p", "response": "r", "influence": NaN}, "negative": {}}',
            "takes? numbers",
        ),
        ("[" * 100_000, "line 2 is nested too deep"),
        (
            '{"positive": {"prompt": "\\udc00", "response": "r"}, "negative": {}}',
            "line 2 holds half of a surrogate",
        ),
        (f'{{"a": {"9" * 5000}}}', "line 2 holds a number"),
        (f'{{"positive": {{"prompt": "p", "response": "r", "influence": {"9" * 400}}}}}', "takes? numbers"),
        (f'{{"positive": {{"prompt": "p", "response": "r", "harmful": {"9" * 400}}}}}', "takes? numbers"),
        ('{"positive": {"prompt": "p", "response": "r", "is_safe": "no"}}', "is_safe is 'no'"),
        (
            '{"positive": {"prompt": "p", "response": "r", "influence": -1}, "negative": {"prompt": "p", "response": "r"}}',
            "the first must be above 0",
        ),
    ],
)
def test_a_bad_line_is_named(tmp_path, line, told):
    path = tmp_path / "pairs.jsonl"
    write_pairs(path, [pair()])
    path.write_text(path.read_text() + line + "\n")
    with pytest.raises(DataError, match=told):
        read_pairs(path)


def test_a_missing_an_empty_and_a_binary_file_are_told(tmp_path):
    with pytest.raises(DataError, match="cannot be read"):
        read_pairs(tmp_path / "nowhere.jsonl")
    (tmp_path / "empty").write_text("\n\n")
    with pytest.raises(DataError, match="holds no pair"):
        read_pairs(tmp_path / "empty")
    (tmp_path / "binary").write_bytes(b"\xff\xfd")
    with pytest.raises(DataError, match="not a UTF-8 text file"):
        read_pairs(tmp_path / "binary")


def test_messages_of_another_form_are_read_as_everywhere(tmp_path):
    said = [{"from": "human", "value": "Hi?"}, {"from": "gpt", "value": "Go."}]
    sides = {
        side: {"prompt": "Hi?", "response": "Go.", "messages": json.dumps(said), "turns": "all"}
        for side in ("positive", "negative")
    }
    path = tmp_path / "pairs.jsonl"
    path.write_text(json.dumps(sides) + "\n")
    (pair,) = read_pairs(path)
    assert [message["role"] for message in pair.positive.conversation.messages] == ["user", "assistant"]
    for value, words in (({"messages": "[{"}, "broken JSON"), ({"turns": "first"}, "accepted are last, all")):
        path.write_text(json.dumps({**sides, "positive": sides["positive"] | value}) + "\n")
        with pytest.raises(DataError, match=words):
            read_pairs(path)
