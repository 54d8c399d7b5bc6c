"""How a conversation becomes one text, and which of its characters count: as the template of the study writes it, nothing else.

| template | the text |
|---|---|
| `auto` | the tokenizer's chat template, or Human and Assistant where it has none |
| a name | that one of a tokenizer's named chat templates |
| `alpaca`, `safe-rlhf` … | a text that published models were trained with (`KNOWN_TEXTS`) |
| `raw` | prompt and response as they are |
| a text with `{prompt}` | that text before each answer |

`@2026-07-26` behind `auto` or a name is the day that templates write which write one. What counts is an answer with the end of its turn:
where the template marks it itself (`{% generation %}`), what lies between the marks, as a trainer's mask counts.
"""

import datetime
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from lancet_core.data.conversations import (
    ASSISTANT,
    LAST,
    THOUGHTS,
    TOOLS,
    WEIGHT,
    Conversation,
    Message,
    has_content,
)
from lancet_core.errors import DataError
from lancet_core.models.chat_renderer import NOW, ChatRenderer, renderer_of
from lancet_core.models.control_tokens import hide_controls, unused
from lancet_core.models.settings import DEFAULT_TEMPLATE, RAW_TEMPLATE
from lancet_core.models.template_names import (
    DAY_MARK,
    DEFAULT_TEXT,
    KNOWN_TEXTS,
    PLACE,
    chosen_name,
    day_of,
    names_of,
)

_TOOLS_NAME = "tool_use"


@dataclass(frozen=True)
class Written:
    """A conversation as one text.

    Attributes:
        text: The text; a private character stands where somebody wrote what would be a control token.
        spans: Where what counts begins and ends in it, in characters.
        by_chat_template: Whether a chat template wrote it: then no token is added to those of the text.
        controls: What each private character stands for.
    """

    text: str
    spans: tuple[tuple[int, int], ...]
    by_chat_template: bool
    controls: Mapping[str, str]


def write_conversation(tokenizer: Any, conversation: Conversation, template: str) -> Written:
    """Writes a conversation.

    Raises:
        DataError: No answer has a text, or the template refuses the conversation.
        ConfigError: The template is unknown or lacks `{prompt}`.
        ModelError: The chat template is broken.
    """
    if not conversation.answers:
        raise DataError("the response is empty")
    chat = chat_template(tokenizer, template, with_tools=TOOLS in conversation.messages[0])
    messages, used = _hidden(tokenizer, conversation.messages, template)
    hidden = replace(conversation, messages=messages)
    if chat is None:
        return _by_text(hidden, template, used)
    return _by_chat_template(renderer_of(tokenizer, chat, day_of(template)), hidden, used)


def write_prompt(tokenizer: Any, messages: Sequence[Message], template: str) -> Written:
    """Writes everything that stands before the next answer.

    Raises:
        ConfigError: The template is unknown or lacks `{prompt}`.
        DataError: The template refuses the messages.
        ModelError: The chat template is broken.
    """
    chat = chat_template(tokenizer, template, with_tools=TOOLS in messages[0])
    hidden, used = _hidden(tokenizer, messages, template)
    if chat is None:
        return Written(_text_before(hidden, template), (), by_chat_template=False, controls=used)
    text, _marks = renderer_of(tokenizer, chat, day_of(template)).render(hidden, opening=True)
    return Written(text, (), by_chat_template=True, controls=used)


def chat_template(tokenizer: Any, template: str, *, with_tools: bool = False) -> str | None:
    """The chat template that a study's setting means; None where a text takes its place.

    Where tools could be called, `auto` means the template of tools, if there is one, as it does to transformers.

    Raises:
        ConfigError: The tokenizer has named templates, and none of them is chosen; or the name is unknown.
    """
    own = tokenizer.chat_template
    if (
        with_tools
        and isinstance(own, Mapping)
        and template.partition(DAY_MARK)[0] == DEFAULT_TEMPLATE
        and _TOOLS_NAME in own
    ):
        return str(own[_TOOLS_NAME])
    name = chosen_name(names_of(own), template)
    return None if name is None else str(own[name] if isinstance(own, Mapping) else own)


def with_day(tokenizer: Any, template: str, day: datetime.date) -> str:
    """Adds the day to a template that writes one, so that it writes the same tomorrow."""
    chat = chat_template(tokenizer, template)
    writes_day = chat is not None and NOW.search(chat) and DAY_MARK not in template
    return f"{template}{DAY_MARK}{day.isoformat()}" if writes_day else template


def turn_end(tokenizer: Any, template: str) -> str:
    """What a chat template writes behind an answer to end its turn; empty where it writes nothing, or none is used."""
    chat = chat_template(tokenizer, template)
    if chat is None:
        return ""
    return renderer_of(tokenizer, chat, day_of(template)).ending


def split_text(conversation: Conversation, template: str) -> tuple[str, str]:
    """What a template of words writes before the last answer, and that answer as it follows."""
    written = _by_text(conversation, template, {})
    start, end = written.spans[-1]
    return written.text[:start], written.text[start:end]


def _by_chat_template(
    renderer: ChatRenderer, conversation: Conversation, controls: Mapping[str, str]
) -> Written:
    text, marks = renderer.render(conversation.messages)
    if marks:
        spans = _counted_marks(conversation, marks)
    else:
        found = (_span(renderer, conversation.messages, place, text) for place in conversation.counted)
        spans = [(start, end) for start, end in found if start < end]
    return Written(text, tuple(spans), by_chat_template=True, controls=controls)


