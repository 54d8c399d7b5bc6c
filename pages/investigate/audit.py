"""Audit: how well a ranking tells unsafe training samples from safe ones, and where to cut it."""

from dataclasses import dataclass
from typing import Any

import streamlit as st

from lancet_core.evaluation.ranking import RankingReport
from lancet_core.store.studies import Study
from lancet_core.workspace import Workspace
from pages.parts import figure, frame, runs, sending, tables
from pages.parts.candidates import CHOSEN
from pages.parts.methods import LINES, METHODS, pick_methods
from pages.parts.numbers import between, percent, three
from pages.parts.state import Here

CASE, CLUSTERS = "This case", "A query cluster"
FEW_LINES = 3


@dataclass(frozen=True)
class Target:
    """What is audited.

    Attributes:
        query_id: Id of the case, or name of the group of a batch.
        run_ids: Finished or started run of each method.
        desirable: Whether the answer is wanted, so that the ranking is read from the other end.
    """

    query_id: str
    run_ids: dict[str, str]
    desirable: bool


def show(here: Here, study: Study) -> None:
    """Draws Audit."""
    with st.container(horizontal=True, vertical_alignment="bottom", key="controls"):
        of = st.segmented_control(
            "Ranking of",
            [CASE, CLUSTERS],
            default=CASE if here.case_id else CLUSTERS,
            required=True,
            key="a_of",
            bind="query-params",
        )
        methods = pick_methods("a_methods")
    target = find_case(here, study, methods) if of == CASE else find_cluster(here, study, methods)
    if target is None:
        return
    waiting = [
        method
        for method, run_id in target.run_ids.items()
        if runs.watch(here.workspace, run_id, title=f"Ranking with {METHODS[method]}").state != "done"
    ]
    if not waiting:
        draw_audit(here, study, target)


def find_case(here: Here, study: Study, methods: list[str]) -> Target | None:
    """Finds or starts the traces of the case; says what to do where there is none."""
    if not here.case_id:
        frame.empty("No case is open. Choose a bad answer first.", "Choose a case", "home")
        return None
    from lancet_core.influence.settings import InfluenceSettings
    from lancet_core.store.queries import get_query
    from lancet_core.workbench.attributions import start_trace

    case = get_query(here.workspace, study.name, here.case_id)
    run_ids = {
        method: start_trace(here.workspace, study, query=case, settings=InfluenceSettings(method=method))
        for method in methods
    }
    return Target(here.case_id, run_ids, case.polarity == "desirable")


def find_cluster(here: Here, study: Study, methods: list[str]) -> Target | None:
    """Finds or starts the attributions of the query clusters over the whole corpus."""
    from lancet_core.influence.settings import InfluenceSettings
    from lancet_core.workbench import attributions

    clusters = attributions.latest_clusters(here.workspace, study)
    if clusters is None:
        frame.empty("The queries of this study are not clustered yet.", "Cluster the queries", "clusters")
        return None
    names = sorted(attributions.read_clusters(here.workspace, clusters.id)["cluster"].unique())
    chosen = st.selectbox(
        "Cluster",
        [str(name) for name in names],
        format_func="Cluster {}".format,
        key="a_group",
        bind="query-params",
        width=220,
    )
    run_ids = {
        method: attributions.start_cluster_attribution(
            here.workspace, study, cluster_run_id=clusters.id, settings=InfluenceSettings(method=method)
        )
        for method in methods
    }
    return Target(str(chosen), run_ids, desirable=False)


