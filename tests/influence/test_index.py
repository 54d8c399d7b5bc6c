"""The gradient index: exact where it keeps everything, close where it does not."""

import numpy as np
import pytest

from lancet_core.errors import ConfigError
from lancet_core.influence import index, scores
from lancet_core.influence.preconditioner import Identity
from tests.influence.test_preconditioner import SETTINGS, curvature_of, network, texts_of  # noqa: F401


def built(own, curvature, sizes):
    """Numbers of the texts, those of the queries, and the exact scores (samples, queries)."""
    texts = texts_of(own)
    quiet = {"max_tokens": 60, "tell": lambda done: None}
    basis = index.fit_basis(own, curvature, texts=texts, sizes=sizes, **quiet)
    units = index.pooled_units(curvature, basis.coordinates)
    directions = scores.directions_of(
        scores.query_gradients(own, encoded=texts[:2], max_tokens=10**6), curvature
    )
    numbers, lengths = index.sample_numbers(own, curvature, basis, texts=texts, **quiet)
    itself = scores.score_samples(
        own, encoded=texts, directions=directions, normaliser=scores.measured_lengths(curvature), **quiet
    )
    exact = scores.score_samples(own, encoded=texts, directions=directions, **quiet)
    np.testing.assert_allclose(exact / lengths[:, None], itself, rtol=1e-5)
    return numbers, index.query_numbers(units, basis.vectors, directions), exact


@pytest.fixture
def curvature(network):  # noqa: F811
    return curvature_of(network(), SETTINGS)


def test_an_index_of_everything_gives_the_exact_scores(network, curvature):  # noqa: F811
    """Five samples span at most five principal directions of all coordinates: nothing is lost but float32 digits."""
    own = network()
    everything = sum(unit.inputs * unit.outputs for unit in own.units)
    numbers, queries, exact = built(own, curvature, (everything, 5))
    assert numbers.shape == (5, 5)
    np.testing.assert_allclose(numbers @ queries.T, exact, rtol=1e-4, atol=1e-5 * np.abs(exact).max())


def test_a_pool_keeps_the_coordinates_with_most_energy(network, curvature):  # noqa: F811
    own = network()
    errors = []
    for pool in (64, 1024, sum(unit.inputs * unit.outputs for unit in own.units)):
        numbers, queries, exact = built(own, curvature, (pool, 5))
        errors.append(np.abs(numbers @ queries.T - exact).max())
    assert errors == sorted(errors, reverse=True)


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
    basis = index.fit_basis(
        own, curvature, texts=texts, sizes=(512, 4), max_tokens=10**6, tell=lambda done: None
    )
    found = [
        index.sample_numbers(own, curvature, basis, texts=texts, max_tokens=size, tell=lambda done: None)[0]
        for size in (10**6, 1)
    ]
    np.testing.assert_allclose(*found, rtol=1e-5, atol=1e-5 * np.abs(found[0]).max())
