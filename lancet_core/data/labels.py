"""Labels and categories of a row, in the words that data sets use."""

import math
import re
from collections.abc import Mapping
from typing import Any

from lancet_core.data.written import parse_written
from lancet_core.errors import DataError

# What says itself which way round it is, whatever the column is called.
_SAFETY = {
    "safe": True, "unharmful": True, "harmless": True, "benign": True,
    "unsafe": False, "harmful": False, "toxic": False,
}  # fmt: skip
_NOT = re.compile(r"(not|non) ")
_JOINT = re.compile(r"(?<=[a-z])[\s_-]+(?=[a-z])")
_TRUTH = {
    "true": True,
    "yes": True,
    "y": True,
    "t": True,
    "false": False,
    "no": False,
    "n": False,
    "f": False,
}
_NOTHING = {"", "none", "null", "nan", "na", "n/a", "<na>", "nat", "unknown"}
LABEL_COLUMNS = ("is_safe", "response_harm_label")
# What these hold is a label where its word says that it is.
WORD_COLUMNS = ("label", "response_label", "safety", "safety_label")
SEVERITY_COLUMNS = ("severity_level", "severity", "severity_category")
CATEGORY_COLUMNS = ("category", "categories", "harm_category", "safety_category")


def read_label(value: Any, name: str, *, inverted: bool = False) -> bool | None:
    """Reads whether a sample is safe: bool, 0 and 1 in any form, yes and no, safe and unsafe, harmful and not harmful.

    Args:
        value: What stands in the column.
        name: The column, for an error.
        inverted: Whether the column says that a sample is *not* safe; words such as *harmful* say it themselves.

    Returns:
        The label; None where the column is empty, or says that it is not known.

    Raises:
        DataError: It is none of these.
    """
    text = _word(value)
    if text in _NOTHING:
        return None
    safety = _safety(text)
    if safety is not None:
        return safety
    truth = _truth(text)
    if truth is None:
        raise DataError(
            f"{name} is {value!r:.60}; accepted are true, false, 1, 0, yes, no, safe, unsafe, harmful, unharmful or nothing"
        )
    return truth is not inverted


def label_of(row: Mapping[str, Any]) -> bool | None:
    """Reads the label of a row from the first column that has one; a severity of 0 is safe, a higher one is not."""
    for name in LABEL_COLUMNS:
        if name in row and (label := read_label(row[name], name)) is not None:
            return label
    words = (row.get(name) for name in WORD_COLUMNS)
    said = (_safety(_word(word)) for word in words if isinstance(word, str))
    levels = (_level(row.get(name)) for name in SEVERITY_COLUMNS)
    known = (*said, *(None if level is None else level == 0 for level in levels))
    return next((label for label in known if label is not None), None)


def categories_of(row: Mapping[str, Any]) -> tuple[str, ...]:
    """Reads the categories of a row from the first column that has any."""
    return next((found for name in CATEGORY_COLUMNS if (found := read_categories(row.get(name), name))), ())


def read_categories(value: Any, name: str) -> tuple[str, ...]:
    """Reads a name, a list of names, or a table of yes and no; a list or table may be written into a text.

    Raises:
        DataError: It is none of these.
    """
    if value is None or value == "" or (isinstance(value, float) and math.isnan(value)):
        return ()
    if isinstance(value, str):
        return _written_categories(value, name)
    if isinstance(value, Mapping):
        return tuple(str(category) for category, holds in value.items() if _holds(holds, name))
    if isinstance(value, list | tuple):
        return tuple(category for each in value for category in (_category(each, name),) if category)
    return (_category(value, name),)


def _written_categories(text: str, name: str) -> tuple[str, ...]:
    if text.lstrip()[:1] not in {"[", "{"}:
        return (text,)
    try:
        written = parse_written(text, name)
    except DataError:
        # Somebody's name for a category may begin so.
        return (text,)
    return read_categories(written, name) if isinstance(written, list | Mapping) else (text,)


def _category(value: Any, name: str) -> str:
    """Reads the name of a category; a number is one.

    Raises:
        DataError: It is neither.
    """
    if value is None or isinstance(value, str):
        return value or ""
    if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value):
        return str(int(value)) if value == int(value) else str(value)
    raise DataError(f"{name} is {value!r:.60}; accepted is a text, a list of texts or a table of yes and no")


def _holds(value: Any, name: str) -> bool:
    """Reads whether a category of a table holds.

    Raises:
        DataError: It is no yes or no.
    """
    text = _word(value)
    truth = False if text in _NOTHING else _truth(text)
    if truth is None:
        raise DataError(f"{name} holds {value!r:.60}; accepted in a table of categories is yes or no")
    return truth


def _word(value: Any) -> str:
    """A value as a word: small letters, words joined by one space (*Not_safe*, *non-toxic*)."""
    return "" if value is None else _JOINT.sub(" ", str(value).strip().lower())


def _safety(text: str) -> bool | None:
    """Reads a word that says itself which way round it is, *not* before it included."""
    negation = _NOT.match(text)
    known = _SAFETY.get(text.removeprefix(negation.group()) if negation else text)
    return known if known is None or negation is None else not known


def _truth(text: str) -> bool | None:
    number = _number(text)
    return bool(number) if number in {0.0, 1.0} else _TRUTH.get(text)


def _level(value: Any) -> float | None:
    """Reads a severity: a number that is not negative, or its text."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    number = _number(str(value))
    return number if number is not None and 0 <= number < math.inf else None


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None
