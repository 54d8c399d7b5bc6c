"""A run that is under way: step, bar, time left and a cancel button, refreshed each second."""

import time
from collections.abc import Callable
from typing import Any

import streamlit as st

from lancet_core.runs.run import Run
from lancet_core.store.run_status import DONE, FAILED, Status
from lancet_core.text import lasting
from pages.shared.frame import guarded
from pages.shared.plain_text import plain


def wait_briefly(run: Run[Any], *, seconds: float = 1.5) -> None:
    """Waits for a run that may be over at once, so that its progress does not flash up."""
    until = time.monotonic() + seconds
    while time.monotonic() < until and not run.status.is_final:
        time.sleep(0.05)


def watch(run: Run[Any], *, title: str = "", details: Callable[[], None] | None = None) -> Status:
    """Shows a run until it is over, then reruns the screen; a run that is over draws nothing if it is done.

    Args:
        run: The run.
        title: What it does, in words ("Tracing this answer"); empty takes the act's own.
        details: Draws what belongs under the bar (live curves); called every three seconds.

    Returns:
        Where the run stands; a screen shows results where its state is `done`.
    """
    words = title or run.act.doing
    status = run.status
    if status.is_final:
        if status.state != DONE:
            _show_end(run, status, words)
        return status

    @st.fragment(run_every=1.0 if details is None else 3.0)  # curves take a while to draw
    @guarded
    def live() -> None:
        now = run.status
        if now.is_final:
            st.rerun()
        _show_progress(run, now, words)
        if details is not None:
            details()

    live()
    return status


def _show_progress(run: Run[Any], status: Status, title: str) -> None:
    with st.container(border=True, key=f"watch-{run.id}"):
        with st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute"):
            st.markdown(f"**{plain(title)}**")
            if st.button(
                "Cancel", key=f"cancel-{run.id}", icon=":material/stop:", help="Stops within five seconds."
            ):
                run.cancel()
                st.rerun()
        st.progress(_share(status), text=_sentence(status))


def _show_end(run: Run[Any], status: Status, title: str) -> None:
    with st.container(border=True, key=f"ended-{run.id}"):
        word = "failed" if status.state == FAILED else "was cancelled"
        st.markdown(f":orange[:material/error:] **{plain(title)}: the run {word}**")
        if status.error:
            st.text(status.error)
        st.caption("What it finished is kept; resuming goes on from there.")
        if st.button("Resume the run", key=f"resume-{run.id}", icon=":material/play_arrow:"):
            run.resume()
            st.rerun()


def _share(status: Status) -> float:
    return min(1.0, status.done / status.total) if status.total else 0.0


def _sentence(status: Status) -> str:
    if status.state == "queued":
        return "Waiting for the worker to start"
    words = [plain(status.step) or "Starting"]
    if status.total:
        words.append(f"{status.done:,} of {status.total:,}")
    if status.eta_seconds is not None:
        words.append(f"{lasting(status.eta_seconds)} left")
    return " · ".join(words)
