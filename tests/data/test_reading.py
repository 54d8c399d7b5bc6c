"""Each file format gives the same rows, and each broken file says where it is broken."""

import contextlib
import gzip
import json
import os

import datasets
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyarrow import parquet

from lancet_core.data.reading import LONGEST_CSV_FIELD, read_rows
from lancet_core.errors import DataError

ROWS = [{"prompt": f"Is tea {n}?", "response": "Yes,\nit is."} for n in range(3)]


DEEP = "[" * 100_000


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
    assert "line 2 has broken JSON" in rows[1].problem
    assert "list" in rows[3].problem


def test_a_csv_record_with_too_many_values_is_a_problem(tmp_path):
    path = tmp_path / "rows.csv"
    path.write_text("prompt,response\na,b\na,b,c\n")
    assert [bool(row.problem) for row in read_rows(path)] == [False, True]


# The second of three rows cannot be read: how it is written in each text format, and what is said of it.
BROKEN_ROWS = {
    "deep": (f'{{"a": {DEEP}}}', "nested too deep"),
    "deep but closed": (f'{{"a": {"[" * 200}{"]" * 200}}}', "nested too deep"),
    "half a surrogate pair": ('{"a": "\\ud800"}', "surrogate"),
    "half a surrogate pair as a name": ('{"\\udfff": 1}', "surrogate"),
    "a number of 5,000 digits": (f'{{"a": {"9" * 5000}}}', "number"),
}


@pytest.mark.parametrize(("row", "words"), BROKEN_ROWS.values(), ids=BROKEN_ROWS)
def test_a_line_that_json_allows_and_python_does_not_is_one_problem(tmp_path, row, words):
    path = tmp_path / "rows.jsonl"
    path.write_text(f'{{"a": 1}}\n{row}\n{{"a": 3}}\n')
    rows = list(read_rows(path))
    assert [bool(row.problem) for row in rows] == [False, True, False]
    assert words in rows[1].problem
    assert "\n" not in rows[1].problem


@pytest.mark.parametrize("broken", ["half a surrogate pair", "deep but closed"])
def test_an_object_of_a_list_that_cannot_be_used_is_one_problem(tmp_path, broken):
    row, words = BROKEN_ROWS[broken]
    path = tmp_path / "rows.json"
    path.write_text(f'[{{"a": 1}}, {row}, {{"a": 3}}]')
    rows = list(read_rows(path))
    assert [bool(row.problem) for row in rows] == [False, True, False]
    assert words in rows[1].problem


def _late(unit):
    return pa.array([0, 2**62, 1], type=pa.timestamp(unit))


# Columns whose second value Python cannot hold.
BROKEN_COLUMNS = {
    "a date out of range": lambda: pa.array([0, 2**31 - 1, 1], type=pa.date32()),
    "a time out of range": lambda: _late("ms"),
    "a time zone out of range": lambda: pa.array([0, 2**62, 1], type=pa.timestamp("ms", "Asia/Tokyo")),
    "half a surrogate pair": lambda: pa.array([b"a", b"\xed\xa0\x80", b"c"]).view(pa.string()),
    "bytes that are no text": lambda: pa.array([b"a", b"\xff", b"c"]).view(pa.string()),
}


def _write_parquet(path, table):
    parquet.write_table(table, path)
    return path


def _write_folder(path, table):
    path.mkdir()
    with pa.OSFile(str(path / "data.arrow"), "wb") as sink, pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    (path / "state.json").write_text(json.dumps({"_data_files": [{"filename": "data.arrow"}]}))
    return path


@pytest.mark.parametrize(
    "write", [lambda path, table: _write_parquet(path / "rows.parquet", table), lambda path, table: _write_folder(path / "rows", table)],
    ids=["parquet", "folder"],
)  # fmt: skip
@pytest.mark.parametrize("column", BROKEN_COLUMNS.values(), ids=BROKEN_COLUMNS)
def test_a_value_that_python_cannot_hold_is_one_problem(tmp_path, column, write):
    table = pa.table({"prompt": ["a", "b", "c"], "other": column()})
    rows = list(read_rows(write(tmp_path, table)))
    assert [bool(row.problem) for row in rows] == [False, True, False]
    assert [row.number for row in rows] == [1, 2, 3]
    assert [rows[0].values["prompt"], rows[2].values["prompt"]] == ["a", "c"]


