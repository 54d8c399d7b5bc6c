"""Labels and categories of a row, in the words that data sets use."""

import math
from collections.abc import Mapping
from typing import Any

from lancet_core.errors import DataError

# What says itself which way round it is, whatever the column is called.
_SAFETY = {
    "safe": True, "unharmful": True, "harmless": True, "benign": True, "non-toxic": True,
    "unsafe": False, "harmful": False, "toxic": False,
}  # fmt: skip
_TRUTH = {"true": True, "yes": True, "y": True, "false": False, "no": False, "n": False}
LABEL_COLUMNS = ("is_safe", "response_harm_label")
SEVERITY_COLUMNS = ("severity_level", "severity")
CATEGORY_COLUMNS = ("category", "categories", "harm_category")


def read_label(value: Any, name: str, *, inverted: bool = False) -> bool | None:
    """Reads whether a sample is safe: bool, 0 and 1 in any form, yes and no, safe and unsafe, harmful and unharmful.

    Args:
        value: What stands in the column.
        name: The column, for an error.
        inverted: Whether the column says that a sample is *not* safe; words such as *harmful* say it themselves.

    Returns:
        The label; None where the column is empty.

    Raises:
        DataError: It is none of these.
    """
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return None
    text = str(value).strip().lower()
    if not text:
        return None
    if text in _SAFETY:
        return _SAFETY[text]
    truth = _TRUTH.get(text, _number(text))
    if truth is None:
        raise DataError(
            f"{name} is {value!r:.60}; accepted are true, false, 1, 0, yes, no, safe, unsafe, harmful, unharmful or nothing"
        )
    return truth is not inverted


def label_of(row: Mapping[str, Any]) -> bool | None:
    """Reads the label of a row from the first column that has one; a severity of 0 is safe."""
    for name in LABEL_COLUMNS:
        if name in row and (label := read_label(row[name], name)) is not None:
            return label
    word = row.get("label")
    if isinstance(word, str) and word.strip().lower() in _SAFETY:
        return read_label(word, "label")
    for name in SEVERITY_COLUMNS:
        level = row.get(name)
        if isinstance(level, int | float) and not isinstance(level, bool) and not math.isnan(level):
            return level == 0
    return None


def categories_of(row: Mapping[str, Any]) -> tuple[str, ...]:
    """Reads the categories of a row from the first column that has any."""
    return next((found for name in CATEGORY_COLUMNS if (found := read_categories(row.get(name), name))), ())


def read_categories(value: Any, name: str) -> tuple[str, ...]:
    """Reads a text, a list of texts, or a table of yes and no.

    Raises:
        DataError: It is none of these.
    """
    if not value or (isinstance(value, float) and math.isnan(value)):
        return ()
    if isinstance(value, Mapping):
        return tuple(str(category) for category, holds in value.items() if holds)
    if isinstance(value, str):
        return (value,)
    if isinstance(value, list):
        return tuple(str(category) for category in value)
    raise DataError(f"{name} is {value!r:.60}; accepted is a text, a list of texts or a table of yes and no")


def _number(text: str) -> bool | None:
    try:
        number = float(text)
    except ValueError:
        return None
    return bool(number) if number in {0.0, 1.0} else None
