"""The sketch of gradients: exact where it keeps everything, close where it does not."""

import numpy as np
import pytest
import torch

from lancet_core.errors import ConfigError
from lancet_core.influence import scores, sketch
from lancet_core.influence.preconditioner import Identity
from tests.influence.test_preconditioner import SETTINGS, curvature_of, network, texts_of  # noqa: F401


def built(own, curvature, sizes):
    """Projections of the texts and the norms of their gradients, projections of the queries, and exact scores (samples, queries)."""
    texts = texts_of(own)
    quiet = {"max_tokens": 60, "tell": lambda done: None}
    basis, *of_basis = sketch.fit_basis(own, curvature, texts=texts, sizes=sizes, **quiet)
    directions = scores.directions_of(
        scores.query_gradients(own, curvature, encoded=texts[:2], max_tokens=10**6), curvature
    )
    projections, norms = sketch.project_samples(own, curvature, basis, texts=texts, **quiet)
    for read, again in zip(of_basis, (projections, norms), strict=True):
        np.testing.assert_allclose(read, again, rtol=1e-5, atol=1e-5 * np.abs(again).max())
    itself = scores.score_samples(
        own, encoded=texts, directions=directions, normaliser=scores.MeasuredNorms(curvature), **quiet
    )
    exact = scores.score_samples(own, encoded=texts, directions=directions, **quiet)
    np.testing.assert_allclose(exact / norms[:, None], itself, rtol=1e-5)
    return projections, norms, sketch.project_queries(curvature, basis, directions), exact


@pytest.fixture
def curvature(network):  # noqa: F811
    return curvature_of(network(), SETTINGS)


@pytest.mark.parametrize("dimensions", [64, 1024, 1 << 16])
def test_products_are_scores_but_for_what_falls_into_one_dimension(network, curvature, dimensions):  # noqa: F811
    """Five samples span at most five principal directions, so that only the buckets lose anything: √(2 / dimensions) of the lengths."""
    projections, norms, queries, exact = built(network(), curvature, (dimensions, 5))
    assert projections.shape == (5, 5)
    errors = (projections @ queries.T - exact) / np.outer(
        norms, norms[:2]
    )  # the queries are the first two samples
    assert np.abs(errors).max() < 4 * (2 / dimensions) ** 0.5


def test_every_coordinate_has_a_dimension_and_a_sign_of_its_own(network, curvature):  # noqa: F811
    """With far more dimensions than coordinates each is one coordinate, up to its sign, or nothing."""
    unit, damped = next(iter(curvature.items()))
    basis = sketch.Basis(sketch._draw_hashes({unit: damped}, 1 << 22), torch.empty(1 << 22, 0))
    (sketched,) = sketch.sketched_units({unit: damped}, basis.hashes, 1 << 22).values()
    directions = torch.randn(1, *damped.damped.shape)
    sums = sketched.sketch_direction(directions)[0]
    expected = damped.whiten_direction(directions).flatten().abs().sort().values
    found = sums[sums != 0]
    np.testing.assert_allclose(found.abs().sort().values, expected, rtol=1e-6)
    assert 0.3 < (found > 0).double().mean() < 0.7


@pytest.mark.parametrize(("precision", "error"), [("int8", 1 / 254), ("float16", 2**-11)])
def test_few_bits_lose_at_most_half_a_step(precision, error):
    numbers = np.random.default_rng(0).normal(size=(7, 50)).astype(np.float32)
    numbers[3] = 0
    stored, scales = sketch.quantise(numbers, precision)
    assert stored.dtype == precision
    largest = np.abs(numbers).max(axis=1, keepdims=True)
    assert (np.abs(stored * scales[:, None] - numbers) <= error * largest + 1e-7).all()
    queries = np.eye(50, dtype=np.float32)[:4]
    np.testing.assert_allclose(
        sketch.approximate(stored, scales, queries), (stored * scales[:, None])[:, :4], rtol=1e-5, atol=1e-6
    )


def test_the_strongest_of_both_signs_are_chosen():
    values = np.array([3.0, -5.0, 0.0, 1.0, -2.0, 4.0], dtype=np.float32)
    assert sketch.strongest(values, 4).tolist() == [0, 1, 4, 5]
    assert sketch.strongest(values, 3).tolist() == [0, 1, 5]
    assert sketch.strongest(values, 1).tolist() == [5]
    assert sketch.strongest(values, 6).tolist() == sketch.strongest(values, 60).tolist() == [*range(6)]


def test_no_curvature_no_index(network):  # noqa: F811
    own = network()
    nothing = {unit.name: Identity() for unit in own.units}
    with pytest.raises(ConfigError, match="needs a curvature"):
        built(own, nothing, (64, 5))


def test_projections_do_not_depend_on_batches(network, curvature):  # noqa: F811
    own = network()
    texts = texts_of(own)
    basis, _, _ = sketch.fit_basis(
        own, curvature, texts=texts, sizes=(512, 4), max_tokens=10**6, tell=lambda done: None
    )
    found = [
        sketch.project_samples(own, curvature, basis, texts=texts, max_tokens=size, tell=lambda done: None)[0]
        for size in (10**6, 1)
    ]
    np.testing.assert_allclose(*found, rtol=1e-5, atol=1e-5 * np.abs(found[0]).max())