MIXED = pa.table(
    {
        "prompt": ["a" * 30, "b", "c"] * 20,
        "is_safe": [True, False, None] * 20,
        "category": [{"a": True}, {"a": False}, None] * 20,
        "messages": [["d"], [], None] * 20,
        "at": pa.array([0, 1, 2] * 20, type=pa.timestamp("ms")),
    }
)


@pytest.mark.parametrize("kind", ["parquet", "folder"])
def test_flipped_bytes_of_a_binary_file_are_rows_or_one_sentence(tmp_path, kind):
    if kind == "parquet":
        place = file = _write_parquet(tmp_path / "rows.parquet", MIXED)
    else:
        place = _write_folder(tmp_path / "rows", MIXED)
        file = place / "data.arrow"
    whole = file.read_bytes()

    @settings(max_examples=60, deadline=None, database=None)
    @given(
        flips=st.lists(
            st.tuples(st.integers(0, len(whole) - 1), st.integers(0, 255)), min_size=1, max_size=8
        ),
        end=st.just(len(whole)) | st.integers(0, len(whole)),
    )
    def flipped(flips, end):
        content = bytearray(whole)
        for position, byte in flips:
            content[position] = byte
        file.write_bytes(content[:end])
        with contextlib.suppress(DataError):
            rows = list(read_rows(place))
            assert [row.number for row in rows] == list(range(1, len(rows) + 1))

    flipped()


@pytest.mark.parametrize(
    ("text", "problems"),
    [
        ('prompt,response\na,b\n"c"d,e\nf,g\n', [False, True, False]),
        ('prompt,response\na,b\nc,"d\ne,f\n', [False, True]),
        (f"prompt,response\na,b\nc,{'x' * (LONGEST_CSV_FIELD + 1)}\ne,f\n", [False, True, False]),
    ],
    ids=["after a quote", "never closed", "too long"],
)
def test_a_broken_quote_is_one_problem(tmp_path, text, problems):
    path = tmp_path / "rows.csv"
    path.write_text(text)
    assert [bool(row.problem) for row in read_rows(path)] == problems


STATES = {
    "no json": "{",
    "deep": DEEP,
    "a list": "[]",
    "no files": "{}",
    "files that are no list": '{"_data_files": 5}',
    "a file without a name": '{"_data_files": [{}]}',
    "a file elsewhere": '{"_data_files": [{"filename": "../outside.arrow"}]}',
    "the folder itself": '{"_data_files": [{"filename": ".."}]}',
    "a missing file": '{"_data_files": [{"filename": "none.arrow"}]}',
    "a pipe": '{"_data_files": [{"filename": "pipe"}]}',
    "no arrow file": '{"_data_files": [{"filename": "state.json"}]}',
}


@pytest.mark.parametrize("state", STATES.values(), ids=STATES)
def test_a_folder_with_a_broken_state_says_so(tmp_path, state):
    folder = tmp_path / "rows"
    folder.mkdir()
    os.mkfifo(folder / "pipe")
    (folder / "state.json").write_text(state)
    with pytest.raises(DataError) as caught:
        list(read_rows(folder))
    assert str(folder) in str(caught.value)


@pytest.mark.parametrize("ending", [".jsonl", ".jsonl.gz", ".json", ".csv", ".parquet", ""])
def test_pipes_and_devices_are_refused_at_once(tmp_path, ending):
    pipe, device = tmp_path / f"pipe{ending}", tmp_path / f"device{ending}"
    os.mkfifo(pipe)
    device.symlink_to("/dev/zero")
    for path in (pipe, device):
        with pytest.raises(DataError, match=r"cannot be read|unknown format"):
            list(read_rows(path))


def test_an_archive_that_would_fill_the_memory_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("lancet_core.files.SMALL_ARCHIVE_BYTES", 1000)
    path = tmp_path / "rows.jsonl.gz"
    path.write_bytes(gzip.compress(b" " * 1_000_000, mtime=0))
    with pytest.raises(DataError, match="unpacks to more than"):
        list(read_rows(path))


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("rows.json", b'[\n{"a": 1},\n{"a" 2}]', "broken JSON at line 3"),
        ("rows.json", b'["a", {"a": 1}', "broken JSON"),
        ("rows.csv", b"a\n\xff\xfe", "0xff at line 2"),
        ("rows.json", b'[{"a": 1},\n{"a": "\xff\xfe"}]', "0xff at line 2"),
        ("rows.csv", b"a,b\n\x00\x01\x02", "not a text file"),
        ("rows.jsonl.gz", b"no archive", "not a whole gzip file"),
        ("rows.jsonl.gz", gzip.compress(b'{"a": 1}' * 99, mtime=0)[:-12], "not a whole gzip file"),
        ("rows.json", DEEP.encode(), "nested too deep"),
        ("rows.csv", b'"a"b,c\n1,2\n', "broken header"),
        ("rows.parquet", b"no parquet", "not a readable parquet file"),
        ("rows.parquet", b"PAR1" + b"\xff" * 40 + b"PAR1", "not a readable parquet file"),
        ("rows.xlsx", b"PK", "unknown format"),
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


