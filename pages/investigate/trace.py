"""Trace: the training samples that push the model towards an answer, and those that push it away."""

from typing import Any

import streamlit as st

from lancet_core.data.samples import Query
from lancet_core.store.studies import Study
from pages.parts import frame, reading, runs, sending, state
from pages.parts.asking import draw_asking
from pages.parts.methods import pick_method
from pages.parts.numbers import percent, signed, three
from pages.parts.ranked import Row, draw_ranked
from pages.parts.sample_drawer import label_words, open_drawer
from pages.parts.shortcuts import key_of
from pages.parts.state import Here

LENGTHS = (10, 20, 50)


def show(here: Here, study: Study) -> None:
    """Draws Trace: the fields to ask where no case is chosen, else the case and its causes."""
    if not here.case_id:
        draw_asking(here, study)
        return
    from lancet_core.store.queries import get_query

    case = get_query(here.workspace, study.name, here.case_id)
    draw_case(case)
    method, length = draw_controls()
    if sending.is_under_way():
        sending.prepare(here, study, case)
        return
    run_id = start(here, study, case, method=method)
    status = runs.watch(here.workspace, run_id, title="Tracing this answer")
    if status.state == "done":
        draw_causes(here, study, run_id, length=length)
        sending.draw_next(here, study)


def draw_case(case: Query) -> None:
    """Draws prompt and answer of the case."""
    reading.show_card(
        reading.Card("", reading.passages(case.prompt, case.response), (), "towards"), key="case"
    )


def draw_controls() -> tuple[str, int]:
    """Draws method, length of the lists and the way to another case; returns method and length."""
    with st.container(horizontal=True, vertical_alignment="bottom", key="controls"):
        method = pick_method("t_method")
        length = st.segmented_control(
            "Samples in each list", LENGTHS, default=10, required=True, key="t_k", bind="query-params"
        )
        if st.button("Audit this ranking", icon=":material/rule:", shortcut=key_of("trace", "audit")):
            frame.go("audit")
        if st.button("Ask something else", icon=":material/edit:"):
            frame.go("trace", case="")
    return method, int(length or LENGTHS[0])


def start(here: Here, study: Study, case: Query, *, method: str) -> str:
    """Starts the trace, or finds the one that is done."""
    from lancet_core.influence.settings import InfluenceSettings
    from lancet_core.workbench.attributions import start_trace

    return start_trace(here.workspace, study, query=case, settings=InfluenceSettings(method=method))


def draw_causes(here: Here, study: Study, run_id: str, *, length: int) -> None:
    """Draws the two ranked lists, the distribution of the scores, and the drawer of the sample that is open."""
    from lancet_core.workbench.attributions import read_attribution

    rows = read_attribution(here.workspace, run_id, here.case_id)
    towards = rows[rows["influence"] > 0].nlargest(length, "influence")
    away = rows[rows["influence"] < 0].nsmallest(length, "influence")
    strongest = float(rows["influence"].abs().max())
    opened = state.read("t_sample")
    left, right = st.columns(2, gap="large")
    with left:
        st.markdown(f"#### :orange[▲] Pushes towards this answer&ensp;:gray[:small[{_share_words(towards)}]]")
        opened = draw_list(towards, strongest=strongest, key="towards", opened=opened)
    with right:
        st.markdown(f"#### :blue[▼] Pushes away from it&ensp;:gray[:small[{_share_words(away)}]]")
        opened = draw_list(away, strongest=strongest, key="away", opened=opened)
    draw_distribution(rows, towards, away)
    draw_drawer(here, run_id, rows, opened=opened)


def draw_list(samples: Any, *, strongest: float, key: str, opened: str) -> str:
    """Draws one list; returns the id of the sample that is open now."""
    if samples.empty:
        st.caption("No candidate pushes this way.")
        return opened
    rows = [_row(place, sample, strongest) for place, sample in enumerate(samples.itertuples(), start=1)]
    clicked = draw_ranked(rows, key=f"list-{key}", opened=opened)
    if clicked:
        state.write("t_sample", clicked)
    return clicked or opened


def draw_distribution(rows: Any, towards: Any, away: Any) -> None:
    """Draws how the scores of all candidates are distributed, with the cut of both lists."""
    from plotly.graph_objects import Histogram

    from pages.parts import figure

    st.markdown(f"#### All {len(rows):,} candidates")
    plot = figure.figure("Influence score", "Candidates", height=210)
    for side, color, name in (
        (rows["influence"] > 0, figure.TOWARDS, "towards"),
        (rows["influence"] <= 0, figure.AWAY, "away"),
    ):
        plot.add_trace(
            Histogram(
                x=rows.loc[side, "influence"].tolist(),
                nbinsx=40,
                marker={"color": color},
                bingroup="influence",
                name=name,
                hovertemplate="%{x}<br>%{y} candidates<extra></extra>",
            )
        )
    plot.update_layout(barmode="stack")
    for listed, words in ((towards, "listed ▲"), (away, "▼ listed")):
        if not listed.empty:
            cut = float(listed["influence"].abs().min()) * (1 if listed is towards else -1)
            plot.add_vline(x=cut, line={"color": figure.MUTED, "dash": "dot", "width": 1.5})
            plot.add_annotation(
                x=cut,
                y=1,
                yref="paper",
                text=words,
                showarrow=False,
                font={"size": 12, "color": figure.MUTED},
                xanchor="left" if listed is towards else "right",
                xshift=4 if listed is towards else -4,
            )
    figure.show(
        plot,
        key="distribution",
        alt="Histogram of the influence scores of all candidates; dotted lines show where the two lists end.",
    )


def draw_drawer(here: Here, run_id: str, rows: Any, *, opened: str) -> None:
    """Opens the drawer of a sample of this trace."""
    found = rows[rows["sample_id"] == opened]
    if found.empty:
        return
    from lancet_core.workbench.attributions import read_tokens

    heat = read_tokens(here.workspace, run_id, query_id=here.case_id, sample_id=opened)
    open_drawer(next(found.itertuples(index=False)), heat, on_close=lambda: state.write("t_sample", ""))


def _row(place: int, sample: Any, strongest: float) -> Row:
    label = label_words(sample.is_safe)
    tags = [("", f"harmful score {three(sample.harmful)}")] if sample.harmful == sample.harmful else []
    return Row(
        sample_id=str(sample.sample_id),
        rank=str(place),
        score=signed(sample.influence),
        length=float(sample.influence) / strongest,
        percentile=f"percentile {three(sample.percentile)}",
        prompt=str(sample.prompt),
        response=str(sample.response),
        tags=(*tags, *([label] if label else [])),
    )


def _share_words(samples: Any) -> str:
    known = samples["is_safe"].dropna()
    return f"{percent(float((~known.astype(bool)).mean()))} of them labelled unsafe" if len(known) else ""


place = frame.open_screen("trace")
if frame.need_study(place) and place.study is not None:
    show(place, place.study)
