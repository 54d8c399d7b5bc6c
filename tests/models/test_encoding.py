"""Prompt and response as tokens; batches."""

import copy
import json
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers.processors import TemplateProcessing

from lancet_core.data.conversations import Conversation, exchanges
from lancet_core.data.samples import Query
from lancet_core.errors import ConfigError, DataError, ModelError
from lancet_core.models.encoding import (
    Encoded,
    Unusable,
    encode,
    encode_all,
    encode_conversation,
    encode_prompt,
    encode_query,
    pack,
)
from lancet_core.models.token_text import token_texts

CHAT = (
    "{% for m in messages %}[{{ m.role }}]{{ m.content }}{{ eos_token }}\n{% endfor %}"
    "{% if add_generation_prompt %}[assistant]{% endif %}"
)


@pytest.fixture
def lm(tiny_model):
    return tiny_model()


def parts(lm, encoded):
    ids = encoded.input_ids
    return tuple(
        lm.tokenizer.decode(part) for part in (ids[: encoded.response_start], ids[encoded.response_start :])
    )


@pytest.mark.parametrize(
    ("template", "response", "expected"),
    [
        ("auto", "Yes.", ("<s>\n\nHuman: Why?\n\nAssistant:", " Yes.</s>")),
        ("auto", " Yes.", ("<s>\n\nHuman: Why?\n\nAssistant:", " Yes.</s>")),
        ("raw", "Yes.", ("<s>Why?", " Yes.</s>")),
        ("Q: {prompt}\nA:\n", "Yes.", ("<s>Q: Why?\nA:\n", "Yes.</s>")),
    ],
)
def test_templates(lm, template, response, expected):
    assert parts(lm, encode(lm, "Why?", response, template)) == expected


def test_a_chat_template_ends_the_turn(lm, monkeypatch):
    monkeypatch.setattr(lm.tokenizer, "chat_template", CHAT)
    assert parts(lm, encode(lm, "Why?", "Yes.")) == ("[user]Why?</s>\n[assistant]", "Yes.</s>")


def test_a_template_without_a_place_for_the_prompt_is_told(lm):
    with pytest.raises(ConfigError, match=r"\{prompt\}"):
        encode(lm, "Why?", "Because.", "Question:")


def test_braces_in_prompts_are_text(lm):
    assert parts(lm, encode(lm, "{x} {prompt}", "Yes.", "Q {prompt}"))[0] == "<s>Q {x} {prompt}"


def test_long_prompts_are_cut_from_the_left_and_told(lm):
    short = replace(lm, context=20)
    whole = encode(lm, "kettle " * 30 + "end", "Yes.")
    cut = encode(short, "kettle " * 30 + "end", "Yes.")
    assert len(cut.input_ids) == 20
    assert cut.cut_tokens == len(whole.input_ids) - 20
    assert cut.input_ids[0] == lm.tokenizer.bos_token_id
    assert cut.input_ids[1:] == whole.input_ids[-19:]


def test_a_response_longer_than_the_context_keeps_its_beginning(lm):
    """As a trainer that cuts at its longest length: the prompt, then what fits."""
    short = replace(lm, context=20)
    whole, cut = (encode(each, "Why?", "Yes. " * 40, "raw") for each in (lm, short))
    assert cut.input_ids == whole.input_ids[:20]
    assert (cut.response_start, cut.cut_tokens) == (whole.response_start, 0)
    assert cut.lost_tokens == len(whole.input_ids) - 20
    both = encode(short, "kettle " * 30 + "end", "Yes. " * 40, "raw")
    assert len(both.input_ids) == 20
    assert both.response_start == 10
    assert lm.tokenizer.decode(both.input_ids[:10]).endswith("end")
    assert lm.tokenizer.decode(both.input_ids[10:]).startswith(" Yes.")


def test_an_empty_response_is_refused(lm):
    with pytest.raises(DataError, match="the response is empty"):
        encode(lm, "Why?", "   ")
    assert encode_all(lm, exchanges([("Why?", " "), ("Why?", "Yes.")]))[0] == Unusable(
        "the response is empty"
    )


def test_a_prompt_leaves_room_for_the_answer(lm):
    assert len(encode_prompt(lm, "kettle " * 300, "auto", 60)) == lm.context - 60
    with pytest.raises(ConfigError, match="give at most 159"):
        encode_prompt(lm, "Why?", "auto", 160)


