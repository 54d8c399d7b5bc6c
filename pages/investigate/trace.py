"""Trace: the training samples that push the model towards an answer, and those that push it away."""

from typing import TYPE_CHECKING, Any

import streamlit as st

from lancet_core.data.samples import Query
from lancet_core.store.studies import Study
from lancet_core.workspace import Workspace
from pages.parts import candidates, frame, reading, runs, sending
from pages.parts.asking import draw_asking
from pages.parts.methods import pick_method
from pages.parts.numbers import score
from pages.parts.ranking import both_ends, draw_both_ends, draw_opened
from pages.parts.shortcuts import key_of
from pages.parts.state import Here

if TYPE_CHECKING:
    from lancet_core.influence.settings import InfluenceSettings

LENGTHS = (10, 20, 50)


def show(here: Here, study: Study) -> None:
    """Draws Trace: the fields to ask where no case is chosen, else the case and its causes."""
    if not here.case_id:
        draw_asking(here, study)
        return
    from lancet_core.store.queries import get_query

    case = get_query(here.workspace, study.name, here.case_id)
    draw_case(case)
    scored = st.empty()
    settings, length = draw_controls(study)
    if sending.is_under_way():
        sending.prepare(here, study, case)
        return
    indexing = st.container()
    run_id = start(here, study, case, settings=settings)
    runs.wait_briefly(here.workspace, run_id)
    status = runs.watch(here.workspace, run_id, title="Tracing this answer")
    with indexing:
        candidates.draw_indexing(here, study, settings, offered=status.state == "done")
    if status.state == "done":
        draw_causes(here, study, run_id, length=length)
        sending.draw_next(here, study)
        if study.harmful_scorer:
            harmful = score_answer(
                here.workspace, study, _case=case, key=f"{here.workspace.folder}:{study.name}:{case.id}"
            )
            scored.caption(f"Harmful score of this answer: {score(harmful)}")
    elif status.state == "failed":
        candidates.offer_repair(here, study, settings)


def draw_case(case: Query) -> None:
    """Draws prompt and answer of the case."""
    reading.show_card(
        reading.Card("", reading.passages(case.prompt, case.response), (), "towards"), key="case"
    )


def draw_controls(study: Study) -> tuple["InfluenceSettings", int]:
    """Draws method, origin of the candidates, length of the lists and the way to another case; returns what was chosen."""
    from lancet_core.influence.settings import InfluenceSettings

    with st.container(horizontal=True, vertical_alignment="bottom", key="controls"):
        settings = candidates.pick_source(study, InfluenceSettings(method=pick_method("t_method")), "t_from")
        length = st.segmented_control(
            "Samples in each list", LENGTHS, default=10, required=True, key="t_k", bind="query-params"
        )
        if st.button("Audit this ranking", icon=":material/rule:", shortcut=key_of("trace", "audit")):
            frame.go("audit")
        if st.button("Ask something else", icon=":material/edit:"):
            frame.go("trace", case="")
    return settings, int(length or LENGTHS[0])


def start(here: Here, study: Study, case: Query, *, settings: "InfluenceSettings") -> str:
    """Starts the trace, or finds the one that is done; one that failed or was cancelled stays so until a person resumes it."""
    from lancet_core.workbench.attributions import start_trace

    kept = f"traced {study.name} {case.id} {settings.method} {candidates.origin(study, settings)}"
    before = str(st.session_state.get(kept, ""))
    if before and runs.status_of(here.workspace, before).state in ("failed", "cancelled"):
        return before
    st.session_state[kept] = start_trace(here.workspace, study, query=case, settings=settings)
    return str(st.session_state[kept])


@st.cache_data(show_spinner=False, max_entries=256)
def score_answer(_workspace: Workspace, _study: Study, *, _case: Query, key: str) -> float:
    """Scores the case's answer; the scorer is small and the model host keeps it loaded."""
    from lancet_core.workbench import cases

    del key  # names the entry of the cache
    return cases.score_answer(_workspace, _study, prompt=_case.prompt, response=_case.response)["harmful"]


def draw_causes(here: Here, study: Study, run_id: str, *, length: int) -> None:
    """Draws the two ranked lists, the distribution of the scores, and the drawer of the sample that is open."""
    from lancet_core.workbench.attributions import read_attribution, read_summary

    rows = read_attribution(here.workspace, run_id, here.case_id)
    candidates.tell_search(read_summary(here.workspace, run_id), study)
    draw_both_ends(rows, length=length, key="list", parameter="t_sample")
    draw_distribution(rows, *both_ends(rows, length))
    draw_opened(here, run_id, here.case_id, rows=rows, parameter="t_sample")


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


place = frame.open_screen("trace")
if frame.need_study(place) and place.study is not None:
    show(place, place.study)
