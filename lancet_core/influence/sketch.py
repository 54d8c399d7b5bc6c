"""A low-dimensional sketch of each sample's whitened gradient that approximates its influence on any query.

In the whitened eigenbasis, g̃ = (Q_Sᵀ g Q_A) ⊘ √(Λ + λ), the influence score is a plain scalar product over the coordinates of all
units. They are added up with random signs in a sketch of some thousand dimensions, which keeps scalar products but for an error of
about √(2 / dimensions) of the norms (CountSketch: Charikar, Chen and Farach-Colton 2002; hashed by row and column as TensorSketch is:
Pham and Pagh 2013), and the sketch is projected on the principal directions of some samples.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lancet_core.errors import ConfigError, NumericalError
from lancet_core.influence.capture import UnitGradients, frozen, unit_gradients
from lancet_core.influence.preconditioner import Preconditioner, UnitPreconditioner, norms_of
from lancet_core.influence.scores import Directions
from lancet_core.influence.shards import Tell
from lancet_core.models.encoding import Encoded, pack
from lancet_core.models.units import UnitModel

INT8, FLOAT16 = "int8", "float16"
_SEED = 0
# A megabyte of 1,024 dimensions in float32, which stays in the cache: half the time of a whole shard.
_ROWS_AT_ONCE = 256
# Directions sought beyond those wanted, without which a randomised decomposition blurs the last ones.
_OVERSAMPLED = 64
# Ratio of singular values, to the first, below which a direction is rounding.
_NO_ENERGY = 3e-4
_LARGEST = {INT8: 127.0, FLOAT16: 1.0}


@dataclass(frozen=True)
class Basis:
    """How a gradient is sketched and projected.

    Attributes:
        hashes: Unit names, in alphabetical order, to a hash of each row and of each column of (P, M), shapes (P,) and (M,), below
            twice the dimensions of the sketch: their sum, modulo that, is the dimension that a coordinate is added to, and from the
            second half of it the sign is negative.
        vectors: Principal directions of the sketch, shape (sketch dimensions, dimensions), orthonormal.
    """

    hashes: dict[str, tuple[Tensor, Tensor]]
    vectors: Tensor


@dataclass(frozen=True)
class SketchedUnit:
    """How the whitened gradients of one unit are sketched.

    Attributes:
        curvature: What whitens them.
        rows: Hash of each row, shape (P,).
        columns: Hash of each column, shape (M,).
        dimensions: Dimensions of the sketch.
    """

    curvature: UnitPreconditioner
    rows: Tensor
    columns: Tensor
    dimensions: int

    def sketch(self, gradients: UnitGradients) -> tuple[Tensor, Tensor]:
        """Sketches of samples, shape (rows, dimensions), and the squared norms of their whitened gradients, shape (rows,)."""
        places = self._places()
        parts = [
            (self._add_up(part, places), part.square().sum(dim=(1, 2)))
            for part in self.curvature.whiten(gradients.a, gradients.delta)
        ]
        sketches, squared = zip(*parts, strict=True)
        return torch.cat(sketches), torch.cat(squared)

    def sketch_direction(self, rotated: Tensor) -> Tensor:
        """Sketches of directions V in the eigenbasis, shape (queries, P, M); products with those of samples are nearly influence."""
        return self._add_up(self.curvature.whiten_direction(rotated), self._places())

    def _places(self) -> Tensor:
        """Dimension of each coordinate, in the second half where its sign is negative; shape (P · M,).

        Not kept: it would take twice the memory of the eigenvalues. In int64, with which `index_add_` takes a tenth of the time.
        """
        return ((self.rows[:, None] + self.columns) % (2 * self.dimensions)).flatten().long()

    def _add_up(self, whitened: Tensor, places: Tensor) -> Tensor:
        signed = whitened.new_zeros(len(whitened), 2 * self.dimensions)
        signed.index_add_(1, places, whitened.flatten(1))
        return signed[:, : self.dimensions] - signed[:, self.dimensions :]


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

    Every sample counts alike: its whitened gradient is taken at norm one, so that a few strong ones do not choose for all.

    Args:
        network: The model with its units.
        curvature: Unit names to the damped curvature.
        texts: Samples to choose from.
        sizes: Dimensions of the sketch, and of its projection; of the latter no more than samples.
        max_tokens: Tokens in one forward pass.
        tell: Told before every batch.

    Returns:
        The basis, and projections and norms of the samples that it was made from, as of `project_samples`; those that are not
        finite choose nothing.

    Raises:
        ConfigError: A unit has no curvature (graddot).
        NumericalError: No sample has finite gradients.
    """
    sketch_dimensions, dimensions = sizes
    hashes = _draw_hashes(curvature, sketch_dimensions)
    units = sketched_units(curvature, hashes, sketch_dimensions)
    sketches, norms = torch.empty(len(texts), sketch_dimensions), torch.empty(len(texts))
    for indices, batch_sketches, batch_norms in _sketch_batches(
        network, units, texts=texts, max_tokens=max_tokens, tell=tell
    ):
        sketches[indices] = (batch_sketches / batch_norms[:, None]).cpu().float()
        norms[indices] = batch_norms.cpu().float()
    if not bool(torch.isfinite(norms).any()):
        raise NumericalError(
            f"nothing can be indexed: of all {len(texts)} samples activations or gradients are not finite; compute in float32"
        )
    vectors = _principal_directions(sketches[torch.isfinite(norms)], dimensions)
    projections = (sketches @ vectors).mul_(norms[:, None])
    return Basis(hashes, vectors), projections.numpy(), norms.numpy()


