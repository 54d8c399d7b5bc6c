"""The first rows of a file as they are understood."""

import json

import pandas as pd
import streamlit as st

from lancet_core.data.hub import local_data
from lancet_core.data.loading import UnderstoodRow
from lancet_core.data.samples import Sample
from lancet_core.study.looking import first_rows, stamp_of
from pages.shared import tables

ROWS, LONGEST = 20, 400
LABELS = {True: "safe", False: "unsafe", None: ""}


def read_first_rows(train: str, format: str, columns: str) -> list[UnderstoodRow]:
    """Reads the first rows; those of a file that did not change are remembered.

    Raises:
        DataError: The file cannot be read.
    """
    return _first_rows(train, format, columns, stamp=stamp_of(local_data(train)))


@st.cache_data(show_spinner="Reading the first rows", max_entries=32)
def _first_rows(train: str, format: str, columns: str, *, stamp: str) -> list[UnderstoodRow]:
    del stamp  # names the entry of the cache
    return first_rows(train, format, columns, count=ROWS)


def draw_preview(rows: list[UnderstoodRow]) -> None:
    """Draws one line for each sample, or for a row that cannot be used."""
    if not rows:
        st.caption("The file is empty.")
        return
    lines = [line for row in rows for line in _lines(row)]
    usable = sum(not row.problem for row in rows)
    st.markdown(f"#### First rows&ensp;:gray[:small[{usable} of {len(rows)} can be used]]")
    columns = {
        "row": tables.count("Row", width=60),
        "format": tables.text("Read as", width=100),
        "problem": tables.text("Not used because", width=260),
        "prompt": tables.text("Prompt"),
        "response": tables.text("Response"),
        "turns": tables.text("Turns", width=70),
        "label": tables.text("Label", width=80),
        "category": tables.text("Category", width=130),
    }
    frame = pd.DataFrame(lines, columns=list(columns))
    shown = {name: column for name, column in columns.items() if frame[name].astype(bool).any()}
    tables.show(frame, shown, key="s-preview", height=min(38 + 35 * len(frame), 318))


def _lines(row: UnderstoodRow) -> list[dict[str, object]]:
    if row.problem:
        return [{"row": row.number, "problem": row.problem, **dict.fromkeys(TEXT_COLUMNS, "")}]
    return [
        {
            "row": row.number,
            "format": row.format,
            "prompt": sample.prompt[:LONGEST],
            "response": sample.response[:LONGEST],
            "turns": _turns(sample),
            "label": LABELS[sample.is_safe],
            "category": ", ".join(sample.categories)[:LONGEST],
            "problem": "",
        }
        for sample in row.samples
    ]


TEXT_COLUMNS = ("format", "prompt", "response", "turns", "label", "category")


def _turns(sample: Sample) -> str:
    """How many messages a conversation has; empty for a prompt and its response."""
    return str(len(json.loads(sample.messages))) if sample.messages else ""
