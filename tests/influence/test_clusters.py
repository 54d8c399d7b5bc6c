"""Clusters of queries."""

import numpy as np
import pytest

from lancet_core.errors import DataError
from lancet_core.influence.clusters import cluster_vectors, lay_out, top_terms, unit_length


def blobs(sizes, seed=0):
    rng = np.random.default_rng(seed)
    centres = np.eye(len(sizes), 6) * 10
    return np.concatenate(
        [centre + rng.normal(size=(size, 6)) * 0.1 for centre, size in zip(centres, sizes, strict=True)]
    )


def test_planted_clusters_are_found_largest_first():
    found = cluster_vectors(blobs([4, 9, 6]), k=3, seed=0, kinds=["undesirable"] * 19)
    assert found.labels.tolist() == [2] * 4 + [0] * 9 + [1] * 6
    assert (found.k, found.k_reason) == (3, "")
    assert found.silhouette > 0.9


def test_fewer_queries_than_clusters_is_told():
    found = cluster_vectors(blobs([2]), k=5, seed=0, kinds=["undesirable"] * 2)
    assert found.k == 2
    assert "5 clusters were asked for, 2 were made" in found.k_reason
    assert found.silhouette is None
    with pytest.raises(DataError, match="no query"):
        cluster_vectors(np.empty((0, 3)), k=2, seed=0, kinds=[])


def test_polarities_are_kept_apart():
    found = cluster_vectors(blobs([4, 4]), k=2, seed=0, kinds=["undesirable", "desirable"] * 4)
    assert found.k == 4
    assert "kept apart" in found.k_reason
    assert found.labels[0] != found.labels[1]


def test_terms_tell_clusters_apart():
    texts = ["the kettle is rusty", "a rusty kettle", "nurses give medicine", "medicine for nurses"]
    terms = top_terms(texts, np.array([0, 0, 1, 1]))
    assert set(terms["0"][:2]) == {"kettle", "rusty"}
    assert "medicine" in terms["1"]
    assert top_terms(["the", "of"], np.array([0, 0])) == {"0": []}


@pytest.mark.parametrize(("count", "method"), [(1, "pca"), (9, "pca"), (12, "umap")])
def test_the_map_says_how_it_was_made(count, method):
    vectors = unit_length(blobs([count]))
    layout = lay_out(vectors, seed=0)
    assert layout.points.shape == (count, 2)
    assert np.isfinite(layout.points).all()
    assert layout.method == method
    assert bool(layout.reason) == (method == "pca")
    np.testing.assert_allclose(lay_out(vectors, seed=0).points, layout.points)
