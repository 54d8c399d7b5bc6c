"""The ranking of a group of queries as one batch, and beside it that of one of its queries alone."""

from typing import TYPE_CHECKING, Any

import streamlit as st
from plotly.graph_objects import Scattergl

from lancet_core.acts.attribute import Attribution
from lancet_core.data.samples import Query
from lancet_core.influence.presets import preset
from lancet_core.runs.run import Run, open_run
from lancet_core.study.recipes import recipe_of
from lancet_core.study.study import Study
from pages.shared import figure, runs, state
from pages.shared.copying import draw_copy
from pages.shared.numbers import between, percent, score
from pages.shared.ranking import draw_both_ends, draw_opened, draw_worth

if TYPE_CHECKING:
    import pandas as pd

SINGLE, SAMPLE = "c_single", "c_sample"
LIST_LENGTH = 10


Ranking = tuple[Run[Attribution], str]
"""An attribution, and the name of its query or group that is meant."""


def draw_group_ranking(study: Study, members: "pd.DataFrame", *, batch: Ranking) -> None:
    """Draws both ends of the batch's ranking, and the comparison with a single query.

    Args:
        study: The study.
        members: Queries of the group, rows of `read_clusters`.
        batch: The attribution, and name of the group in it.
    """
    run, group = batch
    st.markdown(
        "### This group as one batch",
        help="Influence on the mean of the group's answers, over all training samples.",
    )
    if runs.watch(run, title="Attributing the group over all training samples").state != "done":
        return
    draw_copy(lambda: recipe_of(run), key="batch")
    rows = run.result.read(group)
    draw_worth(run, group)
    draw_both_ends(rows, length=LIST_LENGTH, key="clusters-batch", parameter=SAMPLE)
    draw_opened(study, run, group, rows=rows, parameter=SAMPLE)
    _show_single(study, members, batch=batch)


def _show_single(study: Study, members: "pd.DataFrame", *, batch: Ranking) -> None:
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
            row = next(members[members["query_id"] == query_id].itertuples())
            state.write(SINGLE, study.attribute(query_of(row), preset(recall="all")).id)
    if not state.read(SINGLE):
        return
    single: Run[Attribution] = open_run(study.workspace, state.read(SINGLE), "attribute")
    if runs.watch(single, title="Attributing the query over all training samples").state == "done":
        _show_comparison((single, single.result.queries[0].query_id), batch)


def _show_comparison(single: Ranking, batch: Ranking) -> None:
    """Draws the average precision of both, and one score against the other."""
    alone, together = (run.result.read(name) for run, name in (single, batch))
    left, right = st.columns([1, 2], gap="large")
    with left:
        _show_precision("Single query", single, known=bool(alone["is_safe"].eq(False).any()))
        _show_precision("Batch", batch, known=bool(together["is_safe"].eq(False).any()))
    with right:
        _draw_scatter(alone, together)


def _show_precision(title: str, ranking: Ranking, *, known: bool) -> None:
    if not known:
        st.metric(f"{title}: average precision", "–", help="No training sample is labelled unsafe.")
        return
    run, name = ranking
    report = run.result.audit(name)
    mean = report.mean
    st.metric(
        f"{title}: average precision",
        between(mean.value, mean.low, mean.high, write=score),
        help="For samples labelled unsafe, over the whole corpus.",
    )
    st.caption(f"Chance: {percent(report.chance)}.")


def _draw_scatter(alone: "pd.DataFrame", together: "pd.DataFrame") -> None:
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


def query_of(row: Any, *, group: str = "") -> Query:
    """Makes the query of a row of `read_clusters`."""
    return Query(row.prompt, row.response, row.polarity, group=group, messages=row.messages)
