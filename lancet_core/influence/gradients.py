"""Modular gradients (Eq. 10) and scalar products with them, without forming a weight gradient in the network."""

from collections.abc import Iterator

import torch
from torch import Tensor

from lancet_core.models.likelihood import full_precision

# Numbers of modular gradients held at once, 1 GiB in float32: short texts of a wide model make many large matrices in a batch.
MOST_NUMBERS = 1 << 28
# On a CPU 8 MiB, which stay in the cache while they are read. 34 samples of 32 tokens at 2,600 × 128 with 10 queries and their own
# norms on two threads: 1.05 ms a sample, in slices of 28 MiB 1.45; 16 samples of 64 tokens at 4,096 × 4,096 with one: 40 and 38 ms.
MOST_NUMBERS_ON_CPU = 2 << 20


def modular_gradient(a: Tensor, delta: Tensor) -> Tensor:
    """Modular gradients g = Σ_t δ_t a_tᵀ (Eq. 10).

    Args:
        a: Inputs, shape (rows, positions, M), 0 at padding.
        delta: Gradients with respect to outputs, shape (rows, positions, P), 0 at padding.

    Returns:
        Shape (rows, P, M), in float32 at least: of half precision only the factors are rounded, products are summed in float32.
    """
    return full_precision(delta.transpose(1, 2) @ a)


def gradient_parts(a: Tensor, delta: Tensor) -> Iterator[Tensor]:
    """Yields modular gradients of some samples after the other, each of shape (rows, P, M) and the caller's to change."""
    size = max(1, _most(a) // (a.shape[2] * delta.shape[2]))
    for start in range(0, len(a), size):
        yield modular_gradient(a[start : start + size], delta[start : start + size])


def gradient_slices(a: Tensor, delta: Tensor) -> Iterator[tuple[slice, Tensor]]:
    """Yields modular gradients of all samples in slices of outputs: which, and shape (rows, some of P, M), the caller's to change.

    What reads directions beside gradients reads each of them once so, and not once for each part of the samples.
    """
    size = max(1, _most(a) // (len(a) * a.shape[2]))
    for start in range(0, delta.shape[2], size):
        outputs = slice(start, start + size)
        yield outputs, modular_gradient(a, delta[:, :, outputs])


def contract(a: Tensor, delta: Tensor, directions: Tensor) -> Tensor:
    """Scalar products ⟨V_q, g_n⟩ of all queries with all samples, by the cheaper of two ways.

    With T positions and Q queries, g costs T·P·M and then Q·P·M for each sample; δ_tᵀ V a_t costs Q·T·P·M and never forms g.

    Args:
        a: Inputs of the samples, shape (rows, positions, M).
        delta: Their gradients with respect to outputs, shape (rows, positions, P).
        directions: V of each query, shape (queries, P, M).

    Returns:
        Shape (rows, queries), in the precision of `directions`.
    """
    queries, positions = len(directions), a.shape[1]
    if queries * positions <= positions + queries:
        return torch.stack([position_products(a, delta, V).sum(dim=1) for V in directions], dim=1)
    products = directions.new_zeros(len(a), queries)
    for outputs, gradients in gradient_slices(a, delta):
        products.addmm_(gradients.flatten(1), directions[:, outputs].flatten(1).T)
    return products


def contract_and_measure(
    a: Tensor, delta: Tensor, directions: Tensor, damped: Tensor | None
) -> tuple[Tensor, Tensor]:
    """Scalar products as of `contract`, and Σ g² / (Λ + λ) of each sample, of gradients that are formed once for both.

    Args:
        a: Inputs of the samples, shape (rows, positions, M).
        delta: Their gradients with respect to outputs, shape (rows, positions, P).
        directions: V of each query, shape (queries, P, M).
        damped: Λ + λ, shape (P, M); None is 1.

    Returns:
        Shapes (rows, queries) and (rows,), in the precision of `directions`.
    """
    products = directions.new_zeros(len(a), len(directions))
    squared = directions.new_zeros(len(a))
    for outputs, gradients in gradient_slices(a, delta):
        flat = gradients.flatten(1)
        products.addmm_(flat, directions[:, outputs].flatten(1).T)
        flat.square_()
        squared += flat.sum(dim=1) if damped is None else flat @ damped[outputs].reciprocal().flatten()
    return products, squared


def position_products(a: Tensor, delta: Tensor, direction: Tensor) -> Tensor:
    """δ_tᵀ V a_t at each position, shape (rows, positions), for one query's V of shape (P, M)."""
    return full_precision((a @ direction.T.to(a.dtype)) * delta).sum(dim=2)


def _most(values: Tensor) -> int:
    return MOST_NUMBERS_ON_CPU if values.device.type == "cpu" else MOST_NUMBERS
