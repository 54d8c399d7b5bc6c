"""Each file format gives the same rows, and each broken file says where it is broken."""

import gzip
import json

import datasets
import pandas as pd
import pytest

from lancet_core.data.reading import read_rows
from lancet_core.errors import DataError

ROWS = [{"prompt": f"Is tea {n}?", "response": "Yes,\nit is."} for n in range(3)]


def _lines(rows):
    return "\n".join(json.dumps(row) for row in rows)


def _write_jsonl_gz(path):
    path.write_bytes(gzip.compress(_lines(ROWS).encode()))


WRITERS = {
    "rows.jsonl": lambda path: path.write_text(_lines(ROWS)),
    "rows.jsonl.gz": _write_jsonl_gz,
    "rows.json": lambda path: path.write_text(json.dumps(ROWS)),
    "rows.csv": lambda path: pd.DataFrame(ROWS).to_csv(path, index=False),
    "rows.parquet": lambda path: pd.DataFrame(ROWS).to_parquet(path),
    "rows": lambda path: datasets.Dataset.from_list(ROWS).save_to_disk(str(path)),
}


@pytest.mark.parametrize("name", WRITERS)
def test_every_format_gives_the_same_rows(tmp_path, name):
    WRITERS[name](tmp_path / name)
    rows = list(read_rows(tmp_path / name))
    assert [dict(row.values) for row in rows] == ROWS
    assert [row.number for row in rows] == [1, 2, 3]


def test_line_numbers_count_empty_lines_and_unicode_separators(tmp_path):
    path = tmp_path / "rows.jsonl"
    path.write_text('{"a": "one\u2028two"}\n\n{"a": 2}\n', encoding="utf-8")
    assert [row.number for row in read_rows(path)] == [1, 3]


def test_a_broken_line_is_one_problem_and_the_rest_is_read(tmp_path):
    path = tmp_path / "rows.jsonl"
    path.write_text('{"a": 1}\n{"a": \n{"a": 3}\n[1]\n')
    rows = list(read_rows(path))
    assert [bool(row.problem) for row in rows] == [False, True, False, True]
    assert "broken JSON at line 2" in rows[1].problem
    assert "list" in rows[3].problem


def test_a_csv_record_with_too_many_values_is_a_problem(tmp_path):
    path = tmp_path / "rows.csv"
    path.write_text("prompt,response\na,b\na,b,c\n")
    assert [bool(row.problem) for row in read_rows(path)] == [False, True]


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("rows.json", b'[\n{"a": 1},\n{"a" 2}]', "broken JSON at line 3"),
        ("rows.json", b'{"a": 1}', "list of objects"),
        ("rows.jsonl", b'{"a": 1}\n{"a": "\xff\xfe"}', "0xff at line 2"),
        ("rows.csv", b"a,b\n\x00\x01\x02", "not a text file"),
        ("rows.jsonl.gz", b"no archive", "not a whole gzip file"),
        ("rows.jsonl.gz", gzip.compress(b'{"a": 1}' * 99)[:-12], "not a whole gzip file"),
        ("rows.parquet", b"no parquet", "not a readable parquet file"),
        ("rows.xlsx", b"", "unknown format"),
    ],
)
def test_a_file_that_cannot_be_read_says_why(tmp_path, name, content, words):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=words):
        list(read_rows(tmp_path / name))


def test_a_missing_file_and_a_folder_of_splits_are_named(tmp_path):
    with pytest.raises(DataError, match="does not exist"):
        list(read_rows(tmp_path / "none.jsonl"))
    datasets.DatasetDict({"train": datasets.Dataset.from_list(ROWS)}).save_to_disk(str(tmp_path / "set"))
    with pytest.raises(DataError, match="splits train"):
        list(read_rows(tmp_path / "set"))
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="was not saved by datasets"):
        list(read_rows(tmp_path / "empty"))
