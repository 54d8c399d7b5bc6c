"""Influence scores: preconditioned query gradients, one pass over the candidates for all queries, and its decompositions."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lancet_core.errors import NumericalError
from lancet_core.influence.capture import UnitGradients, frozen, require_finite, unit_gradients
from lancet_core.influence.gradients import contract, modular_gradient, position_products
from lancet_core.influence.preconditioner import Preconditioner, norms_of
from lancet_core.influence.shards import Tell
from lancet_core.models.encoding import Batch, Encoded, pack
from lancet_core.models.likelihood import full_precision
from lancet_core.models.units import UnitModel

Gradients = dict[str, Tensor]
"""Unit names to matrices of each query, shape (queries, P, M), in the eigenbasis of each unit's curvature."""


@dataclass(frozen=True)
class Directions:
    """Preconditioned query gradients V_u, kept in the eigenbasis, where solving leaves them.

    Attributes:
        curvature: Unit names to what they were preconditioned with.
        rotated: Unit names to Q_Sᵀ V Q_A of each query, shape (queries, P, M).
    """

    curvature: Mapping[str, Preconditioner]
    rotated: Gradients

    @cached_property
    def plain(self) -> dict[str, Tensor]:
        """V itself: unit names to shape (queries, P, M); rotated back once for all samples that are scored."""
        return {unit: self.curvature[unit].rotate_back(values) for unit, values in self.rotated.items()}

    def query(self, number: int) -> dict[str, Tensor]:
        """V of one query: unit names to shape (P, M)."""
        return {
            unit: self.curvature[unit].rotate_back(values[number]) for unit, values in self.rotated.items()
        }


_Reader = Callable[[Sequence[int], Sequence[UnitGradients]], Tensor]
"""Gives the scores of a batch, shape (rows, queries), from the places of its samples and their gradients."""


@dataclass(frozen=True)
class MeasuredNorms:
    """Divides scores by the norm of each sample's whitened gradient, measured in the pass that scores.

    Attributes:
        curvature: Unit names to what whitens.
    """

    curvature: Mapping[str, Preconditioner]

    def of(self, _places: Sequence[int], captured: Sequence[UnitGradients]) -> Tensor:
        """Norms of a batch, over all units, shape (rows,)."""
        squared = [self.curvature[each.unit].self_influence(each.a, each.delta) for each in captured]
        return norms_of(torch.stack(squared).sum(dim=0))

    def reader(self, directions: Directions) -> _Reader:
        """Scores and norms of gradients that are formed once for both."""

        def read(_places: Sequence[int], captured: Sequence[UnitGradients]) -> Tensor:
            parts = [
                self.curvature[each.unit].score(each.a, each.delta, directions.rotated[each.unit])
                for each in captured
            ]
            products, squared = (torch.stack(part).sum(dim=0) for part in zip(*parts, strict=True))
            return products / norms_of(squared)[:, None]

        return read


@dataclass(frozen=True)
class KnownNorms:
    """Divides scores by norms that are known.

    Attributes:
        norms: Shape (samples,), in the order of the samples that are scored.
    """

    norms: Tensor

    def of(self, places: Sequence[int], _captured: Sequence[UnitGradients]) -> Tensor:
        """Norms of a batch, shape (rows,)."""
        return self.norms[list(places)]


Normaliser = MeasuredNorms | KnownNorms
"""Gives what divides the scores of each sample."""


@dataclass(frozen=True)
class Decomposition:
    """How the influence of one training sample on one query divides over positions and units.

    Attributes:
        heat: Influence c_t = Σ_u δ_tᵀ V_u a_t of each input position, prompt included; they add up to the influence.
        unit_influence: Influence ⟨V_u, g_u⟩ through each unit; they add up to it too.
    """

    heat: NDArray[np.float64]
    unit_influence: NDArray[np.float64]

    @property
    def influence(self) -> float:
        """The sample's influence."""
        return float(self.unit_influence.sum())


def query_gradients(
    network: UnitModel,
    curvature: Mapping[str, Preconditioner],
    *,
    encoded: Sequence[Encoded],
    max_tokens: int,
) -> Gradients:
    """Takes the modular gradient of log p(response) of each query.

    Its tokens are rotated into the eigenbasis and not the gradient: there are fewer of them than dimensions. In float32 at least,
    for there are few queries.

    Returns:
        Gradients in the order given, on the model's device.

    Raises:
        NumericalError: One is not finite; query and unit are named.
    """
    rows: dict[str, list[Tensor]] = {unit.name: [torch.empty(0)] * len(encoded) for unit in network.units}
    with frozen(network.lm.model):
        for batch in pack(encoded, max_tokens):
            for captured in unit_gradients(network.lm.model, network.units, batch.to(network.lm.device)):
                read, delta = full_precision(captured.a), full_precision(captured.delta)
                gradients = modular_gradient(*curvature[captured.unit].rotate(read, delta))
                for index, gradient in zip(batch.indices, gradients, strict=True):
                    rows[captured.unit][index] = gradient
    stacked = {unit: torch.stack(gradients) for unit, gradients in rows.items()}
    if not all(bool(torch.isfinite(values).all()) for values in stacked.values()):
        _name_broken(network, encoded, [f"{number} of the queries" for number in range(1, len(encoded) + 1)])
    return stacked


def mean_by_group(gradients: Mapping[str, Tensor], groups: Sequence[Sequence[int]]) -> Gradients:
    """Averages query gradients within groups (Eq. 13); a group of one leaves its query as it is.

    Args:
        gradients: Gradients of the queries.
        groups: Query indices of each group.

    Returns:
        Gradients of the groups.
    """
    return {
        unit: torch.stack([values[list(members)].mean(dim=0) for members in groups])
        for unit, values in gradients.items()
    }


