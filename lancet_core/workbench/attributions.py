"""Attributions: which training samples push towards an answer and which away; query clusters; how well the ranking holds."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from lancet_core.data.samples import DESIRABLE, UNDESIRABLE, Query
from lancet_core.errors import DataError, StoreError
from lancet_core.evaluation.ranking import RankingReport, ranking_report
from lancet_core.evaluation.settings import MetricSettings
from lancet_core.influence.methods import ALL, CURVATURES, INDEX
from lancet_core.influence.settings import ClusterSettings, InfluenceSettings
from lancet_core.operations.configs import AttributeConfig, ClusterConfig
from lancet_core.runs import launcher
from lancet_core.runs.run_folder import RunFolder
from lancet_core.store.queries import list_queries
from lancet_core.store.runs import RunRecord, get_run, list_runs
from lancet_core.store.studies import Study, get_study
from lancet_core.workbench.cases import study_queries
from lancet_core.workbench.indexes import require_index
from lancet_core.workbench.studies import samples_table
from lancet_core.workbench.waiting import find_same, newest_done, reuse_or_start
from lancet_core.workspace import Workspace

COLUMNS = [
    "query_id",
    "sample_id",
    "prompt",
    "response",
    "influence",
    "percentile",
    "rank",
    "harmful",
    "is_safe",
]


@dataclass(frozen=True)
class TokenHeat:
    """How a sample's influence is spread over its tokens and over the units of the network.

    Attributes:
        tokens: Tokens of prompt and response, as text.
        heat: Influence of each position; they add up to the sample's influence.
        response_start: Index of the first response token.
        units: Names of the units.
        unit_influence: Influence through each unit; they add up to the sample's influence too.
    """

    tokens: tuple[str, ...]
    heat: NDArray[np.float64]
    response_start: int
    units: tuple[str, ...]
    unit_influence: NDArray[np.float64]


def start_trace(workspace: Workspace, study: Study, query: Query, *, settings: InfluenceSettings) -> str:
    """Starts the attribution of one query in the model host, or finds the one that did it.

    Returns:
        Id of the run.
    """
    return start_attribution(workspace, study, queries=[query], settings=settings)


def start_attribution(
    workspace: Workspace,
    study: Study,
    *,
    queries: Sequence[Query],
    settings: InfluenceSettings,
    batch: bool = False,
    top: int = 0,
) -> str:
    """Starts an attribution in the model host, or finds the one that did it.

    Args:
        workspace: Where the study lies.
        study: The study.
        queries: Queries to explain.
        settings: Method, recall, damping and their like.
        batch: Whether the queries of each group are attributed as one.
        top: Scores kept of each sign for each query; 0 keeps all.

    Returns:
        Id of the run.

    Raises:
        DataError: There is no query, or recall needs a gradient index and the study has none that can be searched.
        ConfigError: Recall needs a gradient index and the method cannot be answered from one.
    """
    if not queries:
        raise DataError("there is no query to attribute; give a prompt with its answer, or a file of queries")
    config = _attribution_config(study, tuple(queries), settings=settings, batch=batch, top=top)
    if settings.recall != INDEX:
        return reuse_or_start(workspace, "attribute", config, study=study.name, warm=True)
    index = require_index(study, settings)
    config = replace(config, index=str(index.folder))
    found = find_same(workspace, "attribute", config, study=study.name, since=index.built_at)
    return found.id if found else launcher.start(workspace, "attribute", config, study=study.name, warm=True)


def read_attribution(workspace: Workspace, run_id: str, query_id: str | None = None) -> pd.DataFrame:
    """Reads scored samples beside their texts, labels and harmful scores.

    Args:
        workspace: Where the run lies.
        run_id: A finished attribution.
        query_id: Only this query (or group of a batch); None reads all.

    Returns:
        Columns `COLUMNS`, each query's most positive sample first.

    Raises:
        StoreError: There is no such run, or no such query in it.
        JobError: The run is not done.
        DataError: The study's samples are missing.
    """
    run = _finished(workspace, run_id, "attribute")
    scores = pd.read_parquet(run.folder / "scores.parquet")
    if query_id is not None:
        scores = scores[scores["query_id"] == query_id]
        if scores.empty:
            raise StoreError(f"run {run_id} did not attribute the query {query_id!r}; trace it first")
    samples = samples_table(get_study(workspace, str(run.study))).set_index("id")
    joined = scores.join(samples[["prompt", "response", "harmful", "is_safe"]], on="sample_id")
    order = joined.groupby("query_id", sort=False).ngroup()
    return joined.assign(order=order).sort_values(["order", "rank"], ignore_index=True)[COLUMNS]


def read_summary(workspace: Workspace, run_id: str) -> dict[str, Any]:
    """Reads what an attribution says of itself: `candidates`, `seconds`, `method`, `recall`, `too_long`, `notes` and the rest.

    Raises:
        StoreError: There is no such run.
        JobError: The run is not done.
    """
    return RunFolder(_finished(workspace, run_id, "attribute").folder).result()


def attributed_queries(workspace: Workspace, run_id: str) -> list[Query]:
    """Lists the queries of an attribution, with the group that each was attributed in."""
    values = RunFolder(get_run(workspace, run_id).folder).config["queries"]
    return [Query(**value) for value in values]


def read_tokens(workspace: Workspace, run_id: str, *, query_id: str, sample_id: str) -> TokenHeat | None:
    """Reads how a sample's influence is spread; None where the run did not keep it (samples far from both ends).

    Raises:
        StoreError: There is no such run.
        JobError: The run is not done.
    """
    path = _finished(workspace, run_id, "attribute").folder / "tokens.parquet"
    if not path.is_file():
        return None
    chosen = [("query_id", "==", query_id), ("sample_id", "==", sample_id)]
    rows = pd.read_parquet(path, filters=chosen)
    if rows.empty:
        return None
    row = rows.iloc[0]
    return TokenHeat(
        tokens=tuple(row["tokens"]),
        heat=np.asarray(row["heat"], dtype=np.float64),
        response_start=int(row["response_start"]),
        units=tuple(row["units"]),
        unit_influence=np.asarray(row["unit_influence"], dtype=np.float64),
    )


def start_clusters(
    workspace: Workspace, study: Study, *, settings: ClusterSettings, queries: Sequence[Query] = ()
) -> str:
    """Starts clustering in the model host, or finds the run that did it.

    Args:
        workspace: Where the study lies.
        study: The study.
        settings: Number of clusters, encoder and seed.
        queries: Queries to cluster; empty takes all of the study.

    Returns:
        Id of the run.

    Raises:
        DataError: There are no queries, or fewer than clusters.
    """
    config = clusters_config(study, settings=settings, queries=queries or study_queries(workspace, study))
    return reuse_or_start(workspace, "cluster", config, study=study.name, warm=True)


def clusters_config(study: Study, *, settings: ClusterSettings, queries: Sequence[Query]) -> ClusterConfig:
    """Describes a clustering completely.

    Raises:
        DataError: There are no queries, or fewer than clusters.
    """
    chosen = tuple(queries)
    if not chosen:
        raise DataError(
            f"study {study.name!r} has no query to cluster; trace a bad answer first, or give --queries FILE"
        )
    if len(chosen) < settings.k:
        raise DataError(
            f"{len(chosen)} queries cannot make {settings.k} clusters; set k to at most {len(chosen)}, or add queries"
        )
    return ClusterConfig(
        study=study.name, model=study.model, template=study.template, queries=chosen, cluster=settings
    )


def read_clusters(workspace: Workspace, run_id: str) -> pd.DataFrame:
    """Reads the clusters of queries beside their texts.

    Returns:
        Columns `query_id`, `cluster`, `x`, `y`, `prompt`, `response`, `polarity`, `category`.

    Raises:
        StoreError: There is no such run.
        JobError: The run is not done.
    """
    run = _finished(workspace, run_id, "cluster")
    clusters = pd.read_parquet(run.folder / "clusters.parquet")
    queries = attributed_queries(workspace, run_id)
    texts = pd.DataFrame(
        {
            "query_id": [query.id for query in queries],
            "prompt": [query.prompt for query in queries],
            "response": [query.response for query in queries],
            "polarity": [query.polarity for query in queries],
        }
    ).drop_duplicates("query_id")
    known = list_queries(workspace, str(run.study)).set_index("id")["category"]
    joined = clusters.merge(texts, on="query_id", how="left")
    return joined.assign(category=joined["query_id"].map(known).fillna(""))


def latest_clusters(workspace: Workspace, study: Study) -> RunRecord | None:
    """Finds the newest finished clustering of a study."""
    return newest_done(list_runs(workspace, study=study.name, operation="cluster"))


def latest_batch_attribution(workspace: Workspace, study: Study) -> RunRecord | None:
    """Finds the newest finished attribution of query batches over the whole corpus: what pairs are proposed from."""
    runs = list_runs(workspace, study=study.name, operation="attribute")
    return newest_done([run for run in runs if is_whole_corpus_batch(run)])


def is_whole_corpus_batch(run: RunRecord) -> bool:
    """Whether an attribution scored every training sample by influence for batches of queries, and kept every score."""
    values = json.loads((run.folder / "config.json").read_text(encoding="utf-8"))["config"]
    settings = values["influence"]
    every = settings["recall"] == ALL and values["top"] == 0
    return bool(values["batch"]) and every and settings["method"] in CURVATURES


def cluster_batches(clusters: pd.DataFrame) -> list[Query]:
    """Lists clustered queries with their cluster as the group to be attributed as one; wanted answers stand apart."""
    columns = (clusters["prompt"], clusters["response"], clusters["polarity"], clusters["cluster"])
    return [
        Query(
            prompt,
            response,
            polarity,
            group=str(cluster) if polarity == UNDESIRABLE else f"{cluster} {polarity}",
        )
        for prompt, response, polarity, cluster in zip(*columns, strict=True)
    ]


def start_cluster_attribution(
    workspace: Workspace, study: Study, *, cluster_run_id: str, settings: InfluenceSettings | None = None
) -> str:
    """Starts attributing each cluster as one batch over the whole corpus, or finds the run that did it.

    Args:
        workspace: Where the study lies.
        study: The study.
        cluster_run_id: A finished clustering.
        settings: Method and its settings; the recall is always all.

    Returns:
        Id of the run.
    """
    config = cluster_attribution_config(workspace, study, cluster_run_id=cluster_run_id, settings=settings)
    return reuse_or_start(
        workspace, "attribute", config, study=study.name, parents=(cluster_run_id,), warm=True
    )


def cluster_attribution_config(
    workspace: Workspace, study: Study, *, cluster_run_id: str, settings: InfluenceSettings | None = None
) -> AttributeConfig:
    """Describes the attribution of each cluster over the whole corpus completely; arguments as where it is started."""
    queries = tuple(cluster_batches(read_clusters(workspace, cluster_run_id)))
    whole = replace(settings or InfluenceSettings(), recall=ALL)
    return _attribution_config(study, queries, settings=whole, batch=True)


def _attribution_config(
    study: Study, queries: tuple[Query, ...], *, settings: InfluenceSettings, batch: bool, top: int = 0
) -> AttributeConfig:
    return AttributeConfig(
        study=study.name,
        model=study.model,
        samples=str(study.samples),
        template=study.template,
        queries=queries,
        influence=settings,
        batch=batch,
        top=top,
        factors=str(study.factors),
    )


def audit(
    workspace: Workspace, run_id: str, *, query_id: str | None = None, settings: MetricSettings | None = None
) -> RankingReport:
    """Measures how an attribution ranks the samples that are labelled unsafe.

    Args:
        workspace: Where the run lies.
        run_id: A finished attribution.
        query_id: Only this query (or group); None takes all.
        settings: Draws and confidence of the intervals.

    Returns:
        Average precision, chance, curve and band.

    Raises:
        NumericalError: No candidate is labelled unsafe.
        StoreError: There is no such run or query.
        JobError: The run is not done.
    """
    scores = read_attribution(workspace, run_id, query_id)
    samples = (
        scores[["sample_id", "is_safe"]].drop_duplicates("sample_id").rename(columns={"sample_id": "id"})
    )
    queries = attributed_queries(workspace, run_id)
    wanted = {query.group or query.id for query in queries if query.polarity == DESIRABLE}
    return ranking_report(scores, samples, settings, desirable=wanted)


def _finished(workspace: Workspace, run_id: str, operation: str) -> RunRecord:
    """Looks up a finished run of one operation.

    Raises:
        StoreError: There is no such run, or it is of another operation.
        JobError: It is not done.
    """
    run = get_run(workspace, run_id)
    if run.operation != operation:
        raise StoreError(
            f"run {run_id} is no {operation} run but {run.operation}; list them: lancet runs list"
        )
    RunFolder(run.folder).result()
    return run