def test_json_lines_are_read_whatever_their_name_ends_in(tmp_path):
    content = '{"a": 1}\n{"a": 2}\n'
    for name in ("rows.json", "rows.jsonl", "rows.txt", "rows"):
        (tmp_path / name).write_text(content)
        assert [row.values for row in read_rows(tmp_path / name)] == [{"a": 1}, {"a": 2}]
    (tmp_path / "list.jsonl").write_text('[{"a": 1},\n {"a": 2}]')
    assert [row.values["a"] for row in read_rows(tmp_path / "list.jsonl")] == [1, 2]


def test_a_table_with_tabs_is_read(tmp_path):
    (tmp_path / "rows.tsv").write_text("a\tb\n1, 2\t3\n")
    assert [row.values for row in read_rows(tmp_path / "rows.tsv")] == [{"a": "1, 2", "b": "3"}]


def test_shards_are_read_in_their_order_and_rows_counted_on(tmp_path):
    data = tmp_path / "snap" / "data"
    data.mkdir(parents=True)
    (tmp_path / "snap" / "README.md").write_text("# A data set")
    for number in (1, 0):
        pd.DataFrame({"a": [2 * number, 2 * number + 1]}).to_parquet(
            data / f"train-0000{number}-of-00002.parquet"
        )
    for folder in (tmp_path / "snap", data):
        rows = list(read_rows(folder))
        assert [row.values["a"] for row in rows] == [0, 1, 2, 3]
        assert [row.number for row in rows] == [1, 2, 3, 4]
    pd.DataFrame({"a": [9]}).to_parquet(data / "test-00000-of-00001.parquet")
    with pytest.raises(DataError, match="holds the splits test, train; give the folder of one"):
        list(read_rows(tmp_path / "snap"))
    for split in (tmp_path / "snap" / "test", data / "test"):
        assert [row.values["a"] for row in read_rows(split)] == [9]


def test_files_beside_each_other_are_splits_unless_they_are_numbered(tmp_path):
    (tmp_path / "train.jsonl").write_text('{"a": 1}\n')
    (tmp_path / "test.jsonl.gz").write_bytes(gzip.compress(b'{"a": 2}\n', mtime=0))
    with pytest.raises(DataError, match="holds the splits test, train"):
        list(read_rows(tmp_path))
    assert [row.values for row in read_rows(tmp_path / "test")] == [{"a": 2}]
    parts = tmp_path / "parts"
    parts.mkdir()
    for number in range(2):
        (parts / f"part-{number}.jsonl").write_text(f'{{"a": {number}}}\n')
    assert [row.values["a"] for row in read_rows(parts)] == [0, 1]


