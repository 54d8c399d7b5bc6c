"""The one place that writes files, and the guarded way to read those that somebody else wrote.

Everything is written under a unique temporary name beside its place, flushed to the disk and renamed, the folder flushed
after it: a reader, a second writer or a power cut never meets half a file. Where something cannot be written OSError is raised,
and what was there before stays. What comes from outside is read only where it is a regular file of bounded size, and parsed so
that whatever is wrong with it becomes one sentence.
"""

import codecs
import contextlib
import csv
import gzip
import io
import json
import os
import re
import secrets
import shutil
import stat
import sys
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lancet_core.errors import DataError
from lancet_core.text import harmless_cell

if TYPE_CHECKING:
    import pandas as pd

LARGEST_TEXT_BYTES = 4 << 30
# Texts that people write shrink to a tenth or so; what grows a hundredfold was made to fill the memory.
LARGEST_GROWTH = 100
SMALL_ARCHIVE_BYTES = 256 << 20
DEEPEST_NESTING = 100
_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]", re.ASCII)


@contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """Gives a temporary path to write a file to, and moves it to its place when the block ends well.

    Args:
        path: Where the file belongs; its folder is made where it is missing.

    Yields:
        The temporary path, in the same folder.
    """
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = _temporary(target)
    try:
        yield temporary
        _flush(temporary)
        os.replace(temporary, target)
        _flush(target.parent)
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


