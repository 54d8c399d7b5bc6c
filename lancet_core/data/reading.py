"""Reads rows from the file formats that data sets come in, and keeps count of where each row stood.

| name ends in | one row is | row number |
|---|---|---|
| `.jsonl`, `.ndjson`, each also `.gz` | one JSON object in a line | line |
| `.json` | one object in a list | place in the list |
| `.csv` | one record under a header line | record |
| `.parquet` | one row | row |
| a folder (saved by `datasets`) | one row | row |

Row numbers count from 1.
"""

import csv
import gzip
import io
import json
import zlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from lancet_core.errors import DataError

# A field longer than this is a broken quote, not a text that somebody wrote.
LONGEST_CSV_FIELD = 16 * 1024 * 1024


class Row(NamedTuple):
    """One row of a file.

    Attributes:
        number: Where it stands, counted from 1.
        values: Column names to values; empty where the row cannot be read.
        problem: Why the row cannot be read, empty where it can.
    """

    number: int
    values: Mapping[str, Any]
    problem: str = ""


def read_rows(path: str | Path) -> Iterator[Row]:
    """Reads the rows of a data file, those that cannot be read included.

    Args:
        path: A file in one of the formats of this module, or a folder saved by `datasets`.

    Yields:
        The rows, in the order of the file.

    Raises:
        DataError: The file is missing, of an unknown format, not text, or broken as a whole.
    """
    path = Path(path)
    if not path.exists():
        raise DataError(f"the file {path} does not exist; check the path")
    yield from _reader_of(path)(path)


def _reader_of(path: Path) -> Callable[[Path], Iterator[Row]]:
    if path.is_dir():
        return _read_arrow_folder
    name = path.name.lower().removesuffix(".gz")
    for ending, reader in READERS.items():
        if name.endswith(ending):
            return reader
    raise DataError(
        f"{path} is of an unknown format; accepted are {', '.join(READERS)}, "
        "the text formats also with .gz, and a folder saved by datasets"
    )


def _read_text(path: Path) -> str:
    """Reads a whole text file, unpacked where its name ends in `.gz`.

    Raises:
        DataError: The file cannot be read, is no archive, or holds bytes that are not UTF-8.
    """
    try:
        content = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise DataError(f"{path} is not a whole gzip file ({error}); fetch or pack it again") from error
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}; check the file and its rights") from error
    if b"\x00" in content[:4096]:
        raise DataError(f"{path} is not a text file: it holds zero bytes; accepted is UTF-8 text")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise DataError(
            f"{path} is not a UTF-8 text file: byte 0x{content[error.start]:02x} at line {line}; save it as UTF-8"
        ) from error


def _read_json_lines(path: Path) -> Iterator[Row]:
    # Not splitlines(): JSON may hold U+2028 and its like inside a string, and they end no line here.
    for number, line in enumerate(_read_text(path).split("\n"), start=1):
        if not line.strip():
            continue
        try:
            values = json.loads(line)
        except ValueError as error:
            yield Row(number, {}, f"broken JSON at line {number}: {error}")
            continue
        yield _object_row(number, values)


def _read_json(path: Path) -> Iterator[Row]:
    text = _read_text(path)
    try:
        rows = json.loads(text)
    except json.JSONDecodeError as error:
        raise DataError(
            f"{path} has broken JSON at line {error.lineno}: {error.msg}; mend that line"
        ) from error
    if not isinstance(rows, list):
        raise DataError(
            f"{path} holds one {type(rows).__name__}; accepted is a list of objects, one for each row"
        )
    for number, values in enumerate(rows, start=1):
        yield _object_row(number, values)


def _object_row(number: int, values: Any) -> Row:
    if isinstance(values, dict):
        return Row(number, values)
    return Row(number, {}, f"the row is a {type(values).__name__}; accepted is a JSON object")


def _read_csv(path: Path) -> Iterator[Row]:
    csv.field_size_limit(LONGEST_CSV_FIELD)
    reader = csv.DictReader(io.StringIO(_read_text(path), newline=""), restkey="", restval=None)
    number = 0
    while True:
        number += 1
        try:
            values = next(reader, None)
        except csv.Error as error:
            raise DataError(f"{path} has a broken record {number}: {error}; mend it") from error
        if values is None:
            return
        if "" in values and isinstance(values[""], list):
            yield Row(
                number, {}, f"the record has more values than the {len(reader.fieldnames or ())} columns"
            )
            continue
        yield Row(number, values)


def _read_parquet(path: Path) -> Iterator[Row]:
    import pyarrow
    import pyarrow.parquet

    try:
        table = pyarrow.parquet.read_table(path)
    except (pyarrow.ArrowException, OSError) as error:
        raise DataError(f"{path} is not a readable parquet file ({error}); write it again") from error
    for number, values in enumerate(table.to_pylist(), start=1):
        yield Row(number, values)


def _read_arrow_folder(path: Path) -> Iterator[Row]:
    splits = sorted(state.parent.name for state in path.glob("*/state.json"))
    if splits:
        raise DataError(
            f"{path} holds the splits {', '.join(splits)}; give the folder of one, as in {path / splits[0]}"
        )
    if not (path / "state.json").is_file():
        raise DataError(
            f"the folder {path} was not saved by datasets (no state.json); give a file or such a folder"
        )
    import datasets

    try:
        table = datasets.load_from_disk(str(path))
    except (OSError, ValueError, KeyError) as error:
        raise DataError(
            f"the folder {path} cannot be read ({error}); save it again with save_to_disk"
        ) from error
    for number, values in enumerate(table, start=1):
        yield Row(number, values)


READERS: dict[str, Callable[[Path], Iterator[Row]]] = {
    ".jsonl": _read_json_lines,
    ".ndjson": _read_json_lines,
    ".json": _read_json,
    ".csv": _read_csv,
    ".parquet": _read_parquet,
}
