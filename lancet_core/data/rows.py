"""What stands in the columns of a row: the names that they go by, and what is asked in it."""

from collections.abc import Mapping
from typing import Any

from lancet_core.data.conversations import (
    SYSTEM,
    TOOLS,
    USER,
    Message,
    looks_like_messages,
    read_messages,
    read_tools,
)
from lancet_core.data.labels import CATEGORY_COLUMNS, LABEL_COLUMNS, SEVERITY_COLUMNS, WORD_COLUMNS
from lancet_core.errors import DataError

PROMPT_COLUMNS = ("prompt", "question", "instruction", "query", "input", "inputs")
RESPONSE_COLUMNS = ("response", "completion", "answer", "output", "targets")
# What an instruction is about stands in a column of its own.
CONTEXT_COLUMNS = {"instruction": ("input", "context"), "question": ("context",)}
MESSAGES_COLUMNS = ("messages", "conversations", "conversation")
# Turns without roles, told by their order: UltraChat's `data`.
TEXTS_COLUMNS = (*MESSAGES_COLUMNS, "dialog", "dialogue", "data")
SYSTEM_COLUMNS = ("system", "system_prompt", "system_message")
HISTORY = "history"
SIDES = ("chosen", "rejected")
PKU_SIDES = ("response_0", "response_1")
TEXT_COLUMNS = {*PROMPT_COLUMNS, *RESPONSE_COLUMNS, *MESSAGES_COLUMNS, *SIDES, *PKU_SIDES}
"""What the texts of a sample stand in; a row without any of them is none as it is."""
_KNOWN = {
    *PROMPT_COLUMNS, *RESPONSE_COLUMNS, *TEXTS_COLUMNS, *SYSTEM_COLUMNS, *SIDES, HISTORY, TOOLS, "context", *PKU_SIDES,
    *LABEL_COLUMNS, *WORD_COLUMNS, *SEVERITY_COLUMNS, *CATEGORY_COLUMNS,
}  # fmt: skip


def with_known_names(row: Mapping[str, Any]) -> Mapping[str, Any]:
    """Gives the columns of a row that are known but for capitals and spaces, `Is Safe`, the names that they are known by."""
    names = {name: "_".join(str(name).lower().split()) for name in row if name not in _KNOWN}
    renamed = {name: known for name, known in names.items() if known in _KNOWN and known not in row}
    if not renamed:
        return row
    return {renamed.get(name, name): value for name, value in row.items()}


def read_asked(row: Mapping[str, Any]) -> tuple[list[Message], set[str]]:
    """Reads what is asked in a row: the system's text, earlier turns, and a prompt with what it is about.

    Returns:
        The messages, none where there is no prompt, and the columns that they were read from.

    Raises:
        DataError: Something of it is malformed.
    """
    name = next(
        (name for name in PROMPT_COLUMNS if has_text(row, name) or looks_like_messages(row.get(name))), ""
    )
    if not name:
        return framed([], row)
    if looks_like_messages(row[name]):
        messages, used = framed(read_messages(row[name], name), row)
        return messages, {*used, name}
    about = [column for column in CONTEXT_COLUMNS.get(name, ()) if has_text(row, column)]
    prompt = "\n\n".join(text_of(row, column) for column in (name, *about))
    messages, used = framed([{"role": USER, "content": prompt}], row, with_history=True)
    return messages, {*used, name, *about}


def framed(
    messages: list[Message], row: Mapping[str, Any], *, with_history: bool = False
) -> tuple[list[Message], set[str]]:
    """Puts before messages what other columns of their row hold: the system's text, earlier turns and the tools.

    Raises:
        DataError: The earlier turns are malformed.
    """
    used: set[str] = set()
    history = row.get(HISTORY)
    if with_history and isinstance(history, list) and history:
        messages, used = [*read_messages(history, HISTORY), *messages], {HISTORY}
    system = next((name for name in SYSTEM_COLUMNS if has_text(row, name)), "")
    if system and [message["role"] for message in messages[:1]] != [SYSTEM]:
        messages, used = [{"role": SYSTEM, "content": row[system]}, *messages], {*used, system}
    tools = read_tools(row.get(TOOLS))
    if tools and messages:
        messages, used = [{**messages[0], TOOLS: tools}, *messages[1:]], {*used, TOOLS}
    return messages, used


def has_text(row: Mapping[str, Any], name: str) -> bool:
    """Whether a column holds a text that is not empty."""
    value = row.get(name)
    return isinstance(value, str) and bool(value.strip())


def text_of(row: Mapping[str, Any], column: str) -> str:
    """Gives the text in a column.

    Raises:
        DataError: The column is missing, empty or no text.
    """
    if column not in row:
        raise DataError(missing_column(row, column))
    value = row[column]
    if not isinstance(value, str) and value is not None:
        raise DataError(f"{column} is {value!r:.60} ({type(value).__name__}); accepted is a text")
    if not value or not value.strip():
        raise DataError(f"{column} is empty")
    return value


def missing_column(row: Mapping[str, Any], *columns: str) -> str:
    """Says which of some columns is missing first, and which there are."""
    missing = next(column for column in columns if column not in row)
    return f"no column {missing!r}; columns found: {', '.join(map(str, row)) or '(none)'}"
