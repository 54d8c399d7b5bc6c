"""A run that is under way: step, bar, time left and a cancel button, refreshed each second."""

import time
from collections.abc import Callable

import streamlit as st

from lancet_core.store.run_status import Status
from lancet_core.workspace import Workspace
from pages.parts.frame import guarded
from pages.parts.numbers import lasting

NAMES = {
    "attribute": "Tracing",
    "index": "Building the gradient index",
    "cluster": "Clustering the queries",
    "score": "Scoring the training samples",
    "correct": "Correcting the model",
    "evaluate": "Evaluating the model",
    "compare": "Comparing before and after",
    "build_demo": "Building the demo",
}
"""What each operation is called on screen while it runs."""


def status_of(workspace: Workspace, run_id: str) -> Status:
    """Reads where a run stands."""
    from lancet_core.store.run_status import read_status
    from lancet_core.store.runs import get_run

    return read_status(get_run(workspace, run_id).folder)


def wait_briefly(workspace: Workspace, run_id: str, *, seconds: float = 1.5) -> None:
    """Waits for a run that may be over at once, so that its progress does not flash up."""
    until = time.monotonic() + seconds
    while time.monotonic() < until and not status_of(workspace, run_id).is_final:
        time.sleep(0.05)


def watch(
    workspace: Workspace, run_id: str, *, title: str, details: Callable[[], None] | None = None
) -> Status:
    """Shows a run until it is over, then reruns the screen; a run that is over draws nothing if it is done.

    Args:
        workspace: The workspace.
        run_id: The run.
        title: What it does, in words ("Tracing this answer").
        details: Draws what belongs under the bar (live curves); called every three seconds.

    Returns:
        Where the run stands; a screen shows results where its state is `done`.
    """
    status = status_of(workspace, run_id)
    if status.is_final:
        if status.state != "done":
            _show_end(workspace, run_id, status=status, title=title)
        return status

    @st.fragment(run_every=1.0 if details is None else 3.0)  # curves take a while to draw
    @guarded
    def live() -> None:
        now = status_of(workspace, run_id)
        if now.is_final:
            st.rerun()
        _show_progress(workspace, run_id, status=now, title=title)
        if details is not None:
            details()

    live()
    return status


def _show_progress(workspace: Workspace, run_id: str, *, status: Status, title: str) -> None:
    with st.container(border=True, key=f"watch-{run_id}"):
        with st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute"):
            st.markdown(f"**{title}**")
            if st.button(
                "Cancel", key=f"cancel-{run_id}", icon=":material/stop:", help="Stops within five seconds."
            ):
                from lancet_core.runs.launcher import cancel

                cancel(workspace, run_id)
                st.toast("Cancelling: the run stops at its next step.")
        st.progress(_share(status), text=_sentence(status))


def _show_end(workspace: Workspace, run_id: str, *, status: Status, title: str) -> None:
    from lancet_core.runs.launcher import resume

    with st.container(border=True, key=f"ended-{run_id}"):
        word = "failed" if status.state == "failed" else "was cancelled"
        st.markdown(f":orange[:material/error:] **{title}: the run {word}**")
        if status.error:
            st.text(status.error)
        st.caption("What it finished is kept; resuming goes on from there.")
        if st.button("Resume the run", key=f"resume-{run_id}", icon=":material/play_arrow:"):
            resume(workspace, run_id)
            st.rerun()


def _share(status: Status) -> float:
    return min(1.0, status.done / status.total) if status.total else 0.0


def _sentence(status: Status) -> str:
    if status.state == "queued":
        return "Waiting for the worker to start"
    words = [status.step or "Starting"]
    if status.total:
        words.append(f"{status.done:,} of {status.total:,}")
    if status.eta_seconds is not None:
        words.append(f"{lasting(status.eta_seconds)} left")
    return " · ".join(words)
