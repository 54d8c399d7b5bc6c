"""Every chat template that TRL brings, and shapes of our own: ids equal those of a trainer, and what counts is what its mask counts."""

import datetime
import importlib.util
import re
from dataclasses import replace
from itertools import groupby
from pathlib import Path

import pytest

from lancet_core.data.conversations import Conversation
from lancet_core.errors import ConfigError, DataError
from lancet_core.models.encoding import encode_conversation, encode_prompt
from lancet_core.models.generation import end_tokens
from lancet_core.models.loading import LanguageModel
from lancet_core.models.templates import turn_end, with_day
from tests.tiny_models import byte_level_tokenizer

TRL = Path(importlib.util.find_spec("trl").origin).parent / "chat_templates"
TEMPLATES = {path.stem: path.read_text(encoding="utf-8") for path in sorted(TRL.glob("*.jinja"))}
MARKED = [name for name in TEMPLATES if name.endswith("_training")]
# Models that see take contents as lists of parts.
BETWEEN = {"gptoss": "<|end|>"}
OF_PARTS = ("idefics3", "llava_next", "smolvlm")
CONTROL = re.compile(r"<[|｜]?[\w▁/ ]{1,40}[|｜]?>|\[/?[A-Z_]+\]")
SYSTEM, USER, ASSISTANT = "system", "user", "assistant"
CONVERSATIONS = {
    "one exchange": [(USER, "Is tea warm?"), (ASSISTANT, "Yes, it is.")],
    "four turns": [(USER, "One?"), (ASSISTANT, "Yes."), (USER, "Two?"), (ASSISTANT, "Also, naïve 你好 🙂.")],
    "with a system message": [(SYSTEM, "Be brief."), (USER, "One?"), (ASSISTANT, "Yes."), (USER, "Two?"), (ASSISTANT, "No.")],
    "equal answers": [(USER, "One?"), (ASSISTANT, "Yes."), (USER, "Yes."), (ASSISTANT, "Yes.")],
    "spaces around": [(USER, " One?\n"), (ASSISTANT, " Yes.\n"), (USER, "Two?"), (ASSISTANT, "  Also.  ")],
    "code and line ends": [(USER, "Code?"), (ASSISTANT, "def f():\n    return 1\n\n\nprint(f())")],
}  # fmt: skip


def messages_of(name):
    return tuple({"role": role, "content": content} for role, content in CONVERSATIONS[name])


@pytest.fixture(scope="module")
def speaking():
    """Gives a model whose tokenizer has a chat template and its control tokens; there are no weights."""
    made = {}

    def lm_of(template):
        if template not in made:
            tokenizer = byte_level_tokenizer()
            controls = sorted({found.group() for found in CONTROL.finditer(template)} - {"<s>", "</s>"})
            tokenizer.add_special_tokens({"additional_special_tokens": controls})
            tokenizer.chat_template = template
            made[template] = LanguageModel(None, tokenizer, "", "cpu", 100_000, "")
        return made[template]

    return lm_of


def encoded_or_skipped(lm, conversation, template="auto"):
    try:
        return encode_conversation(lm, conversation, template)
    except DataError as error:
        # A refusal is the template's own word: the tokenizer's rendering must end in the same.
        with pytest.raises(
            Exception, match=re.escape(str(error).split("refuses this: ")[-1].split("; correct it")[0][:40])
        ):
            lm.tokenizer.apply_chat_template(list(conversation.messages), tokenize=False)
        pytest.skip("the template refuses this conversation")


def trainer_tokens(lm, conversation, template, **options):
    """What a trainer makes of it."""
    messages = list(conversation.messages)
    if template.startswith(OF_PARTS):
        messages = [
            {**each, "content": [{"type": "text", "text": each["content"]}]} if each["content"] else each
            for each in messages
        ]
    return lm.tokenizer.apply_chat_template(messages, tokenize=True, return_dict=True, **options)


@pytest.mark.parametrize("name", CONVERSATIONS)
@pytest.mark.parametrize("template", TEMPLATES)
def test_ids_are_those_of_the_template(speaking, template, name):
    lm, conversation = speaking(TEMPLATES[template]), Conversation(messages_of(name))
    encoded = encoded_or_skipped(lm, conversation)
    whole = trainer_tokens(lm, conversation, template)["input_ids"]
    assert list(encoded.input_ids) == whole[: len(encoded.input_ids)]
    assert lm.tokenizer.decode(whole[len(encoded.input_ids) :], skip_special_tokens=True).strip() == ""


