"""Review: one pair on the screen, decided by single keys; the queue is a query over the store."""

from typing import TYPE_CHECKING

import streamlit as st

from lancet_core.study.corrections import correct, reviewed_source
from lancet_core.study.queue import CASE_ONLY, EVERYTHING, Counts, Scope, counts
from lancet_core.study.recipes import review_recipe
from pages.review import deciding, keys
from pages.review.actions import draw_actions, draw_undo
from pages.review.bulk_approval import ENOUGH_DECISIONS, draw_bulk_approval
from pages.review.evidence import asked_for, draw_evidence
from pages.review.guidelines import show_guidelines
from pages.review.pair_exports import draw_export
from pages.review.sample_texts import read_samples
from pages.review.similar import draw_similar
from pages.shared import frame, state
from pages.shared.copying import draw_copy
from pages.shared.plain_text import plain
from pages.shared.screens import SCREENS
from pages.shared.shortcuts import EVERYWHERE, KEYS, hinted

if TYPE_CHECKING:
    import pandas as pd

SHOW = {
    "undecided": "Undecided",
    "approve": "Approved",
    "reject": "Rejected",
    "skip": "Skipped",
    "flag": "Flagged",
    "all": "All",
}
ORDER = {"queue": "As proposed", "influence": "Strongest influence first"}
REACH = {CASE_ONLY: "This case", EVERYTHING: "All cases"}
DRAWN = "review-drawn"
"""Counts that the screen around the pair was drawn with."""


def show(here: state.Here) -> None:
    """Draws the review of a case, or of the study where no case is open."""
    drawn = counts(here.study, deciding.scope())
    everything = counts(here.study, Scope(here.case_id, EVERYTHING))
    if everything.total == 0 or (here.case_id and drawn.total == 0 and _reach() == CASE_ONLY):
        show_without_pairs(here, others=everything.total)
        return
    st.session_state[DRAWN] = drawn
    draw_filters(deciding.read_queue(here), has_case=bool(here.case_id))
    draw_pair_at_hand(here)
    draw_bulk_approval(here)
    if here.case_id:
        draw_similar(here.study, here.case_id)
    draw_next(here, approved=drawn.approve)


def _reach() -> str:
    return str(st.session_state.get(deciding.REACH) or state.read(deciding.REACH) or CASE_ONLY)


def draw_filters(pairs: "pd.DataFrame", *, has_case: bool) -> None:
    """Draws which pairs are in the queue, and in which order."""
    with st.container(horizontal=True, vertical_alignment="bottom", key="review-controls"):
        if has_case:
            st.segmented_control(
                "Pairs of",
                list(REACH),
                default=CASE_ONLY,
                required=True,
                format_func=REACH.__getitem__,
                key=deciding.REACH,
                bind="query-params",
                help="This case: its own pairs first, then those of similar answers. All cases: those of other cases and groups too.",
            )
        st.segmented_control(
            "Show",
            list(SHOW),
            default="undecided",
            required=True,
            format_func=SHOW.__getitem__,
            wrap=True,
            key=deciding.SHOW,
            bind="query-params",
        )
        st.selectbox(
            "Order",
            list(ORDER),
            format_func=ORDER.__getitem__,
            key=deciding.ORDER,
            bind="query-params",
            width=210,
            help="As proposed: a case's strongest samples first, groups of similar answers in turn.",
        )
        if not has_case or _reach() == EVERYTHING:
            _draw_cluster_filter(pairs)
        st.toggle(
            "Mark differences",
            key="r_diff",
            bind="query-params",
            help="Marks the words that only one of the two samples has.",
        )


def _draw_cluster_filter(pairs: "pd.DataFrame") -> None:
    chosen = str(st.session_state.get(deciding.CLUSTER) or "all")
    names = sorted({*pairs["cluster"], *({chosen} - {"all"})} - {""}, key=_number_first)
    st.selectbox(
        "Cluster",
        ["all", *names],
        format_func=lambda name: "All clusters" if name == "all" else f"Cluster {plain(name)}",
        key=deciding.CLUSTER,
        bind="query-params",
        width=150,
        help="Only pairs that one cluster of queries proposed.",
    )


@st.fragment
@frame.guarded
def draw_pair_at_hand(here: state.Here) -> None:
    """Draws progress and pair; a decision redraws this alone, the rest of the screen follows when the keys are quiet."""
    now = counts(here.study, deciding.scope())
    pairs = deciding.read_queue(here)
    drawn = st.session_state[DRAWN]
    actions = {key: name for name, key in KEYS["review"].items()}
    if now.approve:
        actions[EVERYWHERE["next"]] = "start"
    if keys.listen(actions, apply=deciding.act, behind=now != drawn) or _outline(now) != _outline(drawn):
        st.rerun()
    deciding.draw_notice()
    draw_progress(now, _equal_prompts(here, pairs))
    shown = deciding.pair_at_hand(pairs)
    if shown is None:
        draw_empty_queue()
    else:
        deciding.remember(shown)
        row = pairs.iloc[shown.place - 1]
        draw_evidence(
            row,
            read_samples(here.study),
            asked_for(here.study, row.to_dict(), here.case_id),
            marked=bool(st.session_state.get("r_diff")),
            swapped=state.read(deciding.SIDES) == "swapped",
        )
        if row["verdict"]:
            st.caption(
                f"{SHOW[row['verdict']]} by {plain(row['decided_by'])}, {row['decided_at']:%d %b %Y, %H:%M} UTC."
            )
        draw_actions(shown)
    _open_what_was_asked_for(here, approved=now.approve)