# A file may lie otherwise than its name says, or than most do: what each of them holds.
ONE, TWO = {"prompt": "Hi?", "response": "Yo."}, {"prompt": "Käse?", "response": "Ja."}
CHAT = [{"role": "user", "content": "Hi?"}, {"role": "assistant", "content": "Yo."}]
LINES = f"{json.dumps(ONE)}\n{json.dumps(TWO, ensure_ascii=False)}\n"
PACKED = gzip.compress(LINES.encode())
BOTH, CHATS = [ONE, TWO], [{"messages": CHAT}] * 2
LAYOUTS = {
    "a mark at the start": ("rows.jsonl", f"\ufeff{LINES}", BOTH),
    "a mark, and no known name": ("rows.txt", f"\ufeff{LINES}", BOTH),
    "line ends of Windows": ("rows.jsonl", LINES.replace("\n", "\r\n"), BOTH),
    "utf-16": ("rows.jsonl", LINES.encode("utf-16"), BOTH),
    "packed, by no name": ("rows.jsonl", PACKED, BOTH),
    "packed, by half a name": ("rows.txt.gz", PACKED, BOTH),
    "lines called csv": ("rows.csv", LINES, BOTH),
    "lines called parquet": ("rows.parquet", LINES, BOTH),
    "one row": ("rows.json", json.dumps(ONE), [ONE]),
    "one row over many lines": ("rows.json", json.dumps(ONE, indent=1), [ONE]),
    "rows over many lines": ("rows.jsonl", "\n".join(json.dumps(row, indent=1) for row in BOTH), BOTH),
    "a list over many lines": ("rows.json", json.dumps(BOTH, indent=1), BOTH),
    "rows in an object": ("rows.json", json.dumps({"version": "1", "data": BOTH}), BOTH),
    "rows in an object over many lines": ("rows.json", json.dumps({"data": BOTH}, indent=1), BOTH),
    "columns of pandas": ("rows.json", pd.DataFrame(BOTH).to_json(), BOTH),
    "columns of datasets": ("rows.json", json.dumps({"prompt": ["Hi?", "Käse?"], "response": ["Yo.", "Ja."]}), BOTH),
    "a row whose tools are objects": ("rows.json", json.dumps({**ONE, "tools": [{"name": "w"}]}), [{**ONE, "tools": [{"name": "w"}]}]),
    "a row of two conversations": ("rows.json", json.dumps({"chosen": CHAT, "rejected": CHAT}), [{"chosen": CHAT, "rejected": CHAT}]),
    "one conversation": ("rows.json", json.dumps(CHAT, indent=1), CHATS[:1]),
    "a conversation in a line": ("rows.jsonl", f"{json.dumps(CHAT)}\n{json.dumps(CHAT)}\n", CHATS),
    "a list of conversations": ("rows.json", json.dumps([CHAT, CHAT]), CHATS),
    "rows that have a role": ("rows.json", json.dumps([{"id": 1, "role": "user", "text": "Hi?"}]), [{"id": 1, "role": "user", "text": "Hi?"}]),
    "semicolons": ("rows.csv", "prompt;response\nHi?;Yo.\nKäse?;Ja.\n", BOTH),
    "tabs in a csv": ("rows.csv", "prompt\tresponse\nHi?\tYo.\nKäse?\tJa.\n", BOTH),
    "a comma at each end": ("rows.csv", "prompt,response\nHi?,Yo.,\nKäse?,Ja.,,\n", BOTH),
    "line ends of old Macs": ("rows.csv", "prompt,response\rHi?,Yo.\rKäse?,Ja.\r", BOTH),
    "utf-16 with tabs": ("rows.tsv", "prompt\tresponse\nHi?\tYo.\n".encode("utf-16"), [ONE]),
    "nothing": ("rows.txt", "", []),
}  # fmt: skip


@pytest.mark.parametrize(("name", "content", "rows"), LAYOUTS.values(), ids=LAYOUTS)
def test_what_a_file_holds_tells_what_it_is(tmp_path, name, content, rows):
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    found = list(read_rows(path))
    assert [row.problem for row in found] == [""] * len(rows)
    assert [dict(row.values) for row in found] == rows


@pytest.mark.parametrize("name", ["rows.jsonl", "rows"])
@pytest.mark.parametrize("kind", ["parquet", "arrow file"])
def test_tables_are_read_by_any_name(tmp_path, kind, name):
    table = pa.Table.from_pylist(BOTH)
    if kind == "parquet":
        parquet.write_table(table, tmp_path / name)
    else:
        with pa.ipc.new_file(str(tmp_path / name), table.schema) as writer:
            writer.write_table(table)
    assert [row.values for row in read_rows(tmp_path / name)] == BOTH


def test_an_arrow_stream_is_read(tmp_path):
    datasets.Dataset.from_list(BOTH).save_to_disk(str(tmp_path / "saved"))
    (stream,) = (tmp_path / "saved").glob("*.arrow")
    stream.rename(tmp_path / "rows.arrow")
    assert [row.values for row in read_rows(tmp_path / "rows.arrow")] == BOTH


@pytest.mark.parametrize("name", ["rows.arrow", "rows.tsv", "rows"])
def test_what_only_begins_as_an_archive_or_table_is_told(tmp_path, name):
    for start in (b"\x1f\x8bprompt", b"ARROW1\0\0prompt", b"PAR1prompt"):
        (tmp_path / name).write_bytes(start + b"\tresponse\n")
        with pytest.raises(DataError, match=r"readable|gzip|unknown format"):
            list(read_rows(tmp_path / name))