def draw_audit(here: Here, study: Study, target: Target) -> None:
    """Draws curve, threshold, rows at the cut and the scatter."""
    ranked = {
        method: _rows(here.workspace, run_id, target.query_id) for method, run_id in target.run_ids.items()
    }
    if not any(rows["is_safe"].notna().any() for rows in ranked.values()):
        st.info(
            "The training samples of this study have no labels, so there is nothing to check a ranking against."
        )
        sending.draw_next(here, study)
        return
    reports = {
        method: _report(here.workspace, run_id, target.query_id) for method, run_id in target.run_ids.items()
    }
    main = next(iter(reports))
    left, right = st.columns([5, 4], gap="large")
    with left:
        draw_curve(reports, tell_origin(here, target))
    with right:
        count = draw_threshold(ranked[main], target, METHODS[main])
        draw_comparison(reports, ranked, count=count, desirable=target.desirable)
    draw_border(ranked[main], target, count=count)
    draw_scatter(ranked[main])
    sending.draw_next(here, study)


def draw_curve(reports: dict[str, RankingReport], origin: str) -> None:
    """Draws precision against share found for each method, with the band of the first, the chance line and what was ranked."""
    first = next(iter(reports.values()))
    st.markdown("#### Precision against share found")
    height = 380 if len(reports) <= FEW_LINES else 440  # the legend takes more rows
    plot = figure.figure("Share of unsafe samples found", "Share of unsafe among those taken", height=height)
    figure.add_band(plot, *(first.curve[name].tolist() for name in ("share_found", "low", "high")))
    for method, report in reports.items():
        color, dash = LINES[method]
        found, precision = (report.curve[column].tolist() for column in ("share_found", "precision"))
        figure.add_line(plot, found, precision, name=METHODS[method], color=color, dash=dash)
    chance = f"Chance, {percent(first.chance)}"
    figure.add_line(plot, [0, 1], [first.chance] * 2, name=chance, color=figure.MUTED, dash="longdashdot")
    plot.update_xaxes(range=[0, 1], tickformat=".0%")
    plot.update_yaxes(range=[0, 1.02], tickformat=".0%")
    legend = {"orientation": "h", "yanchor": "bottom", "y": 1.02, "x": 0}
    plot.update_layout(showlegend=True, legend=legend)
    figure.show(
        plot,
        key="pr-curve",
        alt="Precision against share of unsafe samples found, one line for each method, the 95 % band of the first, and chance.",
    )
    left_out = f" {first.unlabelled:,} candidates without a label are left out." if first.unlabelled else ""
    st.caption(f"Band: 95 % interval, {first.resampled} drawn anew 1,000 times.{left_out} {origin}")


def tell_origin(here: Here, target: Target) -> str:
    """Says that all methods rank the same candidates, and where these come from."""
    from lancet_core.workbench.attributions import read_summary

    told = read_summary(here.workspace, next(iter(target.run_ids.values())))
    chosen = CHOSEN.get(str(told.get("recall", "")))
    return (
        f"Every method ranks the same candidates, {chosen}." if chosen else "Every method ranks all samples."
    )


def draw_threshold(rows: Any, target: Target, name: str) -> int:
    """Draws the slider and what the samples above it hold; returns how many are taken."""
    from lancet_core.workbench.thresholds import cut_after

    st.markdown("#### Where to cut")
    count = st.slider(
        "Samples taken, highest influence first",
        1,
        len(rows),
        min(20, len(rows)),
        key="a_cut",
        bind="query-params",
        help="Fewer samples: more of them are unsafe. More samples: more of the unsafe ones are found.",
    )
    cut = cut_after(rows, int(count), desirable=target.desirable)
    columns = st.columns(3)
    columns[0].metric(
        "Precision", percent(cut.precision), help="Share of unsafe among the labelled samples taken."
    )
    columns[1].metric(
        "Share found", percent(cut.share_found), help="Share of all unsafe candidates that are taken."
    )
    columns[2].metric("Threshold", three(cut.threshold), help=f"{name} score of the last sample taken.")
    return int(count)


