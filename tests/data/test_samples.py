"""Tables of samples and prompts that LANCET wrote itself, and what is said where they are broken."""

import os

import pandas as pd
import pytest

from lancet_core.data.samples import (
    Prompt,
    Sample,
    prompts_frame,
    read_prompts,
    read_samples,
    samples_frame,
)
from lancet_core.errors import DataError
from lancet_core.files import write_table

TABLES = {
    "samples": (read_samples, samples_frame([Sample("a", "b", is_safe=True), Sample("c", "d")])),
    "prompts": (read_prompts, prompts_frame([Prompt("a"), Prompt("b", reference="c")])),
}


@pytest.fixture(params=TABLES)
def table(request, tmp_path):
    """How a table is read, what is in it, and where it lies."""
    read, frame = TABLES[request.param]
    write_table(tmp_path / "table.parquet", frame)
    return read, frame, tmp_path / "table.parquet"


def test_a_table_comes_back_as_it_was_written(table):
    read, frame, path = table
    pd.testing.assert_frame_equal(read(path)[["id", "prompt"]], frame[["id", "prompt"]], check_dtype=False)


def test_a_part_of_the_columns_is_read_alone(tmp_path):
    write_table(tmp_path / "table.parquet", TABLES["samples"][1])
    assert list(read_samples(tmp_path / "table.parquet", whole=False)) == [
        "id",
        "prompt",
        "response",
        "is_safe",
        "messages",
        "turns",
    ]


def _cut(path):
    path.write_bytes(path.read_bytes()[:-60])


def _garble(path):
    content = bytearray(path.read_bytes())
    content[4:-8] = b"\xff" * (len(content) - 12)
    path.write_bytes(content)


def _empty(path):
    path.write_bytes(b"")


def _pipe(path):
    path.unlink()
    os.mkfifo(path)


def _column_away(path):
    write_table(path, pd.read_parquet(path).drop(columns="prompt"))


def _no_row(path):
    write_table(path, pd.read_parquet(path).head(0))


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (_cut, "cannot be read"),
        (_garble, "cannot be read"),
        (_empty, "cannot be read"),
        (_pipe, "does not exist"),
        (os.unlink, "does not exist"),
        (_column_away, "no column 'prompt'"),
        (_no_row, "at least one is needed"),
    ],
)
def test_a_broken_table_says_what_to_do(table, damage, words):
    read, _frame, path = table
    damage(path)
    with pytest.raises(DataError, match=words):
        read(path)
