"""Clusters: which queries belong together, and which training samples push towards a group of them as one batch."""

from typing import TYPE_CHECKING, Any

import streamlit as st

from pages.parts import frame, runs, state, tables
from pages.parts.cluster_map import Drag, cluster_map, cluster_name
from pages.parts.group_ranking import SINGLE, draw_group_ranking, query_of
from pages.parts.numbers import three

if TYPE_CHECKING:
    import pandas as pd

    from lancet_core.store.studies import Study

RUN, SEND, PICKED_IDS, BATCH = "c_run", "c_send", "c_ids", "c_batch"
GROUP = "c_group"
ALL, PICKED = "all", "picked"
MAP = "clusters-map"
PICKING: dict[Drag, str] = {
    "pan": "Click a query to take its cluster",
    "lasso": "Draw a lasso around queries",
}
MOST_CLUSTERS = 20


def show(here: state.Here, study: "Study") -> None:
    """Draws the map of a study's queries and what belongs to it."""
    from lancet_core.workbench.attributions import latest_clusters
    from lancet_core.workbench.cases import study_queries

    count = len(study_queries(here.workspace, study))
    if count < 2:
        frame.empty(
            f"{count} queries cannot be grouped. Trace a few bad answers first.", "Open a case", "home"
        )
        return
    newest = latest_clusters(here.workspace, study)
    run_id = state.read(RUN) or (newest.id if newest else "")
    with st.container(horizontal=True, vertical_alignment="bottom", key="clusters-controls"):
        show_controls(here, study, most=min(MOST_CLUSTERS, count), run_id=run_id)
        facts = st.container(horizontal=True, vertical_alignment="bottom")
    if not run_id:
        show_before_the_first(here, study)
        return
    if runs.watch(here.workspace, run_id, title="Clustering the queries").state == "done":
        with facts:
            show_facts(here, run_id)
        show_clusters(here, study, run_id)


def show_controls(here: state.Here, study: "Study", *, most: int, run_id: str) -> None:
    """Draws number of clusters, seed, and the button that clusters anew."""
    shown = _settings_of(here, run_id)
    k = st.slider(
        "Clusters, k",
        2,
        most,
        min(int(shown["k"]), most),
        key="c_k",
        bind="query-params",
        width=260,
        help="Number of K-Means clusters. More clusters: each holds more alike answers, and pairs cover more kinds of them.",
    )
    seed = st.number_input(
        "Seed",
        0,
        None,
        int(shown["seed"]),
        key="c_seed",
        bind="query-params",
        width=110,
        help="Of K-Means and of the map.",
    )
    if run_id and st.button(
        "Cluster again",
        key="clusters-again",
        icon=":material/refresh:",
        help="Starts a run with these settings.",
    ):
        _cluster(here, study, k=int(k), seed=int(seed or 0))


def show_before_the_first(here: state.Here, study: "Study") -> None:
    """Says that nothing is clustered yet, with the button that starts it."""
    with st.container(border=True, key="empty", horizontal_alignment="center"):
        st.markdown(
            "The queries of this study are not grouped yet. Grouping shows which bad answers have one cause."
        )
        if frame.next_step(
            "Cluster the queries", help="K-Means over the model's hidden states, then a UMAP map."
        ):
            _cluster(here, study, k=int(st.session_state["c_k"]), seed=int(st.session_state["c_seed"] or 0))


def show_facts(here: state.Here, run_id: str) -> None:
    """Tells how well the clusters part."""
    from lancet_core.store.runs import get_run

    found = get_run(here.workspace, run_id).summary
    st.metric("Clusters", f"{found['k']}", width="content")
    st.metric(
        "Silhouette",
        three(found.get("silhouette")),
        width="content",
        help="From −1 to 1: how much closer queries are to their own cluster than to the next one. Above .25 the clusters "
        "part well; near 0 they run into each other.",
    )


def show_clusters(here: state.Here, study: "Study", run_id: str) -> None:
    """Draws map, group and its attribution."""
    from lancet_core.store.runs import get_run
    from lancet_core.workbench.attributions import read_clusters

    clusters = read_clusters(here.workspace, run_id).assign(
        cluster=lambda frame: frame["cluster"].astype(str)
    )
    terms = get_run(here.workspace, run_id).summary.get("terms", {})
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
            help="Scores every training sample for the group as one batch: by the mean gradient of its queries.",
        )
    if asked:
        state.write(SINGLE, "")
        state.write(BATCH, _start_batch(here, study, run_id, members))
    if state.read(BATCH):
        draw_group_ranking(here, study, members, batch=(state.read(BATCH), _group()))
    show_next(here, study, run_id)


def show_map(clusters: "pd.DataFrame", terms: dict[str, list[str]]) -> None:
    """Draws the map; a click takes a cluster, a lasso any queries."""
    from pages.parts import figure

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


def show_next(here: state.Here, study: "Study", run_id: str) -> None:
    """Draws the way to Review: every cluster attributed as one batch, then pairs proposed."""
    from lancet_core.workbench.attributions import start_cluster_attribution

    if frame.next_step(
        "Send clusters to review",
        disabled=bool(state.read(SEND)),
        why="The pairs are being prepared." if state.read(SEND) else "",
        help="Attributes each cluster as one batch over all training samples and proposes pairs from them in turn.",
    ):
        state.write(SEND, start_cluster_attribution(here.workspace, study, cluster_run_id=run_id))
        st.rerun()
    sent = state.read(SEND)
    if (
        sent
        and runs.watch(here.workspace, sent, title="Attributing each cluster over all training samples").state
        == "done"
    ):
        _propose(here, study, sent)


def _propose(here: state.Here, study: "Study", attribution: str) -> None:
    from lancet_core.correction.settings import PairSettings
    from lancet_core.workbench import reviews

    reviews.propose(here.workspace, study.name, attribution, PairSettings())
    frame.go("review")


def _settings_of(here: state.Here, run_id: str) -> dict[str, Any]:
    """Reads number of clusters and seed of the run on the screen; the defaults where there is none."""
    from lancet_core.config import to_dict
    from lancet_core.influence.settings import ClusterSettings
    from lancet_core.workbench.runs import show as show_run

    return dict(show_run(here.workspace, run_id).config["cluster"]) if run_id else to_dict(ClusterSettings())


def _cluster(here: state.Here, study: "Study", *, k: int, seed: int) -> None:
    from lancet_core.influence.settings import ClusterSettings
    from lancet_core.workbench.attributions import start_clusters

    started = start_clusters(here.workspace, study, settings=ClusterSettings(k=k, seed=seed))
    for name in (PICKED_IDS, BATCH, SINGLE, SEND):
        state.write(name, "")
    state.write(RUN, started)
    st.rerun()


def _group() -> str:
    return str(st.session_state.get(GROUP, ALL))


def _forget_batch() -> None:
    state.write(BATCH, "")
    state.write(SINGLE, "")


def _start_batch(here: state.Here, study: "Study", run_id: str, members: "pd.DataFrame") -> str:
    """Starts the attribution of the group; one run serves all clusters, and the pairs come from it too."""
    from lancet_core.influence.settings import InfluenceSettings
    from lancet_core.workbench.attributions import start_attribution, start_cluster_attribution

    group = _group()
    if group not in {ALL, PICKED}:
        return start_cluster_attribution(here.workspace, study, cluster_run_id=run_id)
    queries = [query_of(row, group=group) for row in members.itertuples()]
    return start_attribution(
        here.workspace, study, queries=queries, settings=InfluenceSettings(recall="all"), batch=True
    )


place = frame.open_screen("clusters")
if frame.need_study(place) and place.study is not None:
    show(place, place.study)