@pytest.mark.parametrize(
    "line", [b'{"a": "\xe4"}', b'{"a": "\xed\xa0\x80"}', b'{"a": "b\x00"}', b'{"a": 1},', b"[1, 2]", b'"a"', b"null"]
)  # fmt: skip
def test_a_line_that_is_no_text_or_no_object_is_one_problem(tmp_path, line):
    (tmp_path / "rows.jsonl").write_bytes(LINES.encode() + line + b"\n" + LINES.encode())
    problems = [row.problem for row in read_rows(tmp_path / "rows.jsonl")]
    assert [bool(problem) for problem in problems] == [False, False, True, False, False]
    assert "\n" not in problems[2]


def test_two_columns_of_one_name_are_refused(tmp_path):
    (tmp_path / "rows.csv").write_text("prompt,response,response\na,b,c\n")
    twice = pa.Table.from_arrays([pa.array(["a"])] * 3, names=["prompt", "response", "response"])
    parquet.write_table(twice, tmp_path / "rows.parquet")
    for name in ("rows.csv", "rows.parquet"):
        with pytest.raises(DataError, match="two columns called 'response'"):
            list(read_rows(tmp_path / name))


def test_columns_of_parquet_are_values_of_python(tmp_path):
    table = pa.table(
        {
            "prompt": pa.array(["a", "b"], pa.large_string()),
            "response": pa.array(["x", "y"]).dictionary_encode(),
            "category": pa.array([[("v", True), ("d", False)], []], pa.map_(pa.string(), pa.bool_())),
            "messages": [CHAT, None],
            "is_safe": pa.array([1, 0], pa.uint8()),
        }
    )
    parquet.write_table(table, tmp_path / "rows.parquet")
    first, second = (dict(row.values) for row in read_rows(tmp_path / "rows.parquet"))
    assert first == {
        "prompt": "a",
        "response": "x",
        "category": {"v": True, "d": False},
        "messages": CHAT,
        "is_safe": 1,
    }
    assert second == {"prompt": "b", "response": "y", "category": {}, "messages": None, "is_safe": 0}


FOLDERS = {
    "shards with a hash": ("", ["data/train-00000-of-00002-6ef3991c06080e14.jsonl", "data/train-00001-of-00002-a1b2c3d4e5f60718.jsonl"]),
    "shards of spark": ("", ["part-00000-3f2a1b2c-12ab-c000.jsonl", "part-00001-3f2a1b2c-12ab-c000.jsonl"]),
    "shards of the hub": ("", ["default/train/0000.jsonl", "default/train/0001.jsonl"]),
    "in the order of their numbers": ("", ["part-2.jsonl", "part-10.jsonl"]),
    "a split in each of some folders": ("train", ["data/Alpaca2-7B/train.jsonl", "data/Alpaca3-8B/train.jsonl", "!data/Alpaca2-7B/test.jsonl"]),
    "a folder for each split": ("train", ["train/a-1.jsonl", "train/a-2.jsonl", "!test/a-1.jsonl"]),
    "beside what systems leave": ("", ["rows.jsonl", "!._rows.jsonl", "!.cache/other.jsonl", "!dataset_infos.json", "!_part.json"]),
}  # fmt: skip


@pytest.mark.parametrize(("split", "files"), FOLDERS.values(), ids=FOLDERS)
def test_folders_are_read_in_the_layouts_that_tools_leave(tmp_path, split, files):
    wanted = []
    for number, name in enumerate(files):
        path = tmp_path / name.removeprefix("!")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps({"prompt": str(number)}))
        wanted += [] if name.startswith("!") else [str(number)]
    assert [row.values["prompt"] for row in read_rows(tmp_path / split)] == wanted


def test_shards_of_several_types_and_an_empty_one_are_one_split(tmp_path):
    (tmp_path / "part-0.jsonl").write_text(LINES)
    (tmp_path / "part-1.jsonl").write_text("")
    (tmp_path / "part-2.csv").write_text("prompt,response\na,b\n")
    parquet.write_table(pa.Table.from_pylist([ONE]), tmp_path / "part-3.parquet")
    rows = list(read_rows(tmp_path))
    assert [row.values["prompt"] for row in rows] == ["Hi?", "Käse?", "a", "Hi?"]
    assert [row.number for row in rows] == [1, 2, 3, 4]
