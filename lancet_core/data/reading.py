"""Reads rows from the file formats that data sets come in, and keeps count of where each row stood.

| name ends in | one row is | row number |
|---|---|---|
| `.jsonl`, `.ndjson`, `.json`, or anything that begins with `{` or `[` | one JSON object in a line, or in a list | line, or place in the list |
| `.csv`, `.tsv` | one record under a header line | record |
| `.parquet` | one row | row |
| a folder saved by `datasets` | one row | row |
| a folder of shards (`train-00000-of-00002.parquet`, …), or its parent | one row of one of them | row, counted on |

The text formats may end in `.gz`. A folder with several splits is read by the name of one: `folder/train`.

Row numbers count from 1. A row that cannot be read is handed on with the reason; the others are read.
"""

import csv
import io
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from lancet_core.errors import DataError
from lancet_core.files import (
    check_json,
    check_regular,
    decode,
    load_json,
    parse_json,
    read_bytes,
    read_gzip,
    read_json,
)

# A field longer than this is a broken quote, not a text that somebody wrote.
LONGEST_CSV_FIELD = 16 * 1024 * 1024
ROWS_AT_ONCE = 1024
STATE_FILE = "state.json"
SHARD = re.compile(r"(?P<split>[\w.-]+?)-\d{5}-of-\d{5}\.\w+(\.gz)?")
# What a hub keeps beside the rows of a data set.
BESIDE_ROWS = ("dataset_info.json", "dataset_infos.json", "dataset_dict.json", STATE_FILE)


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
    if path.is_dir():
        yield from _read_folder(path)
    elif path.exists():
        yield from _reader_of(path)(path)
    elif path.parent.is_dir() and path.name in _splits(path.parent):
        yield from _read_shards(_splits(path.parent)[path.name])
    else:
        raise DataError(f"the file {path} does not exist; check the path")


def _reader_of(path: Path) -> Callable[[Path], Iterator[Row]]:
    name = path.name.lower().removesuffix(".gz")
    for ending, reader in READERS.items():
        if name.endswith(ending):
            return reader
    check_regular(path)
    with path.open("rb") as file:
        start = file.read(64).lstrip()
    if start[:1] in {b"{", b"["}:
        return _read_json
    raise DataError(
        f"{path} is of an unknown format; accepted are {', '.join(READERS)}, the text formats also with .gz, a folder saved by "
        "datasets, and a folder of such files"
    )


def _read_folder(path: Path) -> Iterator[Row]:
    """Reads a folder saved by `datasets`, or one of shards.

    Raises:
        DataError: It is neither, or holds several splits.
    """
    if (path / STATE_FILE).exists():
        return _read_arrow_folder(path)
    splits = _splits(path) or {state.parent.name: [] for state in path.glob(f"*/{STATE_FILE}")}
    if len(splits) > 1 or (splits and not all(splits.values())):
        first = sorted(splits)[0]
        raise DataError(
            f"{path} holds the splits {', '.join(sorted(splits))}; give the folder of one, as in {path / first}"
        )
    if not splits:
        raise DataError(
            f"the folder {path} was not saved by datasets (no {STATE_FILE}) and holds no {', '.join(READERS)}; give a file "
            "or such a folder"
        )
    (files,) = splits.values()
    return _read_shards(files)


def _splits(folder: Path) -> dict[str, list[Path]]:
    """Finds the files of rows in a folder, or in its `data`, by the split that their names tell."""
    found: dict[str, list[Path]] = {}
    for place in (folder, folder / "data"):
        for path in sorted(place.glob("*")) if place.is_dir() else ():
            name = path.name.lower().removesuffix(".gz")
            if name.endswith(tuple(READERS)) and name not in BESIDE_ROWS and path.is_file():
                found.setdefault(_split_of(path.name), []).append(path)
        if found:
            break
    return found


def _split_of(name: str) -> str:
    """The split that a file belongs to: its name without number and ending; `train-00000-of-00002.parquet` and `train.jsonl` are of `train`."""
    shard = SHARD.fullmatch(name)
    return shard["split"] if shard else re.sub(r"[-_]?\d*(\.\w+)+$", "", name)


def _read_shards(files: list[Path]) -> Iterator[Row]:
    """Reads files one after the other; rows are counted on."""
    before = 0
    for path in files:
        last = 0
        for row in _reader_of(path)(path):
            last = row.number
            yield row._replace(number=before + row.number)
        before += last


def _read_text(path: Path) -> str:
    content = read_gzip(path) if path.suffix == ".gz" else read_bytes(path)
    return decode(content, str(path))


def _read_json(path: Path) -> Iterator[Row]:
    """Reads JSON, one object in a line or all in one list, whichever it is."""
    text = _read_text(path)
    first = text.lstrip()[:1]
    return _read_json_list(path, text) if first == "[" else _read_json_lines(text)


def _read_json_lines(text: str) -> Iterator[Row]:
    # Not splitlines(): JSON may hold U+2028 and its like inside a string, and they end no line here.
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        try:
            values = parse_json(line, f"line {number}")
        except DataError as error:
            yield Row(number, {}, str(error))
            continue
        yield _object_row(number, values)


