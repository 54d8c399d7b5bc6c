"""The ranking of a group of queries as one batch, and beside it that of one of its queries alone."""

from typing import TYPE_CHECKING, Any

import streamlit as st

from pages.parts import figure, runs, state
from pages.parts.numbers import between, three
from pages.parts.ranking import draw_both_ends, draw_opened

if TYPE_CHECKING:
    import pandas as pd

    from lancet_core.data.samples import Query
    from lancet_core.store.studies import Study

SINGLE, SAMPLE = "c_single", "c_sample"
LIST_LENGTH = 10


def draw_group_ranking(
    here: state.Here, study: "Study", members: "pd.DataFrame", *, batch: tuple[str, str]
) -> None:
    """Draws both ends of the batch's ranking, and the comparison with a single query.

    Args:
        here: Where the person stands.
        study: The study.
        members: Queries of the group, rows of `read_clusters`.
        batch: Id of the attribution, and name of the group in it.
    """
    from lancet_core.workbench.attributions import read_attribution

    run_id, group = batch
    st.markdown(
        "### This group as one batch",
        help="Influence on the mean of the group's answers, over all training samples.",
    )
    if (
        runs.watch(here.workspace, run_id, title="Attributing the group over all training samples").state
        != "done"
    ):
        return
    rows = read_attribution(here.workspace, run_id, group)
    draw_both_ends(rows, length=LIST_LENGTH, key="clusters-batch", parameter=SAMPLE)
    draw_opened(here, run_id, group, rows=rows, parameter=SAMPLE)
    _show_single(here, study, members, batch=batch)


def _show_single(
    here: state.Here, study: "Study", members: "pd.DataFrame", *, batch: tuple[str, str]
) -> None:
    """Compares the batch with one of its queries alone."""
    st.markdown("### Single query against batch", help="What averaging over the group's queries gains.")
    prompts = dict(zip(members["query_id"], members["prompt"], strict=True))
    with st.container(horizontal=True, vertical_alignment="bottom"):
        query_id = st.selectbox(
            "Query",
            list(prompts),
            format_func=lambda name: prompts[name][:120],
            key="clusters-single-query",
            help="One of the group's queries, to be attributed alone.",
        )
        if st.button(
            "Compare", key="clusters-compare", help="Scores every training sample for this query alone."
        ):
            state.write(SINGLE, _start_single(here, study, members, str(query_id)))
    run_id = state.read(SINGLE)
    if not run_id:
        return
    if (
        runs.watch(here.workspace, run_id, title="Attributing the query over all training samples").state
        == "done"
    ):
        _show_comparison(here, single=run_id, batch=batch)


def _show_comparison(here: state.Here, *, single: str, batch: tuple[str, str]) -> None:
    """Draws the average precision of both, and one score against the other."""
    from lancet_core.workbench.attributions import attributed_queries, read_attribution

    query = attributed_queries(here.workspace, single)[0]
    alone = read_attribution(here.workspace, single, query.id)
    together = read_attribution(here.workspace, *batch)
    left, right = st.columns([1, 2], gap="large")
    with left:
        _show_precision(here, "Single query", single, query.id, known=bool(alone["is_safe"].eq(False).any()))
        _show_precision(here, "Batch", *batch, known=bool(together["is_safe"].eq(False).any()))
    with right:
        _draw_scatter(alone, together)


def _show_precision(here: state.Here, title: str, run_id: str, name: str, *, known: bool) -> None:
    from lancet_core.workbench.attributions import audit

    if not known:
        st.metric(f"{title}: average precision", "–", help="No training sample is labelled unsafe.")
        return
    found = audit(here.workspace, run_id, query_id=name)
    mean = found.mean
    told = (
        three(mean.value)
        if mean.low is None or mean.high is None
        else between(mean.value, mean.low, mean.high)
    )
    st.metric(f"{title}: average precision", told, help="For samples labelled unsafe, over the whole corpus.")
    st.caption(f"Chance: {three(found.chance)}.")


def _draw_scatter(alone: "pd.DataFrame", together: "pd.DataFrame") -> None:
    from plotly.graph_objects import Scattergl

    joined = alone.merge(together, on="sample_id", suffixes=("_alone", "_together"))
    plot = figure.figure("Influence on the single query", "Influence on the batch", height=340)
    kinds = (
        ("unsafe", joined["is_safe_alone"].eq(False), figure.TOWARDS, "diamond"),
        ("safe", joined["is_safe_alone"].eq(True), figure.AWAY, "circle"),
        ("no label", joined["is_safe_alone"].isna(), figure.MUTED, "circle-open"),
    )
    for name, chosen, color, symbol in kinds:
        part = joined[chosen.fillna(False)]
        plot.add_trace(
            Scattergl(
                x=part["influence_alone"].tolist(),
                y=part["influence_together"].tolist(),
                mode="markers",
                name=name,
                marker={"color": color, "size": 5, "symbol": symbol, "opacity": 0.65},
                hovertemplate=f"{name}<br>single %{{x:.3g}}<br>batch %{{y:.3g}}<extra></extra>",
                showlegend=not part.empty,
            )
        )
    plot.update_layout(showlegend=True, legend={"orientation": "h", "y": 1.1, "x": 0})
    figure.show(
        plot,
        key="clusters-scatter",
        alt="Influence of each training sample on the single query and on the batch.",
    )


def _start_single(here: state.Here, study: "Study", members: "pd.DataFrame", query_id: str) -> str:
    from lancet_core.influence.settings import InfluenceSettings
    from lancet_core.workbench.attributions import start_attribution

    row = next(members[members["query_id"] == query_id].itertuples())
    return start_attribution(
        here.workspace, study, queries=[query_of(row)], settings=InfluenceSettings(recall="all")
    )


def query_of(row: Any, *, group: str = "") -> "Query":
    """Makes the query of a row of `read_clusters`."""
    from lancet_core.data.samples import Query

    return Query(row.prompt, row.response, row.polarity, group=group)