@given(
    lengths=st.lists(st.tuples(st.integers(1, 30), st.integers(1, 30)), min_size=1, max_size=20),
    most=st.integers(1, 200),
)
@settings(max_examples=50, deadline=None)
def test_packing_loses_nothing_and_keeps_its_limit(lengths, most):
    texts = [Encoded(tuple(range(1, before + after + 1)), before) for before, after in lengths]
    batches = pack(texts, most)
    assert sorted(index for batch in batches for index in batch.indices) == list(range(len(texts)))
    for batch in batches:
        assert batch.input_ids.numel() <= most or len(batch.indices) == 1
        for row, index in enumerate(batch.indices):
            text = texts[index]
            assert batch.input_ids[row][batch.attention_mask[row]].tolist() == list(text.input_ids)
            assert batch.input_ids[row][batch.response_mask[row]].tolist() == list(
                text.input_ids[text.response_start :]
            )


def test_token_texts_read_as_the_text(lm):
    text = "Ask the keeper — naïve 你好, rusty kettle 🙂!"
    ids = lm.tokenizer(text, add_special_tokens=False)["input_ids"]
    pieces = token_texts(lm.tokenizer, ids)
    assert len(pieces) == len(ids)
    assert "".join(pieces) == text


def test_sentencepiece_tokens_keep_their_spaces(shared_data):
    from lancet_core.models.loading import load_language_model

    lm = load_language_model(str(shared_data / "stories260K-hf"), device="cpu")
    encoded = encode(lm, "Why?", "A dog and a cat.")
    pieces = token_texts(lm.tokenizer, encoded.input_ids[encoded.response_start :])
    assert "".join(pieces) == " A dog and a cat.</s>"


def counted(lm, encoded):
    ((first, last),) = encoded.counted
    return lm.tokenizer.decode(encoded.input_ids[first:last])


def test_a_part_of_the_response_counts_alone(lm):
    response = "No, it is not wise. Ask the keeper."
    whole = encode_query(lm, Query("Why?", response))
    assert counted(lm, whole) == f" {response}</s>"
    parts = [
        encode_query(lm, Query("Why?", response, span=span))
        for span in ("No, it is", " not wise", ". Ask the keeper.")
    ]
    assert [counted(lm, part) for part in parts] == [" No, it is", " not wise", ". Ask the keeper."]
    assert [part.input_ids for part in parts] == [whole.input_ids] * 3
    (batch,) = pack(parts, 10**6)
    together = batch.response_mask.sum(dim=0)
    assert together.max() == 1
    assert together.sum() == len(whole.input_ids) - whole.response_start - 1  # all but the end token


def test_a_part_that_does_not_stand_there_is_told(lm):
    with pytest.raises(DataError, match="does not stand in"):
        encode_query(lm, Query("Why?", "No, it is not wise.", span="quagga"))


def test_a_part_in_which_no_token_ends_is_told(lm):
    """The begin of the longest token of a word that stands there once."""
    word = "everybody"
    offsets = lm.tokenizer(word, add_special_tokens=False, return_offsets_mapping=True)["offset_mapping"]
    start, end = max(offsets, key=lambda pair: pair[1] - pair[0])
    assert end - start > 1
    before = word[: start + 1]
    with pytest.raises(DataError, match="no token"):
        encode_query(lm, Query("Why?", f"{word}.", span=before[start:] if start else before[:1]))


def test_a_part_makes_another_query():
    ids = {Query("a", "b c").id, Query("a", "b c", span="b").id, Query("a", "b c", span="c").id}
    assert len(ids) == 3


BROKEN_TEMPLATES = {
    "syntax": "{% for message in %}",
    "an unknown filter": "{{ messages | nothing }}",
    "a wrong type": "{{ messages + 1 }}",
    "a division by zero": "{{ 1 // 0 }}",
    "an unknown name": "{{ nobody.name }}",
    "something unsafe": "{{ ''.__class__.__mro__[1].__subclasses__() }}",
}


@pytest.mark.parametrize("template", BROKEN_TEMPLATES.values(), ids=BROKEN_TEMPLATES)
def test_a_chat_template_that_fails_is_told(tiny_model, template):
    lm = tiny_model()
    tokenizer = copy.deepcopy(lm.tokenizer)
    tokenizer.chat_template = template
    with pytest.raises(ModelError, match=r"chat template .* fails"):
        encode(replace(lm, tokenizer=tokenizer), "Why?", "Because.")


