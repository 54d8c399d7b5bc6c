"""Both ends of an attribution: the samples that push towards the answers, and those that push away."""

from typing import TYPE_CHECKING, Any

import streamlit as st

from pages.parts import state
from pages.parts.numbers import percent, score, signed, three
from pages.parts.ranked import Row, draw_ranked
from pages.parts.sample_drawer import label_words, open_drawer

if TYPE_CHECKING:
    import pandas as pd


def both_ends(rows: "pd.DataFrame", length: int) -> tuple["pd.DataFrame", "pd.DataFrame"]:
    """Picks the samples of each sign with the largest absolute scores, strongest first."""
    return (
        rows[rows["influence"] > 0].nlargest(length, "influence"),
        rows[rows["influence"] < 0].nsmallest(length, "influence"),
    )


def draw_both_ends(rows: "pd.DataFrame", *, length: int, key: str, parameter: str) -> None:
    """Draws the two lists side by side; a click on a sample names it in the URL, see `draw_opened`.

    Args:
        rows: Rows of `read_attribution` of one query or batch.
        length: Samples in each list.
        key: Start of the keys of the lists.
        parameter: URL parameter that holds the id of the opened sample.
    """
    strongest = float(rows["influence"].abs().max()) or 1.0
    towards, away = both_ends(rows, length)
    ends = ((":orange[▲] Pushes towards", towards), (":blue[▼] Pushes away", away))
    for number, (column, (title, samples)) in enumerate(zip(st.columns(2, gap="large"), ends, strict=True)):
        with column:
            st.markdown(f"#### {title}&ensp;:gray[:small[{_unsafe_words(samples)}]]")
            listed = [
                _row(place, sample, strongest) for place, sample in enumerate(samples.itertuples(), start=1)
            ]
            if not listed:
                st.caption("No candidate pushes this way.")
                continue
            clicked = draw_ranked(listed, key=f"{key}-{number}", opened=state.read(parameter))
            if clicked:
                state.write(parameter, clicked)


def draw_opened(
    here: state.Here, run_id: str, query_id: str, *, rows: "pd.DataFrame", parameter: str
) -> None:
    """Opens the drawer of the sample that the URL names, if it is among the rows.

    Args:
        here: Where the person stands.
        run_id: The attribution.
        query_id: Its query, or group of a batch.
        rows: Its rows.
        parameter: URL parameter that holds the id of the opened sample.
    """
    opened = state.read(parameter)
    found = rows[rows["sample_id"] == opened]
    if found.empty:
        return
    from lancet_core.workbench.attributions import read_tokens

    heat = read_tokens(here.workspace, run_id, query_id=query_id, sample_id=opened)
    open_drawer(next(found.itertuples(index=False)), heat, on_close=lambda: state.write(parameter, ""))


def _row(place: int, sample: Any, strongest: float) -> Row:
    label = label_words(sample.is_safe)
    scored = [("", f"harmful score {score(sample.harmful)}")] if sample.harmful == sample.harmful else []
    return Row(
        sample_id=str(sample.sample_id),
        rank=str(place),
        score=signed(sample.influence),
        length=float(sample.influence) / strongest,
        percentile=f"percentile {three(sample.percentile)}",
        prompt=str(sample.prompt),
        response=str(sample.response),
        tags=(*scored, *([label] if label else [])),
    )


def _unsafe_words(samples: "pd.DataFrame") -> str:
    known = samples["is_safe"].dropna()
    return f"{percent(float((~known.astype(bool)).mean()))} labelled unsafe" if len(known) else ""
