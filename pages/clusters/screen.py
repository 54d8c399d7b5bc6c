"""Clusters: which queries belong together, and which training samples push towards a group of them as one batch."""

from typing import TYPE_CHECKING

import streamlit as st

from lancet_core.acts.attribute import Attribution
from lancet_core.acts.cluster import Clustering
from lancet_core.config import from_dict
from lancet_core.influence.presets import preset
from lancet_core.influence.settings import ClusterSettings
from lancet_core.runs.run import Run, open_run
from lancet_core.store.queries import read_queries
from lancet_core.study import review
from lancet_core.study.attributions import attribute_clusters, latest_clustering, read_clusters
from lancet_core.study.recipes import recipe_of
from lancet_core.study.study import Study
from pages.clusters.cluster_map import Drag, cluster_map, cluster_name
from pages.clusters.group_ranking import SINGLE, draw_group_ranking, query_of
from pages.shared import figure, frame, runs, state, tables
from pages.shared.candidates import cost_of_a_pass
from pages.shared.copying import draw_copy
from pages.shared.numbers import three

if TYPE_CHECKING:
    import pandas as pd

RUN, SEND, PICKED_IDS, BATCH = "c_run", "c_send", "c_ids", "c_batch"
GROUP = "c_group"
ALL, PICKED = "all", "picked"
MAP = "clusters-map"
PICKING: dict[Drag, str] = {
    "pan": "Click a query to take its cluster",
    "lasso": "Draw a lasso around queries",
}
MOST_CLUSTERS = 20


def show(study: Study) -> None:
    """Draws the map of a study's queries and what belongs to it."""
    count = len(read_queries(study))
    if count < 2:
        frame.empty(
            f"{count} queries cannot be grouped. Trace a few bad answers first.", "Open a case", "home"
        )
        return
    named = state.read(RUN)
    clustering = open_run(study.workspace, named, "cluster") if named else latest_clustering(study)
    with st.container(horizontal=True, vertical_alignment="bottom", key="clusters-controls"):
        show_controls(study, clustering, most=min(MOST_CLUSTERS, count))
        facts = st.container(horizontal=True, vertical_alignment="bottom")
    if clustering is None:
        show_before_the_first(study)
    elif runs.watch(clustering).state == "done":
        with facts:
            show_facts(clustering.result)
            draw_copy(lambda: recipe_of(clustering), key="clusters")
        show_clusters(study, clustering)


def show_controls(study: Study, clustering: Run[Clustering] | None, *, most: int) -> None:
    """Draws number of clusters, seed, and the button that clusters anew."""
    shown = _settings_of(clustering)
    k = st.slider(
        "Clusters, k",
        2,
        most,
        min(shown.k, most),
        key="c_k",
        bind="query-params",
        width=260,
        help="Number of K-Means clusters. More clusters: each holds more alike answers, and pairs cover more kinds of them.",
    )
    seed = st.number_input(
        "Seed",
        0,
        None,
        shown.seed,
        key="c_seed",
        bind="query-params",
        width=110,
        help="Of K-Means and of the map.",
    )
    if clustering is not None and st.button(
        "Cluster again",
        key="clusters-again",
        icon=":material/refresh:",
        help="Starts a run with these settings.",
    ):
        _cluster(study, k=int(k), seed=int(seed or 0))


def show_before_the_first(study: Study) -> None:
    """Says that nothing is clustered yet, with the button that starts it."""
    with st.container(border=True, key="empty", horizontal_alignment="center"):
        st.markdown(
            "The queries of this study are not grouped yet. Grouping shows which bad answers have one cause."
        )
        if frame.next_step(
            "Cluster the queries", help="K-Means over the model's hidden states, then a UMAP map."
        ):
            _cluster(study, k=int(st.session_state["c_k"]), seed=int(st.session_state["c_seed"] or 0))


def show_facts(result: Clustering) -> None:
    """Shows how well the clusters part."""
    st.metric("Clusters", f"{result.k}", width="content")
    st.metric(
        "Silhouette",
        three(result.silhouette),
        width="content",
        help="From −1 to 1: how much closer queries are to their own cluster than to the next one. Above .25 the clusters "
        "part well; near 0 they run into each other.",
    )


def show_clusters(study: Study, clustering: Run[Clustering]) -> None:
    """Draws map, group and its attribution."""
    clusters, terms = read_clusters(study, clustering), clustering.result.terms
    left, right = st.columns(2, gap="large")
    with left:
        show_map(clusters, terms)
    with right:
        members = show_group(clusters, terms)
        asked = st.button(
            "Attribute this group",
            key="clusters-attribute",
            icon=":material/troubleshoot:",
            disabled=members.empty,
            help=f"Scores every training sample for the group as one batch, by the mean gradient of its queries: {cost_of_a_pass(study)}"
            "one pass over the corpus.",
        )
    if asked:
        state.write(SINGLE, "")
        state.write(BATCH, _start_batch(study, clustering, members).id)
    if state.read(BATCH):
        batch: Run[Attribution] = open_run(study.workspace, state.read(BATCH), "attribute")
        draw_group_ranking(study, members, batch=(batch, _group()))
    show_next(study, clustering)


