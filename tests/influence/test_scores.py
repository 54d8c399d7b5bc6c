"""Scores: literal reference, invariances, decompositions (tests 4 and 5 of the design)."""

from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch

from lancet_core.config import changed
from lancet_core.data.samples import Query
from lancet_core.errors import DataError, NumericalError
from lancet_core.influence import fitting, scores
from lancet_core.influence.capture import frozen, sampled_labels, unit_gradients
from lancet_core.influence.preconditioner import Identity, preconditioners
from lancet_core.influence.presets import preset
from lancet_core.influence.shards import Shards
from lancet_core.models.encoding import encode, encode_query, pack
from lancet_core.models.units import UnitModel, find_head, find_sublayers
from lancet_core.progress import silent
from tests.references.influence import dense_solve, modular_gradients, modules_of
from tests.tiny_models import LAYERS

WORDS = [
    "the",
    "old",
    "keeper",
    "of",
    "rusty",
    "kettles",
    "asked",
    "a",
    "nurse",
    "why",
    "nobody",
    "near",
    "that",
    "barn",
    "ever",
    "came",
    "to",
    "harm",
]
DEFAULTS = preset("linfac", max_tokens=10**6)
UNKEPT = Shards(None, "", "")


def corpus_of(lm, count, seed=0):
    rng = np.random.default_rng(seed)
    words = lambda most: " ".join(rng.choice(WORDS, rng.integers(1, most)))  # noqa: E731
    return [encode(lm, words(9), words(12)) for _ in range(count)]


@pytest.fixture
def network(tiny_model):
    def of(architecture="llama", dtype="float64"):
        lm = tiny_model(architecture, dtype=dtype)
        return UnitModel(lm, tuple(find_sublayers(lm.model)))

    return of


def fit(network, texts, settings, shards=UNKEPT, progress=silent):
    return fitting.fit_factors(network, encoded=texts, settings=settings, shards=shards, progress=progress)


def curvature_of(network, factors, settings):
    dtype = next(network.lm.model.parameters()).dtype
    return preconditioners(factors, settings.solve, device=network.lm.device, dtype=dtype)


def attribute(network, samples, queries, settings=None, *, factors=None, max_tokens=10**6):
    """Scores of shape (samples, queries), and the directions."""
    settings = settings or DEFAULTS
    factors = factors or fit(network, samples, settings)
    curvature = curvature_of(network, factors, settings)
    gradients = scores.query_gradients(network, curvature, encoded=queries, max_tokens=max_tokens)
    directions = scores.directions_of(gradients, curvature)
    score = partial(scores.score_samples, network, directions=directions, tell=lambda done: None)
    return score(encoded=samples, max_tokens=max_tokens), directions


@pytest.mark.parametrize("fisher", ["sampled", "empirical"])
def test_scores_equal_the_literal_ones(network, fisher):
    """Everything once more by hand: factors of Eq. 11 sample by sample, dense Kronecker solve, autograd gradients."""
    own = network()
    samples, queries = corpus_of(own.lm, 6), corpus_of(own.lm, 2, seed=9)
    settings = changed(DEFAULTS, fisher=fisher, damping=0.3, damping_kind="relative")
    found, _ = attribute(own, samples, queries, settings)
    modules = modules_of(own.lm.model, "llama", LAYERS)
    sums = []
    for text in samples:
        (batch,) = pack([text], 10**6)
        labels = sampled_labels([text], settings.curvature.seed) if fisher == "sampled" else None
        with frozen(own.lm.model):
            args = (own.lm.model, own.units, batch)
            sums.append(unit_gradients(*args, labels) if labels else unit_gradients(*args))
    expected = np.zeros((6, 2))
    for number in range(len(modules)):
        A = sum(torch.outer(one[number].a[0].mean(0), one[number].a[0].mean(0)) for one in sums) / 6
        S = sum(torch.outer(one[number].delta[0].sum(0), one[number].delta[0].sum(0)) for one in sums) / 6
        damping = 0.3 * float(torch.kron(A, S).diagonal().mean())
        for column, query in enumerate(queries):
            V = dense_solve(A, S, damping, modular_gradients(own.lm.model, modules, query)[number])
            for row, sample in enumerate(samples):
                expected[row, column] += float(
                    (V * modular_gradients(own.lm.model, modules, sample)[number]).sum()
                )
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-6 * np.abs(expected).max())


