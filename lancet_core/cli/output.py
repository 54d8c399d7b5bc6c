"""What the command line prints: tables and sentences for people, one JSON document for machines."""

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, is_dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import pandas as pd
import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

LONGEST_CELL = 100
LEAST_CUT_WIDTH = 16
GAP = 2


def print_json(document: Any) -> None:
    """Prints one JSON document on stdout."""
    typer.echo(json.dumps(_plain(document), ensure_ascii=False, indent=2))


def print_line(text: str) -> None:
    """Prints a line on stdout as it is: no markup in it is interpreted."""
    typer.echo(text)


def print_note(text: str) -> None:
    """Prints a line that is no result: on stderr."""
    typer.echo(text, err=True)


def print_table(columns: Sequence[str], rows: Iterable[Sequence[Any]], *, cut: Sequence[str] = ()) -> None:
    """Prints rows under headers, cells as plain text.

    Args:
        columns: The headers.
        rows: Values in the order of the headers.
        cut: Columns whose cells are cut to the width of the terminal; the others are never cut.
    """
    cells = [[cell(value) for value in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(columns, *cells, strict=True)]
    kept = sum(width + GAP for width, column in zip(widths, columns, strict=True) if column not in cut)
    room = max(LEAST_CUT_WIDTH, (Console().width - kept) // max(1, len(cut)) - GAP)
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, GAP, 0, 0))
    for column, width in zip(columns, widths, strict=True):
        table.add_column(
            column, no_wrap=True, overflow="ellipsis", width=min(width, room) if column in cut else width
        )
    for row in cells:
        table.add_row(*map(Text, row))
    Console(width=kept + len(cut) * (room + GAP)).print(table, crop=False)


def cell(value: Any) -> str:
    """Writes one value for a table: three significant digits, local time, one line."""
    if value is None or (isinstance(value, float) and math.isnan(value)) or value is pd.NA:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.3g}"
    if isinstance(value, datetime):
        return value.astimezone().strftime("%Y-%m-%d %H:%M:%S")
    text = " ".join(str(value).split())
    return text if len(text) <= LONGEST_CELL else text[: LONGEST_CELL - 1] + "…"


def records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """Lists the rows of a table for `print_json`."""
    return [{str(name): value for name, value in row.items()} for row in frame.to_dict("records")]


def _plain(value: Any) -> Any:
    """Turns what the workbench returns into JSON values; an undefined number becomes null."""
    if is_dataclass(value) and not isinstance(value, type):
        return _plain(asdict(value))
    if isinstance(value, pd.DataFrame):
        return _plain(records(value))
    if isinstance(value, Mapping):
        return {str(name): _plain(item) for name, item in value.items()}
    if isinstance(value, str | bool) or value is None:
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return _plain_other(value)


def _plain_other(value: Any) -> Any:
    if value is pd.NA or value is pd.NaT:
        return None
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, Path):
        return str(value)
    if hasattr(value, "tolist"):
        return _plain(value.tolist())
    if isinstance(value, Iterable):
        return [_plain(item) for item in value]
    return value