@pytest.mark.parametrize("turns", ["last", "all"])
@pytest.mark.parametrize("name", CONVERSATIONS)
@pytest.mark.parametrize("template", MARKED)
def test_what_counts_is_what_the_trainers_mask_counts(speaking, template, name, turns):
    lm, conversation = speaking(TEMPLATES[template]), Conversation(messages_of(name), turns)
    encoded = encoded_or_skipped(lm, conversation)
    mask = trainer_tokens(lm, conversation, template, return_assistant_tokens_mask=True)["assistant_masks"]
    if turns == "last":
        runs = [len(list(group)) for _value, group in groupby(mask)]
        last = len(mask) - (0 if mask[-1] else runs[-1])
        mask = [
            int(bool(value) and place >= last - runs[-1 if mask[-1] else -2])
            for place, value in enumerate(mask)
        ]
    counted = [int(label != -100) for label in encoded.labels]
    assert counted == mask[: len(counted)]
    assert not any(mask[len(counted) :])


@pytest.mark.parametrize("name", CONVERSATIONS)
@pytest.mark.parametrize("template", [name for name in TEMPLATES if name not in MARKED])
def test_an_unmarked_template_counts_the_answers_and_the_ends_of_their_turns(speaking, template, name):
    lm, conversation = speaking(TEMPLATES[template]), Conversation(messages_of(name), "all")
    encoded = encoded_or_skipped(lm, conversation)
    answers = [message["content"] for message in conversation.messages if message["role"] == ASSISTANT]
    counted = [lm.tokenizer.decode(encoded.input_ids[first:last]) for first, last in encoded.counted]
    whole = turn_end(lm.tokenizer, "auto")
    # The last turn may end with the end of the text as well.
    between = BETWEEN.get(template) or whole.removesuffix("</s>").rstrip() or whole
    ends = [between] * (len(answers) - 1) + [whole]
    expected = [f"{answer}{end}" for answer, end in zip(answers, ends, strict=True)]
    assert ["".join(text.split()) for text in counted] == ["".join(text.split()) for text in expected]


SHORT = (
    "{{ bos_token }}{% for m in messages %}<sot>{{ m.role }}\n{{ m.content }}<eot>\n{% endfor %}"
    "{% if add_generation_prompt %}<sot>assistant\n{% endif %}"
)
ASKED = Conversation(messages_of("four turns"))


def test_the_end_of_the_turn_counts_and_ends_an_answer(speaking):
    lm = speaking(SHORT)
    encoded = encode_conversation(lm, ASKED)
    eot, eos = lm.tokenizer.convert_tokens_to_ids("<eot>"), lm.tokenizer.eos_token_id
    assert encoded.input_ids[-1] == eot
    assert eos not in encoded.input_ids
    assert encoded.input_ids[0] == lm.tokenizer.bos_token_id
    assert encoded.input_ids.count(lm.tokenizer.bos_token_id) == 1
    model = type("Model", (), {"generation_config": None})()
    assert end_tokens(replace(lm, model=model), "auto") == sorted([eos, eot])


def test_an_empty_thought_that_the_template_writes_does_not_count(speaking):
    lm = speaking(
        SHORT.replace(
            "{{ m.content }}",
            "{% if m.role == 'assistant' %}<think>\n\n</think>\n\n{% endif %}{{ m.content }}",
        )
    )
    encoded = encode_conversation(lm, ASKED)
    assert lm.tokenizer.decode(encoded.input_ids[encoded.response_start :]) == "Also, naïve 你好 🙂.<eot>"


def test_one_of_several_templates_is_chosen_by_its_name(speaking):
    lm = speaking(SHORT)
    tokenizer = byte_level_tokenizer()
    tokenizer.chat_template = {"rag": SHORT, "tool_use": SHORT.replace("<eot>", "<end>")}
    lm = replace(lm, tokenizer=tokenizer)
    with pytest.raises(ConfigError, match=r"it has rag, tool_use, human, .*; choose one with --template"):
        encode_conversation(lm, ASKED)
    text = tokenizer.decode(encode_conversation(lm, ASKED, "tool_use").input_ids)
    assert text.endswith("🙂.<end>")


def test_the_day_that_a_template_writes_stays_that_of_the_study(speaking):
    lm = speaking("{{ strftime_now('%d %b %Y') }} " + SHORT)
    frozen = with_day(lm.tokenizer, "auto", datetime.date(2026, 7, 26))
    assert frozen == "auto@2026-07-26"
    assert lm.tokenizer.decode(encode_conversation(lm, ASKED, frozen).input_ids).startswith("26 Jul 2026")
    assert lm.tokenizer.decode(encode_prompt(lm, "Why?", frozen, 5)).startswith("26 Jul 2026")
    assert with_day(speaking(SHORT).tokenizer, "auto", datetime.date(2026, 7, 26)) == "auto"
    with pytest.raises(ConfigError, match="is no day"):
        encode_conversation(lm, ASKED, "auto@yesterday")
