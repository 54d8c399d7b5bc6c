"""Where the candidates of a trace come from: all samples through the gradient index, or those with similar words."""

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import streamlit as st

from lancet_core.store.studies import Study
from pages.parts import runs, state
from pages.parts.methods import METHODS
from pages.parts.numbers import lasting, seconds, size

if TYPE_CHECKING:
    from lancet_core.influence.settings import InfluenceSettings

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
_MARKS = re.compile(r"([\\`*_{}\[\]()#+\-!~$:<>|&])")


def pick_source(study: Study, settings: "InfluenceSettings", key: str) -> "InfluenceSettings":
    """Draws the choice of where candidates come from, if the study has an index for the method; returns the settings with it."""
    from lancet_core.workbench.indexes import usable_index

    if usable_index(study, settings) is None:
        return replace(settings, recall=WORDS)
    chosen = st.segmented_control(
        "Candidates from",
        list(SOURCES),
        default=INDEX,
        format_func=SOURCES.__getitem__,
        required=True,
        key=key,
        bind="query-params",
        help=HELP,
    )
    if chosen == WORDS:
        return replace(settings, recall=WORDS)
    return replace(settings, recall=INDEX)


def draw_indexing(here: state.Here, study: Study, settings: "InfluenceSettings", *, offered: bool) -> None:
    """Shows the build of an index that is under way, or offers to build the one that the method lacks.

    Args:
        here: Where the person stands.
        study: The study.
        settings: The method.
        offered: Whether a build may be offered: not while a trace estimates the factors that the build would take over.
    """
    from lancet_core.influence.index_manifest import can_be_indexed
    from lancet_core.workbench.indexes import find_index, last_build

    if not can_be_indexed(settings):
        return
    build = last_build(here.workspace, study, settings)
    if build is not None and not build.is_final:
        runs.watch(here.workspace, build.id, title="Building the gradient index")
        return
    found = find_index(study, settings)
    if offered and (found is None or found.outdated):
        stopped = "" if build is None or build.state == "done" else build.state
        error = runs.status_of(here.workspace, build.id).error if build and stopped == "failed" else ""
        _draw_offer(here, study, settings, outdated=found.outdated if found else "", stopped=stopped)
        if error:
            st.text(error)


def offer_repair(here: state.Here, study: Study, settings: "InfluenceSettings") -> None:
    """Offers to build the index again where a trace that searched it failed, and says what else helps."""
    from lancet_core.workbench.indexes import start_index

    if settings.recall != INDEX:
        return
    with st.container(horizontal=True, vertical_alignment="center", key="index-offer"):
        st.caption(
            "If the index is broken, build it again: what is whole of it stays. Similar words need no index."
        )
        if st.button("Build the index again", icon=":material/database_search:", key="build-index"):
            start_index(here.workspace, study, influence=settings)
            st.rerun()


def origin(study: Study, settings: "InfluenceSettings") -> str:
    """Names where candidates come from; an index that is built again has another name."""
    from lancet_core.workbench.indexes import usable_index

    index = usable_index(study, settings) if settings.recall == INDEX else None
    return f"{settings.recall} {index.built_at if index else ''}".strip()


def tell_search(summary: Mapping[str, Any], study: Study) -> None:
    """Writes how long a trace took, how many samples it scored and how these were chosen; its notes behind a mark.

    Args:
        summary: Summary of the attribution.
        study: The study.
    """
    from lancet_core.influence.methods import CURVATURES

    method, recall = str(summary.get("method", "linfac")), str(summary.get("recall", ""))
    too_long = int(summary.get("too_long", 0))
    scored = int(summary["candidates"]) - too_long
    every = study.counts.get("samples", scored)
    how = "scored exactly" if method in CURVATURES else RANKED[method]
    counted = f"all {every:,} samples" if scored == every else f"{scored:,} of {every:,} samples"
    words = f"{seconds(float(summary['seconds']))} · {counted} {how}"
    if scored < every and recall in CHOSEN:
        words += f", {CHOSEN[recall]}"
    notes = [str(note) for note in summary.get("notes", ())]
    if too_long:
        notes.append(f"{too_long:,} candidates exceed the model's context and are not scored")
    st.caption(words, help="\n\n".join(plain(note) for note in notes) or None)


def plain(text: str) -> str:
    """Takes the meaning from every mark of markdown, for the places where Streamlit interprets text."""
    return _MARKS.sub(r"\\\1", " ".join(text.split()))


def _draw_offer(
    here: state.Here, study: Study, settings: "InfluenceSettings", *, outdated: str, stopped: str
) -> None:
    """Says what is missed without an index, and draws the button that builds it."""
    from lancet_core.workbench.indexes import estimate, start_index

    told = estimate(here.workspace, study)
    cost = (f"about {_minutes(told.seconds)}, " if told.seconds else "") + size(told.size)
    with st.container(horizontal=True, vertical_alignment="center", key="index-offer"):
        if outdated:
            st.caption(f"The gradient index for {METHODS[settings.method]} cannot be searched: {outdated}.")
        elif stopped:
            word = "failed" if stopped == "failed" else "was stopped"
            st.caption(f"Building the gradient index {word}; what it finished is kept.")
        else:
            st.caption(
                f"Only the {settings.candidate_count:,} samples with the most words in common are scored. A gradient index finds "
                f"those in other words, too ({cost})."
            )
        if st.button(
            "Go on building" if stopped else "Build index",
            icon=":material/database_search:",
            key="build-index",
            help=f"One pass over all training samples keeps a few numbers of each ({cost}). After that any case is answered "
            "over all of them. You can go on reading meanwhile, and stop it at any time.",
        ):
            start_index(here.workspace, study, influence=settings)
            st.rerun()


def _minutes(seconds: float) -> str:
    """Writes a span that is only judged: no more digits than it has."""
    return lasting(seconds) if seconds >= 5400 else f"{max(1, round(seconds / 60))} min"
