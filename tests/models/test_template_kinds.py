"""Conversations with tools, thoughts and weights, and templates that cannot write some, over every chat template that TRL brings."""

import pytest
from jinja2 import TemplateError

from lancet_core.data.conversations import Conversation
from lancet_core.models.encoding import Encoded, Unusable, encode_all, encode_conversation, encode_prompt
from tests.models.test_templates import MARKED, SHORT, TEMPLATES, speaking, trainer_tokens

__all__ = ["speaking"]
SYSTEM, USER, ASSISTANT, TOOL = "system", "user", "assistant", "tool"
SCHEMA = {
    "type": "function",
    "function": {"name": "weather", "description": "Tells it.", "parameters": {"type": "object", "properties": {}}},
}  # fmt: skip


def message(role, content, **more):
    return {"role": role, "content": content, **more}


CALLED = {
    "type": "function",
    "id": "abcdef123",
    "function": {"name": "weather", "arguments": {"place": "here"}},
}
# What a template raises, and those who do it with it, where it cannot write a conversation.
REFUSALS = (TemplateError, TypeError, ValueError, LookupError, AttributeError)
KINDS = {
    "tools": [message(USER, "Sun?", tools=[SCHEMA]), message(ASSISTANT, "Yes, sun.")],
    "a call": [
        message(SYSTEM, "Be brief.", tools=[SCHEMA]), message(USER, "Sun?"), message(ASSISTANT, None, tool_calls=[CALLED]),
        message(TOOL, "sun", name="weather", tool_call_id="abcdef123"), message(ASSISTANT, "Yes, sun."),
    ],
    "a call with a text": [
        message(USER, "Sun?", tools=[SCHEMA]), message(ASSISTANT, "I look.", tool_calls=[CALLED]),
        message(TOOL, "sun", name="weather", tool_call_id="abcdef123"), message(ASSISTANT, "Yes, sun."),
    ],
    "thoughts": [
        message(USER, "One?"), message(ASSISTANT, "Yes.", reasoning_content="Easy one."),
        message(USER, "Two?"), message(ASSISTANT, "Also.", reasoning_content="Harder."),
    ],
    "two users": [message(USER, "One?"), message(USER, "Two?"), message(ASSISTANT, "Yes.")],
    "begun by the assistant": [message(ASSISTANT, "Welcome."), message(USER, "One?"), message(ASSISTANT, "Yes.")],
}  # fmt: skip


def plain(messages):
    """The messages and tools as a trainer has them."""
    tools = messages[0].get("tools")
    return [{name: value for name, value in each.items() if name != "tools"} for each in messages], tools


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("template", TEMPLATES)
def test_ids_are_those_of_the_template(speaking, template, name):
    lm, messages = speaking(TEMPLATES[template]), KINDS[name]
    given, tools = plain(messages)
    (encoded,) = encode_all(lm, [Conversation(tuple(messages))])
    try:
        whole = trainer_tokens(lm, Conversation(tuple(given)), template, tools=tools)["input_ids"]
    except REFUSALS:
        assert isinstance(encoded, Unusable)
        return
    assert isinstance(encoded, Encoded)
    assert list(encoded.input_ids) == whole[: len(encoded.input_ids)]


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("template", MARKED)
def test_what_counts_is_what_the_trainers_mask_counts(speaking, template, name):
    lm, messages = speaking(TEMPLATES[template]), KINDS[name]
    given, tools = plain(messages)
    (encoded,) = encode_all(lm, [Conversation(tuple(messages), "all")])
    if isinstance(encoded, Unusable):
        pytest.skip(encoded.reason)
    found = trainer_tokens(
        lm, Conversation(tuple(given)), template, tools=tools, return_assistant_tokens_mask=True
    )
    counted = [int(label != -100) for label in encoded.labels]
    # Nothing stands before the first token that would give it a probability.
    mask = [0, *found["assistant_masks"][1:]]
    assert counted == mask[: len(counted)]
    assert not any(mask[len(counted) :])


def counted_text(lm, conversation):
    encoded = encode_conversation(lm, conversation)
    return [lm.tokenizer.decode(encoded.input_ids[first:last]) for first, last in encoded.counted]


@pytest.mark.parametrize("template", [name for name in TEMPLATES if name not in MARKED])
def test_a_thought_counts_where_the_template_writes_it(speaking, template):
    lm = speaking(TEMPLATES[template])
    text = lm.tokenizer.decode(encode_conversation(lm, Conversation(tuple(KINDS["thoughts"]))).input_ids)
    (counted,) = counted_text(lm, Conversation(tuple(KINDS["thoughts"])))
    assert ("Harder." in counted) == ("Harder." in text)
    assert "Also." in counted
    assert "Two?" not in counted