def draw_comparison(
    reports: dict[str, RankingReport], ranked: dict[str, Any], *, count: int, desirable: bool
) -> None:
    """Lists the methods beside each other at equal effort."""
    import pandas as pd

    from lancet_core.workbench.thresholds import cut_after

    cuts = {
        method: cut_after(rows, min(count, len(rows)), desirable=desirable) for method, rows in ranked.items()
    }
    table = pd.DataFrame(
        {
            "method": [METHODS[method] for method in reports],
            "ap": [
                between(report.mean.value, report.mean.low, report.mean.high) for report in reports.values()
            ],
            "precision": [percent(cuts[method].precision) for method in reports],
            "found": [percent(cuts[method].share_found) for method in reports],
        }
    )
    columns = {
        "method": tables.text("Method", width=115),
        "ap": tables.text(
            "Average precision [95 %]", help="Average precision over all unsafe samples, with its interval."
        ),
        "precision": tables.text("Precision", width=80, help=f"Among the {count} samples taken."),
        "found": tables.text("Found", width=70, help=f"By the {count} samples taken."),
    }
    tables.show(table, columns, key="comparison")


def draw_border(rows: Any, target: Target, *, count: int) -> None:
    """Draws the samples that leave when the cut rises and those that enter when it falls."""
    from lancet_core.workbench.thresholds import cut_after

    cut = cut_after(rows, count, desirable=target.desirable)
    columns = {
        "influence": tables.number("Influence"),
        "harmful": tables.share("Harmful score"),
        "label": tables.text("Label", width=80),
        "response": tables.text("Response"),
    }
    sides = (
        ("Next to leave, if you take fewer", cut.leaving),
        ("Next to enter, if you take more", cut.entering),
    )
    for column, (title, side) in zip(st.columns(2, gap="large"), sides, strict=True):
        with column:
            st.markdown(f"##### {title}")
            if side.empty:
                st.caption("None: every candidate is taken.")
            else:
                labels = side["is_safe"].map({True: "safe", False: "unsafe"}).fillna("none")
                tables.show(side.assign(label=labels), columns, key=f"border-{title}")


def draw_scatter(rows: Any) -> None:
    """Draws harmful score against influence: where the scorer sees nothing, influence may."""
    from plotly.graph_objects import Scattergl

    st.markdown("#### Harmful score against influence")
    known = rows[rows["harmful"].notna()]
    if known.empty:
        st.caption("This study has no harmful scorer.")
        return
    plot = figure.figure("Influence score", "Harmful score", height=320)
    unsafe = ~known["is_safe"].astype("boolean").fillna(True)
    for side, name, color, symbol in (
        (~unsafe, "labelled safe or without label", figure.MUTED, "circle-open"),
        (unsafe, "labelled unsafe", figure.TOWARDS, "circle"),
    ):
        plot.add_trace(
            Scattergl(
                x=known.loc[side, "influence"].tolist(),
                y=known.loc[side, "harmful"].tolist(),
                mode="markers",
                name=name,
                marker={"color": color, "symbol": symbol, "size": 7, "opacity": 0.75},
                hovertemplate="influence %{x:.3g}<br>harmful %{y:.3f}<extra></extra>",
            )
        )
    plot.update_layout(showlegend=True, legend={"orientation": "h", "y": 1.12, "x": 0})
    plot.update_yaxes(range=[-0.03, 1.03])
    figure.show(
        plot, key="scatter", alt="Each candidate by influence score and harmful score, unsafe ones filled."
    )
    st.caption("Low and to the right: samples that push towards the answer and that the scorer does not see.")


@st.cache_data(show_spinner=False, max_entries=32)
def _rows(_workspace: Workspace, run_id: str, query_id: str) -> Any:
    from lancet_core.workbench.attributions import read_attribution

    return read_attribution(_workspace, run_id, query_id)


@st.cache_data(show_spinner=False, max_entries=32)
def _report(_workspace: Workspace, run_id: str, query_id: str) -> RankingReport:
    from lancet_core.workbench.attributions import audit

    return audit(_workspace, run_id, query_id=query_id)


place = frame.open_screen("audit")
if frame.need_study(place) and place.study is not None:
    show(place, place.study)
