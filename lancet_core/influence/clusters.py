"""Query clusters: queries that resemble each other are attributed as one batch. Torch-free: it takes vectors."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lancet_core.errors import DataError

TERMS_EACH = 5
_FEWEST_FOR_UMAP = 10
_NEIGHBOURS = 15
_PCA_REASON = (
    "UMAP needs at least {fewest} queries to find neighbourhoods; with {count} the map is drawn by PCA"
)
Vectors = NDArray[np.float64]


@dataclass(frozen=True)
class Clusters:
    """Queries by cluster, the largest cluster first.

    Attributes:
        labels: Cluster of each query, from 0.
        k: Number of clusters.
        k_reason: Why `k` is not the number asked for, "" where it is.
        silhouette: Mean silhouette coefficient, between -1 and 1; None for a single cluster, or clusters of one query each.
    """

    labels: NDArray[np.int64]
    k: int
    k_reason: str
    silhouette: float | None


@dataclass(frozen=True)
class Layout:
    """A flat map of queries.

    Attributes:
        points: Coordinates, shape (queries, 2).
        method: `umap` or `pca`.
        reason: Why it is not UMAP, "" where it is.
    """

    points: Vectors
    method: str
    reason: str


def unit_length(vectors: Vectors) -> Vectors:
    """Scales vectors to norm 1 after taking off their mean: mean hidden states share one large direction.

    Vectors equal to the mean stay 0.
    """
    from sklearn.preprocessing import normalize

    return np.asarray(normalize(vectors - vectors.mean(axis=0)))


def cluster_vectors(vectors: Vectors, *, k: int, seed: int, kinds: Sequence[str]) -> Clusters:
    """Clusters queries by K-Means.

    Queries of different polarity never share a cluster: attributed as one batch they would cancel.

    Args:
        vectors: One row for each query.
        k: Clusters wanted; no more than there are distinct vectors are made, and `k_reason` says so.
        seed: Seed of the starts.
        kinds: Polarity of each query.

    Raises:
        DataError: There is no query.
    """
    from sklearn.cluster import KMeans
    from sklearn.metrics import silhouette_score

    if not len(vectors):
        raise DataError("there is no query to cluster; give at least one prompt with its answer")
    distinct = len(np.unique(vectors, axis=0))
    possible = min(k, distinct)
    assigned = KMeans(n_clusters=possible, n_init=10, random_state=seed).fit_predict(vectors)
    labels = _by_size([f"{label}/{kind}" for label, kind in zip(assigned, kinds, strict=True)])
    count = len(set(labels.tolist()))
    measurable = 1 < count < len(vectors)
    return Clusters(
        labels=labels,
        k=count,
        k_reason=_reason(wanted=k, possible=possible, made=count),
        silhouette=float(silhouette_score(vectors, labels)) if measurable else None,
    )


def top_terms(texts: Sequence[str], labels: NDArray[np.int64]) -> dict[str, list[str]]:
    """Names clusters by the words whose TF-IDF stands out most against the other clusters.

    Returns:
        Cluster (as text) to at most five words, the most distinctive first; none where the texts hold no word.
    """
    from sklearn.feature_extraction.text import TfidfVectorizer

    names = [str(label) for label in sorted(set(labels.tolist()))]
    vectorizer = TfidfVectorizer(stop_words="english", sublinear_tf=True)
    try:
        matrix = vectorizer.fit_transform(texts).toarray()
    except ValueError:  # scikit-learn's word for texts that hold nothing but stop words
        return {name: [] for name in names}
    words = vectorizer.get_feature_names_out()
    terms = {}
    for name in names:
        members = labels == int(name)
        rest = matrix[~members].mean(axis=0) if (~members).any() else np.zeros(matrix.shape[1])
        lift = matrix[members].mean(axis=0) - rest
        order = np.argsort(-lift, kind="stable")[:TERMS_EACH]
        terms[name] = [str(words[place]) for place in order if lift[place] > 0]
    return terms


def lay_out(vectors: Vectors, seed: int) -> Layout:
    """Lays queries out on a plane by UMAP, or by PCA where there are too few."""
    if len(vectors) < _FEWEST_FOR_UMAP:
        reason = _PCA_REASON.format(fewest=_FEWEST_FOR_UMAP, count=len(vectors))
        return Layout(_principal_plane(vectors), "pca", reason)
    return Layout(_umap(vectors, seed), "umap", "")


def _umap(vectors: Vectors, seed: int) -> Vectors:
    import warnings

    from umap import UMAP

    with warnings.catch_warnings():
        # It warns that a fixed seed forbids threads, which is what we want.
        warnings.simplefilter("ignore", UserWarning)
        reducer: Any = UMAP(
            n_neighbors=min(_NEIGHBOURS, len(vectors) - 1), metric="cosine", init="random", random_state=seed
        )
        return np.asarray(reducer.fit_transform(vectors), dtype=np.float64)


def _principal_plane(vectors: Vectors) -> Vectors:
    centred = vectors - vectors.mean(axis=0)
    left, values, _ = np.linalg.svd(centred, full_matrices=False)
    plane = (left * values)[:, :2]
    return np.pad(plane, ((0, 0), (0, 2 - plane.shape[1])))


def _by_size(names: Sequence[str]) -> NDArray[np.int64]:
    """Numbers named clusters from the largest; of equals the one that occurs first comes first."""
    order = sorted(dict.fromkeys(names), key=lambda name: -names.count(name))
    return np.array([order.index(name) for name in names], dtype=np.int64)


def _reason(*, wanted: int, possible: int, made: int) -> str:
    if possible < wanted:
        return f"{wanted} clusters were asked for, {made} were made: no more than {possible} queries differ"
    if made > wanted:
        return f"desirable and undesirable answers are kept apart, which makes {made} clusters of {wanted}"
    return ""