def _counted_marks(conversation: Conversation, marks: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Chooses those marks of a template that count: as the turns say, without messages whose weight is 0.

    Raises:
        DataError: Which mark is of such a message cannot be told.
    """
    weights = [message.get(WEIGHT, 1) for message in conversation.messages if message["role"] == ASSISTANT]
    if 0 in weights:
        if len(weights) != len(marks):
            raise DataError(
                f"the chat template marks {len(marks)} answers of {len(weights)}; which of them have the weight 0 cannot be told"
            )
        marks = [mark for mark, weight in zip(marks, weights, strict=True) if weight]
    return marks[-1:] if conversation.turns == LAST else marks


def _span(renderer: ChatRenderer, messages: Sequence[Message], place: int, text: str) -> tuple[int, int]:
    """Finds an answer, with its thought and the end of its turn, in the text of its conversation; or the call of a tool.

    Raises:
        DataError: The template does not write it.
    """
    if not has_content(messages[place]):
        return _call_span(renderer, messages, place, text)
    try:
        before, behind, ending = _frame(renderer, messages, place, text)
    except DataError:
        # Some write a call alone, whatever is said beside it.
        if not messages[place].get("tool_calls"):
            raise
        return _call_span(renderer, messages, place, text)
    start, end = _begin(renderer, messages, place, before), len(text) - len(behind)
    # A turn that another follows may end otherwise than the last: without the end of the text, or in a control token of its own.
    endings = (
        ending,
        ending.removesuffix(renderer.text_end).rstrip(),
        *(renderer.controls if ending else ()),
    )
    return start, end + len(next((each for each in endings if each and behind.startswith(each)), ""))


def _call_span(renderer: ChatRenderer, messages: Sequence[Message], place: int, text: str) -> tuple[int, int]:
    """Finds a turn that calls a tool and says nothing: what its conversation up to it adds to the one before it."""
    before = renderer.render(messages[:place], opening=True)[0] if place else ""
    after = renderer.render(messages[: place + 1])[0]
    return len(_shared(text, before)), len(_shared(text, after).rstrip())


def _frame(
    renderer: ChatRenderer, messages: Sequence[Message], place: int, text: str
) -> tuple[str, str, str]:
    """Finds what stands before and behind an answer, and how the template ends its turn where it is the last.

    The conversation is written once more with another answer in its place: what stands before and behind that one is the frame.

    Raises:
        DataError: The template does not write the answer.
    """
    answer = str(messages[place]["content"]).strip()
    sentinel = next(unused(text))
    other = [*messages[:place], {**messages[place], "content": sentinel}, *messages[place + 1 :]]
    before, found, behind = renderer.render(other)[0].partition(sentinel)
    try:
        ending = renderer.render(other[: place + 1])[0].partition(sentinel)[2].rstrip()
    except DataError:
        # Some refuse a conversation that nobody asked anything in yet.
        ending = renderer.ending
    if found and text.startswith(before) and text.endswith(behind):
        return before, behind, ending
    # Some templates write an answer by what stands in it, a thought say: it is looked for as it is, else by what both texts share.
    start = text.rfind(answer)
    if start >= 0:
        return text[:start], text[start + len(answer) :], ending
    if not found:
        raise DataError("the chat template does not write the assistant's answer")
    before = _shared(text, before)
    behind = _shared(text[len(before) :][::-1], behind[::-1])[::-1]
    return before, behind, ending


def _begin(renderer: ChatRenderer, messages: Sequence[Message], place: int, before: str) -> int:
    """Where what the assistant wrote begins: before the thought of its message where the template writes one, else with its answer."""
    thought = next((str(messages[place][name]) for name in THOUGHTS if messages[place].get(name)), "").strip()
    if not thought or not place:
        return len(before)
    opened = _shared(before, renderer.render(messages[:place], opening=True)[0])
    return len(opened) if thought in before[len(opened) :] else len(before)


def _shared(first: str, second: str) -> str:
    """What two texts both begin with."""
    pairs = enumerate(zip(first, second, strict=False))
    return first[
        : next((place for place, (one, other) in pairs if one != other), min(len(first), len(second)))
    ]


def _by_text(conversation: Conversation, template: str, controls: Mapping[str, str]) -> Written:
    """Writes each answer behind what stands before it, by a text with a place for the prompt."""
    text, spans, asked = "", [], []
    counted = set(conversation.answers)
    for place, message in enumerate(conversation.messages):
        if message["role"] != ASSISTANT:
            asked.append(message)
            continue
        text += _text_before(asked, template)
        answer, asked = str(message["content"] or ""), []
        answer = answer if answer[:1].isspace() or text[-1:].isspace() else f" {answer}"
        if place in counted:
            spans.append((len(text), len(text) + len(answer)))
        text += answer
    return Written(text[: spans[-1][1]], tuple(spans), by_chat_template=False, controls=controls)


def _text_before(messages: Sequence[Message], template: str) -> str:
    prompt = "\n\n".join(str(message["content"] or "") for message in messages)
    if template == RAW_TEMPLATE:
        return prompt
    text = template if PLACE in template else KNOWN_TEXTS.get(template, DEFAULT_TEXT)
    return text.replace(PLACE, prompt)


def _hidden(
    tokenizer: Any, messages: Sequence[Message], template: str
) -> tuple[tuple[Message, ...], dict[str, str]]:
    """Makes texts of what somebody wrote that would be a control token, unless the text is raw."""
    return (tuple(messages), {}) if template == RAW_TEMPLATE else hide_controls(tokenizer, messages)