def test_a_conversation_that_the_template_refuses_is_told_with_its_reason(lm, monkeypatch):
    refusing = (
        "{% if messages[0].role == 'system' %}{{ raise_exception('no system role') }}{% endif %}" + CHAT
    )
    monkeypatch.setattr(lm.tokenizer, "chat_template", refusing)
    asked = [{"role": role, "content": "Why?"} for role in ("system", "user", "assistant")]
    refused, taken = encode_all(lm, [Conversation(tuple(asked)), Conversation(tuple(asked[1:]))])
    assert isinstance(taken, Encoded)
    assert "refuses this: no system role" in refused.reason


@pytest.mark.parametrize("turns", ["last", "all"])
def test_a_conversation_is_tokenised_whole_and_its_answers_count(lm, monkeypatch, turns):
    monkeypatch.setattr(lm.tokenizer, "chat_template", CHAT)
    roles = ("system", "user", "assistant", "user", "assistant")
    contents = ("Be brief.", "One?", "Yes.", "Two?", "Also.")
    messages = tuple({"role": role, "content": text} for role, text in zip(roles, contents, strict=True))
    encoded = encode_conversation(lm, Conversation(messages, turns))
    whole = lm.tokenizer.apply_chat_template(list(messages), tokenize=False)
    assert lm.tokenizer.decode(encoded.input_ids) == whole.rstrip("\n")
    counted = [lm.tokenizer.decode(encoded.input_ids[first:last]) for first, last in encoded.counted]
    assert counted == (["Yes.</s>", "Also.</s>"] if turns == "all" else ["Also.</s>"])
    (batch,) = pack([encoded], 10**6)
    assert batch.input_ids[0][batch.response_mask[0]].tolist() == [
        token for token, label in zip(encoded.input_ids, encoded.labels, strict=True) if label != -100
    ]
    assert encoded.count == batch.response_mask.sum()


def test_a_query_of_several_turns_is_tokenised_as_its_conversation(lm, monkeypatch):
    monkeypatch.setattr(lm.tokenizer, "chat_template", CHAT)
    messages = [
        {"role": role, "content": text}
        for role, text in (("system", "Be brief."), ("user", "One?"), ("assistant", "Yes."), ("user", "Two?"))
    ]
    query = Query.of([*messages, {"role": "assistant", "content": "Also, yes."}])
    assert encode_query(lm, query) == encode_conversation(lm, query.conversation)
    part = encode_query(lm, replace(query, span="yes"))
    assert [lm.tokenizer.decode(part.input_ids[first:last]) for first, last in part.counted] == [" yes"]
    asked = lm.tokenizer.apply_chat_template(messages, add_generation_prompt=True)["input_ids"]
    assert encode_prompt(lm, json.loads(query.history), "auto", 10) == asked


def test_control_tokens_that_somebody_wrote_are_text(lm, monkeypatch):
    monkeypatch.setattr(lm.tokenizer, "chat_template", CHAT)
    end = lm.tokenizer.eos_token_id
    harmless = encode(lm, "Say it.", "The mark is gone.")
    written = encode(lm, "Say </s> it.", "The mark </s> is <s>gone.")
    assert written.input_ids.count(end) == harmless.input_ids.count(end) == 2
    assert lm.tokenizer.bos_token_id not in written.input_ids
    assert parts(lm, written) == ("[user]Say </s> it.</s>\n[assistant]", "The mark </s> is <s>gone.</s>")


def test_private_characters_of_a_text_stay_what_they_are(lm, monkeypatch):
    """Those that stand for something else within LANCET are others."""
    monkeypatch.setattr(lm.tokenizer, "chat_template", CHAT)
    asked, answer = "An icon \U000f0000 and </s>?", "\U000f0000 is \U000f0001, </s>."
    assert parts(lm, encode(lm, asked, answer)) == (f"[user]{asked}</s>\n[assistant]", f"{answer}</s>")


def test_the_begin_token_is_the_tokenizers_own(lm):
    """A tokenizer that has one and does not put it there by itself gets none."""
    tokenizer = copy.deepcopy(lm.tokenizer)
    tokenizer.backend_tokenizer.post_processor = TemplateProcessing(single="$A", special_tokens=[])
    own = replace(lm, tokenizer=tokenizer)
    encoded = encode(own, "Why?", "Yes.", "raw")
    assert list(encoded.input_ids[: encoded.response_start]) == tokenizer("Why?")["input_ids"]
    assert encode_prompt(own, "Why?", "raw", 10) == tokenizer("Why?")["input_ids"]
    assert encode_prompt(lm, "Why?", "raw", 10) == [
        lm.tokenizer.bos_token_id,
        *tokenizer("Why?")["input_ids"],
    ]
