"""Attributions of a study: of one answer, of query clusters; what there is, and what a new one would take."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pandas as pd

from lancet_core.acts.attribute import AttributeRequest, Attribution
from lancet_core.acts.cluster import Clustering, ClusterRequest, batches
from lancet_core.acts.heat import Heat, HeatRequest
from lancet_core.acts.subject import Subject
from lancet_core.config import from_dict
from lancet_core.data.samples import Query
from lancet_core.errors import ConfigError, DataError, JobError, StoreError
from lancet_core.influence.methods import ALL, INDEX
from lancet_core.influence.presets import preset
from lancet_core.influence.settings import ClusterSettings, InfluenceSettings, RecallSettings
from lancet_core.runs import launcher
from lancet_core.runs.launcher import Task
from lancet_core.runs.run import Run, list_runs
from lancet_core.store.queries import list_queries, read_queries
from lancet_core.store.runs import RunFilter, queries_of
from lancet_core.store.studies import StudyRecord
from lancet_core.study.indexes import require_index
from lancet_core.study.subjects import computed_as, subject_of

ATTRIBUTE, CLUSTER, HEAT = "attribute", "cluster", "heat"


def attribute(
    study: StudyRecord,
    queries: Sequence[Query],
    settings: InfluenceSettings | None = None,
    *,
    batch: bool = False,
    top: int = 0,
    parents: tuple[str, ...] = (),
) -> Run[Attribution]:
    """Scores training samples for some answers, or finds the run that did.

    Args:
        study: The study.
        queries: Answers whose cause is sought.
        settings: Method, recall, damping and their like.
        batch: Whether the queries of each group are attributed as one.
        top: Scores kept of each sign for each query; 0 keeps all.
        parents: Runs whose results the queries come from.

    Raises:
        DataError: There is no query, or recall needs a gradient index and the study has none that can be searched.
        ConfigError: Recall needs a gradient index and the method cannot be answered from one.
        JobError: No worker can be started.
    """
    task = attribution_task(study, queries, settings, batch=batch, top=top, parents=parents)
    return _run(study, task)


def find_attribution(
    study: StudyRecord,
    queries: Sequence[Query],
    settings: InfluenceSettings | None = None,
    *,
    batch: bool = False,
) -> Run[Attribution] | None:
    """Finds the newest run that was asked the same, whatever became of it; starts nothing.

    Raises:
        DataError: Recall needs a gradient index and the study has none that can be searched.
    """
    record = launcher.find(study.workspace, attribution_task(study, queries, settings, batch=batch))
    return None if record is None else Run(study.workspace, record)


def attribution_task(
    study: StudyRecord,
    queries: Sequence[Query],
    settings: InfluenceSettings | None = None,
    *,
    batch: bool = False,
    top: int = 0,
    parents: tuple[str, ...] = (),
) -> Task:
    """Describes an attribution completely; arguments as in `attribute`.

    Raises:
        DataError: There is no query, or recall needs a gradient index and there is none.
        ConfigError: Recall needs a gradient index and the method cannot be answered from one.
    """
    if not queries:
        raise DataError("there is no query to attribute; give a prompt with its answer, or a file of queries")
    settings = computed_as(study, settings or preset())
    index = require_index(study, settings).manifest.key if settings.recall.kind == INDEX else ""
    # The category changes no score: equal questions stay equal.
    asked = tuple(replace(query, category="") for query in queries)
    request = AttributeRequest(asked, settings, batch=batch, top=top, index=index)
    case_id = queries[0].id if len(queries) == 1 else ""
    return Task(ATTRIBUTE, subject_of(study), request, case_id=case_id, parents=parents)


def cluster(
    study: StudyRecord, settings: ClusterSettings | None = None, *, queries: Sequence[Query] = ()
) -> Run[Clustering]:
    """Groups queries that resemble each other, or finds the run that did.

    Args:
        study: The study.
        settings: Number of clusters, encoder and seed; None takes the default number, or as many as there are queries.
        queries: Queries to cluster; empty takes all of the study.

    Raises:
        DataError: There are no queries, or fewer than clusters.
        JobError: No worker can be started.
    """
    return _run(study, cluster_task(study, settings, queries=queries))


def cluster_task(
    study: StudyRecord, settings: ClusterSettings | None = None, *, queries: Sequence[Query] = ()
) -> Task:
    """Describes a clustering completely; arguments as in `cluster`.

    Raises:
        DataError: There are no queries, or fewer than clusters.
    """
    chosen = tuple(queries or read_queries(study))
    if not chosen:
        raise DataError(
            f"study {study.name!r} has no query to cluster; trace a bad answer first, or give --queries FILE"
        )
    if settings is None:
        usual = ClusterSettings()
        settings = replace(usual, k=min(usual.k, len(chosen)))
    if len(chosen) < settings.k:
        raise DataError(
            f"{len(chosen)} queries cannot make {settings.k} clusters; set k to at most {len(chosen)}, or add queries"
        )
    return Task(CLUSTER, subject_of(study), ClusterRequest(chosen, settings))


def latest_clustering(study: StudyRecord) -> Run[Clustering] | None:
    """Finds the newest finished clustering of a study."""
    runs = list_runs(study.workspace, RunFilter(study=study.name, act=CLUSTER))
    return next((run for run in runs if run.record.is_done), None)


def read_clusters(study: StudyRecord, clustering: Run[Clustering]) -> pd.DataFrame:
    """Reads the clusters of queries beside their texts.

    Returns:
        Columns `query_id`, `cluster`, `x`, `y`, `prompt`, `response`, `messages`, `polarity`, `category`.

    Raises:
        JobError: The run is not done.
    """
    queries = [Query(**query) for query in clustering.order.request["queries"]]
    texts = pd.DataFrame(
        {
            "query_id": [query.id for query in queries],
            "prompt": [query.prompt for query in queries],
            "response": [query.response for query in queries],
            "messages": [query.messages for query in queries],
            "polarity": [query.polarity for query in queries],
        }
    ).drop_duplicates("query_id")
    categories = list_queries(study).set_index("id")["category"]
    joined = clustering.result.assignments.merge(texts, on="query_id", how="left")
    return joined.assign(category=joined["query_id"].map(categories).fillna(""))


def attribute_clusters(
    study: StudyRecord, clustering: Run[Clustering], settings: InfluenceSettings | None = None
) -> Run[Attribution]:
    """Attributes each cluster as one batch over the whole corpus, or finds the run that did.

    Raises:
        JobError: The clustering is not done, or no worker can be started.
    """
    return _run(study, clusters_attribution_task(study, clustering, settings))


def heat(study: StudyRecord, run: Run[Attribution], query_id: str, sample_id: str) -> Run[Heat]:
    """Spreads a sample's influence over its tokens and units, or finds the run that did.

    Args:
        study: The study.
        run: A finished attribution by gradients.
        query_id: Its query, or group of a batch.
        sample_id: A sample that was scored.

    Raises:
        ConfigError: The scores come from no gradients, or were imported.
        StoreError: The query was not attributed in this run.
        JobError: The run is not done, or no worker can be started.
    """
    if not run.result.takes_gradients:
        raise ConfigError(
            f"the scores of run {run.id} ({run.result.method}) come from no gradient of ours, so they spread over no tokens; attribute "
            "the query with one of lancet's methods by gradients"
        )
    order = run.order
    members = next((group.members for group in run.result.queries if group.query_id == query_id), ())
    queries = [query for query in (Query(**each) for each in order.request["queries"]) if query.id in members]
    if not queries:
        raise StoreError(f"run {run.id} did not attribute the query {query_id!r}; trace it first")
    influence = from_dict(InfluenceSettings, order.request["influence"])
    request = HeatRequest(tuple(queries), query_id, sample_id, influence)
    return _run(study, Task(HEAT, from_dict(Subject, order.subject), request, parents=(run.id,)))


def find_clusters_attribution(
    study: StudyRecord, clustering: Run[Clustering], settings: InfluenceSettings | None = None
) -> Run[Attribution] | None:
    """Finds the newest run that attributed these clusters, whatever became of it; starts nothing."""
    record = launcher.find(study.workspace, clusters_attribution_task(study, clustering, settings))
    return None if record is None else Run(study.workspace, record)


def clusters_attribution_task(
    study: StudyRecord, clustering: Run[Clustering], settings: InfluenceSettings | None = None
) -> Task:
    """Describes the attribution of each cluster over the whole corpus completely."""
    queries = batches(read_clusters(study, clustering))
    whole = replace(settings or preset(), recall=RecallSettings(ALL))
    return attribution_task(study, queries, whole, batch=True, parents=(clustering.id,))


def latest_corpus_attribution(study: StudyRecord) -> Run[Attribution] | None:
    """Finds the newest finished attribution of query clusters over the whole corpus by gradients; None where there is none."""
    for run, result in finished_attributions(study):
        request = run.order.request
        whole = request.get("batch") and not request.get("top") and result.recall == ALL
        if whole and result.takes_gradients:
            return run
    return None


def finished_attributions(study: StudyRecord) -> Iterator[tuple[Run[Attribution], Attribution]]:
    """Lists finished attributions with what they found, newest first; one whose folder is broken is passed over."""
    for run in list_runs(study.workspace, RunFilter(study=study.name, act=ATTRIBUTE)):
        if not run.record.is_done:
            continue
        try:
            _order, result = run.order, run.result
        except JobError:
            continue
        yield run, result


@dataclass(frozen=True)
class CaseCluster:
    """The query cluster that a case was attributed in, over the whole corpus.

    Attributes:
        run: The attribution of all clusters.
        name: Name of the cluster.
        size: Queries in it.
    """

    run: Run[Attribution]
    name: str
    size: int


def cluster_of_case(study: StudyRecord, case_id: str) -> CaseCluster | None:
    """Finds the newest finished attribution of a query batch that holds a case; None where there is none."""
    runs = list_runs(study.workspace, RunFilter(study=study.name, act=ATTRIBUTE, within=case_id))
    for run in runs:
        groups = dict(queries_of(study.workspace, run.id))
        if run.record.is_done and groups[case_id] != case_id:
            return CaseCluster(
                run, groups[case_id], sum(group == groups[case_id] for group in groups.values())
            )
    return None


def _run(study: StudyRecord, task: Task) -> Run[Any]:
    return Run(study.workspace, launcher.find_or_start(study.workspace, task))
