"""Clustering: queries that resemble each other, on a map."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from lancet_core.acts.cluster import CLUSTERS, Clustering, ClusterRequest
from lancet_core.acts.subject import Subject
from lancet_core.data.samples import Query
from lancet_core.errors import DataError, NumericalError
from lancet_core.files import write_table
from lancet_core.influence.clusters import cluster_vectors, lay_out, top_terms, unit_length
from lancet_core.influence.recall import build_tfidf
from lancet_core.models.encoding import encode_conversation
from lancet_core.models.loading import Loader, load_language_model
from lancet_core.models.pooling import mean_hidden_states
from lancet_core.progress import Progress, silent


def run(
    subject: Subject,
    request: ClusterRequest,
    *,
    folder: Path,
    progress: Progress = silent,
    load: Loader = load_language_model,
) -> Clustering:
    """Clusters queries by K-Means and lays them out on a plane; writes `clusters.parquet` into the folder.

    Raises:
        DataError: There is no query, or one does not fit the model's context.
        ModelError: The model cannot be loaded.
    """
    queries = tuple({query.id: query for query in request.queries}.values())
    if not queries:
        raise DataError("there is no query to cluster; give at least one prompt with its answer")
    vectors = _vectors(subject, request, queries, progress=progress, load=load)
    progress("Clustering queries")
    settings = request.cluster
    clusters = cluster_vectors(
        vectors, k=settings.k, seed=settings.seed, kinds=[query.polarity for query in queries]
    )
    progress("Drawing the map")
    layout = lay_out(vectors, settings.seed)
    frame = pd.DataFrame(
        {
            "query_id": [query.id for query in queries],
            "cluster": clusters.labels,
            "x": layout.points[:, 0],
            "y": layout.points[:, 1],
        }
    )
    write_table(folder / CLUSTERS, frame)
    return Clustering(
        k=clusters.k,
        k_reason=clusters.k_reason,
        silhouette=clusters.silhouette,
        terms=top_terms([f"{query.prompt} {query.response}" for query in queries], clusters.labels),
        queries=len(queries),
        layout=layout.method,
        layout_reason=layout.reason,
    )


def _vectors(
    subject: Subject, request: ClusterRequest, queries: Sequence[Query], *, progress: Progress, load: Loader
) -> NDArray[np.float64]:
    """Encodes queries, shape (queries, dimensions)."""
    if request.cluster.encoder == "tfidf":
        texts = pd.DataFrame(
            {"prompt": [query.prompt for query in queries], "response": [query.response for query in queries]}
        )
        return np.asarray(build_tfidf(texts).matrix.toarray(), dtype=np.float64)
    progress("Loading the model")
    lm = load(subject.model)
    encoded = [encode_conversation(lm, query.conversation, subject.template) for query in queries]
    states = mean_hidden_states(lm, encoded, progress)
    broken = np.flatnonzero(~np.isfinite(states).all(axis=1))
    if broken.size:
        raise NumericalError(
            f"query {broken[0] + 1} cannot be clustered: its hidden states are not finite; cluster by words (encoder tfidf), or compute "
            "in float32"
        )
    return unit_length(states)
