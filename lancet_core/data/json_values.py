"""How rows lie in a JSON text that is no list of them: one in a line, one behind the other, or inside of one object."""

import json
import re
from typing import Any

from lancet_core.data.conversations import looks_like_messages
from lancet_core.data.rows import TEXT_COLUMNS

_DECODER = json.JSONDecoder()
_SOMETHING = re.compile(r"\S")


def first_line(text: str) -> tuple[str, bool]:
    """The first line that is not empty, and whether something follows it."""
    start = _next(text, 0)
    end = text.find("\n", start)
    return (text[start:], False) if end < 0 else (text[start:end], _next(text, end) < len(text))


def values_in(text: str) -> list[Any] | None:
    """Gives the JSON values that stand one behind the other in a text; None where something else does."""
    values = []
    place = _next(text, 0)
    while place < len(text):
        try:
            value, end = _DECODER.raw_decode(text, place)
        except (ValueError, RecursionError):
            return None
        values.append(value)
        place = _next(text, end)
    return values


def _next(text: str, start: int) -> int:
    """Where something other than white space stands next; the end of the text where nothing does."""
    found = _SOMETHING.search(text, start)
    return found.start() if found else len(text)


def table_in(value: Any) -> list[Any] | None:
    """Gives the rows that one object holds: in its only list of objects, or column by column; None where it is a row itself."""
    if not isinstance(value, dict):
        return None
    if not any(name in TEXT_COLUMNS for name in value):
        lists = [each for each in value.values() if _is_list_of_rows(each)]
        return lists[0] if len(lists) == 1 else None
    return _by_columns(value)


def _by_columns(value: dict[str, Any]) -> list[Any] | None:
    """Gives the rows of a table that was written column by column, as `to_json` of pandas and `to_dict` of datasets do."""
    columns = [list(each.values()) if _is_pandas_column(each) else each for each in value.values()]
    is_table = len(columns) > 1 and all(
        isinstance(each, list) and not looks_like_messages(each) for each in columns
    )
    if not is_table or len(set(map(len, columns))) > 1:
        return None
    return [dict(zip(value, row, strict=True)) for row in zip(*columns, strict=True)]


def _is_list_of_rows(value: Any) -> bool:
    is_list = isinstance(value, list) and bool(value) and all(isinstance(row, dict) for row in value)
    return is_list and not looks_like_messages(value)


def _is_pandas_column(value: Any) -> bool:
    return isinstance(value, dict) and bool(value) and all(str(name).isdecimal() for name in value)
