"""Word differences between two texts, as pieces for the two cards that show them side by side."""

from dataclasses import dataclass
from typing import Literal

from lancet_core.evaluation.word_diff import ADDED, EQUAL, REMOVED, word_diff

Mark = Literal["", "removed", "added"]


@dataclass(frozen=True)
class Piece:
    """A stretch of text that is marked in one way.

    Attributes:
        text: The characters, white space included.
        mark: `removed` where only the first text has it, `added` where only the second has it, else empty.
    """

    text: str
    mark: Mark = ""


def unmarked(text: str) -> tuple[Piece, ...]:
    """One unmarked piece that holds the whole text."""
    return (Piece(text),)


def diff_sides(before: str, after: str) -> tuple[tuple[Piece, ...], tuple[Piece, ...]]:
    """Marks the words in which two texts differ.

    Args:
        before: Text of the left card.
        after: Text of the right card.

    Returns:
        Pieces of the left text, some marked `removed`, and of the right text, some marked `added`.
    """
    pieces = word_diff(before, after)
    left = tuple(
        Piece(text, "removed" if kind == REMOVED else "") for kind, text in pieces if kind in {EQUAL, REMOVED}
    )
    right = tuple(
        Piece(text, "added" if kind == ADDED else "") for kind, text in pieces if kind in {EQUAL, ADDED}
    )
    return left, right
