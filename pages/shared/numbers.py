"""How numbers are written, one way for each kind, in cards, lists, tables and plots alike.

A score in (0, 1) has two decimals, an influence its sign and its mark, a share is a percentage, a place among candidates is
words, everything else has three significant digits. Exports hold raw numbers.
"""

import math
from collections.abc import Callable

from lancet_core.text import lasting

_SUPERSCRIPT = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def three(value: float | None) -> str:
    """Writes a number with three significant digits; a dash where there is none."""
    if value is None or math.isnan(value):
        return "–"
    if value == 0:
        return "0"
    mantissa, _, exponent = f"{value:.2e}".partition("e")
    if -4 <= int(exponent) < 5:
        text = f"{float(f'{value:.2e}'):,.{max(0, 2 - int(exponent))}f}"
    else:
        text = f"{mantissa} × 10{str(int(exponent)).translate(_SUPERSCRIPT)}"
    return text.replace("-", "−")


def influence(value: float | None) -> str:
    """Writes an influence score with its sign and the mark that repeats it: ▲ towards, ▼ away."""
    if value is None or math.isnan(value):
        return "–"
    mark = "▲ +" if value > 0 else "▼ " if value < 0 else ""
    return mark + three(value)


def percent(share: float | None) -> str:
    """Writes a share between 0 and 1 as percent."""
    if share is None or math.isnan(share):
        return "–"
    return f"{100 * share:.1f} %" if 0 < share < 0.1 else f"{100 * share:.0f} %"


def score(value: float | None) -> str:
    """Writes a harmful or helpful score, which lies between 0 and 1, with two digits."""
    if value is None or math.isnan(value):
        return "–"
    return "< 0.01" if value < 0.01 else "> 0.99" if value > 0.99 else f"{value:.2f}"


def score_change(value: float | None) -> str:
    """Writes the difference of two scores with its sign and two decimals."""
    if value is None or math.isnan(value):
        return "–"
    text = f"{value:+.2f}".replace("-", "−")
    return "0.00" if text[1:] == "0.00" else text


def standing(percentile: float, count: int, *, towards: bool) -> str:
    """Writes how strong a sample is among the candidates of its trace.

    Args:
        percentile: Percent of the other candidates with a smaller influence score, 0 to 100.
        count: Candidates.
        towards: Whether it pushes towards the answer; the strongest of the others is the one with the smallest score.
    """
    weaker = percentile if towards else 100 - percentile
    if weaker >= 100:
        return f"strongest of {count:,} candidates"
    return f"stronger than {math.floor(weaker + 1e-9)} % of {count:,} candidates"


def between(
    value: float, low: float | None, high: float | None, *, write: Callable[[float | None], str] = three
) -> str:
    """Writes a value with its 95 % interval, alone where it has none.

    Args:
        value: The value.
        low: Lower end of the interval.
        high: Upper end.
        write: How one number of its kind is written.
    """
    span = interval(low, high, write=write)
    return write(value) if span == "–" else f"{write(value)} {span}"


def interval(low: float | None, high: float | None, *, write: Callable[[float | None], str] = three) -> str:
    """Writes both ends of an interval; a dash where there is none."""
    missing = low is None or high is None or math.isnan(low) or math.isnan(high)
    return "–" if missing else f"[{write(low)}, {write(high)}]"


def seconds(value: float) -> str:
    """Writes how long a person waited: with a tenth where that is to be felt."""
    return f"{value:.1f} s" if value < 9.95 else lasting(value)


def size(count_of_bytes: int) -> str:
    """Writes a size in the unit that a person would say."""
    for unit, scale in (("GB", 1e9), ("MB", 1e6)):
        if count_of_bytes >= scale:
            return f"{three(count_of_bytes / scale)} {unit}"
    return f"{three(count_of_bytes / 1e3)} kB"
