r"""Text from outside on its way to a terminal or a spreadsheet, where characters can be commands.

An escape sequence writes the clipboard or clears the screen, a direction override lets a sentence read backwards, a cell that
begins with `=` is computed. What a person reads is kept as it is; what acts or hides is written as a mark such as `\x1b`.
"""

import json
import math
import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Mapping

# Control, format, private, surrogate, line and paragraph separator.
_HIDDEN_CATEGORIES = frozenset({"Cc", "Cf", "Co", "Cs", "Zl", "Zp"})
# Invisible too, though Unicode counts them as letters and marks: fillers, a joiner, and the selectors that can spell hidden text.
_INVISIBLE = frozenset({0x034F, 0x115F, 0x1160, 0x17B4, 0x17B5, 0x3164, 0xFFA0, *range(0xE0100, 0xE01F0)})
# Emoji and the letters of Arabic and Indic scripts: between two of them a joiner changes how they are drawn.
# The gaps are characters that are hidden themselves.
_JOINING = (
    "\u0620-\u06dc\u06de-\u070e\u0710-\u088f\u0892-\u08e1\u08e3-\u0dff"
    "\u2190-\u2bff\u3030\u303d\U0001f000-\U0001faff"
)
_JOINER = re.compile(f"(?<=[{_JOINING}\ufe0f])([\u200c\u200d])(?=[{_JOINING}])")
_RUN = f"[{_JOINING}\ufe0f\u200c\u200d]"
_UNFINISHED = re.compile(f"(?<!{_RUN}){_RUN}*\r?\\Z")
# What makes a spreadsheet compute a cell; the wide forms do in some languages.
_FORMULA = re.compile("[=+\\-@\t\r\n＝＋－＠]")


class _Marks(dict[int, str | int]):
    """What `str.translate` writes for each character; filled as characters are met."""

    def __init__(self, mark: Callable[[str], str], exceptions: Mapping[str, str]) -> None:
        super().__init__({ord(character): text for character, text in exceptions.items()})
        self._mark = mark

    def __missing__(self, code: int) -> str | int:
        hidden = unicodedata.category(chr(code)) in _HIDDEN_CATEGORIES or code in _INVISIBLE
        self[code] = self._mark(chr(code)) if hidden else code
        return self[code]


_MARKS = _Marks(
    lambda character: character.encode("unicode_escape").decode("ascii"), {"\n": "\n", "\t": "    "}
)
_JSON_MARKS = _Marks(lambda character: json.dumps(character)[1:-1], {"\n": "\n"})


def visible(text: str) -> str:
    """Shows every character that acts on a terminal or hides in a text as a mark; all others stay.

    Line ends stay and a tab becomes four blanks. A joiner stays where it belongs: inside an emoji, and between letters of
    scripts that are written with it.

    Args:
        text: Any text, half surrogate pairs included.

    Returns:
        Text that can be printed; made visible once more it stays as it is.
    """
    if text.isascii() and text.isprintable():
        return text
    parts = _JOINER.split(text.replace("\r\n", "\n"))
    parts[::2] = [part.translate(_MARKS) for part in parts[::2]]
    return "".join(parts)


def visible_line(text: str) -> str:
    """Shows a text in one line: `visible`, and each run of blanks and line ends as one blank."""
    return " ".join(visible(text).split())


def visible_pieces(pieces: Iterable[str]) -> Iterator[str]:
    """Makes a text visible while it comes in pieces; joined, they are what `visible` makes of the whole.

    Args:
        pieces: The text, cut anywhere.

    Yields:
        What can be shown already: an emoji or a word whose last letter may still be joined is held back.
    """
    held = ""
    for piece in pieces:
        text = held + piece
        unfinished = _UNFINISHED.search(text)
        end = unfinished.start() if unfinished else len(text)
        held = text[end:]
        if end:
            yield visible(text[:end])
    if held:
        yield visible(held)


def visible_json(document: str) -> str:
    """Escapes what acts or hides in the strings of a JSON document; parsed, it gives the same values as before."""
    return document.translate(_JSON_MARKS)


def harmless_cell(value: object) -> object:
    """Puts an apostrophe before a text that a spreadsheet would take for a formula; other values stay."""
    return f"'{value}" if isinstance(value, str) and _FORMULA.match(value) else value


def lasting(seconds: float | None) -> str:
    """Writes a time span in the unit that a person would say."""
    if seconds is None or math.isnan(seconds):
        return "–"
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