@contextmanager
def replacing_folder(path: str | Path) -> Iterator[Path]:
    """Gives an empty temporary folder to fill, and moves it to its place when the block ends well.

    Args:
        path: Where the folder belongs; a folder that stands there is removed just before.

    Yields:
        The temporary folder, beside its place.
    """
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = _temporary(target)
    temporary.mkdir()
    try:
        yield temporary
        for file in sorted(temporary.rglob("*")):
            _flush(file)
        _flush(temporary)
        shutil.rmtree(target, ignore_errors=True)
        os.replace(temporary, target)
        _flush(target.parent)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def write_text(path: str | Path, text: str) -> None:
    """Writes a text file in UTF-8, whole or not at all."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: str | Path, value: Any) -> None:
    """Writes plain values as JSON, whole or not at all."""
    write_text(path, json.dumps(value, indent=1, ensure_ascii=False) + "\n")


def write_json_lines(path: str | Path, rows: list[dict[str, Any]]) -> None:
    """Writes one JSON object in each line, whole or not at all."""
    write_text(path, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))


def write_table(path: str | Path, table: "pd.DataFrame") -> None:
    """Writes a table without its index, whole or not at all: as CSV where the name ends so, else as Parquet."""
    with replacing(path) as temporary:
        if Path(path).suffix == ".csv":
            temporary.write_bytes(table_as_csv(table))
        else:
            table.to_parquet(temporary, index=False)


def table_as_csv(table: "pd.DataFrame") -> bytes:
    """Writes a table without its index as CSV that a spreadsheet opens as it is.

    A byte-order mark says that it is UTF-8; every text is quoted, so that a semicolon in it ends no cell; a text that would be
    computed has an apostrophe before it. Whoever needs the texts unchanged writes Parquet or JSON.

    Args:
        table: Any columns; only texts are changed.
    """
    table = table.rename(columns=harmless_cell)
    for place, kind in enumerate(table.dtypes):
        if kind.kind == "O":
            table.isetitem(place, list(map(harmless_cell, table.iloc[:, place])))
    text: str = table.to_csv(index=False, quoting=csv.QUOTE_NONNUMERIC)
    return text.encode("utf-8-sig")


def write_tensors(
    path: str | Path, save: Callable[..., None], tensors: Mapping[str, Any], metadata: Mapping[str, str]
) -> None:
    """Writes a safetensors file, whole or not at all.

    Args:
        path: Where it belongs.
        save: `save_file` of `safetensors.torch` or `safetensors.numpy`, as fits the tensors.
        tensors: Names to tensors.
        metadata: Texts kept in its header.
    """
    with replacing(path) as temporary:
        save(dict(tensors), temporary, metadata=dict(metadata))


def read_bytes(path: str | Path, *, limit: int = LARGEST_TEXT_BYTES) -> bytes:
    """Reads a file that somebody else wrote.

    Args:
        path: A regular file, or a link to one.
        limit: Most bytes that are read.

    Raises:
        DataError: It is missing, not a regular file (a pipe would wait for ever, a device never ends), too large or unreadable.
    """
    try:
        with _open_regular(Path(path)) as stream:
            content: bytes = stream.read(limit + 1)
    except (OSError, ValueError) as error:
        raise DataError(_unreadable(path, error)) from error
    if len(content) > limit:
        raise DataError(f"{path} is larger than {limit:,} bytes, the most that is read; split the file")
    return content


def read_gzip(path: str | Path) -> bytes:
    """Reads and unpacks a gzip file that somebody else wrote; a small one may not grow without bound.

    Raises:
        DataError: It cannot be read, see `read_bytes`, is no whole archive, or unpacks to more than is accepted.
    """
    packed = read_bytes(path)
    accepted = min(LARGEST_TEXT_BYTES, max(SMALL_ARCHIVE_BYTES, LARGEST_GROWTH * len(packed)))
    try:
        with gzip.GzipFile(fileobj=io.BytesIO(packed)) as archive:
            content = archive.read(accepted + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{path} is not a whole gzip file ({error}); fetch or pack it again") from error
    if len(content) > accepted:
        raise DataError(
            f"{path} unpacks to more than {accepted:,} bytes, the most that is accepted of {len(packed):,}; unpack it yourself"
        )
    return content


def check_regular(path: str | Path) -> None:
    """Checks that a library may open a file by its path: a pipe would wait for ever, a device never ends.

    Raises:
        DataError: It is missing, not a regular file, or cannot be opened.
    """
    try:
        with _open_regular(Path(path)):
            pass
    except (OSError, ValueError) as error:
        raise DataError(_unreadable(path, error)) from error


def read_text(path: str | Path, *, limit: int = LARGEST_TEXT_BYTES) -> str:
    """Reads a UTF-8 text file that somebody else wrote.

    Raises:
        DataError: It cannot be read, see `read_bytes`, or is not UTF-8 text; the message names the line.
    """
    return decode(read_bytes(path, limit=limit), str(path))


def decode(content: bytes, name: str) -> str:
    """Decodes UTF-8 text, or UTF-16 that says so.

    Args:
        content: The bytes; with a byte-order mark where they are UTF-16.
        name: What a person calls them, for the message.

    Raises:
        DataError: They are not UTF-8 text.
    """
    encoding = "utf-16" if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) else "utf-8-sig"
    if b"\x00" in content[:4096] and encoding != "utf-16":
        raise DataError(f"{name} is not a text file: it holds zero bytes; accepted is UTF-8 text")
    try:
        return content.decode(encoding)
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise DataError(
            f"{name} is not a UTF-8 text file: byte 0x{content[error.start]:02x} at line {line}; save it as UTF-8"
        ) from error


def parse_json(text: str, name: str) -> Any:
    """Parses JSON that somebody else wrote.

    Args:
        text: The JSON text.
        name: What a person calls it, for the message ("train.jsonl, line 7").

    Raises:
        DataError: It is not JSON, is nested too deep, holds a number too long to read or a text that is no Unicode.
    """
    value = load_json(text, name)
    if _SURROGATE.search(text) or text.count("[") + text.count("{") > DEEPEST_NESTING:
        check_json(value, name)
    return value


def load_json(text: str, name: str) -> Any:
    """Parses JSON as `parse_json` does, and leaves it to the caller to `check_json` its parts.

    Raises:
        DataError: It is not JSON, is nested far too deep or holds a number too long to read.
    """
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        place = f"line {error.lineno}" if "\n" in text.strip() else f"column {error.colno}"
        raise DataError(f"{name} has broken JSON at {place}: {error.msg}; correct it") from error
    except RecursionError as error:
        raise DataError(_too_deep(name)) from error
    except ValueError as error:
        raise DataError(f"{name} holds a number that cannot be read: {error}; shorten it") from error


def check_json(value: Any, name: str) -> None:
    """Checks what JSON allows and nothing else can hold: nesting without end, and halves of surrogate pairs.

    Args:
        value: What was parsed.
        name: What a person calls it, for the message.

    Raises:
        DataError: It is nested deeper than `DEEPEST_NESTING`, or holds a text that is no Unicode.
    """
    level = [value]
    for _depth in range(DEEPEST_NESTING + 1):
        if not level:
            return
        try:
            for text in level:
                if isinstance(text, str):
                    text.encode()
        except UnicodeEncodeError as error:
            raise DataError(
                f"{name} holds half of a surrogate pair (\\u{ord(error.object[error.start]):04x}), which is no text; "
                "write it again as UTF-8"
            ) from error
        level = [inner for outer in level for inner in _parts(outer)]
    raise DataError(_too_deep(name))


def is_number(value: object) -> bool:
    """Whether a value out of JSON is a number that a float can hold: not NaN, not infinite, no yes or no."""
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= sys.float_info.max


def read_json(path: str | Path, *, limit: int = LARGEST_TEXT_BYTES) -> Any:
    """Reads a JSON file that somebody else wrote.

    Raises:
        DataError: It cannot be read, see `read_text`, or parsed, see `parse_json`.
    """
    return parse_json(read_text(path, limit=limit), str(path))


def read_json_or_none(path: str | Path) -> Any:
    """Reads a JSON file of ours; None where it is missing or broken."""
    try:
        return read_json(path)
    except DataError:
        return None


@contextmanager
def _open_regular(path: Path) -> Iterator[Any]:
    """Opens a regular file for reading, without waiting for a pipe that nobody writes to."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    with os.fdopen(descriptor, "rb") as stream:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError("it is not a regular file")
        yield stream


def _parts(value: Any) -> list[Any]:
    if isinstance(value, dict):
        return [*value, *value.values()]
    return value if isinstance(value, list) else []


def _too_deep(name: str) -> str:
    return f"{name} is nested too deep: more than {DEEPEST_NESTING} lists or objects inside each other; flatten it"


def _unreadable(path: str | Path, error: OSError | ValueError) -> str:
    reason = getattr(error, "strerror", None) or error
    return f"{path} cannot be read: {reason}; check the file and its rights"


def _temporary(target: Path) -> Path:
    return target.with_name(f".{target.name}.{secrets.token_hex(6)}.tmp")


def _flush(path: Path) -> None:
    """Asks the system to put a file, or the names in a folder, onto the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
