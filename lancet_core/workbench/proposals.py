"""The way from a traced case to pairs for review: clusters, attribution of each cluster, pairs."""

from dataclasses import dataclass

from lancet_core.correction.settings import PairSettings
from lancet_core.data.samples import Query
from lancet_core.influence.settings import ClusterSettings
from lancet_core.store.runs import RunRecord
from lancet_core.store.studies import Study
from lancet_core.workbench import reviews
from lancet_core.workbench.attributions import (
    attributed_queries,
    latest_batch_attribution,
    latest_clusters,
    start_cluster_attribution,
    start_clusters,
)
from lancet_core.workbench.cases import add_case, study_queries
from lancet_core.workspace import Workspace


@dataclass(frozen=True)
class ReviewStart:
    """How far a case is on its way to review.

    Attributes:
        waiting_for: Runs that must be done first; empty when the pairs are ready.
        step: What is being done, in words.
        pairs: Pairs that are ready; 0 while a run is going.
    """

    waiting_for: tuple[str, ...]
    step: str
    pairs: int = 0


def send_to_review(workspace: Workspace, study: Study, query: Query) -> ReviewStart:
    """Takes the next step from a case to pairs for review; call it again when the runs it names are done.

    The study's queries, this case among them, are clustered; each cluster is attributed as one batch over the whole
    corpus; pairs are proposed from that. What is done already is not done again.

    Args:
        workspace: Where the study lies.
        study: The study.
        query: The case.

    Returns:
        What to wait for, or that the pairs are ready.

    Raises:
        DataError: No pair can be made.
        JobError: A worker cannot be started.
    """
    if query.id not in {known.id for known in study_queries(workspace, study)}:
        add_case(workspace, study, prompt=query.prompt, response=query.response, polarity=query.polarity)
    batch = latest_batch_attribution(workspace, study)
    if batch is not None and _covers(workspace, batch, query):
        pairs = reviews.propose(workspace, study.name, batch.id, PairSettings())
        return ReviewStart((), "Pairs are proposed", pairs)
    clusters = latest_clusters(workspace, study)
    if clusters is None or not _covers(workspace, clusters, query):
        return ReviewStart((start_study_clusters(workspace, study),), "Clustering the queries")
    run_id = start_cluster_attribution(workspace, study, cluster_run_id=clusters.id)
    return ReviewStart((run_id,), "Attributing each cluster over the whole corpus")


def start_study_clusters(workspace: Workspace, study: Study) -> str:
    """Starts clustering all queries of a study, in the default number of clusters or as many as there are queries.

    Returns:
        Id of the run.

    Raises:
        DataError: The study has no query.
    """
    count = max(1, min(ClusterSettings().k, len(study_queries(workspace, study))))
    return start_clusters(workspace, study, settings=ClusterSettings(k=count))


def _covers(workspace: Workspace, run: RunRecord, query: Query) -> bool:
    return query.id in {known.id for known in attributed_queries(workspace, run.id)}
