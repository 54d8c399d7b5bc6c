"""Tables of results in Markdown, numbers as the documents write them. Torch-free."""

from collections.abc import Iterable, Sequence

from lancet_core.evaluation.intervals import Interval

MISSING = "–"


def write_table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Writes a table: a header, a line, and the rows."""
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def told(interval: Interval | None, *others: Interval | None) -> str:
    """Writes a mean with its interval, and with further intervals of the same mean: `.291 [.260, .320]`."""
    if interval is None:
        return MISSING
    bounds = [
        f"[{number(one.low)}, {number(one.high)}]"
        for one in (interval, *others)
        if one and one.low is not None
    ]
    return " ".join([number(interval.value), *bounds])


def number(value: float | None) -> str:
    """Writes a number with three digits after the point and no zero before it."""
    if value is None:
        return MISSING
    text = f"{value:.3f}"
    return text.replace("0.", ".", 1) if abs(value) < 1 and not text.endswith("1.000") else text


def seconds(value: float | None) -> str:
    """Writes seconds with one digit after the point."""
    return MISSING if value is None else f"{value:.1f}"
