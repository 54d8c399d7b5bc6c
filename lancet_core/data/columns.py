"""Names the columns of a file by hand where they are called otherwise: `prompt=question,response=answer,label=is_harmful:inverted`."""

import csv
import io
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from lancet_core.data.labels import read_label
from lancet_core.errors import ConfigError, DataError

LABEL, CATEGORY, INVERTED = "label", "category", "inverted"
TEXTS = ("prompt", "response", "messages", "chosen", "rejected", "system", CATEGORY)
TARGETS = (*TEXTS, LABEL)


@dataclass(frozen=True)
class ColumnMap:
    """Which column of a file stands for which of ours.

    Attributes:
        columns: Ours (`TARGETS`) to theirs.
        inverted: Whether the label's column says that a sample is *not* safe.
    """

    columns: Mapping[str, str]
    inverted: bool = False

    def applied(self, row: Mapping[str, Any]) -> dict[str, Any]:
        """Renames the columns of a row.

        Raises:
            DataError: A column is missing, or the label cannot be read.
        """
        named = {ours: _value(row, theirs) for ours, theirs in self.columns.items()}
        if LABEL in named:
            named["is_safe"] = read_label(named.pop(LABEL), self.columns[LABEL], inverted=self.inverted)
        used = {*self.columns.values(), *named}
        return {name: value for name, value in row.items() if name not in used} | named


def _value(row: Mapping[str, Any], name: str) -> Any:
    """Gives what stands in a column; `answer.text.0` is what a column holds inside.

    Raises:
        DataError: There is none of that name.
    """
    if name in row:
        return row[name]
    value: Any = row
    for part in name.split("."):
        if isinstance(value, Mapping) and part in value:
            value = value[part]
        elif isinstance(value, list) and part.isdecimal() and int(part) < len(value):
            value = value[int(part)]
        else:
            raise DataError(f"no column {name!r}; columns found: {', '.join(map(str, row)) or '(none)'}")
    return value


def parse_columns(text: str) -> ColumnMap:
    """Reads a mapping as it is typed; a part with a comma in it stands in quotes: `"prompt=What, exactly?",response=answer`.

    Raises:
        ConfigError: A part is no `ours=theirs`, or `ours` is unknown.
    """
    columns: dict[str, str] = {}
    inverted = False
    parts = next(csv.reader([text], skipinitialspace=True), [])
    for part in filter(None, map(str.strip, parts)):
        ours, equals, theirs = part.partition("=")
        if ours == LABEL and theirs.endswith(f":{INVERTED}"):
            theirs, inverted = theirs.removesuffix(f":{INVERTED}"), True
        if not equals or not theirs or ours not in TARGETS:
            raise ConfigError(
                f"{part!r} names no column; write ours=theirs, as in prompt=question,label=is_harmful:inverted; ours are "
                f"{', '.join(TARGETS)}"
            )
        columns[ours] = theirs
    return ColumnMap(columns, inverted)


def write_columns(columns: ColumnMap) -> str:
    """Writes a mapping as `parse_columns` reads it."""
    parts = [
        f"{ours}={theirs}{f':{INVERTED}' if ours == LABEL and columns.inverted else ''}"
        for ours, theirs in columns.columns.items()
    ]
    line = io.StringIO()
    csv.writer(line, lineterminator="").writerow(parts)
    return line.getvalue() if parts else ""
