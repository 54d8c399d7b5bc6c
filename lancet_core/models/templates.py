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
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import count
from typing import Any

from jinja2 import TemplateError

from lancet_core.data.conversations import ASSISTANT, LAST, USER, Conversation, Message
from lancet_core.errors import DataError, ModelError
from lancet_core.models.settings import RAW_TEMPLATE
from lancet_core.models.template_names import (
    DAY_MARK,
    DEFAULT_TEXT,
    KNOWN_TEXTS,
    PLACE,
    chosen_name,
    day_of,
    names_of,
)

_NOW = re.compile(r"""strftime_now\(\s*(["'])(.*?)\1\s*\)""")
_GENERATION = "generation %}"
# Private characters, which no template treats specially: one takes the place of an answer.
_FIRST_PRIVATE = 0xF0000
_SENTINEL = chr(_FIRST_PRIVATE)
# A template is a program: besides Jinja's own errors it can raise those of the values that it computes with.
_TEMPLATE_ERRORS = (
    TemplateError,
    TypeError,
    ValueError,
    ArithmeticError,
    LookupError,
    AttributeError,
    RecursionError,
)


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
    chat = chat_template(tokenizer, template)
    messages, used = _hidden(tokenizer, conversation.messages, template)
    hidden = replace(conversation, messages=messages)
    if chat is None:
        return _by_text(hidden, template, used)
    return _by_chat_template(_renderer(tokenizer, chat, day_of(template)), hidden, used)


def write_prompt(tokenizer: Any, messages: Sequence[Message], template: str) -> Written:
    """Writes everything that stands before the next answer.

    Raises:
        ConfigError: The template is unknown or lacks `{prompt}`.
        DataError: The template refuses the messages.
        ModelError: The chat template is broken.
    """
    chat = chat_template(tokenizer, template)
    hidden, used = _hidden(tokenizer, messages, template)
    if chat is None:
        return Written(_text_before(hidden, template), (), by_chat_template=False, controls=used)
    text, _marks = _renderer(tokenizer, chat, day_of(template)).render(hidden, opening=True)
    return Written(text, (), by_chat_template=True, controls=used)


def chat_template(tokenizer: Any, template: str) -> str | None:
    """The chat template that a study's setting means; None where a text takes its place.

    Raises:
        ConfigError: The tokenizer has named templates, and none of them is chosen; or the name is unknown.
    """
    own = tokenizer.chat_template
    name = chosen_name(names_of(own), template)
    return None if name is None else str(own[name] if isinstance(own, Mapping) else own)


def with_day(tokenizer: Any, template: str, day: datetime.date) -> str:
    """Adds the day to a template that writes one, so that it writes the same tomorrow."""
    chat = chat_template(tokenizer, template)
    writes_day = chat is not None and _NOW.search(chat) and DAY_MARK not in template
    return f"{template}{DAY_MARK}{day.isoformat()}" if writes_day else template


def turn_end(tokenizer: Any, template: str) -> str:
    """What a chat template writes behind an answer to end its turn; empty where it writes nothing, or none is used."""
    chat = chat_template(tokenizer, template)
    if chat is None:
        return ""
    asked = Conversation(({"role": USER, "content": "a"}, {"role": ASSISTANT, "content": _SENTINEL}))
    text, _marks = _renderer(tokenizer, chat, day_of(template)).render(asked.messages)
    return text.rpartition(_SENTINEL)[2].rstrip()


def split_text(conversation: Conversation, template: str) -> tuple[str, str]:
    """What a template of words writes before the last answer, and that answer as it follows."""
    written = _by_text(conversation, template, {})
    start, end = written.spans[-1]
    return written.text[:start], written.text[start:end]


class _Renderer:
    """Writes messages by one chat template."""

    def __init__(self, tokenizer: Any, chat: str, day: datetime.date | None) -> None:
        """Takes what the template may ask for: the tokenizer's special tokens, and the day."""
        self._folder = tokenizer.name_or_path
        self._chat = chat if day is None else _NOW.sub(lambda call: json.dumps(day.strftime(call[2])), chat)
        self.marks_answers = _GENERATION in chat
        self._values = dict(tokenizer.special_tokens_map)
        self.text_end = tokenizer.eos_token or ""
        self.controls = _control_strings(tokenizer)
        self._takes_parts = False
        self._takes_parts = not self._shows_answer() and self._shows_answer(parts=True)

    def _shows_answer(self, *, parts: bool = False) -> bool:
        """Whether an answer comes through: templates of models that see take contents as lists of parts."""
        self._takes_parts = parts
        asked = [{"role": USER, "content": "a"}, {"role": ASSISTANT, "content": _SENTINEL}]
        try:
            return _SENTINEL in self.render(asked)[0]
        except (DataError, ModelError):
            return False

    def render(
        self, messages: Sequence[Message], *, opening: bool = False
    ) -> tuple[str, list[tuple[int, int]]]:
        """Gives the text, and where the template says that answers stand.

        Raises:
            DataError: The template refuses the messages.
            ModelError: The template is broken.
        """
        from transformers.utils.chat_template_utils import render_jinja_template

        try:
            (text,), marks = render_jinja_template(
                conversations=[[self._given(message) for message in messages]],
                chat_template=self._chat,
                add_generation_prompt=opening,
                return_assistant_tokens_mask=self.marks_answers,
                **self._values,
            )
        except _TEMPLATE_ERRORS as error:
            kind = DataError if type(error) is TemplateError else ModelError
            raise kind(
                f"the chat template of the model in {self._folder} {'refuses this' if kind is DataError else 'fails'}: {error}; "
                "correct it, or give the study a template of its own (raw, or a text with {prompt})"
            ) from error
        return text, _joined([(int(start), int(end)) for start, end in (marks[0] if marks else [])])

    def _given(self, message: Message) -> Message:
        if self._takes_parts and isinstance(message["content"], str):
            return {**message, "content": [{"type": "text", "text": message["content"]}]}
        return dict(message)


