"""Factors and the damped solve against dense matrices in float64 (tests 1 and 2 of the design)."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lancet_core.errors import ModelError, NumericalError
from lancet_core.influence.factors import (
    POOLINGS,
    FactorSums,
    covariances,
    decompose,
    load_factors,
    pool_expand,
    pool_reduce,
    save_factors,
)
from lancet_core.influence.preconditioner import precondition
from tests.influence.solving import solved
from tests.references.influence import dense_solve


def ragged(lengths, width, seed):
    """Random rows of these lengths, and the mask of real positions; rubbish stands where padding is."""
    generator = torch.Generator().manual_seed(seed)
    values = torch.randn(len(lengths), max(lengths), width, generator=generator, dtype=torch.float64)
    return values, torch.arange(max(lengths)) < torch.tensor(lengths)[:, None]


@given(
    lengths=st.lists(st.integers(1, 5), min_size=1, max_size=4),
    M=st.integers(1, 4),
    P=st.integers(1, 3),
    R=st.integers(1, 3),
)
@settings(max_examples=25, deadline=None)
def test_reduce_is_the_exact_gauss_newton_block_of_a_deep_linear_net(lengths, M, P, R):
    """Loss ½‖C · mean_t(W a_t) - y‖², Hessian of the output I: the block is (1/N) Σ_n J_nᵀ J_n with J_n = ā_nᵀ ⊗ C.

    δ of root column r at position t is Cᵀ e_r / T_n. Labels are not drawn: every column is fed, times √R since factors take a mean.
    """
    a, mask = ragged(lengths, M, seed=sum(lengths))
    C = torch.randn(R, P, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    real = mask[:, :, None].double()
    mean = (a * real).sum(1) / real.sum(1)
    jacobians = [torch.kron(row[None], C) for row in mean]
    exact = sum(J.T @ J for J in jacobians) / len(lengths)
    total = None
    for column in C:
        delta = (column * R**0.5 / real.sum(1, keepdim=True)).expand(len(lengths), max(lengths), P)
        sums = FactorSums.of(pool_reduce(a, delta, mask))
        total = sums if total is None else total + sums
    activation, gradient = covariances(total)
    torch.testing.assert_close(torch.kron(activation, gradient), exact, rtol=1e-5, atol=1e-10)


def test_expand_is_exact_for_independent_positions_of_equal_input():
    """Loss ½ Σ_t ‖C W a_t - y_t‖² with one input repeated T times: the block is (1/N) Σ_n T_n (a_n a_nᵀ ⊗ CᵀC).

    With equal lengths it factors into A = mean over tokens and S = T · CᵀC per sequence: a token mean in S would miss by T.
    """
    N, T, M, P, R = 4, 3, 3, 2, 2
    generator = torch.Generator().manual_seed(0)
    rows = torch.randn(N, 1, M, generator=generator, dtype=torch.float64)
    C = torch.randn(R, P, generator=generator, dtype=torch.float64)
    a, mask = rows.expand(N, T, M), torch.ones(N, T, dtype=torch.bool)
    exact = sum(T * torch.kron(torch.outer(row, row), C.T @ C) for row in rows[:, 0]) / N
    sums = None
    for column in C:
        part = FactorSums.of(pool_expand(a, (column * R**0.5).expand(N, T, P), mask))
        sums = part if sums is None else sums + part
    activation, gradient = covariances(sums)
    torch.testing.assert_close(torch.kron(activation, gradient), exact, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("pooling", POOLINGS)
def test_parts_of_a_corpus_add_up(pooling):
    a, mask = ragged([2, 5, 3, 1], 3, seed=0)
    delta, _ = ragged([2, 5, 3, 1], 2, seed=1)
    pool = POOLINGS[pooling]
    whole = FactorSums.of(pool(a, delta, mask))
    first, rest = pool(a[:1], delta[:1], mask[:1]), pool(a[1:], delta[1:], mask[1:])
    parts = FactorSums.of(first) + FactorSums.of(rest)
    added = FactorSums.of(first)
    added.add(rest)
    for name, value in vars(whole).items():
        for sums in (parts, added):
            torch.testing.assert_close(torch.as_tensor(getattr(sums, name)), torch.as_tensor(value))


@given(M=st.integers(1, 6), P=st.integers(1, 6), damping=st.floats(1e-3, 10), seed=st.integers(0, 99))
@settings(max_examples=30, deadline=None)
def test_solve_equals_the_dense_one(M, P, damping, seed):
    generator = torch.Generator().manual_seed(seed)
    roots = [torch.randn(size, 2, generator=generator, dtype=torch.float64) for size in (M, P)]
    activation, gradient = (root @ root.T for root in roots)
    modular = torch.randn(P, M, generator=generator, dtype=torch.float64)
    factors = decompose(FactorSums(activation, gradient, torch.tensor(1), 1))
    expected = dense_solve(activation, gradient, damping, modular)
    torch.testing.assert_close(
        solved(precondition(factors, damping=damping, kind="absolute"), modular),
        expected,
        rtol=1e-6,
        atol=1e-8,
    )
    relative = damping * float(torch.kron(activation, gradient).diagonal().mean())
    mean = solved(precondition(factors, damping=damping, kind="relative"), modular)
    torch.testing.assert_close(
        mean, dense_solve(activation, gradient, relative, modular), rtol=1e-6, atol=1e-8
    )


def identity_factors(size=3):
    return decompose(FactorSums(torch.eye(size).double(), torch.eye(size).double(), torch.tensor(1), 1))


def test_a_singular_curvature_is_refused():
    rank_one = FactorSums(torch.ones(3, 3).double(), torch.eye(2).double(), torch.tensor(1), 1)
    with pytest.raises(NumericalError, match="singular under relative damping 0"):
        precondition(decompose(rank_one), damping=0.0, kind="relative")


def test_a_factor_that_is_not_finite_is_refused():
    with pytest.raises(NumericalError, match="not finite"):
        decompose(
            FactorSums(torch.full((2, 2), float("nan")).double(), torch.eye(2).double(), torch.tensor(1), 1)
        )


def test_factors_come_back_from_disk_and_belong_to_one_model(tmp_path):
    path = tmp_path / "kept" / "factors.safetensors"
    save_factors(path, {"layers.0.mlp": identity_factors()}, model="m1", settings="s1")
    ((unit, factors),) = load_factors(path, model="m1", settings="s1").items()
    assert unit == "layers.0.mlp"
    torch.testing.assert_close(factors.activation_values, torch.ones(3))
    with pytest.raises(ModelError, match="another model"):
        load_factors(path, model="m2", settings="s1")
    with pytest.raises(ModelError, match="another settings"):
        load_factors(path, model="m1", settings="s2")


def test_broken_factors_are_told(tmp_path):
    path = tmp_path / "factors.safetensors"
    path.write_bytes(b"half a file")
    with pytest.raises(ModelError, match="cannot be read"):
        load_factors(path, model="m", settings="s")
