"""What changed between two answers, word by word."""

import re
from difflib import SequenceMatcher

EQUAL = "equal"
REMOVED = "removed"
ADDED = "added"
_PIECES = re.compile(r"\S+\s*|\s+")


def word_diff(before: str, after: str) -> list[tuple[str, str]]:
    """Compares two texts word by word.

    Returns:
        Pieces (operation, text) in reading order, operation `equal`, `removed` or `added`. The texts of `equal` and `removed`
        pieces give words of `before`, those of `equal` and `added` words of `after`; each word keeps the white space behind it.
    """
    old, new = _PIECES.findall(before), _PIECES.findall(after)
    matcher = SequenceMatcher(
        None, [piece.strip() for piece in old], [piece.strip() for piece in new], autojunk=False
    )
    pieces: list[tuple[str, str]] = []
    for operation, old_start, old_end, new_start, new_end in matcher.get_opcodes():
        if operation == "equal":
            pieces.append((EQUAL, "".join(new[new_start:new_end])))
            continue
        if old_end > old_start:
            pieces.append((REMOVED, _gap(old, old_start, pieces) + "".join(old[old_start:old_end])))
        if new_end > new_start:
            pieces.append((ADDED, "".join(new[new_start:new_end])))
    return pieces


def _gap(old: list[str], start: int, pieces: list[tuple[str, str]]) -> str:
    """White space before a removed word, where the equal word in front of it ends the other text and so has none."""
    if not pieces or pieces[-1][1][-1:].isspace():
        return ""
    word = old[start - 1]
    return word[len(word.rstrip()) :]


def shared_words(before: str, after: str) -> float:
    """Share of words that two texts have in common in the same order: 1 for equal texts, 0 for nothing in common."""
    old, new = before.lower().split(), after.lower().split()
    return SequenceMatcher(None, old, new, autojunk=False).ratio()
