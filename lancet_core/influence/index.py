"""The gradient index: a few numbers of each sample's whitened gradient, from which the influence on any query is nearly known.

In the whitened eigenbasis, g̃ = (Q_Sᵀ g Q_A) ⊘ √(Λ + λ), the influence score is a plain scalar product. Of its coordinates over
all units those with the most energy are pooled, and the pool is projected on the principal directions of some samples: products
across units, which the factors treat apart. Measured on the demo (131,072 coordinates, share of the exact top 50 found): 4,096
coordinates with the most energy .83; of 32,768 of them 1,024 random projections .88, 512 principal directions in int8 .90.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lancet_core.errors import ConfigError
from lancet_core.influence.capture import UnitGradients, frozen, unit_gradients
from lancet_core.influence.gradients import gradient_parts
from lancet_core.influence.preconditioner import Preconditioner, UnitPreconditioner
from lancet_core.influence.scores import gradient_lengths
from lancet_core.influence.shards import Tell
from lancet_core.models.encoding import Encoded, pack
from lancet_core.models.units import UnitModel

INT8, FLOAT16 = "int8", "float16"
_LARGEST = {INT8: 127.0, FLOAT16: 1.0}


@dataclass(frozen=True)
class PooledUnit:
    """The coordinates of one unit that are in the pool.

    Attributes:
        rows: Eigenvectors of Q_S that occur among them, shape (P, r); where Q_S is the identity their numbers, shape (r,).
        columns: Eigenvectors of Q_A that occur among them, shape (M, c).
        places: Where the coordinates stand in the flattened (r, c), shape (coordinates,).
        roots: √(Λ + λ) of each, shape (coordinates,).
    """

    rows: Tensor
    columns: Tensor
    places: Tensor
    roots: Tensor

    def read(self, found: UnitGradients) -> Tensor:
        """Whitened coordinates of samples, shape (rows, coordinates)."""
        chosen = (
            found.delta[:, :, self.rows] if self.rows.ndim == 1 else found.delta @ self.rows.to(found.delta)
        )
        rotated = found.a @ self.columns.to(found.a), chosen
        return torch.cat([part.flatten(1)[:, self.places] / self.roots for part in gradient_parts(*rotated)])

    def read_direction(self, directions: Tensor) -> Tensor:
        """Coordinates of directions V of shape (queries, P, M), whose products with whitened gradients are influence scores."""
        chosen = directions[:, self.rows] if self.rows.ndim == 1 else self.rows.T @ directions
        return (chosen @ self.columns).flatten(1)[:, self.places] * self.roots


@dataclass(frozen=True)
class Basis:
    """How a gradient becomes the numbers of the index.

    Attributes:
        coordinates: Unit names, in alphabetical order, to the coordinates of (P, M), flattened, that are in the pool; ascending.
        vectors: Principal directions of the pool, shape (pool, numbers), orthonormal.
    """

    coordinates: dict[str, Tensor]
    vectors: Tensor


def fit_basis(
    network: UnitModel,
    curvature: Mapping[str, Preconditioner],
    *,
    texts: Sequence[Encoded],
    sizes: tuple[int, int],
    max_tokens: int,
    tell: Tell,
) -> Basis:
    """Chooses the pool and its principal directions from some samples, in two passes over them.

    Every sample counts alike: its whitened gradient is taken at length one, so that a few strong ones do not choose for all.

    Args:
        network: The model with its units.
        curvature: Unit names to the damped curvature.
        texts: Samples to choose from.
        sizes: Coordinates in the pool, and numbers for each sample; no more numbers than samples are made.
        max_tokens: Tokens in one forward pass.
        tell: Told before every batch of either pass.

    Raises:
        ConfigError: A unit has no curvature (graddot).
    """
    pool, numbers = sizes
    whole = {unit: _pooled(unit, one, None) for unit, one in curvature.items()}
    energy: dict[str, Tensor] = {}
    for _, found in _passes(network, texts, max_tokens, tell):
        lengths = gradient_lengths(found, curvature)[:, None]
        for one in found:
            squared = (whole[one.unit].read(one) / lengths).square().sum(dim=0)
            energy[one.unit] = energy[one.unit] + squared if one.unit in energy else squared
    coordinates = _most_energetic(energy, pool)
    units = pooled_units(curvature, coordinates)
    rows = torch.empty(len(texts), sum(len(chosen) for chosen in coordinates.values()))
    for indices, found in _passes(network, texts, max_tokens, tell):
        rows[indices] = (_read(units, found) / gradient_lengths(found, curvature)[:, None]).cpu().float()
    return Basis(coordinates, _principal_directions(rows, numbers))


def pooled_units(
    curvature: Mapping[str, Preconditioner], coordinates: Mapping[str, Tensor]
) -> dict[str, PooledUnit]:
    """Prepares reading the pool: unit names to what is read of each.

    Raises:
        ConfigError: A unit has no curvature (graddot).
    """
    return {unit: _pooled(unit, curvature[unit], chosen) for unit, chosen in coordinates.items()}


def sample_numbers(
    network: UnitModel,
    curvature: Mapping[str, Preconditioner],
    basis: Basis,
    *,
    texts: Sequence[Encoded],
    max_tokens: int,
    tell: Tell,
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Numbers of samples, shape (samples, numbers), and the lengths of their whitened gradients, (samples,), in the order given."""
    parts, lengths, order = [], [], []
    units = pooled_units(curvature, basis.coordinates)
    vectors = basis.vectors.to(network.lm.device)
    for indices, found in _passes(network, texts, max_tokens, tell):
        order += indices
        parts.append(_read(units, found).to(vectors.dtype) @ vectors)
        lengths.append(gradient_lengths(found, curvature).to(vectors.dtype))
    places = torch.tensor(order).argsort()
    return torch.cat(parts).cpu()[places].numpy(), torch.cat(lengths).cpu()[places].numpy()