def _outline(drawn: Counts) -> tuple[bool, bool]:
    """What the rest of the screen offers: a correction can start, the rest can be approved at once."""
    return drawn.approve > 0, drawn.approve + drawn.reject >= ENOUGH_DECISIONS


def _open_what_was_asked_for(here: state.Here, *, approved: int) -> None:
    asked = st.session_state.pop(deciding.ASKED, "")
    if asked == "guidelines":
        show_guidelines()
    elif asked == "start":
        ask_before_start(here, approved=approved)


def show_without_pairs(here: state.Here, *, others: int) -> None:
    """Says how pairs come about."""
    if not here.case_id:
        frame.empty(
            "No pairs yet. They are proposed for a bad answer: open one and trace it.", "Open a case", "home"
        )
        return
    frame.empty(
        "This case has no pairs yet. Sending it to review on Trace pairs the samples behind the answer.",
        "Trace this case",
        "trace",
    )
    if others:
        st.page_link(
            SCREENS["review"].path,
            label=f"Look at the {others:,} pairs of other cases",
            icon=":material/fact_check:",
            query_params=state.carried(**{deciding.REACH: EVERYTHING}),
        )


def _equal_prompts(here: state.Here, pairs: "pd.DataFrame") -> str:
    """Says how many of the listed pairs have two equal prompts, as a preference (DPO) needs; empty where none has."""
    prompts = read_samples(here.study)["prompt"]
    equal = int((pairs["positive_id"].map(prompts) == pairs["negative_id"].map(prompts)).sum())
    return f"{equal:,} of {len(pairs):,} listed have equal prompts" if equal else ""


def draw_progress(now: Counts, equal: str) -> None:
    """Draws how far the review is, and says how many pairs have equal prompts."""
    verdicts = {"approve": now.approve, "reject": now.reject, "skip": now.skip, "flag": now.flag}
    parts = [f"{verdicts[name]:,} {word}" for name, word in deciding.DONE_WORDS.items() if verdicts[name]]
    parts += [equal] if equal else []
    text = " · ".join([f"{now.decided:,} of {now.total:,} pairs decided", *parts])
    st.progress(now.decided / max(1, now.total), text=text)


def draw_empty_queue() -> None:
    """Says why the filter shows nothing."""
    chosen = str(st.session_state.get(deciding.SHOW) or "undecided")
    with st.container(border=True, key="review-empty"):
        if chosen == "undecided":
            st.markdown("**Nothing is left to decide here.** Every pair of this queue has a verdict.")
            draw_undo()
        else:
            st.markdown(f"**No pair is {SHOW[chosen].lower()}** in this queue.")


def draw_next(here: state.Here, *, approved: int) -> None:
    """Draws the step to the correction, and what else can be done with the pairs."""
    if frame.next_step(
        hinted("Start correction", "", "next") if approved else "Start correction",
        disabled=approved == 0,
        why="Approve at least one pair first.",
        help=f"Trains on the {approved:,} approved pairs with the default settings and shows the curves live.",
        has_key=False,
    ):
        _start_correction(here)
    with st.container(horizontal=True, vertical_alignment="center", key="review-more"):
        st.page_link(
            SCREENS["correct"].path,
            label="Look at the settings first",
            icon=":material/tune:",
            query_params=state.carried(),
        )
        draw_export(here.study, approved=approved)
        draw_copy(lambda: review_recipe(here.study, here.case_id), key="review")


@st.dialog("Start the correction?")
def ask_before_start(here: state.Here, *, approved: int) -> None:
    """Asks before a key, which may have been the neighbour of another, starts minutes of training."""
    pairs = "1 approved pair" if approved == 1 else f"{approved:,} approved pairs"
    st.markdown(f"It trains on the {pairs} with the default settings, for some minutes. It can be cancelled.")
    if st.button("Start correction", key="review-start", icon=":material/play_arrow:"):
        _start_correction(here)


def _start_correction(here: state.Here) -> None:
    run = correct(here.study, reviewed_source(here.study, deciding.scope()), case_id=here.case_id)
    frame.go("correct", k_run=run.id)


def _number_first(name: str) -> tuple[bool, int, str]:
    return (not name.isdigit(), int(name) if name.isdigit() else 0, name)


if state.has_arrived():
    deciding.forget_opened()
place = frame.open_study_screen("review")
if place is not None:
    show(place)
