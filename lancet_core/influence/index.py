"""The gradient index: a few numbers of each sample's whitened gradient, from which the influence on any query is nearly known.

In the whitened eigenbasis, g̃ = (Q_Sᵀ g Q_A) ⊘ √(Λ + λ), the influence score is a plain scalar product over the coordinates of all
units. They are added up with random signs in some thousand buckets, which keeps scalar products but for an error of about
√(2 / buckets) of the lengths (CountSketch: Charikar, Chen and Farach-Colton 2002; hashed by row and column as TensorSketch is: Pham
and Pagh 2013), and the sums are projected on the principal directions of some samples.
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
from lancet_core.influence.preconditioner import Preconditioner, UnitPreconditioner, lengths_of
from lancet_core.influence.scores import Directions
from lancet_core.influence.shards import Tell
from lancet_core.models.encoding import Encoded, pack
from lancet_core.models.units import UnitModel

INT8, FLOAT16 = "int8", "float16"
_SEED = 0
# A megabyte of 1,024 numbers in float32, which stays in the cache: half the time of a whole shard.
_ROWS_AT_ONCE = 256
# Directions sought beyond those wanted, without which a randomised decomposition blurs the last ones.
_OVERSAMPLED = 64
# Ratio of lengths, to the first, below which a direction is rounding.
_NO_ENERGY = 3e-4
_LARGEST = {INT8: 127.0, FLOAT16: 1.0}


@dataclass(frozen=True)
class Basis:
    """How a gradient becomes the numbers of the index.

    Attributes:
        hashes: Unit names, in alphabetical order, to a hash of each row and of each column of (P, M), shapes (P,) and (M,), below
            twice the number of buckets: their sum, modulo that, is the bucket of a coordinate, and from the second half of it the
            sign is negative.
        vectors: Principal directions of the buckets, shape (buckets, numbers), orthonormal.
    """

    hashes: dict[str, tuple[Tensor, Tensor]]
    vectors: Tensor


@dataclass(frozen=True)
class SketchedUnit:
    """How the whitened gradients of one unit are added up in buckets.

    Attributes:
        curvature: What whitens them.
        rows: Hash of each row, shape (P,).
        columns: Hash of each column, shape (M,).
        buckets: Number of buckets.
    """

    curvature: UnitPreconditioner
    rows: Tensor
    columns: Tensor
    buckets: int

    def read(self, found: UnitGradients) -> tuple[Tensor, Tensor]:
        """Sums of samples, shape (rows, buckets), and the squared lengths of their whitened gradients, shape (rows,)."""
        places = self._places()
        parts = [
            (self._add_up(part, places), part.square().sum(dim=(1, 2)))
            for part in self.curvature.whiten(found.a, found.delta)
        ]
        sums, squared = zip(*parts, strict=True)
        return torch.cat(sums), torch.cat(squared)

    def read_direction(self, turned: Tensor) -> Tensor:
        """Sums of directions V in the eigenbasis, shape (queries, P, M); products with those of samples are nearly influence."""
        return self._add_up(self.curvature.whiten_direction(turned), self._places())

    def _places(self) -> Tensor:
        """Bucket of each coordinate, in the second half where its sign is negative; shape (P · M,).

        Not kept: it would take twice the memory of the eigenvalues. In int64, with which `index_add_` takes a tenth of the time.
        """
        return ((self.rows[:, None] + self.columns) % (2 * self.buckets)).flatten().long()

    def _add_up(self, whitened: Tensor, places: Tensor) -> Tensor:
        signed = whitened.new_zeros(len(whitened), 2 * self.buckets)
        signed.index_add_(1, places, whitened.flatten(1))
        return signed[:, : self.buckets] - signed[:, self.buckets :]


def fit_basis(
    network: UnitModel,
    curvature: Mapping[str, Preconditioner],
    *,
    texts: Sequence[Encoded],
    sizes: tuple[int, int],
    max_tokens: int,
    tell: Tell,
) -> tuple[Basis, NDArray[np.float32], NDArray[np.float32]]:
    """Draws the hashes, and finds the principal directions of some samples in one pass over them.

    Every sample counts alike: its whitened gradient is taken at length one, so that a few strong ones do not choose for all.

    Args:
        network: The model with its units.
        curvature: Unit names to the damped curvature.
        texts: Samples to choose from.
        sizes: Buckets, and numbers for each sample; no more numbers than samples are made.
        max_tokens: Tokens in one forward pass.
        tell: Told before every batch.

    Returns:
        The basis, and the numbers and lengths of the samples that it was found from, as of `sample_numbers`.

    Raises:
        ConfigError: A unit has no curvature (graddot).
    """
    buckets, numbers = sizes
    hashes = _draw_hashes(curvature, buckets)
    units = sketched_units(curvature, hashes, buckets)
    rows, lengths = torch.empty(len(texts), buckets), torch.empty(len(texts))
    for indices, sums, own in _passes(network, units, texts=texts, max_tokens=max_tokens, tell=tell):
        rows[indices] = (sums / own[:, None]).cpu().float()
        lengths[indices] = own.cpu().float()
    vectors = _principal_directions(rows, numbers)
    found = (rows @ vectors).mul_(lengths[:, None])
    return Basis(hashes, vectors), found.numpy(), lengths.numpy()


def sketched_units(
    curvature: Mapping[str, Preconditioner], hashes: Mapping[str, tuple[Tensor, Tensor]], buckets: int
) -> dict[str, SketchedUnit]:
    """Prepares adding up: unit names to how each is.

    Raises:
        ConfigError: A unit has no curvature (graddot).
    """
    units = {}
    for unit, (rows, columns) in hashes.items():
        own = _required(unit, curvature[unit])
        device = own.damped.device
        units[unit] = SketchedUnit(own, rows.to(device), columns.to(device), buckets)
    return units


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
    numbers, lengths, order = [], [], []
    vectors = basis.vectors.to(network.lm.device)
    units = sketched_units(curvature, basis.hashes, len(vectors))
    for indices, sums, own in _passes(network, units, texts=texts, max_tokens=max_tokens, tell=tell):
        order += indices
        numbers.append(sums.to(vectors.dtype) @ vectors)
        lengths.append(own.to(vectors.dtype))
    places = torch.tensor(order).argsort()
    return torch.cat(numbers).cpu()[places].numpy(), torch.cat(lengths).cpu()[places].numpy()


def query_numbers(
    curvature: Mapping[str, Preconditioner], basis: Basis, directions: Directions
) -> NDArray[np.float32]:
    """Numbers of queries, shape (queries, numbers); their products with those of samples are nearly the influence scores."""
    units = sketched_units(curvature, basis.hashes, len(basis.vectors))
    sums = torch.stack([one.read_direction(directions.turned[unit]) for unit, one in units.items()]).sum(
        dim=0
    )
    numbers: NDArray[np.float32] = (sums.cpu().to(basis.vectors.dtype) @ basis.vectors).numpy()
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
    products = np.empty((len(stored), len(queries)), dtype=np.float32)
    for start in range(0, len(stored), _ROWS_AT_ONCE):
        rows = slice(start, start + _ROWS_AT_ONCE)
        np.matmul(stored[rows].astype(np.float32), queries.T, out=products[rows])
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
    network: UnitModel,
    units: Mapping[str, SketchedUnit],
    *,
    texts: Sequence[Encoded],
    max_tokens: int,
    tell: Tell,
) -> Iterator[tuple[list[int], Tensor, Tensor]]:
    """Yields for each batch the places of its samples, their sums, shape (rows, buckets), and lengths, shape (rows,)."""
    done = 0
    with frozen(network.lm.model):
        for batch in pack(texts, max_tokens):
            tell(done)
            found = unit_gradients(network.lm.model, network.units, batch.to(network.lm.device))
            parts = [units[one.unit].read(one) for one in found]
            sums, squared = (torch.stack(own).sum(dim=0) for own in zip(*parts, strict=True))
            yield list(batch.indices), sums, lengths_of(squared)
            done += len(batch.indices)


def _draw_hashes(curvature: Mapping[str, Preconditioner], buckets: int) -> dict[str, tuple[Tensor, Tensor]]:
    generator = torch.Generator().manual_seed(_SEED)

    def draw(count: int) -> Tensor:
        return torch.randint(2 * buckets, (count,), generator=generator, dtype=torch.int32)

    shapes = {unit: _required(unit, curvature[unit]).damped.shape for unit in sorted(curvature)}
    return {unit: (draw(outputs), draw(inputs)) for unit, (outputs, inputs) in shapes.items()}


def _required(unit: str, curvature: Preconditioner) -> UnitPreconditioner:
    """Gives a curvature that whitens.

    Raises:
        ConfigError: The unit has none.
    """
    if not isinstance(curvature, UnitPreconditioner):
        raise ConfigError(
            f"the gradient index needs a curvature, and unit {unit} has none; choose linfac, linfac-expand, linfac-head or ekfac"
        )
    return curvature


def _principal_directions(rows: Tensor, numbers: int) -> Tensor:
    """Orthonormal directions with the most energy, shape (columns, numbers), by a randomised decomposition of the rows."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(_SEED)
        _, lengths, vectors = torch.svd_lowrank(rows, q=min(numbers + _OVERSAMPLED, *rows.shape), niter=2)
    count = min(numbers, int((lengths > lengths[0] * _NO_ENERGY).sum()))
    return vectors[:, :count].contiguous()