def query_numbers(
    units: Mapping[str, PooledUnit], vectors: Tensor, directions: Mapping[str, Tensor]
) -> NDArray[np.float32]:
    """Numbers of queries, shape (queries, numbers); their products with those of samples are nearly the influence scores."""
    pooled = torch.cat([one.read_direction(directions[unit]) for unit, one in units.items()], dim=1)
    numbers: NDArray[np.float32] = (pooled.to(vectors.dtype) @ vectors.to(pooled.device)).cpu().numpy()
    return numbers


def quantise(numbers: NDArray[np.float32], precision: str) -> tuple[NDArray[Any], NDArray[np.float32]]:
    """Stores numbers in few bits, each sample with a scale of its own.

    Args:
        numbers: Shape (samples, numbers).
        precision: `int8` or `float16`.

    Returns:
        The stored numbers, and the scale of each sample, shape (samples,): stored · scale are the numbers again.
    """
    largest = np.abs(numbers).max(axis=1)
    scales = np.where(largest > 0, largest / _LARGEST[precision], 1.0).astype(np.float32)
    scaled = numbers / scales[:, None]
    return (np.rint(scaled).astype(np.int8) if precision == INT8 else scaled.astype(np.float16)), scales


def approximate(
    stored: NDArray[Any], scales: NDArray[Any], queries: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Nearly the influence scores of samples on queries, shape (samples, queries)."""
    products: NDArray[np.float32] = stored.astype(np.float32) @ queries.T
    products *= scales[:, None]
    return products


def strongest(scores: NDArray[np.float32], count: int) -> NDArray[np.int64]:
    """Places of the `count` strongest scores, half of each end, ascending; all where there are no more."""
    if count >= len(scores):
        return np.arange(len(scores))
    half = count // 2
    top = np.argpartition(-scores, count - half - 1)[: count - half]
    bottom = np.argpartition(scores, half - 1)[:half] if half else top[:0]
    return np.unique(np.concatenate([top, bottom]))


def _passes(
    network: UnitModel, texts: Sequence[Encoded], max_tokens: int, tell: Tell
) -> Iterator[tuple[list[int], list[UnitGradients]]]:
    done = 0
    with frozen(network.lm.model):
        for batch in pack(texts, max_tokens):
            tell(done)
            yield (
                list(batch.indices),
                unit_gradients(network.lm.model, network.units, batch.to(network.lm.device)),
            )
            done += len(batch.indices)


def _read(units: Mapping[str, PooledUnit], found: Sequence[UnitGradients]) -> Tensor:
    by_name = {one.unit: one for one in found}
    return torch.cat([unit.read(by_name[name]) for name, unit in units.items()], dim=1)


def _pooled(unit: str, curvature: Preconditioner, chosen: Tensor | None) -> PooledUnit:
    """Restricts the eigenbasis to the coordinates chosen; None takes all.

    Raises:
        ConfigError: The unit has no curvature.
    """
    if not isinstance(curvature, UnitPreconditioner):
        raise ConfigError(
            f"the gradient index needs a curvature, and unit {unit} has none; choose linfac, linfac-expand, linfac-head or ekfac"
        )
    damped = curvature.damped
    if chosen is None:
        chosen = torch.arange(damped.numel())
    chosen = chosen.to(damped.device)
    row, column = chosen // damped.shape[1], chosen % damped.shape[1]
    rows, row_places = torch.unique(row, return_inverse=True)
    columns, column_places = torch.unique(column, return_inverse=True)
    left = curvature.gradient_vectors
    return PooledUnit(
        rows if left is None else left[:, rows],
        curvature.activation_vectors[:, columns],
        row_places * len(columns) + column_places,
        damped.flatten()[chosen].sqrt(),
    )


def _most_energetic(energy: Mapping[str, Tensor], count: int) -> dict[str, Tensor]:
    """Coordinates with the most energy over all units, by unit; units without any are left out."""
    names = sorted(energy)
    everything = torch.cat([energy[name].cpu() for name in names])
    chosen = torch.zeros(len(everything), dtype=torch.bool)
    chosen[everything.topk(min(count, len(everything))).indices] = True
    by_unit = torch.split(chosen, [len(energy[name]) for name in names])
    return {
        name: own.nonzero().squeeze(1) for name, own in zip(names, by_unit, strict=True) if bool(own.any())
    }


def _principal_directions(rows: Tensor, numbers: int) -> Tensor:
    """Orthonormal directions with the most energy, shape (columns, numbers), by the Gram matrix of the rows."""
    values, vectors = torch.linalg.eigh((rows @ rows.T).double())
    count = min(numbers, int((values > values[-1] * 1e-7).sum()))
    kept, lengths = vectors[:, -count:].flip(1), values[-count:].flip(0).sqrt()
    directions: Tensor = rows.T @ (kept / lengths).float()
    return directions.contiguous()