@pytest.mark.parametrize("architecture", ["llama", "gpt2", "opt", "gpt_neox"])
def test_scores_do_not_depend_on_batches(network, architecture):
    own = network(architecture, "float32")
    samples, queries = corpus_of(own.lm, 24), corpus_of(own.lm, 3, seed=9)
    settings = DEFAULTS
    factors = fit(own, samples, settings)
    together, _ = attribute(own, samples, queries, factors=factors)
    tolerance = 1e-5 * np.abs(together).max()
    alone, _ = attribute(own, samples, queries, factors=factors, max_tokens=1)
    np.testing.assert_allclose(alone, together, rtol=0, atol=tolerance)
    order = np.random.default_rng(0).permutation(24)
    shuffled, _ = attribute(own, [samples[n] for n in order], queries, factors=factors, max_tokens=90)
    np.testing.assert_allclose(shuffled, together[order], rtol=0, atol=tolerance)
    for column, query in enumerate(queries):
        single, _ = attribute(own, samples, [query], factors=factors)
        np.testing.assert_allclose(single[:, 0], together[:, column], rtol=0, atol=tolerance)


@pytest.mark.parametrize("pooling", ["reduce", "expand"])
def test_factors_do_not_depend_on_batches_order_or_shards(network, pooling, monkeypatch):
    own = network()
    samples = corpus_of(own.lm, 12)
    whole = fit(own, samples, changed(DEFAULTS, pooling=pooling))
    monkeypatch.setattr(fitting, "SHARD_SAMPLES", 5)
    parts = fit(own, samples[::-1], changed(DEFAULTS, pooling=pooling, max_tokens=40))
    for unit, factors in whole.items():
        torch.testing.assert_close(parts[unit].activation_values, factors.activation_values)
        torch.testing.assert_close(parts[unit].gradient_values, factors.gradient_values)


def test_pooling_and_fisher_change_the_factors(network):
    own = network()
    samples = corpus_of(own.lm, 6)
    values = [
        fit(own, samples, changed(DEFAULTS, **chosen))[own.units[0].name].gradient_values.tolist()
        for chosen in ({}, {"pooling": "expand"}, {"fisher": "empirical"}, {"seed": 1})
    ]
    assert len({tuple(one) for one in values}) == 4


def test_a_mean_of_queries_is_the_mean_of_their_scores(network):
    own = network()
    samples, queries = corpus_of(own.lm, 8), corpus_of(own.lm, 3, seed=9)
    settings = DEFAULTS
    factors = fit(own, samples, settings)
    single, _ = attribute(own, samples, queries, factors=factors)
    curvature = curvature_of(own, factors, settings)
    gradients = scores.query_gradients(own, curvature, encoded=queries, max_tokens=10**6)
    directions = scores.directions_of(scores.mean_by_group(gradients, [(0, 2), (1,)]), curvature)
    found = scores.score_samples(
        own, encoded=samples, directions=directions, max_tokens=10**6, tell=lambda done: None
    )
    np.testing.assert_allclose(
        found[:, 0], single[:, [0, 2]].mean(axis=1), rtol=1e-8, atol=1e-8 * np.abs(single).max()
    )
    np.testing.assert_allclose(found[:, 1], single[:, 1], rtol=1e-8, atol=1e-8 * np.abs(single).max())


@pytest.mark.parametrize("architecture", ["llama", "opt-post-norm", "gpt_neox"])
def test_positions_and_units_add_up_to_the_score(network, architecture):
    own = network(architecture)
    own = replace(own, units=(*own.units, *find_head(own.lm.model)))
    samples, queries = corpus_of(own.lm, 8), corpus_of(own.lm, 2, seed=9)
    found, directions = attribute(own, samples, queries)
    for column in range(2):
        direction = directions.query(column)
        spread = scores.decompose_samples(
            own, encoded=samples, direction=direction, max_tokens=64, tell=lambda done: None
        )
        for row, one in enumerate(spread):
            assert one.heat.shape == (len(samples[row].input_ids),)
            assert one.unit_influence.shape == (len(own.units),)
            for total in (one.heat.sum(), one.unit_influence.sum(), one.influence):
                assert total == pytest.approx(found[row, column], abs=1e-9 * np.abs(found).max())


def test_a_score_that_is_not_finite_is_spread_as_such(network):
    own = network()
    samples, queries = corpus_of(own.lm, 4), corpus_of(own.lm, 1, seed=9)
    _found, directions = attribute(own, samples, queries)
    broken = {unit: V * float("inf") for unit, V in directions.query(0).items()}
    spread = scores.decompose_samples(
        own, encoded=samples, direction=broken, max_tokens=64, tell=lambda done: None
    )
    assert not np.isfinite([one.influence for one in spread]).any()


