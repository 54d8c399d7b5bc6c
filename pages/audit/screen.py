"""Audit: how well a ranking tells unsafe training samples from safe ones, and where to cut it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pandas as pd
import streamlit as st
from plotly.graph_objects import Scattergl

from lancet_core.acts.attribute import Attribution
from lancet_core.data.samples import DESIRABLE
from lancet_core.evaluation.ranking import RankingReport
from lancet_core.influence.presets import preset
from lancet_core.runs.run import Run
from lancet_core.store.queries import get_query
from lancet_core.study import attributions, review
from lancet_core.study.imports import imported_attributions
from lancet_core.study.recipes import audit_recipe
from lancet_core.study.study import Study
from pages.audit.thresholds import cut_after
from pages.shared import figure, frame, runs, tables
from pages.shared.cached import cached
from pages.shared.candidates import CHOSEN, cost_of_a_pass
from pages.shared.copying import draw_copy
from pages.shared.methods import method_line, method_name, pick_methods
from pages.shared.numbers import between, influence, percent, score
from pages.shared.ranking import draw_worth, report_of

CASE, CLUSTERS = "This case", "A query cluster"
FEW_LINES = 3


@dataclass(frozen=True)
class Target:
    """What is audited.

    Attributes:
        case_id: The case; empty where a query cluster is audited.
        query_id: Id of the case, or name of the group of a batch.
        runs: Newest run of each method, None where nobody ranked with it yet.
        start: Ranks with a method.
        desirable: Whether the answer is wanted, so that the ranking is read from the other end.
        cost: What one more method takes, in words.
    """

    case_id: str
    query_id: str
    runs: dict[str, Run[Attribution] | None]
    start: Callable[[str], object]
    desirable: bool
    cost: str

    @property
    def finished(self) -> dict[str, Run[Attribution]]:
        """Methods to their finished runs."""
        return {method: run for method, run in self.runs.items() if run is not None and run.record.is_done}


def show(study: Study, case_id: str) -> None:
    """Draws Audit."""
    with st.container(horizontal=True, vertical_alignment="bottom", key="controls"):
        of = st.segmented_control(
            "Ranking of",
            [CASE, CLUSTERS],
            default=CASE if case_id else CLUSTERS,
            required=True,
            key="a_of",
            bind="query-params",
        )
        imported = imported_attributions(study, case_id) if of == CASE and case_id else {}
        methods = pick_methods("a_methods", imported)
    target = find_case(study, case_id, methods, imported) if of == CASE else find_cluster(study, methods)
    if target is None:
        return
    for method, run in target.runs.items():
        if run is not None and not run.record.is_done:
            runs.watch(run, title=f"Ranking with {method_name(method)}")
    draw_missing(target)
    if target.finished:
        draw_audit(study, target)


def find_case(
    study: Study, case_id: str, methods: list[str], imported: dict[str, Run[Attribution]]
) -> Target | None:
    """Finds the traces of the case, ours and imported ones; says what to do where there is none."""
    if not case_id:
        frame.empty("No case is open. Choose a bad answer first.", "Choose a case", "home")
        return None
    case = get_query(study, case_id)
    return Target(
        case_id=case_id,
        query_id=case_id,
        runs={
            method: imported.get(method) or attributions.find_attribution(study, [case], preset(method))
            for method in methods
        },
        start=lambda method: study.attribute(case, preset(method)),
        desirable=case.polarity == DESIRABLE,
        cost="a few seconds each where the model is small",
    )


def find_cluster(study: Study, methods: list[str]) -> Target | None:
    """Finds the attributions of the query clusters over the whole corpus."""
    clustering = attributions.latest_clustering(study)
    if clustering is None:
        frame.empty("The queries of this study are not clustered yet.", "Cluster the queries", "clusters")
        return None
    names = sorted(
        attributions.read_clusters(study, clustering)["cluster"].unique(), key=lambda name: (len(name), name)
    )
    chosen = st.selectbox(
        "Cluster", names, format_func="Cluster {}".format, key="a_group", bind="query-params", width=220
    )
    find = attributions.find_clusters_attribution
    return Target(
        case_id="",
        query_id=str(chosen),
        runs={method: find(study, clustering, preset(method)) for method in methods},
        start=lambda method: attributions.attribute_clusters(study, clustering, preset(method)),
        desirable=False,
        cost=f"{cost_of_a_pass(study)}over all samples".strip(),
    )


def draw_missing(target: Target) -> None:
    """Offers to rank with the methods that nobody ranked with yet; nothing starts by itself."""
    missing = [method for method, run in target.runs.items() if run is None]
    if not missing:
        return
    names = ", ".join(method_name(method) for method in missing)
    with st.container(horizontal=True, vertical_alignment="center", key="audit-missing"):
        st.caption(f"Not ranked yet with {names} ({target.cost}).")
        if st.button(
            "Rank with these" if len(missing) > 1 else f"Rank with {names}",
            key="audit-rank",
            icon=":material/play_arrow:",
            type="secondary" if target.finished else "primary",
        ):
            for method in missing:
                target.start(method)
            st.rerun()


def draw_audit(study: Study, target: Target) -> None:
    """Draws curve, threshold, rows at the cut and the scatter of the methods that are done."""
    ranked = {method: _rows(run, target.query_id) for method, run in target.finished.items()}
    main = next(iter(ranked))
    if not any(rows["is_safe"].eq(False).any() for rows in ranked.values()):
        st.info("None of these samples is labelled unsafe, so there is nothing to check a ranking against.")
        draw_next(study, target, ranked[main], count=min(20, len(ranked[main])))
        return
    reports = {method: report_of(run, target.query_id) for method, run in target.finished.items()}
    with st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute"):
        draw_worth(target.finished[main], target.query_id)
        draw_copy(lambda: audit_recipe(list(target.finished.values()), target.query_id), key="audit")
    left, right = st.columns([5, 4], gap="large")
    with left:
        draw_curve(reports, describe_origin(target.finished[main].result))
    with right:
        count = draw_threshold(ranked[main], target, method_name(main))
        draw_comparison(reports, ranked, count=count, desirable=target.desirable)
    draw_border(ranked[main], target, count=count)
    draw_scatter(ranked[main])
    draw_next(study, target, ranked[main], count=count)


def draw_next(study: Study, target: Target, rows: Any, *, count: int) -> None:
    """Draws the step to Review: of a case the samples above the cut, of query clusters the pairs of all in turn."""
    run = next(iter(target.finished.values()))
    if not target.case_id:
        if frame.next_step(
            "Send clusters to review", help="Proposes the pairs of all query clusters in turn."
        ):
            review.propose_for_clusters(study, run)
            frame.go("review", r_reach="all")
        return
    above = rows.sort_values("influence", ascending=target.desirable, kind="stable").head(count)
    above = above[above["influence"] > 0]["sample_id"].tolist()
    if frame.next_step(
        f"Review the {len(above)} above this cut",
        disabled=not above,
        why="No sample above the cut pushes towards the answer.",
        help="Pairs each of them with a fitting sample that pushes away.",
    ):
        review.send_case(study, run, target.case_id, picked=tuple(above))
        frame.go("review", r_pair="")


def draw_curve(reports: dict[str, RankingReport], origin: str) -> None:
    """Draws precision against share found for each method, with the band of the first, the chance line and what was ranked."""
    first = next(iter(reports.values()))
    st.markdown("#### Precision against share found")
    height = 380 if len(reports) <= FEW_LINES else 440  # the legend takes more rows
    plot = figure.figure("Share of unsafe samples found", "Share of unsafe among those taken", height=height)
    figure.add_band(plot, *(first.curve[name].tolist() for name in ("share_found", "low", "high")))
    for method, report in reports.items():
        color, dash = method_line(method)
        found, precision = (report.curve[column].tolist() for column in ("share_found", "precision"))
        figure.add_line(plot, found, precision, name=method_name(method), color=color, dash=dash)
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


def describe_origin(result: Attribution) -> str:
    """Says that all methods rank the same candidates, and where these come from."""
    chosen = CHOSEN.get(result.recall)
    return (
        f"Every method ranks the same candidates, {chosen}." if chosen else "Every method ranks all samples."
    )


def draw_threshold(rows: Any, target: Target, name: str) -> int:
    """Draws the slider and what the samples above it hold; returns how many are taken."""
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
    columns[2].metric("Threshold", influence(cut.threshold), help=f"{name} score of the last sample taken.")
    return int(count)


def draw_comparison(
    reports: dict[str, RankingReport], ranked: dict[str, Any], *, count: int, desirable: bool
) -> None:
    """Lists the methods beside each other at equal effort."""
    cuts = {
        method: cut_after(rows, min(count, len(rows)), desirable=desirable) for method, rows in ranked.items()
    }
    rows = [
        (
            method_name(method),
            between(report.mean.value, report.mean.low, report.mean.high, write=score),
            percent(cuts[method].precision),
            percent(cuts[method].share_found),
        )
        for method, report in reports.items()
    ]
    first = next(iter(reports.values()))
    if first.scorer is not None:
        rows.append(("Scorer alone", score(first.scorer), "", ""))
    rows.append(("Chance", score(first.chance), "", ""))
    table = pd.DataFrame(rows, columns=["method", "ap", "precision", "found"])
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
    cut = cut_after(rows, count, desirable=target.desirable)
    columns = {
        "influence": tables.text("Influence", width=100),
        "harmful": tables.text("Harmful", width=80),
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
                written = side.assign(
                    label=labels,
                    influence=side["influence"].map(influence),
                    harmful=side["harmful"].map(score),
                )
                tables.show(written, columns, key=f"border-{title}")


def draw_scatter(rows: Any) -> None:
    """Draws harmful score against influence: where the scorer sees nothing, influence may."""
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
                hovertemplate="influence %{x:.3g}<br>harmful %{y:.2f}<extra></extra>",
            )
        )
    plot.update_layout(showlegend=True, legend={"orientation": "h", "y": 1.12, "x": 0})
    plot.update_yaxes(range=[-0.03, 1.03])
    figure.show(
        plot, key="scatter", alt="Each candidate by influence score and harmful score, unsafe ones filled."
    )
    st.caption("Low and to the right: samples that push towards the answer and that the scorer does not see.")


@cached(max_entries=32)
def _rows(run: Run[Attribution], query_id: str) -> Any:
    return run.result.read(query_id)


place = frame.open_study_screen("audit")
if place is not None:
    show(place.study, place.case_id)
