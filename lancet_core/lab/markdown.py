"""Tables and lines in Markdown, numbers as the documents write them. Torch-free."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from lancet_core.evaluation.intervals import Interval

MISSING = "–"


def table(columns: Sequence[str], rows: Iterable[Iterable[Any]]) -> str:
    """Writes a table of texts, which stay as they are, and numbers; None leaves its cell empty."""
    lines = [columns, ["---"] * len(columns), *([_cell(value) for value in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def table_of(rows: Sequence[Mapping[str, Any]]) -> str:
    """Writes a table with a column for everything that any row says, in the order in which it is said first."""
    columns = list(dict.fromkeys(name for row in rows for name in row))
    return table(columns, [[row.get(name) for name in columns] for row in rows])


def line_chart(title: str, points: Sequence[tuple[int, float]]) -> str:
    """Writes a Mermaid line from 0 upwards; places along the axis are evenly spaced, whatever their numbers."""
    names = ", ".join(f'"{place:,}"' for place, _ in points)
    values = [round(value, 2) for _, value in points]
    lines = ["```mermaid", "xychart-beta", f'  title "{title}"', f"  x-axis [{names}]"]
    return "\n".join([*lines, f"  y-axis 0 --> {1.2 * max(values):.2f}", f"  line {values}", "```"])


def format_interval(*intervals: Interval) -> str:
    """Writes a mean with its interval, and with further intervals of the same mean: `.291 [.260, .320]`."""
    if not intervals:
        return MISSING
    bounds = [
        f"[{format_number(interval.low)}, {format_number(interval.high)}]"
        for interval in intervals
        if interval.low is not None
    ]
    return " ".join([format_number(intervals[0].value), *bounds])


def format_number(value: float | None) -> str:
    """Writes a number with three digits after the point and no zero before it."""
    if value is None:
        return MISSING
    text = f"{value:.3f}"
    return text.replace("0.", ".", 1) if abs(value) < 1 and not text.endswith("1.000") else text


def format_seconds(value: float | None) -> str:
    """Writes seconds with one digit after the point."""
    return MISSING if value is None else f"{value:.1f}"


def _cell(value: Any) -> str:
    if isinstance(value, float):
        return "" if value != value else f"{value:,.3f}" if abs(value) < 10 else f"{value:,.1f}"
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    return "" if value is None else str(value)
