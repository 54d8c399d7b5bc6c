"""Names the columns of a file by hand where they are called otherwise: `prompt=question,response=answer,label=is_harmful:inverted`."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from lancet_core.data.labels import read_label
from lancet_core.errors import ConfigError, DataError

TEXTS = ("prompt", "response", "messages", "chosen", "rejected", "category")
LABEL, INVERTED = "label", "inverted"
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
        missing = [column for column in self.columns.values() if column not in row]
        if missing:
            raise DataError(
                f"no column {missing[0]!r}; columns found: {', '.join(map(str, row)) or '(none)'}"
            )
        named = {ours: row[theirs] for ours, theirs in self.columns.items() if ours != LABEL}
        if LABEL in self.columns:
            column = self.columns[LABEL]
            named["is_safe"] = read_label(row[column], column, inverted=self.inverted)
        used = {*self.columns.values(), *named}
        return {name: value for name, value in row.items() if name not in used} | named


def parse_columns(text: str) -> ColumnMap:
    """Reads a mapping as it is typed.

    Raises:
        ConfigError: A part is no `ours=theirs`, or `ours` is unknown.
    """
    columns: dict[str, str] = {}
    inverted = False
    for part in filter(None, (part.strip() for part in text.split(","))):
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
