"""What happens when a person decides on a pair: the decision is kept, the next pair opens, a faster colleague is named."""

import time
from dataclasses import dataclass

import streamlit as st

from pages.parts import state

NOTICE = "review-notice"
CLOCK = "review-clock"
PAIR = "r_pair"
DONE_WORDS = {"approve": "approved", "reject": "rejected", "skip": "skipped", "flag": "flagged"}


@dataclass(frozen=True)
class Shown:
    """A pair as it stood when its buttons were drawn.

    Attributes:
        study: Name of the study.
        pair_id: The pair.
        seen_decision_id: Newest decision on it that the reviewer has seen, None where there was none.
        following: Pair that opens after a decision, empty at the end of the queue.
    """

    study: str
    pair_id: str
    seen_decision_id: int | None
    following: str


@dataclass(frozen=True)
class Notice:
    """What the last act did, where that is not plain from the screen.

    Attributes:
        text: Shown as plain text.
        pair_id: A pair to look at again, empty where there is none.
    """

    text: str
    pair_id: str = ""


def draw_notice() -> None:
    """Draws the notice of the last act, once."""
    notice = st.session_state.pop(NOTICE, None)
    if notice is None:
        return
    with st.container(
        border=True,
        key="review-notice-box",
        horizontal=True,
        vertical_alignment="center",
        horizontal_alignment="distribute",
    ):
        st.text(notice.text)
        if notice.pair_id:
            st.button("Look at that pair", key="review-look", on_click=look_again, args=(notice.pair_id,))


def look_again(pair_id: str) -> None:
    """Opens a pair whatever its verdict."""
    st.session_state["r_show"] = "all"
    st.session_state["r_cluster"] = "all"
    open_pair(pair_id)


def start_clock(pair_id: str) -> None:
    """Remembers since when a pair has been on screen; a rerun that shows the same pair does not start anew."""
    if st.session_state.get(CLOCK, ("", 0.0))[0] != pair_id:
        st.session_state[CLOCK] = (pair_id, time.monotonic())


def decide(shown: Shown, verdict: str) -> None:
    """Keeps a decision and opens the next pair; where somebody else was faster, says who and what."""
    from lancet_core.errors import LancetError
    from lancet_core.workbench import reviews

    here = state.here()
    try:
        reviews.decide(
            here.workspace,
            shown.pair_id,
            verdict,
            reviewer=here.reviewer,
            seen_decision_id=shown.seen_decision_id,
            seconds=_seconds_on_screen(shown.pair_id),
        )
    except LancetError as error:
        # A callback runs before the frame that shows errors.
        st.session_state[NOTICE] = Notice(str(error), shown.pair_id)
        return
    open_pair(shown.following)


def undo(study: str) -> None:
    """Takes back the reviewer's last decision, or their last bulk approval, and opens its pair."""
    from lancet_core.errors import LancetError
    from lancet_core.workbench import reviews

    here = state.here()
    try:
        undone = reviews.undo(here.workspace, study, here.reviewer)
    except LancetError as error:
        st.session_state[NOTICE] = Notice(str(error))
        return
    if undone is None:
        st.session_state[NOTICE] = Notice("There is no decision of yours to undo.")
    else:
        st.session_state[NOTICE] = Notice("Your last decision was taken back. The log keeps both.")
        open_pair(undone.pair_id)


def approve_rest(study: str) -> None:
    """Approves the remaining pairs where the harmful scorer agrees, as one step that one undo takes back."""
    from lancet_core.errors import LancetError
    from lancet_core.workbench import reviews

    here = state.here()
    try:
        count = reviews.approve_bulk(here.workspace, study, here.reviewer)
    except LancetError as error:
        st.session_state[NOTICE] = Notice(str(error))
        return
    st.session_state[NOTICE] = Notice(f"{count:,} pairs approved at once. One undo takes all of them back.")
    open_pair("")


def open_pair(pair_id: str) -> None:
    """Puts a pair on the screen; an empty id opens the first of the queue."""
    state.write(PAIR, pair_id)


def _seconds_on_screen(pair_id: str) -> float | None:
    shown, since = st.session_state.get(CLOCK, ("", 0.0))
    return time.monotonic() - since if shown == pair_id else None
