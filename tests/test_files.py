"""Files: written whole or not at all by any number of writers, and read with care where somebody else wrote them."""

import json
import os
import threading
from pathlib import Path

import pandas as pd
import pytest

from lancet_core import files
from lancet_core.errors import DataError

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
        ('{"a": "\\ud800"}', "surrogate"),
        ("9" * 5000, "number"),
        ('{"a": }', "line 1"),
    ],
    ids=["deep list", "deep object", "lone surrogate", "long number", "broken"],
)
def test_json_that_cannot_be_used_is_one_sentence(tmp_path, text, says):
    path = tmp_path / "file.json"
    path.write_text(text)
    with pytest.raises(DataError, match=says) as caught:
        files.read_json(path)
    assert "\n" not in str(caught.value)


def test_a_whole_surrogate_pair_is_text():
    assert files.parse_json(json.dumps("😀"), "x") == "😀"


def test_pipes_and_devices_are_refused_at_once(tmp_path):
    pipe, device = tmp_path / "pipe", tmp_path / "device"
    os.mkfifo(pipe)
    device.symlink_to("/dev/zero")
    for path in (pipe, device, tmp_path):
        with pytest.raises(DataError, match="cannot be read"):
            files.read_text(path)


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
