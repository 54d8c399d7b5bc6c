"""Files: written whole or not at all by any number of writers, and read with care where somebody else wrote them."""

import gzip
import json
import os
import threading
from pathlib import Path

import pandas as pd
import pytest

from lancet_core import files
from lancet_core.errors import DataError
from tests.hostile_texts import IN_FILES

WRITES = {
    "text": lambda path: files.write_text(path, "whole"),
    "json": lambda path: files.write_json(path, {"a": 1}),
    "lines": lambda path: files.write_json_lines(path, [{"a": 1}]),
    "table": lambda path: files.write_table(path, pd.DataFrame({"a": [1]})),
}


@pytest.mark.parametrize("write", WRITES.values(), ids=WRITES)
def test_two_writers_of_one_file_never_meet(tmp_path, write):
    target, problems = tmp_path / "new" / "file", []

    def often():
        try:
            for _ in range(20):
                write(target)
        except OSError as error:
            problems.append(error)

    writers = [threading.Thread(target=often) for _ in range(4)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert problems == []
    assert os.listdir(target.parent) == ["file"]


def test_a_write_that_fails_leaves_what_was_there(tmp_path):
    target = tmp_path / "file.txt"
    files.write_text(target, "before")

    def fail_half_way():
        with files.replacing(target) as temporary:
            temporary.write_text("half")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail_half_way()
    assert target.read_text() == "before"
    assert os.listdir(tmp_path) == ["file.txt"]


def test_a_folder_is_replaced_whole_or_stays(tmp_path):
    target = tmp_path / "model"
    with files.replacing_folder(target) as temporary:
        (temporary / "a").write_text("1")

    def fail_half_way():
        with files.replacing_folder(target) as temporary:
            (temporary / "b").write_text("2")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail_half_way()
    assert [path.name for path in target.iterdir()] == ["a"]
    assert os.listdir(tmp_path) == ["model"]


def test_no_other_module_renames_files_into_place():
    root = Path(files.__file__).parent
    renaming = [
        path.name
        for path in root.rglob("*.py")
        if path.name != "files.py"
        and any(sign in path.read_text() for sign in ("os.replace(", '".part"', '.part"'))
    ]
    assert renaming == []


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[" * 100_000, "nested too deep"),
        ('{"a": ' * 100_000, "nested too deep"),
        ("[" * 101 + "]" * 101, "nested too deep"),
        ('{"a": "\\ud800"}', "surrogate"),
        ('[{"\\uDFFF": 1}]', "surrogate"),
        ("9" * 5000, "number"),
        ('{"a": }', "broken JSON at column 7"),
        ('[\n{"a": }]', "broken JSON at line 2"),
    ],
    ids=[
        "deep list",
        "deep object",
        "one too deep",
        "lone surrogate",
        "lone surrogate as a name",
        "long number",
        "broken",
        "broken further down",
    ],
)
def test_json_that_cannot_be_used_is_one_sentence(tmp_path, text, says):
    path = tmp_path / "file.json"
    path.write_text(text)
    with pytest.raises(DataError, match=says) as caught:
        files.read_json(path)
    assert "\n" not in str(caught.value)


def test_what_json_lists_hold_a_hundred_deep_is_read():
    text = "[" * 100 + "]" * 100
    assert json.dumps(files.parse_json(text, "x")) == text


@pytest.mark.parametrize("value", [True, "1", None, [1], float("nan"), float("inf"), 10**400])
def test_what_no_float_holds_is_no_number(value):
    assert not files.is_number(value)
    assert files.is_number(-1.5)


def test_a_whole_surrogate_pair_is_text():
    assert files.parse_json(json.dumps("😀"), "x") == "😀"


def test_pipes_and_devices_are_refused_at_once(tmp_path):
    pipe, device = tmp_path / "pipe", tmp_path / "device"
    os.mkfifo(pipe)
    device.symlink_to("/dev/zero")
    for path in (pipe, device, tmp_path):
        with pytest.raises(DataError, match="cannot be read"):
            files.read_text(path)


def test_a_file_that_the_system_does_not_give_is_one_sentence(tmp_path):
    path = tmp_path / "memory"
    path.symlink_to("/proc/self/mem")
    if not path.exists():
        pytest.skip("no file here that opens and cannot be read")
    for name in (path, "a\0b", "x" * 5000):
        with pytest.raises(DataError, match="cannot be read"):
            files.read_bytes(name)


def test_archives_are_unpacked_up_to_a_size_that_fits_theirs(tmp_path, monkeypatch):
    path = tmp_path / "archive.gz"
    path.write_bytes(gzip.compress(b"one") + gzip.compress(b" and two"))
    assert files.read_gzip(path) == b"one and two"
    path.write_bytes(gzip.compress(b" " * 100_000))
    assert len(files.read_gzip(path)) == 100_000
    monkeypatch.setattr(files, "SMALL_ARCHIVE_BYTES", 1000)
    with pytest.raises(DataError, match="unpacks to more than"):
        files.read_gzip(path)


def test_a_file_larger_than_the_limit_is_refused(tmp_path):
    path = tmp_path / "large"
    path.write_bytes(b"x" * 11)
    assert files.read_bytes(path, limit=11) == b"x" * 11
    with pytest.raises(DataError, match="larger than 10"):
        files.read_bytes(path, limit=10)


def test_bytes_that_are_no_text_are_named_with_their_line():
    with pytest.raises(DataError, match="byte 0xff at line 2"):
        files.decode(b"one\n\xff", "file.txt")
    with pytest.raises(DataError, match="zero bytes"):
        files.decode(b"a\x00b", "file.txt")


FORMULAS = ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "＝1"]


@pytest.mark.parametrize("form", ["object", "string", "category"])
def test_a_spreadsheet_computes_no_text_of_a_table(tmp_path, form):
    texts = [*FORMULAS, *IN_FILES.values(), "plain", 'quo"te; and = here', None]
    table = pd.DataFrame(
        {"text": pd.Series(texts, dtype=object).astype(form), "score": -1.5, "n": -2, "ok": True}
    )
    path = tmp_path / "table.csv"
    files.write_table(path, table)
    assert path.read_bytes().startswith(b"\xef\xbb\xbf")
    back = pd.read_csv(path, keep_default_na=False, lineterminator="\n")
    assert list(back["text"][: len(FORMULAS)]) == [f"'{text}" for text in FORMULAS]
    assert list(back["text"][len(FORMULAS) : -1]) == [*IN_FILES.values(), "plain", 'quo"te; and = here']
    assert list(back["text"])[-1] == ""
    assert (set(back["score"]), set(back["n"]), set(back["ok"])) == ({-1.5}, {-2}, {True})
    assert list(table["text"][: len(FORMULAS)]) == FORMULAS


def test_every_text_of_a_csv_is_quoted():
    table = pd.DataFrame({"a": ["x;=1"], "b": [1]})
    assert files.table_as_csv(table).decode("utf-8-sig") == '"a","b"\n"x;=1",1\n'


def test_no_other_module_writes_csv():
    root = Path(files.__file__).parents[1]
    texts = {
        path: path.read_text()
        for folder in ("lancet_core", "pages")
        for path in (root / folder).rglob("*.py")
    }
    assert [path.name for path, text in texts.items() if "to_csv(" in text] == ["files.py"]
