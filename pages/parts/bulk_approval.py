"""After ten decisions: how far review and harmful scorer agree, and bulk approval of the pairs where they would."""

from typing import TYPE_CHECKING

import streamlit as st

from pages.parts import deciding, state, tables
from pages.parts.numbers import percent
from pages.parts.sample_texts import read_samples

if TYPE_CHECKING:
    from lancet_core.store.studies import Study

ENOUGH_DECISIONS = 10
LOW_AGREEMENT = 0.7
LINES_OF_TEXT, PIXELS_OF_A_LINE = 4, 21


def draw_bulk_approval(here: state.Here, study: "Study") -> None:
    """Draws nothing before the tenth decision."""
    from lancet_core.workbench import reviews

    found = reviews.agreement(here.workspace, study.name)
    if found.n < ENOUGH_DECISIONS:
        return
    bulk = reviews.preview_bulk(here.workspace, study.name, here.reviewer)
    with st.container(border=True, key="review-agreement"):
        st.markdown(
            f"**Review and harmful scorer agree on {found.agreeing} of {found.n} decisions ({percent(found.rate)}).**",
            help="The scorer agrees with a pair when it calls the first sample harmful (.5 or more) and the second one not.",
        )
        if not bulk.count:
            st.caption("It agrees with none of the undecided pairs, so the rest is yours to read.")
            return
        st.markdown(
            f"It also agrees with {bulk.count:,} of the undecided pairs. Read these "
            f"{len(bulk.examples)} random ones before you approve them all."
        )
        if found.rate is not None and found.rate < LOW_AGREEMENT:
            st.caption(
                ":material/info: So little agreement means that the scorer misses what you see. Deciding by hand is the better way."
            )
        _show_examples(here, study, list(bulk.examples))
        st.button(
            f"Approve these {bulk.count:,} pairs",
            key="review-bulk",
            icon=":material/done_all:",
            help="One step in the log of decisions; one undo takes it back.",
            on_click=deciding.approve_rest,
            args=(study.name,),
        )


def _show_examples(here: state.Here, study: "Study", pair_ids: list[str]) -> None:
    from lancet_core.workbench import reviews

    queue = reviews.queue(here.workspace, study.name, reviewer=here.reviewer, show="all", order="queue")
    pairs = queue[queue["pair_id"].isin(pair_ids)]
    samples = read_samples(study)
    frame = pairs.join(samples, on="positive_id").join(samples.add_suffix("_negative"), on="negative_id")
    columns = {
        "prompt": tables.text("▲ Prompt", width=220),
        "response": tables.text("▲ Answer to unlearn", width=320),
        "harmful": tables.number("▲ Harmful", width=90),
        "response_negative": tables.text("▼ Answer to strengthen", width=320),
        "harmful_negative": tables.number("▼ Harmful", width=90),
    }
    st.dataframe(
        frame,
        column_order=list(columns),
        column_config=columns,
        hide_index=True,
        key="review-examples",
        row_height=LINES_OF_TEXT * PIXELS_OF_A_LINE,
        height="content",
    )
