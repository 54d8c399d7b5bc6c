"""Conversations of every kind go out as trainers take them, and come back as the same samples."""

import json

import pytest

from lancet_core.correction.pair_files import PairSide, ReviewedPair, read_pairs, write_pairs
from lancet_core.data.loading import load_samples
from lancet_core.study.review_files import write_preferences
from tests.models.test_trainer_tokens import CHATML

ASK = {"role": "user", "content": "Sun?"}
TOOL = {"type": "function", "function": {"name": "weather"}}
CALL = {
    "role": "assistant",
    "content": "",
    "tool_calls": [{"type": "function", "function": {"name": "weather", "arguments": "{}"}}],
}
FIRST = {"role": "assistant", "content": "No.", "weight": 0}
KINDS = {
    "tools": {"messages": [ASK, CALL, {"role": "tool", "content": "sun"}], "tools": [TOOL]},
    "system": {"messages": [{"role": "system", "content": "Be brief."}, ASK, FIRST, ASK]},
    "one question": {"messages": [ASK]},
}


def answered(row, text):
    return {**row, "messages": [*row["messages"], {"role": "assistant", "content": text, "thinking": "Hm."}]}


@pytest.fixture
def pair(request, tmp_path):
    """A pair of the samples that a file of two conversations holds, and their ids."""
    path = tmp_path / "rows.jsonl"
    path.write_text("\n".join(json.dumps(answered(KINDS[request.param], text)) for text in ("Yes.", "No.")))
    samples = load_samples(path).frame.to_dict("records")
    sides = [
        PairSide(row["id"], row["prompt"], row["response"], influence, messages=row["messages"])
        for row, influence in zip(samples, (1.0, -1.0), strict=True)
    ]
    return ReviewedPair("p", "0", *sides, verdict="approve", reviewer="ann"), [row["id"] for row in samples]


@pytest.mark.parametrize("form", ["dpo", "kto"])
@pytest.mark.parametrize("pair", KINDS, indirect=True)
def test_an_export_for_trainers_is_read_as_the_same_samples(tmp_path, pair, form):
    model = tmp_path / "model"
    model.mkdir()
    (model / "tokenizer_config.json").write_text(json.dumps({"chat_template": CHATML}))
    made, ids = pair
    write_preferences(tmp_path / "out.jsonl", [made], form, model=model, template="auto")
    for line in (tmp_path / "out.jsonl").read_text().splitlines():
        assert not any("tools" in message for message in json.loads(line)["prompt"])
    assert sorted(load_samples(tmp_path / "out.jsonl").frame["id"]) == sorted(ids)


@pytest.mark.parametrize("pair", KINDS, indirect=True)
def test_pairs_of_ours_come_back_whole(tmp_path, pair):
    made, _ids = pair
    write_pairs(tmp_path / "pairs.jsonl", [made])
    (back,) = read_pairs(tmp_path / "pairs.jsonl")
    assert json.loads(back.positive.messages) == json.loads(made.positive.messages)
