"""What a person does to the pair at hand: decide, undo, look at the next one; a faster colleague is named."""

import time
from dataclasses import dataclass

import pandas as pd
import streamlit as st

from lancet_core.errors import LancetError, StoreError
from lancet_core.study import review
from lancet_core.study.queue import CASE_ONLY, EVERYTHING, Scope, View, queue
from lancet_core.study.study import Study
from lancet_core.workspace import open_workspace
from pages.shared import state

NOTICE = "review-notice"
CLOCK = "review-clock"
ON_SCREEN = "review-on-screen"
ASKED = "review-asked"
OPENED = "review-opened"
LOOKED = "review-looked"
MADE = "review-made"
PAIR = "r_pair"
SHOW, ORDER, REACH, CLUSTER, SIDES = "r_show", "r_order", "r_reach", "r_cluster", "r_sides"
DONE_WORDS = {"approve": "approved", "reject": "rejected", "skip": "skipped", "flag": "flagged"}


@dataclass(frozen=True)
class Shown:
    """A pair as it stood when its buttons were drawn.

    Attributes:
        pair_id: The pair.
        seen_decision_id: Newest decision on it that the reviewer has seen, None where there was none.
        previous: Pair before it in the queue, empty at the start.
        following: Pair that opens after a decision, empty at the end.
        place: Its place in the queue, 1 = first.
        length: Pairs in the queue.
    """

    pair_id: str
    seen_decision_id: int | None
    previous: str
    following: str
    place: int
    length: int


@dataclass(frozen=True)
class Notice:
    """What the last act did, where that is not plain from the screen.

    Attributes:
        text: Shown as plain text.
        pair_id: A pair to look at again, empty where there is none.
    """

    text: str
    pair_id: str = ""


def scope() -> Scope:
    """Whose pairs the screen shows: those of the case, or of the whole study."""
    return Scope(state.read("case"), str(st.session_state.get(REACH) or CASE_ONLY))


def read_queue(here: state.Here) -> pd.DataFrame:
    """Reads the pairs that filters and order on the screen describe, before them the one that somebody wants to look at again."""
    view = View(
        reviewer=here.reviewer,
        scope=scope(),
        show=str(st.session_state.get(SHOW) or "undecided"),
        order=str(st.session_state.get(ORDER) or "queue"),
    )
    pairs: pd.DataFrame = queue(here.study, view)
    cluster = str(st.session_state.get(CLUSTER) or "all")
    if cluster != "all":
        pairs = pairs[pairs["cluster"] == cluster]
    looked = st.session_state.get(LOOKED)
    if looked is None or looked != _opened() or pairs["pair_id"].eq(looked).any():
        return pairs
    everything = queue(here.study, View(here.reviewer, Scope(here.case_id, EVERYTHING), show="all"))
    both: pd.DataFrame = pd.concat([everything[everything["pair_id"] == looked], pairs], ignore_index=True)
    return both


def pair_at_hand(pairs: pd.DataFrame) -> Shown | None:
    """Returns the pair that was opened, else the first of the queue; None where the queue is empty."""
    ids = pairs["pair_id"].tolist()
    if not ids:
        return None
    wanted = _opened()
    place = ids.index(wanted) if wanted in ids else 0
    decision = pairs["decision_id"].iloc[place]
    return Shown(
        ids[place],
        None if pd.isna(decision) else int(decision),
        ids[place - 1] if place else "",
        ids[place + 1] if place + 1 < len(ids) else "",
        place + 1,
        len(ids),
    )


def act(action: str) -> None:
    """Does to the pair at hand what a key stands for; what has to be asked for first is remembered for the screen."""
    st.session_state.pop(NOTICE, None)
    try:
        here = state.here()
    except StoreError:  # the study is gone; the frame says so right after
        return
    if here is None:
        return
    if action in {"guidelines", "start"}:
        st.session_state[ASKED] = action
    elif action == "swap":
        swap_sides()
    elif action == "undo":
        undo(here.study)
    else:
        pair = _pair_meant(here)
        if pair is not None:
            _act_on(pair, action)


def _pair_meant(here: state.Here) -> Shown | None:
    """Returns the pair on the screen as it was drawn, or the one that an earlier press of the same moment opened.

    None where that one has left the queue: a press must never decide on a pair that took its place.
    """
    wanted, drawn = _opened(), st.session_state.get(ON_SCREEN)
    if isinstance(drawn, Shown) and drawn.pair_id == wanted:
        return drawn
    pair = pair_at_hand(read_queue(here))
    return pair if pair is not None and pair.pair_id == wanted else None


