"""Pairs of answers like the case: offered with what they cost, made only when a person wants them."""

import streamlit as st

from lancet_core.store.pairs import ALL_CASES, review_source
from lancet_core.study import review
from lancet_core.study.attributions import (
    CaseCluster,
    attribute_clusters,
    cluster,
    cluster_of_case,
)
from lancet_core.study.study import Study
from pages.shared import runs, state
from pages.shared.candidates import cost_of_a_pass

WANTED = "r_more"


def draw_similar(study: Study, case_id: str) -> None:
    """Offers the pairs of the case's query cluster where the review does not work from them yet.

    The queries are clustered and each cluster is attributed over the whole corpus, one run after the other, once a person asked.
    """
    near = cluster_of_case(study, case_id)
    reviewed = review_source(study, ALL_CASES)
    if near is not None:
        if reviewed is None or reviewed.run_id != near.run.id:
            _offer_pairs(study, near)
        return
    if state.read(WANTED):
        _make(study)
    else:
        _offer_pass(study)


def _offer_pairs(study: Study, near: CaseCluster) -> None:
    others = near.size - 1
    with st.container(horizontal=True, vertical_alignment="center", key="review-similar"):
        st.caption(
            f"This case lies in a group with {others:,} similar answers, which point at further samples."
        )
        if st.button("Add their pairs", key="review-add-similar", icon=":material/add:"):
            review.propose_for_clusters(study, near.run)
            st.rerun()


def _offer_pass(study: Study) -> None:
    cost = cost_of_a_pass(study).rstrip(", ")
    with st.container(horizontal=True, vertical_alignment="center", key="review-similar"):
        st.caption(
            "These pairs come from the samples that the trace scored. A pass over all samples, for groups of similar answers, "
            f"finds further ones{f' ({cost})' if cost else ''}."
        )
        if st.button("Score all samples", key="review-pass", icon=":material/play_arrow:"):
            state.write(WANTED, "1")
            st.rerun()


def _make(study: Study) -> None:
    """Waits for the clustering, then for the attribution of its clusters; a run that was cancelled is not started again."""
    clustering = cluster(study)
    if runs.watch(clustering).state != "done":
        return
    attribution = attribute_clusters(study, clustering)
    if (
        runs.watch(attribution, title="Attributing groups of similar answers over all samples").state
        == "done"
    ):
        review.propose_for_clusters(study, attribution)
        state.write(WANTED, "")
        st.rerun()
