"""Tables in memory are read as the file that they would be."""

import datasets
import numpy as np
import pandas as pd
import pytest

from lancet_core.data.loading import load_samples
from lancet_core.data.objects import write_rows
from lancet_core.errors import DataError

CHAT = [{"role": "user", "content": "Hi?"}, {"role": "assistant", "content": "Yo."}]


def load(tmp_path, table):
    write_rows(tmp_path / "rows.jsonl", table)
    return load_samples(tmp_path / "rows.jsonl")


def test_each_row_is_read_or_rejected_on_its_own(tmp_path):
    table = pd.DataFrame(
        {
            "prompt": ["a?", "b?", "half \ud83d", 4, "e?", "f?"],
            "response": ["b", np.str_("c"), "d", "e", ["f"], "g"],
            "is_safe": [np.bool_(True), "unsafe", 1.0, None, None, np.float64("nan")],
            "category": [np.array(["x", "y"], dtype=object), {"z": True}, None, None, None, pd.NA],
            "at": [
                pd.Timestamp("2026-01-01"),
                pd.NaT,
                b"bytes",
                np.int64(3),
                {1},
                np.datetime64("2026-01-01"),
            ],
        }
    )
    loaded = load(tmp_path, table)
    assert [rejected.row for rejected in loaded.rejected] == [3, 4, 5]
    assert loaded.frame["response"].tolist() == ["b", "c", "g"]
    assert loaded.frame["is_safe"].fillna(False).tolist() == [True, False, False]
    assert loaded.frame["is_safe"].isna().tolist() == [False, False, True]
    assert list(map(list, loaded.frame["categories"])) == [["x", "y"], ["z"], []]


@pytest.mark.parametrize("column", ["messages", "conversations"])
def test_lists_that_pandas_made_arrays_of_are_conversations(tmp_path, column):
    table = datasets.Dataset.from_list([{column: CHAT, "tools": None}] * 2).to_pandas()
    assert isinstance(table[column][0], np.ndarray)
    loaded = load(tmp_path, table)
    assert (loaded.rejected, loaded.duplicates) == ([], 1)
    assert loaded.frame["response"].tolist() == ["Yo."]


def test_a_cell_that_holds_itself_is_told(tmp_path):
    cell: list = []
    cell.append(cell)
    with pytest.raises(DataError, match="a cell cannot be written"):
        write_rows(tmp_path / "rows.jsonl", pd.DataFrame({"prompt": [cell]}))
