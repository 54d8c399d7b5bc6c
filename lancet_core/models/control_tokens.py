"""Control tokens that somebody wrote into a text: they stay text, since a template alone writes control tokens."""

from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from itertools import count
from typing import Any

from lancet_core.data.conversations import Message

_FIRST_PRIVATE = 0xF0000


def control_texts(tokenizer: Any) -> tuple[str, ...]:
    """Texts of the control tokens, the longest first."""
    return _controls_of(tokenizer, len(tokenizer))


@lru_cache(maxsize=16)
def _controls_of(tokenizer: Any, _size: int) -> tuple[str, ...]:
    special = [str(token.content) for token in tokenizer.added_tokens_decoder.values() if token.special]
    return tuple(sorted(filter(None, special), key=len, reverse=True))


def unused(text: str) -> Iterator[str]:
    """Private characters that a text does not hold."""
    return (chr(code) for code in count(_FIRST_PRIVATE) if chr(code) not in text)


def hide_controls(tokenizer: Any, messages: Sequence[Message]) -> tuple[tuple[Message, ...], dict[str, str]]:
    """Replaces what would be a control token by a private character, wherever it stands in messages.

    Returns:
        The messages, and what each private character stands for.
    """
    texts = "".join(str(value) for message in messages for value in message.values())
    present = [control for control in control_texts(tokenizer) if control in texts]
    if not present:
        return tuple(messages), {}
    marks = dict(zip(present, unused(texts), strict=False))
    hidden = tuple({**_replaced(message, marks), "role": message["role"]} for message in messages)
    return hidden, {mark: control for control, mark in marks.items()}


def _replaced(value: Any, marks: Mapping[str, str]) -> Any:
    """Replaces control tokens by their marks in all texts of a value."""
    if isinstance(value, str):
        for control, mark in marks.items():
            value = value.replace(control, mark)
    elif isinstance(value, Mapping):
        return {name: _replaced(inner, marks) for name, inner in value.items()}
    elif isinstance(value, list):
        return [_replaced(inner, marks) for inner in value]
    return value
