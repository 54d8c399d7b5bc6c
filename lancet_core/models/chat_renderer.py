"""Writes messages by a chat template, as `apply_chat_template` of transformers does."""

import datetime
import json
import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from jinja2 import TemplateError

from lancet_core.data.conversations import ASSISTANT, TOOLS, USER, WEIGHT, Message
from lancet_core.errors import DataError, ModelError
from lancet_core.models.control_tokens import control_texts, unused

NOW = re.compile(r"""strftime_now\(\s*(["'])(.*?)\1\s*\)""")
_GENERATION = re.compile(r"\{%-?\s*generation\s*-?%\}")
# No template treats a private character specially: it takes the place of an answer.
SENTINEL = next(unused(""))
_EXCHANGE = ({"role": USER, "content": "a"}, {"role": ASSISTANT, "content": SENTINEL})
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


class ChatRenderer:
    """Writes messages by one chat template."""

    def __init__(self, tokenizer: Any, chat: str, day: datetime.date | None) -> None:
        """Takes what the template may ask for: the tokenizer's special tokens, and the day."""
        self._folder = tokenizer.name_or_path
        self._chat = chat if day is None else NOW.sub(lambda call: json.dumps(day.strftime(call[2])), chat)
        self.marks_answers = bool(_GENERATION.search(chat))
        self._values = dict(tokenizer.special_tokens_map)
        self.text_end = tokenizer.eos_token or ""
        self.controls = control_texts(tokenizer)
        self._takes_parts = self._works = False
        self._works = self._shows_answer() or self._shows_answer(parts=True)
        self._takes_parts = self._takes_parts and self._works

    def _shows_answer(self, *, parts: bool = False) -> bool:
        """Whether an answer comes through: templates of models that see take contents as lists of parts."""
        self._takes_parts = parts
        try:
            return SENTINEL in self.render(_EXCHANGE)[0]
        except (DataError, ModelError):
            return False

    @property
    def ending(self) -> str:
        """What stands behind an answer to end its turn; empty where nothing does.

        Raises:
            ModelError: The template is broken.
        """
        return self.render(_EXCHANGE)[0].rpartition(SENTINEL)[2].rstrip()

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
                tools=messages[0].get(TOOLS),
                chat_template=self._chat,
                add_generation_prompt=opening,
                return_assistant_tokens_mask=self.marks_answers,
                **self._values,
            )
        except _TEMPLATE_ERRORS as error:
            # A template that writes an exchange is whole: what it fails on is these messages.
            kind = DataError if type(error) is TemplateError or self._works else ModelError
            raise kind(
                f"the chat template of the model in {self._folder} {'refuses this' if kind is DataError else 'fails'}: {error}; "
                "correct it, or give the study a template of its own (raw, or a text with {prompt})"
            ) from error
        return text, _joined([(int(start), int(end)) for start, end in (marks[0] if marks else [])])

    def _given(self, message: Message) -> Message:
        # As transformers does: to many templates a content of None is the word, where a missing one is nothing.
        given = {
            name: value
            for name, value in message.items()
            if value is not None and name not in {TOOLS, WEIGHT}
        }
        if self._takes_parts and isinstance(message["content"], str):
            given["content"] = [{"type": "text", "text": message["content"]}]
        return given


@lru_cache(maxsize=16)
def renderer_of(tokenizer: Any, chat: str, day: datetime.date | None) -> ChatRenderer:
    """Gives the renderer of a chat template; one is kept for each.

    Args:
        tokenizer: Whose control tokens the template may ask for.
        chat: The template.
        day: The day that it writes if it writes one; None for today.
    """
    return ChatRenderer(tokenizer, chat, day)


def _joined(marks: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """Joins spans that touch: some templates mark an answer and its end apart."""
    joined: list[tuple[int, int]] = []
    for start, end in marks:
        if joined and start == joined[-1][1]:
            joined[-1] = (joined[-1][0], end)
        else:
            joined.append((start, end))
    return joined