def directions_of(gradients: Mapping[str, Tensor], curvature: Mapping[str, Preconditioner]) -> Directions:
    """Preconditions query gradients: V_u of each query.

    Raises:
        NumericalError: A result is not finite.
    """
    rotated = {unit: curvature[unit].solve(values) for unit, values in gradients.items()}
    broken = next((unit for unit, values in rotated.items() if not bool(torch.isfinite(values).all())), None)
    if broken:
        raise NumericalError(
            f"the preconditioned gradient of unit {broken} is not finite; raise the damping, or use float32"
        )
    return Directions(curvature, rotated)


def score_samples(
    network: UnitModel,
    *,
    encoded: Sequence[Encoded],
    directions: Directions,
    max_tokens: int,
    tell: Tell,
    normaliser: Normaliser | None = None,
) -> NDArray[np.float64]:
    """Scores training samples for all queries in one pass: I = Σ_u ⟨V_u, g_u⟩.

    A positive score says that more weight on the sample raises log p of the query's response.

    Args:
        network: The model with its units.
        encoded: Training samples.
        directions: V_u of the queries.
        max_tokens: Tokens in one forward pass.
        tell: Told before every batch.
        normaliser: Gives what divides the scores of each sample; None leaves them as they are.

    Returns:
        Shape (samples, queries), in the order given.

    Raises:
        NumericalError: A score is not finite; sample and unit are named where activations or gradients are not.
    """
    order: list[int] = []
    parts = []
    read = _reader(directions, normaliser)
    with frozen(network.lm.model):
        for batch in pack(encoded, max_tokens):
            tell(len(order))
            order += batch.indices
            captured = unit_gradients(network.lm.model, network.units, batch.to(network.lm.device))
            # Summed on the device and fetched at the end: no batch waits for the one before.
            parts.append(read(batch.indices, captured))
    scores = torch.cat(parts).double().cpu().numpy()
    placed = np.empty_like(scores)
    placed[order] = scores
    _require_finite_scores(network, encoded, placed.sum(axis=1))
    return placed


def decompose_samples(
    network: UnitModel,
    *,
    encoded: Sequence[Encoded],
    direction: Mapping[str, Tensor],
    max_tokens: int,
    tell: Tell,
    normaliser: Normaliser | None = None,
) -> list[Decomposition]:
    """Decomposes the influence of training samples on one query over their positions and over the units.

    Args:
        network: The model with its units.
        encoded: Training samples.
        direction: V_u of the query, unit names to shape (P, M).
        max_tokens: Tokens in one forward pass.
        tell: Told before every batch.
        normaliser: As of `score_samples`.

    Returns:
        One decomposition for each sample, in the order given.

    Raises:
        NumericalError: A score is not finite; sample and unit are named where activations or gradients are not.
    """
    parts: list[tuple[Sequence[int], Tensor]] = []
    done = 0
    with frozen(network.lm.model):
        for batch in pack(encoded, max_tokens):
            tell(done)
            done += len(batch.indices)
            captured = unit_gradients(network.lm.model, network.units, batch.to(network.lm.device))
            products = torch.stack([_heat(each, direction[each.unit], batch) for each in captured], dim=1)
            if normaliser is not None:
                products = products / normaliser.of(batch.indices, captured)[:, None, None]
            # Fetched at the end: no batch waits for the one before.
            parts.append((batch.indices, products))
    by_index: dict[int, Decomposition] = {}
    for indices, by_unit in parts:
        for index, values in zip(indices, by_unit.double().cpu().numpy(), strict=True):
            unpadded = values[:, : len(encoded[index].input_ids)]
            by_index[index] = Decomposition(unpadded.sum(axis=0), unpadded.sum(axis=1))
    decompositions = [by_index[index] for index in range(len(encoded))]
    _require_finite_scores(network, encoded, np.array([each.influence for each in decompositions]))
    return decompositions


def _heat(captured: UnitGradients, direction: Tensor, batch: Batch) -> Tensor:
    """Influence of each position of the text through one unit, shape (rows, positions)."""
    products = position_products(captured.a, captured.delta, direction)
    if captured.columns is None:
        return products
    at_columns = products.new_zeros(batch.input_ids.shape)
    at_columns[:, captured.columns] = products
    return at_columns


def _reader(directions: Directions, normaliser: Normaliser | None) -> _Reader:
    if isinstance(normaliser, MeasuredNorms):
        return normaliser.reader(directions)
    plain = directions.plain

    def read(places: Sequence[int], captured: Sequence[UnitGradients]) -> Tensor:
        products = torch.stack([contract(each.a, each.delta, plain[each.unit]) for each in captured]).sum(
            dim=0
        )
        return products if normaliser is None else products / normaliser.of(places, captured)[:, None]

    return read


def _require_finite_scores(
    network: UnitModel, encoded: Sequence[Encoded], scores: NDArray[np.float64]
) -> None:
    """Names what is broken where the score of a sample is not finite."""
    broken = np.flatnonzero(~np.isfinite(scores))
    if not broken.size:
        return
    text = encoded[int(broken[0])]
    _name_broken(network, [text], [f"{network.lm.tokenizer.decode(text.input_ids)[:60]!r}"])
    raise NumericalError("an influence score is not finite; compute in float32, or raise the damping")


def _name_broken(network: UnitModel, encoded: Sequence[Encoded], names: Sequence[str]) -> None:
    """Looks again, sample by sample, and names the first sample and unit that are not finite."""
    batches = (batch.to(network.lm.device) for batch in pack(encoded, 1))
    with frozen(network.lm.model):
        require_finite(network.lm.model, network.units, batches, names=names)