def _read_json_list(path: Path, text: str) -> Iterator[Row]:
    rows = load_json(text, str(path))
    if not isinstance(rows, list):
        raise DataError(
            f"{path} holds one {type(rows).__name__}; accepted is a list of objects, one for each row"
        )
    for number, values in enumerate(rows, start=1):
        try:
            check_json(values, "the row")
        except DataError as error:
            yield Row(number, {}, str(error))
            continue
        yield _object_row(number, values)


def _object_row(number: int, values: Any) -> Row:
    if isinstance(values, dict):
        return Row(number, values)
    return Row(number, {}, f"the row is a {type(values).__name__}; accepted is a JSON object")


def _read_csv(path: Path, delimiter: str = ",") -> Iterator[Row]:
    csv.field_size_limit(LONGEST_CSV_FIELD)
    text = io.StringIO(_read_text(path), newline="")
    reader = csv.DictReader(text, restkey="", restval=None, strict=True, delimiter=delimiter)
    try:
        columns = len(reader.fieldnames or ())
    except csv.Error as error:
        raise DataError(f"{path} has a broken header: {error}; correct its quotes") from error
    number = 0
    while True:
        number += 1
        try:
            values = next(reader, None)
        except csv.Error as error:
            yield Row(number, {}, f"the record is broken: {error}; correct its quotes")
            continue
        if values is None:
            return
        if isinstance(values.get(""), list):
            yield Row(number, {}, f"the record has more values than the {columns} columns")
            continue
        yield Row(number, values)


def _read_parquet(path: Path) -> Iterator[Row]:
    from pyarrow.parquet import ParquetFile

    check_regular(path)
    with _arrow_errors(path, "parquet file"):
        file = ParquetFile(path)
        yield from _arrow_rows(file.iter_batches(batch_size=ROWS_AT_ONCE))


def _read_arrow_folder(path: Path) -> Iterator[Row]:
    """Reads the Arrow files that `save_to_disk` of `datasets` wrote, as its `state.json` lists them."""
    yield from _arrow_rows(batch for file in _arrow_files(path) for batch in _arrow_batches(file))


def _arrow_files(folder: Path) -> list[Path]:
    """Lists the files that hold the rows of a saved data set."""
    state = read_json(folder / STATE_FILE)
    listed = state.get("_data_files") if isinstance(state, dict) else None
    if not isinstance(listed, list):
        raise DataError(f"{folder / STATE_FILE} lists no _data_files; save the data again with save_to_disk")
    files = []
    for entry in listed:
        name = entry.get("filename") if isinstance(entry, dict) else None
        if not isinstance(name, str) or Path(name).name != name:
            raise DataError(
                f"{folder / STATE_FILE} names {entry!r:.60}, which is no file beside it; save the data again with save_to_disk"
            )
        check_regular(folder / name)
        files.append(folder / name)
    return files


def _arrow_batches(path: Path) -> Iterator[Any]:
    import pyarrow

    with _arrow_errors(path, "Arrow file"), pyarrow.memory_map(str(path)) as source:
        for batch in pyarrow.ipc.open_stream(source):
            for start in range(0, batch.num_rows, ROWS_AT_ONCE):
                yield batch.slice(start, ROWS_AT_ONCE)


@contextmanager
def _arrow_errors(path: Path, what: str) -> Iterator[None]:
    import pyarrow

    try:
        yield
    except (pyarrow.ArrowException, OSError, ValueError) as error:
        raise DataError(f"{path} is not a readable {what} ({error}); write it again") from error


def _arrow_rows(batches: Iterator[Any]) -> Iterator[Row]:
    """Takes the rows out of record batches; of a batch with a value that Python cannot hold, one by one."""
    number = 0
    for batch in batches:
        try:
            rows = [Row(place, values) for place, values in enumerate(_arrow_values(batch), start=number + 1)]
        except DataError:
            rows = [_arrow_row(batch, place, number + place + 1) for place in range(batch.num_rows)]
        yield from rows
        number += batch.num_rows


def _arrow_row(batch: Any, place: int, number: int) -> Row:
    try:
        (values,) = _arrow_values(batch.slice(place, 1))
    except DataError as error:
        return Row(number, {}, str(error))
    return Row(number, values)


def _arrow_values(batch: Any) -> list[dict[str, Any]]:
    """Turns a record batch into Python values."""
    import pyarrow

    try:
        batch.validate(full=True)
        values: list[dict[str, Any]] = batch.to_pylist()
    except (pyarrow.ArrowException, ValueError, OverflowError) as error:
        raise DataError(f"the row holds a value that cannot be read: {error}; correct it") from error
    return values


READERS: dict[str, Callable[[Path], Iterator[Row]]] = {
    ".jsonl": _read_json,
    ".ndjson": _read_json,
    ".json": _read_json,
    ".csv": _read_csv,
    ".tsv": partial(_read_csv, delimiter="\t"),
    ".parquet": _read_parquet,
}