@pytest.mark.parametrize("thought", ["<think>Hm.</think>Yes.", "<think>\nHm.\n</think>\n\nYes."])
@pytest.mark.parametrize("template", ["qwen3", "deepseek_r1_distill", "glm4moe", "nemotron_3_nano"])
def test_a_thought_in_the_answer_is_no_reason_to_lose_it(speaking, template, thought):
    lm = speaking(TEMPLATES[template])
    conversation = Conversation((message(USER, "One?"), message(ASSISTANT, thought)))
    (counted,) = counted_text(lm, conversation)
    assert "Yes." in counted
    assert ("Hm." in counted) == (
        "Hm." in lm.tokenizer.decode(encode_conversation(lm, conversation).input_ids)
    )


WEIGHED = Conversation(
    (message(USER, "One?"), message(ASSISTANT, "No.", weight=0), message(USER, "Two?"), message(ASSISTANT, "Yes."),
     message(USER, "Three?"), message(ASSISTANT, "Also."), message(USER, "Four?"), message(ASSISTANT, "Bad.", weight=0)),
    "all",
)  # fmt: skip


@pytest.mark.parametrize("template", ["qwen2_5", "qwen2_5_training"])
def test_an_answer_whose_weight_is_0_does_not_count(speaking, template):
    lm = speaking(TEMPLATES[template])
    assert [text.split("<")[0].strip() for text in counted_text(lm, WEIGHED)] == ["Yes.", "Also."]
    last = Conversation(WEIGHED.messages)
    assert [text.split("<")[0].strip() for text in counted_text(lm, last)] == ["Also."]
    assert "weight" not in lm.tokenizer.decode(encode_conversation(lm, last).input_ids)


def test_what_one_conversation_breaks_is_not_the_templates_fault(speaking):
    broken = SHORT.replace("{{ m.content }}", "{{ m.content + (m.name | upper | int if m.name else '') }}")
    lm = speaking(broken)
    good, bad = message(USER, "One?"), message(USER, "One?", name="x")
    answer = message(ASSISTANT, "Yes.")
    encoded = encode_all(lm, [Conversation((good, answer)), Conversation((bad, answer))])
    assert [type(each) for each in encoded] == [Encoded, Unusable]
    assert "refuses this" in encoded[1].reason


def test_control_tokens_are_text_wherever_somebody_wrote_them(speaking):
    lm = speaking(TEMPLATES["qwen3"])
    control = "<|im_end|>"
    end = lm.tokenizer.convert_tokens_to_ids(control)
    called = {"type": "function", "function": {"name": "w", "arguments": {"text": f"a{control}b"}}}
    messages = [
        message(USER, f"Hi{control}?"), message(ASSISTANT, "", tool_calls=[called]), message(TOOL, f"{control}"),
        message(ASSISTANT, "Yes.", reasoning_content=f"Hm{control}."),
    ]  # fmt: skip
    encoded = encode_conversation(lm, Conversation(tuple(messages)))
    assert encoded.input_ids.count(end) == len(messages)
    assert lm.tokenizer.decode(encoded.input_ids).count(control) == 2 * len(messages)
    asked = encode_prompt(lm, messages[:3], "auto", 5)
    assert list(asked).count(end) == len(messages) - 1


def test_tools_choose_the_template_of_that_name(speaking):
    lm = speaking(SHORT)
    lm.tokenizer.chat_template = {"default": SHORT, "tool_use": "{{ tools | length }} tools: " + SHORT}
    asked, answer = message(USER, "Sun?"), message(ASSISTANT, "Yes.")
    texts = [
        lm.tokenizer.decode(encode_conversation(lm, Conversation((first, answer))).input_ids)
        for first in (asked, {**asked, "tools": [SCHEMA]})
    ]
    assert [text.startswith("1 tools") for text in texts] == [False, True]
    lm.tokenizer.chat_template = SHORT


TWINS = ("lfm2_v2", "llama3", "qwen2_5", "qwen2_5_vl", "qwen3_instruct_2507", "qwen3_vl")


@pytest.mark.parametrize("template", TWINS)
def test_where_all_turns_count_a_call_counts_as_in_the_twin_that_marks_it(speaking, template):
    conversation = Conversation(tuple(KINDS["a call"]), "all")
    twins = [
        counted_text(speaking(TEMPLATES[name]), conversation) for name in (template, f"{template}_training")
    ]
    plain, marked = ("".join("".join(spans).split()) for spans in twins)
    assert plain == marked
    (last,) = counted_text(speaking(TEMPLATES[template]), Conversation(conversation.messages))
    assert last.startswith("Yes, sun.")


def test_what_is_said_beside_a_call_may_be_left_out(speaking):
    lm = speaking(TEMPLATES["llama3_1"])
    call, answer = counted_text(lm, Conversation(tuple(KINDS["a call with a text"]), "all"))
    assert "I look." not in call
    assert '"name": "weather"' in call
    assert answer.startswith("Yes, sun.")
