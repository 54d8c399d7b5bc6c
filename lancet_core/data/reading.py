"""Reads rows from the file formats that data sets come in, and keeps count of where each row stood.

| what it is | one row is | row number |
|---|---|---|
| text that begins with `{` or `[`, or is named `.jsonl`, `.ndjson`, `.json` | one JSON object in a line, or in a list; a list of messages is one as well | line, or place in the list |
| `.csv`, `.tsv` | one record under a header line | record |
| parquet, Arrow | one row | row |
| a folder saved by `datasets` | one row | row |
| a folder of shards (`folders`) | one row of one of them | row, counted on |

What a file holds tells what it is; its name does where that does not. Texts may be packed by gzip. A folder with several splits is read
by the name of one: `folder/train`.

Row numbers count from 1. A row that cannot be read is handed on with the reason; the others are read.
"""

import csv
import io
import re
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from lancet_core.data.conversations import is_conversation, looks_like_messages
from lancet_core.data.folders import STATE_FILE, splits_of
from lancet_core.data.json_values import first_line, table_in, values_in
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
_PARQUET, _ARROW_FILE, _GZIP = b"PAR1", b"ARROW1", b"\x1f\x8b"
_JSON = re.compile(rb"(\xef\xbb\xbf)?\s*(\{\s*[\"}]|\[\s*[\[{\"\]])")
_START_BYTES, _GZIP_BITS = 512, 31
_DELIMITERS = (",", "\t", ";", "|")


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
    elif path.parent.is_dir() and path.name in splits_of(path.parent, tuple(READERS)):
        yield from _read_shards(splits_of(path.parent, tuple(READERS))[path.name])
    else:
        raise DataError(f"the file {path} does not exist; check the path")


def _reader_of(path: Path) -> Callable[[Path], Iterator[Row]]:
    """Chooses the reader of a file by what it begins with, else by what its name ends in.

    Raises:
        DataError: It is none of the known ones, or cannot be read.
    """
    start = _start_of(path)
    if start.startswith(_PARQUET):
        return _read_parquet
    if start.startswith(_ARROW_FILE):
        return _read_arrow
    if _JSON.match(start):
        return _read_json
    name = path.name.lower().removesuffix(".gz")
    for ending, reader in READERS.items():
        if name.endswith(ending):
            return reader
    if not start.strip():
        return _read_json
    raise DataError(
        f"{path} is of an unknown format; accepted are {', '.join(READERS)}, the text formats also with .gz, a folder saved by "
        "datasets, and a folder of such files"
    )


def _start_of(path: Path) -> bytes:
    """The first bytes of a file, unpacked.

    Raises:
        DataError: It begins as a gzip file and is none.
    """
    check_regular(path)
    with path.open("rb") as file:
        start = file.read(_START_BYTES)
    if start.startswith(_GZIP):
        # What follows is missing: only as much as there is comes out.
        try:
            start = zlib.decompressobj(wbits=_GZIP_BITS).decompress(start, _START_BYTES)
        except zlib.error as error:
            raise DataError(f"{path} is not a whole gzip file ({error}); fetch or pack it again") from error
    return start


def _read_folder(path: Path) -> Iterator[Row]:
    """Reads a folder saved by `datasets`, or one of shards.

    Raises:
        DataError: It is neither, or holds several splits.
    """
    if (path / STATE_FILE).exists():
        return _read_arrow_folder(path)
    splits = splits_of(path, tuple(READERS))
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


def _read_shards(files: list[Path]) -> Iterator[Row]:
    """Reads files one after the other; rows are counted on."""
    before = 0
    for path in files:
        last = 0
        for row in _reader_of(path)(path):
            last = row.number
            yield row._replace(number=before + row.number)
        before += last


def _read_bytes(path: Path) -> bytes:
    content = read_bytes(path)
    return read_gzip(path) if content.startswith(_GZIP) or path.suffix.lower() == ".gz" else content


def _read_json(path: Path) -> Iterator[Row]:
    """Reads JSON, one value in a line, all in one list, or one behind the other over many lines, whichever it is."""
    content = _read_bytes(path)
    try:
        text = decode(content, str(path))
    except DataError:
        if not _JSON.match(content[:_START_BYTES]) or content.lstrip()[:1] == b"[":
            raise
        # What is no text in one line is wrong with that row alone.
        return _read_json_lines(content.split(b"\n"))
    first, more = first_line(text)
    in_lines = more and values_in(first) is not None
    if first[:1] == "[" and not in_lines:
        rows = load_json(text, str(path))
        return _read_json_list([rows] if is_conversation(rows) else rows)
    values = None if in_lines else values_in(text)
    if values is None:
        # Not splitlines(): JSON may hold U+2028 and its like inside a string, and they end no line here.
        return _read_json_lines(text.split("\n"))
    table = table_in(values[0]) if len(values) == 1 else None
    return _read_json_list(values if table is None else table)