def show_map(clusters: "pd.DataFrame", terms: dict[str, list[str]]) -> None:
    """Draws the map; a click takes a cluster, a lasso any queries."""
    drag = st.segmented_control(
        "Pick",
        list(PICKING),
        default="pan",
        required=True,
        format_func=PICKING.__getitem__,
        key="c_pick",
        bind="query-params",
        label_visibility="collapsed",
    )
    figure.show(
        cluster_map(clusters, terms, drag=drag or "pan"),
        key=MAP,
        alt=f"Map of {len(clusters)} queries in {clusters['cluster'].nunique()} clusters, similar queries near each other.",
        on_select=remember_selection,
        selection=("points", "lasso"),
    )


def remember_selection() -> None:
    """Copies what was selected on the map out of the event: the event itself does not last."""
    points = st.session_state[MAP]["selection"]["points"]
    picked = [point["customdata"] for point in points if point.get("customdata")]
    if not picked:
        return
    state.write(BATCH, "")
    if len(picked) == 1:
        state.write(PICKED_IDS, "")
        st.session_state[GROUP] = str(picked[0][1])
    else:
        state.write(PICKED_IDS, ",".join(str(query) for query, _cluster in picked))
        st.session_state[GROUP] = PICKED


def show_group(clusters: "pd.DataFrame", terms: dict[str, list[str]]) -> "pd.DataFrame":
    """Draws the choice of the group and its queries; returns its rows."""
    names = sorted(clusters["cluster"].unique(), key=lambda name: (len(name), name))
    ids = [name for name in state.read(PICKED_IDS).split(",") if name]
    options = [ALL, *names, *([PICKED] if ids else [])]
    titles = {ALL: "All queries", PICKED: f"Lasso, {len(ids)} queries"}
    chosen = st.selectbox(
        "Group",
        options,
        format_func=lambda name: titles.get(name, f"Cluster {cluster_name(name, terms)}"),
        key=GROUP,
        bind="query-params",
        on_change=_forget_batch,
        help="A cluster, what you took with the lasso, or all queries.",
    )
    members = clusters
    if chosen == PICKED:
        members = clusters[clusters["query_id"].isin(ids)]
    elif chosen != ALL:
        members = clusters[clusters["cluster"] == chosen]
    tables.show(
        members,
        {
            "prompt": tables.text("Prompt", width=230),
            "response": tables.text("Bad answer", width=210),
            "category": tables.text("Category", width=120),
            "cluster": tables.text("Cluster", width=70),
        },
        key="clusters-members",
        height=470,
    )
    return members


def show_next(study: Study, clustering: Run[Clustering]) -> None:
    """Draws the way to Review: every cluster attributed as one batch, then pairs proposed."""
    sent = state.read(SEND)
    if frame.next_step(
        "Send clusters to review",
        disabled=bool(sent),
        why="The pairs are being prepared." if sent else "",
        help="Attributes each cluster as one batch over all training samples and proposes pairs from them in turn: "
        f"{cost_of_a_pass(study)}one pass over the corpus.",
    ):
        state.write(SEND, attribute_clusters(study, clustering).id)
        st.rerun()
    if sent:
        run: Run[Attribution] = open_run(study.workspace, sent, "attribute")
        if runs.watch(run, title="Attributing each cluster over all training samples").state == "done":
            review.propose_for_clusters(study, run)
            frame.go("review", r_reach="all")


def _settings_of(clustering: Run[Clustering] | None) -> ClusterSettings:
    """Reads number of clusters and seed of the run on the screen; the defaults where there is none."""
    if clustering is None:
        return ClusterSettings()
    return from_dict(ClusterSettings, clustering.order.request["cluster"])


def _cluster(study: Study, *, k: int, seed: int) -> None:
    run = study.cluster(ClusterSettings(k=k, seed=seed))
    for name in (PICKED_IDS, BATCH, SINGLE, SEND):
        state.write(name, "")
    state.write(RUN, run.id)
    st.rerun()


def _group() -> str:
    return str(st.session_state.get(GROUP, ALL))


def _forget_batch() -> None:
    state.write(BATCH, "")
    state.write(SINGLE, "")


def _start_batch(study: Study, clustering: Run[Clustering], members: "pd.DataFrame") -> Run[Attribution]:
    """Starts the attribution of the group; one run serves all clusters, and the pairs come from it too."""
    group = _group()
    if group not in {ALL, PICKED}:
        return attribute_clusters(study, clustering)
    queries = [query_of(row, group=group) for row in members.itertuples()]
    return study.attribute(queries, preset(recall="all"), batch=True)


place = frame.open_study_screen("clusters")
if place is not None:
    show(place.study)
