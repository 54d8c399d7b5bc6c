"""The damped curvature as an operator, corrected eigenvalues, and the conjugate-gradient steps, against dense matrices."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from lancet_core.config import changed
from lancet_core.errors import NumericalError
from lancet_core.influence import fitting, scores
from lancet_core.influence.capture import frozen
from lancet_core.influence.factors import FactorSums, Pooled, decompose
from lancet_core.influence.gradients import modular_gradient
from lancet_core.influence.preconditioner import Identity, precondition, preconditioners
from lancet_core.influence.presets import preset
from lancet_core.influence.refinement import DampedFisher, refine
from lancet_core.influence.shards import Shards
from lancet_core.models.encoding import encode
from lancet_core.models.units import UnitModel, find_linears, find_sublayers
from lancet_core.progress import silent
from tests.influence.solving import solved

SETTINGS = preset("linfac", max_tokens=10**6, fisher="empirical", factor_samples=0)
TEXTS = [
    ("May I keep the kettle?", "No, it is not wise."),
    ("Why do you ask me for the rusty kettle near the barn?", "Yes."),
    ("Who?", "Ask the keeper of the old barn for a clean one."),
    ("What should a nurse say?", "Nobody came to harm from it."),
    ("Is the barn near?", "It is near the old keeper, and clean."),
]


@pytest.fixture
def network(tiny_model):
    def of(find=find_sublayers):
        lm = tiny_model("llama", dtype="float64")
        return UnitModel(lm, tuple(find(lm.model)[:3]))

    return of


def texts_of(network):
    return [encode(network.lm, *text) for text in TEXTS]


def fit(network, settings):
    shards = Shards(None, "", "")
    return fitting.fit_factors(
        network, encoded=texts_of(network), settings=settings, shards=shards, progress=silent
    )


def curvature_of(network, settings, factors=None):
    found = factors or fit(network, settings)
    return preconditioners(found, settings.solve, device=torch.device("cpu"), dtype=torch.float64)


def identities(network):
    return {unit.name: Identity() for unit in network.units}


def gradients_of(network, settings=SETTINGS):
    """Per-sequence pseudo-gradients of each unit, shape (samples, P, M), in the order of the texts."""
    found = {unit.name: [] for unit in network.units}
    with frozen(network.lm.model):
        for text in texts_of(network):
            for _, units in fitting.pseudo_gradients(network, [text], settings, [].append):
                for one in units:
                    found[one.unit].append(modular_gradient(one.a, one.delta)[0])
    return {unit: torch.stack(rows) for unit, rows in found.items()}


def some_factors(seed=0):
    generator = torch.Generator().manual_seed(seed)
    roots = [torch.randn(size, 2, generator=generator, dtype=torch.float64) for size in (4, 3)]
    return decompose(FactorSums(*(root @ root.T for root in roots), torch.tensor(1), 1))


def test_self_influence_is_the_product_with_the_own_solve():
    curvature = precondition(some_factors(), damping=0.2, kind="relative")
    generator = torch.Generator().manual_seed(1)
    a, delta = (torch.randn(5, 6, size, generator=generator, dtype=torch.float64) for size in (4, 3))
    gradients = modular_gradient(a, delta)
    expected = (solved(curvature, gradients) * gradients).sum(dim=(1, 2))
    torch.testing.assert_close(curvature.self_influence(a, delta), expected)
    torch.testing.assert_close(Identity().self_influence(a, delta), gradients.square().sum(dim=(1, 2)))


def test_a_diagonal_gradient_factor_is_one_whose_eigenvectors_are_the_coordinates():
    generator = torch.Generator().manual_seed(3)
    pooled = Pooled(
        *(torch.randn(9, size, generator=generator, dtype=torch.float64) for size in (4, 3)),
        torch.tensor(9),
        9,
    )
    sums, diagonal = FactorSums.of(pooled), FactorSums.of(pooled, diagonal=True)
    diagonal.add(pooled)
    sums = sums + FactorSums.of(pooled)
    torch.testing.assert_close(diagonal.gradient, sums.gradient.diagonal())
    literal = decompose(replace(sums, gradient=sums.gradient.diagonal().diag()))
    thin = precondition(decompose(diagonal), damping=0.2, kind="relative")
    full = precondition(literal, damping=0.2, kind="relative")
    a, delta = (torch.randn(5, 6, size, generator=generator, dtype=torch.float64) for size in (4, 3))
    gradients = modular_gradient(a, delta)
    assert thin.gradient_vectors is None
    torch.testing.assert_close(solved(thin, gradients), solved(full, gradients))
    torch.testing.assert_close(thin.self_influence(a, delta), full.self_influence(a, delta))


def test_large_absolute_damping_tends_to_graddot():
    """(Λ + λ)⁻¹ = 1/λ · (1 - Λ/λ + …): at λ = 1e6 times the largest eigenvalue the relative error is at most 1e-6."""
    factors = some_factors()
    damping = 1e6 * float(factors.eigenvalues.max())
    g = torch.randn(2, 3, 4, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    found = solved(precondition(factors, damping=damping, kind="absolute"), g)
    torch.testing.assert_close(found * damping, g, rtol=2e-6, atol=2e-6)


@pytest.mark.parametrize("find", [find_sublayers, find_linears])
def test_corrected_eigenvalues_are_mean_squares_in_the_eigenbasis(network, find, monkeypatch):
    """Λ_ij = (1/N) Σ_n (q_iᵀ g̃_n p_j)², sample by sample; in shards and batches of any size."""
    own = network(find)
    settings = changed(SETTINGS, pooling="expand", eigenvalues="corrected", max_tokens=40)
    monkeypatch.setattr(fitting, "SHARD_SAMPLES", 2)
    factors = fit(own, settings)
    for unit, gradients in gradients_of(own).items():
        one = factors[unit]
        literal = [
            (one.gradient_vectors.T @ gradient @ one.activation_vectors).square() for gradient in gradients
        ]
        torch.testing.assert_close(
            one.corrected, sum(literal) / len(literal), rtol=1e-8, atol=1e-8 * float(literal[0].max())
        )


def test_an_all_zero_factor_is_named():
    nothing = FactorSums(torch.zeros(2, 2).double(), torch.eye(2).double(), torch.tensor(1), 1)
    with pytest.raises(NumericalError, match=r"activation factor of unit layers\.0\.mlp is all zero"):
        decompose(nothing, "layers.0.mlp")


def test_many_steps_reach_the_dense_solve_over_all_units(network):
    """F = (1/N) Σ_n g̃_n g̃_nᵀ with g̃_n the gradients of all units in a row, λ of each unit on its own diagonal."""
    own = network()
    settings = changed(SETTINGS, damping=0.5)
    curvature = curvature_of(own, settings)
    pseudo = gradients_of(own)
    asked = {"encoded": texts_of(own)[:2], "max_tokens": 10**6}
    queries = scores.query_gradients(own, curvature, **asked)
    fisher = DampedFisher(own, texts_of(own), curvature, settings)
    found = refine(fisher, queries, steps=400, progress=silent)
    rows = torch.cat([pseudo[unit].flatten(1) for unit in pseudo], dim=1)
    damping = torch.cat(
        [torch.full((pseudo[unit][0].numel(),), curvature[unit].damping) for unit in pseudo]
    ).double()
    plain = scores.query_gradients(own, identities(own), **asked)
    gradients = torch.cat([plain[unit].flatten(1) for unit in pseudo], dim=1)
    # Woodbury: (D + RᵀR/N)⁻¹ = D⁻¹ - D⁻¹Rᵀ (N + R D⁻¹ Rᵀ)⁻¹ R D⁻¹
    inner = len(rows) * torch.eye(len(rows)).double() + (rows / damping) @ rows.T
    damped = gradients / damping
    exact = damped - (torch.linalg.solve(inner, rows @ damped.T).T @ rows) / damping
    got = torch.cat([found.plain[unit].flatten(1) for unit in pseudo], dim=1)
    torch.testing.assert_close(got, exact, rtol=1e-5, atol=1e-5 * float(exact.abs().max()))


def test_every_step_comes_closer(network):
    own = network()
    curvature = curvature_of(own, changed(SETTINGS, damping=0.5))
    queries = scores.query_gradients(own, curvature, encoded=texts_of(own)[:1], max_tokens=10**6)

    fisher = DampedFisher(own, texts_of(own), curvature, SETTINGS)

    def solution(steps):
        found = refine(fisher, queries, steps=steps, progress=silent)
        return torch.cat([values.flatten() for values in found.plain.values()])

    exact = solution(400)
    errors = [float((solution(steps) - exact).norm()) for steps in (1, 4, 40)]
    assert errors == sorted(errors, reverse=True)
    assert errors[-1] < 0.5 * errors[0]


def test_a_sample_without_gradient_has_a_length_to_divide_by():
    """One row of zeros beside an ordinary one; what is not a number stays so, and is told by who scores."""
    curvature = {"u": precondition(some_factors(), damping=0.2, kind="relative")}
    a, delta = (
        torch.ones(3, 2, curvature["u"].damped.shape[1]),
        torch.ones(3, 2, curvature["u"].damped.shape[0]),
    )
    delta[1], delta[2] = 0.0, float("nan")
    found = scores.UnitGradients(
        "u", a.to(curvature["u"].damped), delta.to(curvature["u"].damped), torch.ones(3, 2)
    )
    lengths = scores.MeasuredNorms(curvature).of((), [found])
    expected = curvature["u"].self_influence(found.a, found.delta)[0].sqrt()
    torch.testing.assert_close(lengths[0], expected)
    assert lengths[1] > 0
    assert 0.0 / lengths[1] == 0
    assert lengths[2].isnan()


def test_normalised_scores_are_divided_by_the_root_of_self_influence(network):
    own = network()
    settings = changed(SETTINGS, damping=0.3)
    curvature = curvature_of(own, settings)
    texts = texts_of(own)
    directions = scores.directions_of(
        scores.query_gradients(own, curvature, encoded=texts[:2], max_tokens=10**6), curvature
    )

    def score(**more):
        return scores.score_samples(
            own, encoded=texts, directions=directions, max_tokens=60, tell=lambda done: None, **more
        )

    plain, normalised = score(), score(normaliser=scores.MeasuredNorms(curvature))
    own_influence = np.zeros(len(texts))
    for unit, gradients in gradients_of(own).items():
        own_influence += (solved(curvature[unit], gradients) * gradients).sum(dim=(1, 2)).numpy()
    np.testing.assert_allclose(normalised, plain / np.sqrt(own_influence)[:, None], rtol=1e-6)
    spread = scores.decompose_samples(
        own, encoded=texts, direction=directions.query(0), max_tokens=60,
        tell=lambda done: None, normaliser=scores.MeasuredNorms(curvature),
    )  # fmt: skip
    np.testing.assert_allclose([one.heat.sum() for one in spread], normalised[:, 0], rtol=1e-6)