def _read_json_lines(lines: Sequence[str | bytes]) -> Iterator[Row]:
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            text = line if isinstance(line, str) else _decoded_line(line, number)
            yield _object_row(number, parse_json(text, f"line {number}"))
        except DataError as error:
            yield Row(number, {}, str(error))


def _decoded_line(line: bytes, number: int) -> str:
    try:
        return line.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(
            f"line {number} is no UTF-8 text: byte 0x{line[error.start]:02x}; save it as UTF-8"
        ) from error


def _read_json_list(rows: list[Any]) -> Iterator[Row]:
    for number, values in enumerate(rows, start=1):
        try:
            check_json(values, "the row")
            yield _object_row(number, values)
        except DataError as error:
            yield Row(number, {}, str(error))


def _object_row(number: int, values: Any) -> Row:
    """Makes a row of a value; a list of messages is a conversation.

    Raises:
        DataError: It is neither an object nor such a list.
    """
    if isinstance(values, dict):
        return Row(number, values)
    if isinstance(values, list) and looks_like_messages(values):
        return Row(number, {"messages": values})
    raise DataError(f"the row is a {type(values).__name__}; accepted is a JSON object")


def _read_csv(path: Path, delimiter: str = ",") -> Iterator[Row]:
    csv.field_size_limit(LONGEST_CSV_FIELD)
    text = decode(_read_bytes(path), str(path))
    reader = csv.DictReader(
        io.StringIO(text, newline=""),
        restkey="",
        restval=None,
        strict=True,
        delimiter=_delimiter(text, delimiter),
    )
    try:
        names = list(filter(None, reader.fieldnames or ()))
    except csv.Error as error:
        raise DataError(f"{path} has a broken header: {error}; correct its quotes") from error
    _check_names(path, names)
    yield from _csv_rows(reader)


def _check_names(path: Path, names: Sequence[str]) -> None:
    """Checks that no column is read in place of another one of its name.

    Raises:
        DataError: Two columns have one name.
    """
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise DataError(f"{path} has two columns called {twice!r}; rename one of them")


def _csv_rows(reader: "csv.DictReader[str]") -> Iterator[Row]:
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
        beyond: Any = values.get("")
        if isinstance(beyond, list):
            # A comma behind the last value is no value.
            del values[""]
            if any(beyond):
                columns = len(reader.fieldnames or ())
                yield Row(number, {}, f"the record has more values than the {columns} columns")
                continue
        yield Row(number, values)


def _delimiter(text: str, usual: str) -> str:
    """What stands between the values: the usual one, unless the header is one column by it and several by another."""
    header = re.match(r"\s*([^\r\n]*)", text)
    line = header[1] if header else ""
    columns = {each: len(next(csv.reader([line], delimiter=each), [])) for each in (usual, *_DELIMITERS)}
    return usual if columns[usual] > 1 else max(columns, key=lambda each: columns[each])


def _read_parquet(path: Path) -> Iterator[Row]:
    from pyarrow.parquet import ParquetFile

    check_regular(path)
    with _arrow_errors(path, "parquet file"):
        file = ParquetFile(path)
        _check_names(path, file.schema_arrow.names)
        yield from _arrow_rows(file.iter_batches(batch_size=ROWS_AT_ONCE))


def _read_arrow(path: Path) -> Iterator[Row]:
    """Reads one Arrow file, as the cache of `datasets` holds them."""
    yield from _arrow_rows(_arrow_batches(path))


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
        is_file = source.read(len(_ARROW_FILE)) == _ARROW_FILE
        source.seek(0)
        opened = pyarrow.ipc.open_file(source) if is_file else pyarrow.ipc.open_stream(source)
        batches = map(opened.get_batch, range(opened.num_record_batches)) if is_file else opened
        for batch in batches:
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
        values: list[dict[str, Any]] = batch.to_pylist(maps_as_pydicts="strict")
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
    ".arrow": _read_arrow,
}
