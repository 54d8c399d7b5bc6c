"""What a table saved as CSV holds in place of lists and objects."""

import json

import numpy as np
import pytest

from lancet_core.data.written import parse_written
from lancet_core.errors import DataError

CHAT = [
    {"content": "It's \"a\" } {\n'b' #c", "role": "user"},
    {"content": "Yo.", "role": "assistant", "tool_calls": None},
]


@pytest.mark.parametrize(
    "value", [CHAT, [], {"a": True, "b,c": False}, ["a", "b"], [1, -2.5, None], {"a": {"b": ["c"]}}]
)
@pytest.mark.parametrize("write", [json.dumps, repr, lambda value: json.dumps(value, indent=1)])
def test_what_was_written_is_read(value, write):
    assert parse_written(write(value), "it") == value


@pytest.mark.parametrize("value", [CHAT, ["a b", "c"], [1, 2], [{"a": 1}, {"a": 2}]])
def test_arrays_are_read_as_numpy_shows_them(value):
    assert parse_written(str(np.array(value, dtype=object)), "it") == value


def test_what_is_not_known_in_a_table_is_nothing():
    assert parse_written("[{'a': nan, 'b': 'nan'}]", "it") == [{"a": None, "b": "nan"}]


@pytest.mark.parametrize(
    "text", ["", "a", "[", "[{'a'", "f(1)", "[x]", "'a' if 1 else 'b'", "[{'a': " + "(" * 100_000, "-" * 100_000 + "1",
             "[" + "'a'+" * 1000 + "'b']", "{[]: 1}", "\x00"],
)  # fmt: skip
def test_what_is_no_value_is_told(text):
    with pytest.raises(DataError, match="it has broken JSON"):
        parse_written(text, "it")


@pytest.mark.parametrize("text", ["[" * 150 + "]" * 150, "[" * 100_000, "['\\ud83d']"])
def test_what_nothing_else_can_hold_is_told(text):
    with pytest.raises(DataError, match=r"nested too deep|surrogate"):
        parse_written(text, "it")
