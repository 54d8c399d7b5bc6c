"""Modular gradients (Eq. 10) and scalar products with them, without forming a weight gradient in the network."""

from collections.abc import Iterator

import torch
from torch import Tensor

from lancet_core.models.likelihood import full_precision

# Numbers of modular gradients held at once, 1 GiB in float32: short texts of a wide model make many large matrices in a batch.
MOST_NUMBERS = 1 << 28
# On a CPU 28 MiB: blocks of 32 MiB and more are fresh pages from the system each time. 16 samples of 128 tokens at 768 × 768 with 10
# queries on one thread: 38 ms, at once 48 ms; 64 samples of 32 tokens 81 ms, at once 149 ms.
MOST_NUMBERS_ON_CPU = 7 << 20
# Where each number is touched a few times and no query is read: 8 MiB, which stay in the cache. Self-influence of 2,600 × 128 on one
# thread: 0.7 ms a sample, in blocks of 28 MiB 0.8 to 1.0.
MOST_NUMBERS_IN_CACHE = 2 << 20


def modular_gradient(a: Tensor, delta: Tensor) -> Tensor:
    """Modular gradients g = Σ_t δ_t a_tᵀ (Eq. 10).

    Args:
        a: Inputs, shape (rows, positions, M), 0 at padding.
        delta: Gradients with respect to outputs, shape (rows, positions, P), 0 at padding.

    Returns:
        Shape (rows, P, M), in float32 at least: of half precision only the factors are rounded, products are summed in float32.
    """
    return full_precision(delta.transpose(1, 2) @ a)


def gradient_parts(a: Tensor, delta: Tensor, most_on_cpu: int = MOST_NUMBERS_ON_CPU) -> Iterator[Tensor]:
    """Yields modular gradients of a batch in parts that fit into memory, each of shape (rows, P, M) and the caller's to change."""
    most = most_on_cpu if a.device.type == "cpu" else MOST_NUMBERS
    size = max(1, most // (a.shape[2] * delta.shape[2]))
    for start in range(0, len(a), size):
        yield modular_gradient(a[start : start + size], delta[start : start + size])


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
    flat = directions.flatten(1)
    # Few rows on the left: twice as fast on a CPU as the same product transposed.
    return torch.cat([flat @ gradients.flatten(1).T for gradients in gradient_parts(a, delta)], dim=1).T


def position_products(a: Tensor, delta: Tensor, direction: Tensor) -> Tensor:
    """δ_tᵀ V a_t at each position, shape (rows, positions), for one query's V of shape (P, M)."""
    return full_precision((a @ direction.T.to(a.dtype)) * delta).sum(dim=2)