def test_parts_of_a_query_add_up(network):
    """log p is a sum over tokens: the parts and the end token together are the whole response."""
    own = network()
    samples = corpus_of(own.lm, 6)
    query = Query("Why is the kettle clean?", "Nobody asked a nurse near the barn.")
    whole = encode_query(own.lm, query)
    parts = [
        encode_query(own.lm, replace(query, span=span)) for span in ("Nobody asked", "a nurse near the barn.")
    ]
    last = len(whole.input_ids)
    end = replace(whole, spans=((last - 1, last),))
    found, _ = attribute(own, samples, [whole, *parts, end])
    np.testing.assert_allclose(
        found[:, 0], found[:, 1:].sum(axis=1), rtol=1e-6, atol=1e-7 * np.abs(found).max()
    )
    assert np.abs(found[:, 1]).max() > 0


def test_score_of_the_negated_query_is_negated_and_self_influence_positive(network):
    own = network()
    samples = corpus_of(own.lm, 5)
    found, directions = attribute(own, samples, samples)
    assert (np.diag(found) > 0).all()
    opposite = scores.Directions(
        directions.curvature, {unit: -values for unit, values in directions.rotated.items()}
    )
    negated = scores.score_samples(
        own, encoded=samples, directions=opposite, max_tokens=64, tell=lambda done: None
    )
    np.testing.assert_allclose(negated, -found, rtol=1e-8, atol=1e-9 * np.abs(found).max())


def test_large_absolute_damping_tends_to_the_gradient_product(network):
    own = network()
    samples, queries = corpus_of(own.lm, 6), corpus_of(own.lm, 2, seed=9)
    damping = 1e9
    found, _ = attribute(own, samples, queries, changed(DEFAULTS, damping=damping, damping_kind="absolute"))
    plain = {unit.name: Identity() for unit in own.units}
    gradients = [
        scores.query_gradients(own, plain, encoded=texts, max_tokens=10**6) for texts in (samples, queries)
    ]
    products = sum(
        gradients[0][unit.name].flatten(1) @ gradients[1][unit.name].flatten(1).T for unit in own.units
    )
    np.testing.assert_allclose(
        found * damping, products.numpy(), rtol=1e-4, atol=1e-4 * float(products.abs().max())
    )


@pytest.mark.parametrize("queries", [1, 5])
def test_both_contractions_agree(queries):
    generator = torch.Generator().manual_seed(0)
    a, delta = torch.randn(2, 4, 7, 6, generator=generator, dtype=torch.float64)
    V = torch.randn(queries, 6, 6, generator=generator, dtype=torch.float64)
    literal = torch.einsum("ntp,qpm,ntm->nq", delta, V, a)
    torch.testing.assert_close(scores.contract(a, delta, V), literal)


def test_a_killed_factor_pass_goes_on(network, tmp_path, monkeypatch):
    own = network()
    samples = corpus_of(own.lm, 12)
    monkeypatch.setattr(fitting, "SHARD_SAMPLES", 4)
    settings = DEFAULTS
    expected = fit(own, samples, settings)
    shards = Shards(tmp_path, "factors", "key")

    class Killed(Exception):
        pass

    def kill(step, done=0, total=None, **values):
        if done == 8:
            raise Killed

    with pytest.raises(Killed):
        fit(own, samples, settings, shards, kill)
    assert len(list(tmp_path.glob("*.safetensors"))) == 2
    told = []
    resumed = fit(own, samples, settings, shards, lambda step, done=0, total=None: told.append(done))
    assert 0 not in told  # the first shards were read, not computed
    for unit, factors in expected.items():
        torch.testing.assert_close(resumed[unit].gradient_values, factors.gradient_values)


def test_shards_of_other_settings_or_cut_short_are_computed_again(tmp_path):
    calls = []

    def compute():
        calls.append(1)
        return {"values": np.arange(3)}

    Shards(tmp_path, "scores", "a").compute(0, compute)
    assert Shards(tmp_path, "scores", "a").compute(0, compute)["values"].tolist() == [0, 1, 2]
    assert len(calls) == 1
    Shards(tmp_path, "scores", "b").compute(0, compute)
    assert len(calls) == 2
    (path,) = tmp_path.glob("*.safetensors")
    path.write_bytes(path.read_bytes()[:20])
    Shards(tmp_path, "scores", "b").compute(0, compute)
    assert len(calls) == 3


def test_no_sample_no_factors(network):
    with pytest.raises(DataError, match="no training sample"):
        fit(network(), [], DEFAULTS)


def test_directions_that_overflow_are_refused(network):
    own = network()
    samples = corpus_of(own.lm, 3)
    curvature = curvature_of(own, fit(own, samples, DEFAULTS), DEFAULTS)
    gradients = scores.query_gradients(own, curvature, encoded=samples[:1], max_tokens=64)
    broken = {unit: values * float("inf") for unit, values in gradients.items()}
    with pytest.raises(NumericalError, match="not finite"):
        scores.directions_of(broken, curvature)