@lru_cache(maxsize=16)
def _renderer(tokenizer: Any, chat: str, day: datetime.date | None) -> _Renderer:
    return _Renderer(tokenizer, chat, day)


def _by_chat_template(
    renderer: _Renderer, conversation: Conversation, controls: Mapping[str, str]
) -> Written:
    text, marks = renderer.render(conversation.messages)
    if marks:
        spans = marks[-1:] if conversation.turns == LAST else marks
    else:
        spans = [_span(renderer, conversation.messages, place, text) for place in conversation.answers]
    return Written(text, tuple(spans), by_chat_template=True, controls=controls)


def _joined(marks: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """Joins spans that touch: some templates mark an answer and its end apart."""
    joined: list[tuple[int, int]] = []
    for start, end in marks:
        if joined and start == joined[-1][1]:
            joined[-1] = (joined[-1][0], end)
        else:
            joined.append((start, end))
    return joined


def _span(renderer: _Renderer, messages: Sequence[Message], place: int, text: str) -> tuple[int, int]:
    """Finds an answer, with the end of its turn, in the text of its conversation.

    The conversation is written once more with another answer in its place: what stands before and behind that one is the frame.

    Raises:
        DataError: The template writes the rest of the conversation otherwise when the answer changes.
    """
    answer = str(messages[place]["content"]).strip()
    sentinel = next(_unused(text))
    other = [*messages[:place], {**messages[place], "content": sentinel}, *messages[place + 1 :]]
    before, found, behind = renderer.render(other)[0].partition(sentinel)
    if not found or not text.startswith(before) or not text.endswith(behind):
        # Some templates write an answer by what stands in it, a thought say: it is looked for as it is.
        start = text.rfind(answer)
        if start < 0:
            raise DataError("the chat template does not write the assistant's answer")
        before, behind = text[:start], text[start + len(answer) :]
    start, end = len(before), len(text) - len(behind)
    whole = renderer.render(other[: place + 1])[0].partition(sentinel)[2].rstrip()
    # A turn that another follows may end otherwise than the last: without the end of the text, or in a control token of its own.
    endings = (whole, whole.removesuffix(renderer.text_end).rstrip(), *(renderer.controls if whole else ()))
    ends_turn = next((ending for ending in endings if ending and behind.startswith(ending)), "")
    return start, end + len(ends_turn)


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


def _unused(text: str) -> Iterator[str]:
    """Private characters that a text does not hold."""
    return (chr(code) for code in count(_FIRST_PRIVATE) if chr(code) not in text)


def _control_strings(tokenizer: Any) -> tuple[str, ...]:
    """Texts of the control tokens, the longest first."""
    return _controls_of(tokenizer, len(tokenizer))


@lru_cache(maxsize=16)
def _controls_of(tokenizer: Any, _size: int) -> tuple[str, ...]:
    special = [str(token.content) for token in tokenizer.added_tokens_decoder.values() if token.special]
    return tuple(sorted(filter(None, special), key=len, reverse=True))


def _hidden(
    tokenizer: Any, messages: Sequence[Message], template: str
) -> tuple[tuple[Message, ...], dict[str, str]]:
    """Replaces what somebody wrote that would be a control token by private characters: a text stays a text, unless it is raw."""
    controls = () if template == RAW_TEMPLATE else _control_strings(tokenizer)
    marks = _unused("".join(str(message["content"]) for message in messages))
    used: dict[str, str] = {}
    hidden = []
    for message in messages:
        content = message["content"]
        for control in controls if content else ():
            if control in content:
                mark = next(marks)
                used[mark] = control
                content = content.replace(control, mark)
        hidden.append({**message, "content": content})
    return tuple(hidden), used