def _act_on(pair: Shown, action: str) -> None:
    if action == "previous":
        open_pair(pair.previous or pair.pair_id)
    elif action == "following":
        open_pair(pair.following or pair.pair_id)
    else:
        decide(pair, action)


def draw_notice() -> None:
    """Draws the notice of the last act, until the next one."""
    notice = st.session_state.get(NOTICE)
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
    """Opens a pair whatever its verdict, until another is opened; the filters stay as they are."""
    st.session_state.pop(NOTICE, None)
    st.session_state[LOOKED] = pair_id
    open_pair(pair_id)


def remember(pair: Shown) -> None:
    """Remembers what is on the screen and since when; a rerun that shows the same pair does not start the clock anew."""
    st.session_state[ON_SCREEN] = pair
    open_pair(pair.pair_id)
    if st.session_state.get(CLOCK, ("", 0.0))[0] != pair.pair_id:
        st.session_state[CLOCK] = (pair.pair_id, time.monotonic())


def decide(pair: Shown, verdict: str) -> None:
    """Keeps a decision and opens the next pair; where somebody else was faster, says who and what."""
    st.session_state.pop(NOTICE, None)
    try:
        decision = review.decide(
            open_workspace(),
            pair.pair_id,
            verdict,
            reviewer=state.reviewer(),
            seen_decision_id=pair.seen_decision_id,
            seconds=_seconds_on_screen(pair.pair_id),
        )
    except LancetError as error:
        # A callback runs before the frame that shows errors.
        st.session_state[NOTICE] = Notice(str(error), pair.pair_id)
        return
    _made().add(decision.id)
    open_pair(pair.following)


def undo(study: Study) -> None:
    """Takes back the reviewer's last decision, or their last bulk approval, and opens its pair."""
    try:
        undone = review.undo(study, state.reviewer(), None if state.is_named() else _made())
    except LancetError as error:
        st.session_state[NOTICE] = Notice(str(error))
        return
    if not undone:
        where = "" if state.is_named() else " in this window: type your name above, so that yours are known"
        st.session_state[NOTICE] = Notice(f"There is no decision of yours to undo{where}.")
        return
    st.session_state[NOTICE] = Notice(undo_words(undone[0].verdict, len(undone)))
    open_pair(undone[0].pair_id)


def _made() -> set[int]:
    """Ids of the decisions made in this window: all that is known of somebody who typed no name."""
    made: set[int] = st.session_state.setdefault(MADE, set())
    return made


def undo_words(verdict: str, count: int) -> str:
    """Says what an undo took back: how many decisions, and which verdict."""
    word = DONE_WORDS.get(verdict, verdict)
    if count == 1:
        return f"Taken back: you had {word} the pair below. The log keeps both decisions."
    return f"Taken back: {count:,} pairs that you had {word} in one step. The log keeps all decisions."


def approve_rest(study: Study) -> None:
    """Approves the remaining pairs where the harmful scorer agrees, as one step that one undo takes back."""
    try:
        approved = review.approve_bulk(study, state.reviewer(), scope())
    except LancetError as error:
        st.session_state[NOTICE] = Notice(str(error))
        return
    _made().update(decision.id for decision in approved)
    st.session_state[NOTICE] = Notice(
        f"{len(approved):,} pairs approved in one step. One undo takes all of them back."
    )
    open_pair("")


def swap_sides() -> None:
    """Puts the other sample first."""
    state.write(SIDES, "" if state.read(SIDES) else "swapped")


def open_pair(pair_id: str) -> None:
    """Puts a pair on the screen; an empty id opens the first of the queue."""
    st.session_state[OPENED] = pair_id
    state.write(PAIR, pair_id)


def forget_opened() -> None:
    """Lets the URL say again which pair is shown, for somebody who comes from another screen."""
    st.session_state.pop(OPENED, None)


def _opened() -> str:
    """Returns the pair that was opened last, at first the one that the URL names.

    The URL does not serve after that: a press that comes while the page redraws brings the URL of the pair before.
    """
    return str(st.session_state.get(OPENED, state.read(PAIR)))


def _seconds_on_screen(pair_id: str) -> float | None:
    shown, since = st.session_state.get(CLOCK, ("", 0.0))
    return time.monotonic() - since if shown == pair_id else None
