"""Word differences between two texts, as pieces that a component shows as plain text."""

import difflib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

Mark = Literal["", "removed", "added"]

_WORDS = re.compile(r"\s+|\w+|[^\w\s]")


@dataclass(frozen=True)
class Piece:
    """A stretch of text that is marked in one way.

    Attributes:
        text: The characters, whitespace included.
        mark: "removed" where only the first text has it, "added" where only the second has it, else empty.
    """

    text: str
    mark: Mark = ""


def plain(text: str) -> tuple[Piece, ...]:
    """One unmarked piece that holds the whole text."""
    return (Piece(text),)


def word_diff(before: str, after: str) -> tuple[tuple[Piece, ...], tuple[Piece, ...]]:
    """Marks the words in which two texts differ.

    Args:
        before: The first text.
        after: The second text.

    Returns:
        The pieces of the first text (some marked removed) and of the second (some marked added). Joined, each
        gives its text back unchanged.
    """
    old, new = _WORDS.findall(before), _WORDS.findall(after)
    left: list[Piece] = []
    right: list[Piece] = []
    matcher = difflib.SequenceMatcher(a=old, b=new, autojunk=False)
    for kind, old_start, old_end, new_start, new_end in matcher.get_opcodes():
        same = kind == "equal"
        _append(left, old[old_start:old_end], "" if same else "removed")
        _append(right, new[new_start:new_end], "" if same else "added")
    return tuple(left), tuple(right)


def _append(pieces: list[Piece], words: Sequence[str], mark: Mark) -> None:
    if words:
        pieces.append(Piece("".join(words), mark))
