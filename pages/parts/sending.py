"""Sends a traced case to review: waits for the runs that pairs are proposed from, then leaves for Review."""

import streamlit as st

from lancet_core.data.samples import Query
from lancet_core.store.studies import Study
from pages.parts import frame, runs, state
from pages.parts.state import Here

WAITING = "t_send"
STEPS = 3
"""Clustering, attributing the clusters, proposing the pairs."""


def draw_next(here: Here, study: Study) -> None:
    """Draws the button that proposes pairs and leads to Review."""
    if frame.next_step(
        "Send to review",
        disabled=not here.case_id,
        why="Open a case first.",
        help="Groups this case with the study's queries and proposes pairs of samples to unlearn and to keep.",
    ):
        frame.go("trace", **{WAITING: "1"})


def is_under_way() -> bool:
    """Whether the case of this screen is being sent."""
    return bool(state.read(WAITING))


def prepare(here: Here, study: Study, case: Query) -> None:
    """Waits for the runs that pairs are proposed from, one after the other, then leaves for Review."""
    from lancet_core.workbench.proposals import send_to_review

    if st.button("Back to the trace", icon=":material/arrow_back:", key="stop-sending"):
        state.write(WAITING, "")
        st.rerun()
    for _step in range(STEPS):
        started = send_to_review(here.workspace, study, query=case)
        if not started.waiting_for:
            frame.go("review")
        states = [
            runs.watch(here.workspace, run_id, title=started.step).state for run_id in started.waiting_for
        ]
        if set(states) != {"done"}:
            break
