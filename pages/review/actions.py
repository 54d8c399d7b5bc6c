"""The buttons under a pair; each has a key, and the keys are heard wherever the focus is."""

import streamlit as st

from pages.review import deciding
from pages.review.deciding import Shown
from pages.shared.shortcuts import hinted

VERDICTS = {
    "approve": ("Approve", ":material/check:", "Unlearn the first sample, strengthen the second."),
    "reject": ("Reject", ":material/close:", "This pair would teach something wrong; leave it out."),
    "skip": ("Skip", ":material/redo:", "You cannot tell; the pair stays out of the correction."),
    "flag": ("Flag", ":material/flag:", "Somebody else should look at it; it stays out of the correction."),
}
UNDO_HELP = (
    "Takes back your last decision, or your last approval of many pairs in one step. The log keeps all."
)


def draw_actions(pair: Shown) -> None:
    """Draws the verdicts, and the ways to other pairs."""
    with st.container(horizontal=True, vertical_alignment="center", key="review-actions"):
        for verdict, (label, icon, help_text) in VERDICTS.items():
            st.button(
                hinted(label, "review", verdict),
                key=f"review-{verdict}",
                icon=icon,
                help=help_text,
                on_click=deciding.decide,
                args=(pair, verdict),
            )
        _move("undo", "Undo", UNDO_HELP)
        _move(
            "previous", "Previous", "Looks at the pair before without deciding.", disabled=not pair.previous
        )
        _move("following", "Next", "Looks at the next pair without deciding.", disabled=not pair.following)
        _move("swap", "Swap sides", "Puts the other sample first.")
        _move("guidelines", "Guidelines", "What to approve.")
        st.caption(f"Pair {pair.place:,} of {pair.length:,}")


def draw_undo() -> None:
    """Draws the one act that is left where no pair is shown."""
    st.button(
        hinted("Undo", "review", "undo"),
        key="review-undo",
        help=UNDO_HELP,
        on_click=deciding.act,
        args=("undo",),
    )


def _move(action: str, label: str, help_text: str, *, disabled: bool = False) -> None:
    st.button(
        hinted(label, "review", action),
        key=f"review-{action}",
        type="tertiary",
        help=help_text,
        disabled=disabled,
        on_click=deciding.act,
        args=(action,),
    )
