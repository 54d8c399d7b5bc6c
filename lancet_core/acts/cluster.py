"""Clustering: queries that resemble each other, on a map."""

from dataclasses import dataclass, field

import pandas as pd

from lancet_core.acts.results import Result
from lancet_core.data.samples import UNDESIRABLE, Query
from lancet_core.influence.settings import ClusterSettings

CLUSTERS = "clusters.parquet"


@dataclass(frozen=True)
class ClusterRequest:
    """What to cluster, and how.

    Attributes:
        queries: What is clustered.
        cluster: Number of clusters, encoder and seed.
    """

    queries: tuple[Query, ...]
    cluster: ClusterSettings = ClusterSettings()

    @property
    def title(self) -> str:
        """What is asked, in words."""
        return f"{len(self.queries)} queries in {self.cluster.k} clusters"

    @property
    def grouped_queries(self) -> tuple[tuple[str, str], ...]:
        """Id of each query; its group is what the clustering finds out."""
        return tuple((query.id, "") for query in self.queries)


@dataclass(frozen=True)
class Clustering(Result):
    """Clusters of queries.

    Attributes:
        k: Number of clusters.
        k_reason: Why there are fewer than asked for; empty where there are not.
        silhouette: How well they part, in [-1, 1]; None where undefined.
        terms: Cluster to its most telling words.
        queries: How many were clustered.
        layout: How the map was made.
        layout_reason: Why in this way.
    """

    k: int = 0
    k_reason: str = ""
    silhouette: float | None = None
    terms: dict[str, list[str]] = field(default_factory=dict)
    queries: int = 0
    layout: str = ""
    layout_reason: str = ""

    @property
    def outcome(self) -> str:
        """How many clusters there are."""
        return f"{self.k} clusters"

    @property
    def assignments(self) -> pd.DataFrame:
        """Cluster and place on the map of each query: `query_id`, `cluster` (text), `x`, `y`."""
        table = pd.read_parquet(self.folder / CLUSTERS)
        return table.assign(cluster=table["cluster"].astype(str))


def batches(members: pd.DataFrame) -> list[Query]:
    """Lists clustered queries with their cluster as the group to be attributed as one; wanted answers stand apart.

    Args:
        members: `prompt`, `response`, `messages`, `polarity` and `cluster` of each query.
    """
    columns = (members[name] for name in ("prompt", "response", "messages", "polarity", "cluster"))
    return [
        Query(
            prompt,
            response,
            polarity,
            group=str(cluster) if polarity == UNDESIRABLE else f"{cluster} {polarity}",
            messages=messages,
        )
        for prompt, response, messages, polarity, cluster in zip(*columns, strict=True)
    ]