def sketched_units(
    curvature: Mapping[str, Preconditioner], hashes: Mapping[str, tuple[Tensor, Tensor]], dimensions: int
) -> dict[str, SketchedUnit]:
    """Prepares sketching: unit names to how each is sketched.

    Raises:
        ConfigError: A unit has no curvature (graddot).
    """
    units = {}
    for unit, (rows, columns) in hashes.items():
        whitening = _required(unit, curvature[unit])
        device = whitening.damped.device
        units[unit] = SketchedUnit(whitening, rows.to(device), columns.to(device), dimensions)
    return units


def project_samples(
    network: UnitModel,
    curvature: Mapping[str, Preconditioner],
    basis: Basis,
    *,
    texts: Sequence[Encoded],
    max_tokens: int,
    tell: Tell,
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Projections of samples, shape (samples, dimensions), and the norms of their whitened gradients, (samples,), in the order given.

    The norm of a sample whose gradients are not finite is not finite either.
    """
    projections, norms, order = [], [], []
    vectors = basis.vectors.to(network.lm.device)
    units = sketched_units(curvature, basis.hashes, len(vectors))
    for indices, sketches, batch_norms in _sketch_batches(
        network, units, texts=texts, max_tokens=max_tokens, tell=tell
    ):
        order += indices
        projections.append(sketches.to(vectors.dtype) @ vectors)
        norms.append(batch_norms.to(vectors.dtype))
    places = torch.tensor(order).argsort()
    return torch.cat(projections).cpu()[places].numpy(), torch.cat(norms).cpu()[places].numpy()


def project_queries(
    curvature: Mapping[str, Preconditioner], basis: Basis, directions: Directions
) -> NDArray[np.float32]:
    """Projections of queries, shape (queries, dimensions); their products with those of samples are nearly the influence scores."""
    units = sketched_units(curvature, basis.hashes, len(basis.vectors))
    parts = [sketched.sketch_direction(directions.rotated[unit]) for unit, sketched in units.items()]
    sketches = torch.stack(parts).sum(dim=0).cpu().to(basis.vectors.dtype)
    projections: NDArray[np.float32] = (sketches @ basis.vectors).numpy()
    return projections


def quantise(projections: NDArray[np.float32], precision: str) -> tuple[NDArray[Any], NDArray[np.float32]]:
    """Stores projections in few bits, each sample with a scale of its own.

    Args:
        projections: Shape (samples, dimensions).
        precision: `int8` or `float16`.

    Returns:
        What is stored, and the scale of each sample, shape (samples,): stored · scale is the projection again.
    """
    largest = np.abs(projections).max(axis=1)
    scales = np.where(largest > 0, largest / _LARGEST[precision], 1.0).astype(np.float32)
    scaled = projections / scales[:, None]
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


def _sketch_batches(
    network: UnitModel,
    units: Mapping[str, SketchedUnit],
    *,
    texts: Sequence[Encoded],
    max_tokens: int,
    tell: Tell,
) -> Iterator[tuple[list[int], Tensor, Tensor]]:
    """Yields for each batch the places of its samples, their sketches, shape (rows, dimensions), and norms, shape (rows,)."""
    done = 0
    with frozen(network.lm.model):
        for batch in pack(texts, max_tokens):
            tell(done)
            captured = unit_gradients(network.lm.model, network.units, batch.to(network.lm.device))
            parts = [units[each.unit].sketch(each) for each in captured]
            sketches, squared = (torch.stack(part).sum(dim=0) for part in zip(*parts, strict=True))
            yield list(batch.indices), sketches, norms_of(squared)
            done += len(batch.indices)


def _draw_hashes(
    curvature: Mapping[str, Preconditioner], dimensions: int
) -> dict[str, tuple[Tensor, Tensor]]:
    generator = torch.Generator().manual_seed(_SEED)

    def draw(count: int) -> Tensor:
        return torch.randint(2 * dimensions, (count,), generator=generator, dtype=torch.int32)

    shapes = {unit: _required(unit, curvature[unit]).damped.shape for unit in sorted(curvature)}
    return {unit: (draw(outputs), draw(inputs)) for unit, (outputs, inputs) in shapes.items()}


def _required(unit: str, curvature: Preconditioner) -> UnitPreconditioner:
    """Gives a curvature that whitens; a unit without one is refused."""
    if not isinstance(curvature, UnitPreconditioner):
        raise ConfigError(
            f"the gradient index needs a curvature, and unit {unit} has none; choose another method, linfac-head for one"
        )
    return curvature


def _principal_directions(sketches: Tensor, dimensions: int) -> Tensor:
    """Orthonormal directions with the most energy, shape (columns, dimensions), by a randomised decomposition of the sketches."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(_SEED)
        size = min(dimensions + _OVERSAMPLED, *sketches.shape)
        _, values, vectors = torch.svd_lowrank(sketches, q=size, niter=2)
    count = min(dimensions, int((values > values[0] * _NO_ENERGY).sum()))
    return vectors[:, :count].contiguous()
