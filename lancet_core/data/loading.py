"""Reads the training samples of a file: each row as it is understood, what can be used, and what cannot, with the reason."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from lancet_core.data.adapters import AUTO, FORMATS, samples_of
from lancet_core.data.columns import ColumnMap
from lancet_core.data.reading import read_rows
from lancet_core.data.samples import Sample, samples_frame
from lancet_core.errors import DataError
from lancet_core.progress import Progress, silent

ROWS_BETWEEN_REPORTS = 1000


@dataclass(frozen=True)
class Rejected:
    """A row that cannot be used.

    Attributes:
        row: Row number in the file, counted from 1.
        reason: What is wrong with it.
    """

    row: int
    reason: str


@dataclass(frozen=True)
class UnderstoodRow:
    """A row, and what it is understood as.

    Attributes:
        number: Row number in the file, counted from 1.
        columns: Names of its columns.
        format: Its format, empty where it cannot be used.
        samples: Its samples.
        problem: Why it cannot be used, empty where it can.
    """

    number: int
    columns: tuple[str, ...]
    format: str = ""
    samples: tuple[Sample, ...] = ()
    problem: str = ""


@dataclass(frozen=True)
class Loaded:
    """Training samples read from a file.

    Attributes:
        frame: The samples, one row each, columns of `samples_frame`.
        rejected: Rows that cannot be used.
        format: The format that most rows have, empty where no row can be used.
        rows: Rows in the file.
        duplicates: Samples left out because an equal one stands before them.
    """

    frame: pd.DataFrame
    rejected: list[Rejected]
    format: str
    rows: int
    duplicates: int


def load_samples(path: str | Path, format: str = AUTO, columns: ColumnMap | None = None) -> Loaded:
    """Reads training samples from a file.

    Args:
        path: A file that `read_rows` reads.
        format: Name of a format, or `auto` to see in each row what it is.
        columns: Columns named by hand.

    Returns:
        The samples that can be used, and the rows that cannot.

    Raises:
        DataError: The file cannot be read, no row fits a format, or no row can be used.
    """
    loaded = survey_samples(path, format, columns)
    if loaded.frame.empty:
        raise DataError(_nothing_usable(path, format, loaded.rejected))
    return loaded


def survey_samples(
    path: str | Path, format: str = AUTO, columns: ColumnMap | None = None, progress: Progress = silent
) -> Loaded:
    """Reads as `load_samples` does, also where no row can be used; tells how many rows were read.

    Raises:
        DataError: The file cannot be read, or the format is unknown.
    """
    count = 0
    samples: list[Sample] = []
    rejected: list[Rejected] = []
    formats: Counter[str] = Counter()
    for row in understand_rows(path, format, columns):
        count += 1
        if count % ROWS_BETWEEN_REPORTS == 0:
            progress("Reading the rows", count)
        if row.problem:
            rejected.append(Rejected(row.number, row.problem))
            continue
        samples += row.samples
        formats[row.format] += 1
    frame = samples_frame(samples)
    usual = formats.most_common(1)[0][0] if formats else ""
    return Loaded(frame, rejected, usual, count, len(samples) - len(frame))


def understand_rows(
    path: str | Path, format: str = AUTO, columns: ColumnMap | None = None
) -> Iterator[UnderstoodRow]:
    """Tells of each row of a file, one after the other, what it is understood as; arguments as in `load_samples`.

    Raises:
        DataError: The file cannot be read, or the format is unknown.
    """
    if format != AUTO and format not in FORMATS:
        raise DataError(f"unknown format {format!r}; accepted are {AUTO}, {', '.join(FORMATS)}")
    file_name = Path(path).name
    for row in read_rows(path):
        found = tuple(map(str, row.values))
        try:
            name, made = samples_of(row, format, columns, file_name)
        except DataError as error:
            yield UnderstoodRow(row.number, found, problem=str(error))
        else:
            yield UnderstoodRow(row.number, found, name, tuple(made))


def _nothing_usable(path: str | Path, format: str, rejected: list[Rejected]) -> str:
    if not rejected:
        return f"{path} is empty; at least one row is needed"
    reasons = {each.reason for each in rejected}
    if len(reasons) == 1 and "of no known format" in rejected[0].reason:
        return f"{path}: {rejected[0].reason}"
    return (
        f"{path} (format {format}) holds no row that can be used: {len(rejected)} of {len(rejected)} rows were rejected; "
        f"first: row {rejected[0].row}: {rejected[0].reason}"
    )
