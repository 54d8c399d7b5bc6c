"""The gradient index: exact where it keeps everything, close where it does not."""

import numpy as np
import pytest
import torch

from lancet_core.errors import ConfigError
from lancet_core.influence import index, scores
from lancet_core.influence.preconditioner import Identity
from tests.influence.test_preconditioner import SETTINGS, curvature_of, network, texts_of  # noqa: F401


def built(own, curvature, sizes):
    """Numbers of the texts and the lengths of their gradients, numbers of the queries, and the exact scores (samples, queries)."""
    texts = texts_of(own)
    quiet = {"max_tokens": 60, "tell": lambda done: None}
    basis, *of_basis = index.fit_basis(own, curvature, texts=texts, sizes=sizes, **quiet)
    directions = scores.directions_of(
        scores.query_gradients(own, curvature, encoded=texts[:2], max_tokens=10**6), curvature
    )
    numbers, lengths = index.sample_numbers(own, curvature, basis, texts=texts, **quiet)
    for read, again in zip(of_basis, (numbers, lengths), strict=True):
        np.testing.assert_allclose(read, again, rtol=1e-5, atol=1e-5 * np.abs(again).max())
    itself = scores.score_samples(
        own, encoded=texts, directions=directions, normaliser=scores.MeasuredLengths(curvature), **quiet
    )
    exact = scores.score_samples(own, encoded=texts, directions=directions, **quiet)
    np.testing.assert_allclose(exact / lengths[:, None], itself, rtol=1e-5)
    return numbers, lengths, index.query_numbers(curvature, basis, directions), exact


@pytest.fixture
def curvature(network):  # noqa: F811
    return curvature_of(network(), SETTINGS)


@pytest.mark.parametrize("buckets", [64, 1024, 1 << 16])
def test_products_are_scores_but_for_what_falls_into_one_bucket(network, curvature, buckets):  # noqa: F811
    """Five samples span at most five principal directions, so that only the buckets lose anything: √(2 / buckets) of the lengths."""
    numbers, lengths, queries, exact = built(network(), curvature, (buckets, 5))
    assert numbers.shape == (5, 5)
    errors = (numbers @ queries.T - exact) / np.outer(
        lengths, lengths[:2]
    )  # the queries are the first two samples
    assert np.abs(errors).max() < 4 * (2 / buckets) ** 0.5


def test_every_coordinate_has_a_bucket_and_a_sign_of_its_own(network, curvature):  # noqa: F811
    """With far more buckets than coordinates each sum is one coordinate, up to its sign, or nothing."""
    unit, damped = next(iter(curvature.items()))
    basis = index.Basis(index._draw_hashes({unit: damped}, 1 << 22), torch.empty(1 << 22, 0))
    (sketched,) = index.sketched_units({unit: damped}, basis.hashes, 1 << 22).values()
    directions = torch.randn(1, *damped.damped.shape)
    sums = sketched.read_direction(directions)[0]
    expected = damped.whiten_direction(directions).flatten().abs().sort().values
    found = sums[sums != 0]
    np.testing.assert_allclose(found.abs().sort().values, expected, rtol=1e-6)
    assert 0.3 < (found > 0).double().mean() < 0.7


@pytest.mark.parametrize(("precision", "error"), [("int8", 1 / 254), ("float16", 2**-11)])
def test_few_bits_lose_at_most_half_a_step(precision, error):
    numbers = np.random.default_rng(0).normal(size=(7, 50)).astype(np.float32)
    numbers[3] = 0
    stored, scales = index.quantise(numbers, precision)
    assert stored.dtype == precision
    largest = np.abs(numbers).max(axis=1, keepdims=True)
    assert (np.abs(stored * scales[:, None] - numbers) <= error * largest + 1e-7).all()
    queries = np.eye(50, dtype=np.float32)[:4]
    np.testing.assert_allclose(
        index.approximate(stored, scales, queries), (stored * scales[:, None])[:, :4], rtol=1e-5, atol=1e-6
    )


def test_the_strongest_of_both_signs_are_chosen():
    values = np.array([3.0, -5.0, 0.0, 1.0, -2.0, 4.0], dtype=np.float32)
    assert index.strongest(values, 4).tolist() == [0, 1, 4, 5]
    assert index.strongest(values, 3).tolist() == [0, 1, 5]
    assert index.strongest(values, 1).tolist() == [5]
    assert index.strongest(values, 6).tolist() == index.strongest(values, 60).tolist() == [*range(6)]


def test_no_curvature_no_index(network):  # noqa: F811
    own = network()
    nothing = {unit.name: Identity() for unit in own.units}
    with pytest.raises(ConfigError, match="needs a curvature"):
        built(own, nothing, (64, 5))


def test_numbers_do_not_depend_on_batches(network, curvature):  # noqa: F811
    own = network()
    texts = texts_of(own)
    basis, _, _ = index.fit_basis(
        own, curvature, texts=texts, sizes=(512, 4), max_tokens=10**6, tell=lambda done: None
    )
    found = [
        index.sample_numbers(own, curvature, basis, texts=texts, max_tokens=size, tell=lambda done: None)[0]
        for size in (10**6, 1)
    ]
    np.testing.assert_allclose(*found, rtol=1e-5, atol=1e-5 * np.abs(found[0]).max())
