"""Tables that lie in memory, written as the file that they would be read from."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from lancet_core.errors import DataError
from lancet_core.files import write_text


def write_rows(path: Path, table: pd.DataFrame) -> None:
    """Writes the rows of a table as JSON lines, whatever its cells hold, so that each is read, or rejected, on its own.

    Raises:
        DataError: Two columns have one name, or a cell holds itself.
    """
    if not table.columns.is_unique:
        twice = table.columns[table.columns.duplicated()][0]
        raise DataError(f"two columns are called {twice!r}; rename one of them")
    try:
        write_text(path, "".join(_lines(table)))
    except (ValueError, RecursionError, TypeError) as error:
        raise DataError(
            f"a cell cannot be written ({error}); make it plain texts, numbers and lists"
        ) from error


def _lines(table: pd.DataFrame) -> Iterator[str]:
    names = list(map(str, table.columns))
    for values in table.itertuples(index=False, name=None):
        # Escaped, so that half of a surrogate pair gets as far as the reader, which rejects its row.
        yield json.dumps(dict(zip(names, values, strict=True)), default=_plain, ensure_ascii=True) + "\n"


def _plain(value: Any) -> Any:
    """A value that JSON has no form for: arrays and numbers of numpy as lists and numbers, nothing for bytes, else its text."""
    if isinstance(value, np.ndarray | np.generic):
        return value.tolist()
    if isinstance(value, set | frozenset):
        return list(value)
    return None if value is pd.NA or value is pd.NaT or isinstance(value, bytes) else str(value)
