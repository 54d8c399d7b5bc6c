"""Values that somebody wrote into a text: as JSON, or as Python and numpy show them, which is what a table saved as CSV holds."""

import ast
import io
import tokenize
import warnings
from typing import Any

from lancet_core.errors import DataError
from lancet_core.files import check_json, parse_json

_WORDS = (tokenize.STRING, tokenize.NUMBER, tokenize.NAME)
_LAYOUT = (tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER)
_OPENING, _CLOSING = "[{(", "]})"


def parse_written(text: str, name: str) -> Any:
    """Parses a value that was written into a text.

    Args:
        text: JSON, or a literal of Python; lists may be written as numpy does, without commas.
        name: What to call it in an error.

    Raises:
        DataError: It is neither, or is nested too deep.
    """
    try:
        return parse_json(text, name)
    except DataError:
        try:
            value = _literal(text)
        except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError, tokenize.TokenError):
            value = None
        if value is None:
            raise
    check_json(value, name)
    return value


def _literal(text: str) -> Any:
    """Reads a literal of Python; what stands side by side in it are two values, never one text in two parts."""
    tokens: list[str] = []
    ends_value = False
    for token in tokenize.generate_tokens(io.StringIO(text.strip()).readline):
        if token.type in _LAYOUT:
            continue
        is_word = token.type in _WORDS
        if ends_value and (is_word or token.string in _OPENING):
            tokens.append(",")
        tokens.append("None" if token.string == "nan" else token.string)
        ends_value = is_word or token.string in _CLOSING
    with warnings.catch_warnings():
        # An escape that Python does not know is read as it stands; its warning would be of somebody's text.
        warnings.simplefilter("ignore")
        return ast.literal_eval(" ".join(tokens))
