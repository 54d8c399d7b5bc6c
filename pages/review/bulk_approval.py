"""After ten decisions: how far review and harmful scorer agree, and bulk approval of the pairs where they would."""

import streamlit as st

from lancet_core.study import review
from lancet_core.study.queue import View, queue
from pages.review import deciding
from pages.review.sample_texts import read_samples
from pages.shared import state, tables
from pages.shared.numbers import percent, score

ENOUGH_DECISIONS = 10
LOW_AGREEMENT = 0.7
LINES_OF_TEXT, PIXELS_OF_A_LINE = 4, 21


def draw_bulk_approval(here: state.Here) -> None:
    """Draws nothing before the tenth decision."""
    scope = deciding.scope()
    agreement = review.agreement(here.study, scope)
    if agreement.n < ENOUGH_DECISIONS:
        return
    bulk = review.preview_bulk(here.study, here.reviewer, scope)
    with st.container(border=True, key="review-agreement"):
        st.markdown(
            f"**Review and harmful scorer agree on {agreement.agreeing} of {agreement.n} decisions ({percent(agreement.rate)}).**",
            help="The scorer agrees with a pair when it calls the first sample harmful (.5 or more) and the second one not.",
        )
        if not bulk.count:
            st.caption("It agrees with none of the undecided pairs, so the rest is yours to read.")
            return
        st.markdown(
            f"It also agrees with {bulk.count:,} of the undecided pairs. Read these "
            f"{len(bulk.examples)} random ones before you approve them all."
        )
        if agreement.rate is not None and agreement.rate < LOW_AGREEMENT:
            st.caption(
                ":material/info: So little agreement means that the scorer misses what you see. Deciding by hand is the better way."
            )
        _show_examples(here, list(bulk.examples))
        st.button(
            f"Approve these {bulk.count:,} pairs",
            key="review-bulk",
            icon=":material/done_all:",
            help="One step in the log of decisions; one undo takes it back.",
            on_click=deciding.approve_rest,
            args=(here.study,),
        )


def _show_examples(here: state.Here, pair_ids: list[str]) -> None:
    pairs = queue(here.study, View(here.reviewer, deciding.scope(), show="all"))
    pairs = pairs[pairs["pair_id"].isin(pair_ids)]
    samples = read_samples(here.study)
    samples = samples.assign(harmful=samples["harmful"].map(score))
    frame = pairs.join(samples, on="positive_id").join(samples.add_suffix("_negative"), on="negative_id")
    columns = {
        "prompt": tables.text("▲ Prompt", width=220),
        "response": tables.text("▲ Answer to unlearn", width=320),
        "harmful": tables.text("▲ Harmful", width=90),
        "response_negative": tables.text("▼ Answer to strengthen", width=320),
        "harmful_negative": tables.text("▼ Harmful", width=90),
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
