"""Values that somebody wrote into a text: as JSON, or as Python shows them, which is what a table saved as CSV holds."""

import ast
import warnings
from typing import Any

from lancet_core.errors import DataError
from lancet_core.files import check_json, parse_json


def parse_written(text: str, name: str) -> Any:
    """Parses a value that was written into a text.

    Args:
        text: JSON, or a literal of Python.
        name: What to call it in an error.

    Raises:
        DataError: It is neither, or is nested too deep.
    """
    try:
        return parse_json(text, name)
    except DataError:
        try:
            with warnings.catch_warnings():
                # An escape that Python does not know is read as it stands; its warning would be of somebody's text.
                warnings.simplefilter("ignore")
                value = ast.literal_eval(text.strip())
        except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
            value = None
        if value is None:
            raise
    check_json(value, name)
    return value
