"""Where the candidates of a trace come from: all samples through the gradient index, or those with similar words."""

from dataclasses import replace

import streamlit as st

from lancet_core.acts.attribute import Attribution
from lancet_core.influence.methods import PAPER
from lancet_core.influence.presets import preset
from lancet_core.influence.settings import InfluenceSettings
from lancet_core.study.estimates import estimate_attribution
from lancet_core.study.indexes import find_index, index_size, last_build, usable_index
from lancet_core.study.study import Study
from lancet_core.text import lasting
from pages.shared import runs
from pages.shared.methods import METHODS
from pages.shared.numbers import seconds, size
from pages.shared.plain_text import plain

INDEX, WORDS = "index", "tfidf"
SOURCES = {INDEX: "All samples", WORDS: "Similar words"}
HELP = (
    "Which samples are scored exactly.  \n**All samples**: the gradient index nearly knows the influence of each, and the "
    "strongest of both signs are scored.  \n**Similar words**: the samples that share the most words with the case "
    "(TF-IDF); one that says the same in other words is not seen."
)
CHOSEN = {
    "index": "chosen by the gradient index",
    "tfidf": "chosen by similar words (TF-IDF)",
    "bm25": "chosen by similar words (BM25)",
}
RANKED = {
    "tfidf": "ranked by shared words (TF-IDF)",
    "bm25": "ranked by shared words (BM25)",
    "embedding": "ranked by their hidden states",
    "random": "in random order",
}


def pick_source(study: Study, settings: InfluenceSettings, key: str) -> InfluenceSettings:
    """Draws the choice of where candidates come from, if the study has an index for the method; returns the settings with it."""
    if usable_index(study, settings) is None:
        return replace(settings, recall=replace(settings.recall, kind=WORDS))
    chosen = st.segmented_control(
        "Candidates from",
        list(SOURCES),
        default=WORDS if settings.method == PAPER else INDEX,
        format_func=SOURCES.__getitem__,
        required=True,
        key=key,
        bind="query-params",
        help=HELP,
    )
    if chosen == WORDS:
        return replace(settings, recall=replace(settings.recall, kind=WORDS))
    return replace(settings, recall=replace(settings.recall, kind=INDEX))


def draw_indexing(study: Study, settings: InfluenceSettings, *, offered: bool) -> None:
    """Shows the build of an index that is under way, or offers to build the one that the method lacks.

    Args:
        study: The study.
        settings: The method.
        offered: Whether a build may be offered: not while a trace estimates the factors that the build would take over.
    """
    if not settings.can_be_indexed:
        return
    build = last_build(study, settings)
    if build is not None and not build.record.is_final:
        runs.watch(build)
        return
    index = find_index(study, settings)
    if offered and (index is None or index.outdated):
        stopped = "" if build is None or build.record.is_done else build.record.state
        error = build.status.error if build and stopped == "failed" else ""
        _draw_offer(study, settings, outdated=index.outdated if index else "", stopped=stopped)
        if error:
            st.text(error)


def offer_repair(study: Study, settings: InfluenceSettings) -> None:
    """Offers to build the index again where a trace that searched it failed, and says what else helps."""
    if settings.recall.kind != INDEX:
        return
    with st.container(horizontal=True, vertical_alignment="center", key="index-offer"):
        st.caption(
            "If the index is broken, build it again: what is whole of it stays. Similar words need no index."
        )
        if st.button("Build the index again", icon=":material/database_search:", key="build-index"):
            study.build_index(settings)
            st.rerun()


def describe_search(result: Attribution, study: Study) -> None:
    """Writes how long a trace took, how many samples it scored and how these were chosen; its notes behind a mark."""
    scored = result.candidates - result.too_long
    samples = study.counts.get("samples", scored)
    how = "scored exactly" if result.takes_gradients else RANKED.get(result.method, f"as {result.method}")
    counted = f"all {samples:,} samples" if scored == samples else f"{scored:,} of {samples:,} samples"
    words = f"{seconds(result.seconds)} · {counted} {how}"
    if scored < samples and result.recall in CHOSEN:
        words += f", {CHOSEN[result.recall]}"
    notes = list(result.notes)
    if result.too_long:
        notes.append(f"{result.too_long:,} candidates are refused by the chat template and are not scored")
    st.caption(words, help="\n\n".join(plain(note) for note in notes) or None)


def _draw_offer(study: Study, settings: InfluenceSettings, *, outdated: str, stopped: str) -> None:
    """Says what is missed without an index, and draws the button that builds it."""
    cost = f"{cost_of_a_pass(study)}{size(index_size(study))}"
    with st.container(horizontal=True, vertical_alignment="center", key="index-offer"):
        if outdated:
            st.caption(
                f"The gradient index for {METHODS[settings.method]} cannot be searched: {plain(outdated)}."
            )
        elif stopped:
            word = "failed" if stopped == "failed" else "was stopped"
            st.caption(f"Building the gradient index {word}; what it finished is kept.")
        else:
            st.caption(
                f"Only the {settings.recall.count:,} samples with the most words in common are scored. A gradient index finds "
                f"those in other words, too ({cost})."
            )
        if st.button(
            "Go on building" if stopped else "Build index",
            icon=":material/database_search:",
            key="build-index",
            help=f"One pass over all training samples keeps a few numbers of each ({cost}). After that any case is answered "
            "over all of them. You can go on reading meanwhile, and stop it at any time.",
        ):
            study.build_index(settings)
            st.rerun()


def cost_of_a_pass(study: Study) -> str:
    """Says how long a pass over all samples takes, as far as an earlier run tells; empty, or ending in a comma."""
    estimate = estimate_attribution(study, preset(recall="all"))
    return f"about {_minutes(estimate.seconds)}, " if estimate.seconds else ""


def _minutes(seconds: float) -> str:
    """Writes a span that is only judged: no more digits than it has."""
    return lasting(seconds) if seconds >= 5400 else f"{max(1, round(seconds / 60))} min"
