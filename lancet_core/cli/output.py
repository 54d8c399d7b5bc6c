"""What the command line prints: tables and sentences for people, one JSON document for machines.

Nothing else prints. Every text passes `lancet_core.text` here, whoever wrote it and wherever it goes: a log is read in a
terminal later. No markup, link or emoji code in it is interpreted.
"""

import io
import json
import math
import os
import shutil
import sys
import traceback
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, is_dataclass
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Any, TextIO

import pandas as pd
import typer

from lancet_core.text import visible, visible_json, visible_line, visible_pieces

LONGEST_CELL = 100
LONGEST_ERROR = 2000
LEAST_CUT_WIDTH = 16
GAP = 2


class OutputClosed(Exception):
    """Whoever read the output has gone, as `head` does."""


def accept_any_text() -> None:
    """Lets stdout and stderr show what their encoding does not have as a mark, so that no locale stops a command."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def drop_unwritten() -> None:
    """Sends nowhere what stdout and stderr could not take, so that Python does not try once more as it ends, with a trace."""
    for number, stream in ((1, sys.__stdout__), (2, sys.__stderr__)):
        try:
            if stream is not None:
                stream.flush()
        except OSError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), number)


def print_line(text: str) -> None:
    """Prints one line on stdout; a line end in the text is a mark as well."""
    _write(sys.stdout, _line(text))


def print_text(text: str) -> None:
    """Prints a text of several lines on stdout."""
    _write(sys.stdout, visible(text) + "\n")


def print_note(text: str) -> None:
    """Prints a line that is no result: on stderr."""
    _write(sys.stderr, _line(text))


def print_error(text: str) -> None:
    """Prints what is wrong as one line on stderr; a very long one without its middle."""
    line = visible_line(text)
    if len(line) > LONGEST_ERROR:
        line = f"{line[: LONGEST_ERROR // 2]} … {line[-LONGEST_ERROR // 2 :]}"
    _write(sys.stderr, f"error: {line}\n")


def print_traceback(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """Prints the trace of an error that nobody foresaw: a `sys.excepthook`."""
    _write(sys.stderr, visible("".join(traceback.format_exception(kind, error, trace))))


def print_pieces(pieces: Iterable[str]) -> str:
    """Prints a text on stdout while it comes.

    Returns:
        The whole text as it came.
    """
    whole: list[str] = []

    def collected() -> Iterator[str]:
        for piece in pieces:
            whole.append(piece)
            yield piece

    for piece in visible_pieces(collected()):
        _write(sys.stdout, piece)
    _write(sys.stdout, "\n")
    return "".join(whole)


def print_facts(facts: Mapping[str, Any]) -> None:
    """Prints names and values under each other, each pair in one line."""
    width = max(map(len, facts)) + GAP
    print_text("\n".join(f"{name:<{width}}{visible_line(str(value))}" for name, value in facts.items()))


def print_json(document: Any) -> None:
    """Prints one JSON document on stdout; what acts on a terminal is written as an escape, with the same meaning."""
    unicode = (getattr(sys.stdout, "encoding", None) or "").lower().startswith("utf")
    text = json.dumps(_plain(document), ensure_ascii=not unicode, indent=2)
    _write(sys.stdout, visible_json(text) + "\n")


def print_table(columns: Sequence[str], rows: Iterable[Sequence[Any]], *, cut: Sequence[str] = ()) -> None:
    """Prints rows under headers.

    Args:
        columns: The headers.
        rows: Values in the order of the headers.
        cut: Columns whose cells are cut to the width of the terminal; the others are never cut.
    """
    from rich.cells import cell_len

    lines = [[visible_line(column) for column in columns], *([cell(value) for value in row] for row in rows)]
    widths = [max(map(cell_len, column)) for column in zip(*lines, strict=True)]
    uncut = sum(width + GAP for width, column in zip(widths, columns, strict=True) if column not in cut)
    room = (shutil.get_terminal_size().columns - uncut) // max(1, len(cut)) - GAP
    room = max(LEAST_CUT_WIDTH, room)
    widths = [
        min(width, room) if column in cut else width for width, column in zip(widths, columns, strict=True)
    ]
    header, *others = ("".join(map(_fitted, line, widths)).rstrip() for line in lines)
    bold = sys.stdout.isatty() and "NO_COLOR" not in os.environ
    _write(sys.stdout, "\n".join([f"\x1b[1m{header}\x1b[0m" if bold else header, *others]) + "\n")


def confirm(question: str) -> None:
    """Asks on stderr whether to go on.

    Raises:
        typer.Abort: The answer is no.
    """
    typer.confirm(visible_line(question), abort=True, err=True)


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
    text = visible_line(str(value))
    return text if len(text) <= LONGEST_CELL else text[: LONGEST_CELL - 1] + "…"


def _plain(value: Any) -> Any:
    """Turns results into JSON values; an undefined number becomes null."""
    if is_dataclass(value) and not isinstance(value, type):
        return _plain(asdict(value))
    if isinstance(value, pd.DataFrame):
        return _plain(value.to_dict("records"))
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


def _line(text: str) -> str:
    return visible(text).replace("\n", "\\n") + "\n"


def _fitted(text: str, width: int) -> str:
    """Cuts or fills a cell to its width and the gap after it; a wide character counts as two."""
    from rich.cells import cell_len, set_cell_size

    short = text if cell_len(text) <= width else set_cell_size(text, width - 1) + "…"
    return set_cell_size(short, width + GAP)


def _write(stream: TextIO | None, text: str) -> None:
    """Writes what is visible already."""
    if stream is None:  # closed by the shell
        return
    try:
        stream.write(text)
        stream.flush()
    except BrokenPipeError as error:
        raise OutputClosed from error
