"""Trace: the training samples that push the model towards an answer, and those that push it away."""

from typing import Any

import streamlit as st
from plotly.graph_objects import Histogram

from lancet_core.acts.attribute import Attribution
from lancet_core.data.conversations import asked_of
from lancet_core.data.samples import Query
from lancet_core.influence.presets import preset
from lancet_core.influence.settings import InfluenceSettings
from lancet_core.runs.run import Run
from lancet_core.store.queries import get_query
from lancet_core.study import cases, review
from lancet_core.study.attributions import find_attribution
from lancet_core.study.imports import imported_attributions
from lancet_core.study.recipes import recipe_of
from lancet_core.study.study import Study
from pages.shared import candidates, figure, frame, reading, runs
from pages.shared.cached import cached
from pages.shared.copying import draw_copy
from pages.shared.methods import pick_method
from pages.shared.numbers import score
from pages.shared.ranking import both_ends, draw_both_ends, draw_opened, draw_worth, picked_samples
from pages.shared.shortcuts import key_of
from pages.trace.asking import draw_asking

LENGTHS = (10, 20, 50)
LIST = "list"


def show(study: Study, case_id: str) -> None:
    """Draws Trace: the fields to ask where no case is chosen, else the case and its causes."""
    if not case_id:
        draw_asking(study)
        return
    case = get_query(study, case_id)
    draw_case(case)
    scored = st.empty()
    imported = imported_attributions(study, case_id)
    settings, length = draw_controls(study, imported)
    indexing = st.container()
    run = trace(study, case, settings) if isinstance(settings, InfluenceSettings) else settings
    runs.wait_briefly(run)
    status = runs.watch(run, title="Tracing this answer")
    if isinstance(settings, InfluenceSettings):
        with indexing:
            candidates.draw_indexing(study, settings, offered=status.state == "done")
    if status.state == "done":
        draw_causes(study, run, case_id, length=length)
        draw_next(study, run, case_id)
        if study.harmful_scorer:
            harmful = score_answer(study, case)
            scored.caption(f"Harmful score of this answer: {score(harmful)}")
    elif status.state == "failed" and isinstance(settings, InfluenceSettings):
        candidates.offer_repair(study, settings)


def draw_case(case: Query) -> None:
    """Draws prompt and answer of the case."""
    reading.show_card(
        reading.Card("", reading.passages(case.prompt, case.response), (), "towards"), key="case"
    )


def draw_controls(
    study: Study, imported: dict[str, Run[Attribution]]
) -> tuple[InfluenceSettings | Run[Attribution], int]:
    """Draws method, origin of the candidates, length of the lists and the way to another case.

    Returns:
        The settings of the method, or the run that was imported, and the length of the lists.
    """
    with st.container(horizontal=True, vertical_alignment="bottom", key="controls"):
        method = pick_method("t_method", imported)
        settings = imported.get(method) or candidates.pick_source(study, preset(method), "t_from")
        length = st.segmented_control(
            "Samples in each list", LENGTHS, default=10, required=True, key="t_k", bind="query-params"
        )
        if st.button("Audit this ranking", icon=":material/rule:", shortcut=key_of("trace", "audit")):
            frame.go("audit")
        if st.button("Ask something else", icon=":material/edit:"):
            frame.go("trace", case="")
    return settings, int(length or LENGTHS[0])


def trace(study: Study, case: Query, settings: InfluenceSettings) -> Run[Attribution]:
    """Finds the trace of a case whatever became of it, and starts one where there is none: one that was cancelled stays so."""
    return find_attribution(study, [case], settings) or study.attribute(case, settings)


@cached(max_entries=256)
def score_answer(study: Study, case: Query) -> float:
    """Scores the case's answer; the scorer is small and the model host keeps it loaded."""
    return cases.score_answer(study, asked_of(case.prompt, case.history), case.response)["harmful"]


def draw_causes(study: Study, run: Run[Attribution], case_id: str, *, length: int) -> None:
    """Draws the two ranked lists, the distribution of the scores, and the drawer of the sample that is open."""
    result = run.result
    rows = result.read(case_id)
    with st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute"):
        candidates.describe_search(result, study)
        draw_copy(lambda: recipe_of(run), key="trace")
    draw_worth(run, case_id)
    draw_both_ends(rows, length=length, key=LIST, parameter="t_sample", pickable=True)
    draw_distribution(rows, *both_ends(rows, length))
    draw_opened(study, run, case_id, rows=rows, parameter="t_sample")


def draw_next(study: Study, run: Run[Attribution], case_id: str) -> None:
    """Draws the step to Review: the samples that stand here, those that a person ticked first."""
    picked = picked_samples(LIST)
    ticked = f" The {len(picked)} that you ticked come first." if picked else ""
    if frame.next_step(
        "Send to review",
        help=f"Pairs the strongest samples of the left list with fitting ones of the right.{ticked}",
    ):
        review.send_case(study, run, case_id, picked=tuple(picked))
        frame.go("review", r_pair="")
    if picked:
        st.caption(f"{len(picked)} ticked: they come first in the review.")


def draw_distribution(rows: Any, towards: Any, away: Any) -> None:
    """Draws how the scores of all candidates are distributed, with the cut of both lists."""
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


place = frame.open_study_screen("trace")
if place is not None:
    show(place.study, place.case_id)
