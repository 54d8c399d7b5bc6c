"""Influence scores: preconditioned query gradients, one pass over the candidates for all queries, and its decompositions."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lancet_core.errors import NumericalError
from lancet_core.influence.capture import frozen, unit_gradients
from lancet_core.influence.factors import EigenFactors, precondition
from lancet_core.influence.settings import InfluenceSettings
from lancet_core.models.encoding import Encoded, pack
from lancet_core.models.units import UnitModel

Tell = Callable[[int], None]
"""Told how many samples are done."""


@dataclass(frozen=True)
class Decomposition:
    """How the influence of one training sample on one query is spread.

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


def modular_gradient(a: Tensor, delta: Tensor) -> Tensor:
    """Modular gradients g = Σ_t δ_t a_tᵀ (Eq. 10), without forming a weight gradient in the network.

    Args:
        a: Inputs, shape (rows, positions, M), 0 at padding.
        delta: Gradients with respect to outputs, shape (rows, positions, P), 0 at padding.

    Returns:
        Shape (rows, P, M).
    """
    return delta.transpose(1, 2) @ a


def contract(a: Tensor, delta: Tensor, directions: Tensor) -> Tensor:
    """Scalar products ⟨V_q, g_n⟩ of all queries with all samples, by the cheaper of two ways.

    With T positions and Q queries, g costs T·P·M and then Q·P·M for each sample; δ_tᵀ V a_t costs Q·T·P·M and never forms g.

    Args:
        a: Inputs of the samples, shape (rows, positions, M).
        delta: Their gradients with respect to outputs, shape (rows, positions, P).
        directions: V of each query, shape (queries, P, M).

    Returns:
        Shape (rows, queries).
    """
    queries, positions = len(directions), a.shape[1]
    if queries * positions <= positions + queries:
        return torch.stack([position_products(a, delta, V).sum(dim=1) for V in directions], dim=1)
    return modular_gradient(a, delta).flatten(1) @ directions.flatten(1).T


def position_products(a: Tensor, delta: Tensor, direction: Tensor) -> Tensor:
    """δ_tᵀ V a_t at each position, shape (rows, positions), for one query's V of shape (P, M)."""
    return ((a @ direction.T) * delta).sum(dim=2)


def query_gradients(network: UnitModel, *, encoded: Sequence[Encoded], max_tokens: int) -> dict[str, Tensor]:
    """Takes the modular gradient of log p(response) of each query.

    Returns:
        Unit names to gradients of shape (queries, P, M), in the order given, on the model's device.
    """
    rows: dict[str, list[Tensor]] = {unit.name: [torch.empty(0)] * len(encoded) for unit in network.units}
    with frozen(network.lm.model):
        for batch in pack(encoded, max_tokens):
            for found in unit_gradients(network.lm.model, network.units, batch.to(network.lm.device)):
                gradients = modular_gradient(found.a, found.delta)
                for index, gradient in zip(batch.indices, gradients, strict=True):
                    rows[found.unit][index] = gradient
    return {unit: torch.stack(gradients) for unit, gradients in rows.items()}


def mean_by_group(gradients: Mapping[str, Tensor], groups: Sequence[Sequence[int]]) -> dict[str, Tensor]:
    """Averages query gradients within groups (Eq. 13); a group of one leaves its query as it is.

    Args:
        gradients: Unit names to gradients of shape (queries, P, M).
        groups: Query indices of each group.

    Returns:
        Unit names to gradients of shape (groups, P, M).
    """
    return {
        unit: torch.stack([values[list(members)].mean(dim=0) for members in groups])
        for unit, values in gradients.items()
    }


def directions_of(
    gradients: Mapping[str, Tensor], factors: Mapping[str, EigenFactors], settings: InfluenceSettings
) -> dict[str, Tensor]:
    """Preconditions query gradients: V_u of each query, unit names to shape (queries, P, M).

    Raises:
        NumericalError: A damped curvature is singular, or a result is not finite.
    """
    directions = {
        unit: precondition(values, factors[unit], damping=settings.damping, kind=settings.damping_kind)
        for unit, values in gradients.items()
    }
    broken = next(
        (unit for unit, values in directions.items() if not bool(torch.isfinite(values).all())), None
    )
    if broken:
        raise NumericalError(
            f"the preconditioned gradient of unit {broken} is not finite; raise the damping, or use float32"
        )
    return directions


def score_samples(
    network: UnitModel,
    *,
    encoded: Sequence[Encoded],
    directions: Mapping[str, Tensor],
    max_tokens: int,
    tell: Tell,
) -> NDArray[np.float64]:
    """Scores training samples for all queries in one pass: I = Σ_u ⟨V_u, g_u⟩.

    A positive score says that more weight on the sample raises log p of the query's response.

    Args:
        network: The model with its units.
        encoded: Training samples.
        directions: V_u of the queries.
        max_tokens: Tokens in one forward pass.
        tell: Told before every batch.

    Returns:
        Shape (samples, queries), in the order given.
    """
    order: list[int] = []
    parts = []
    with frozen(network.lm.model):
        for batch in pack(encoded, max_tokens):
            tell(len(order))
            order += batch.indices
            found = unit_gradients(network.lm.model, network.units, batch.to(network.lm.device))
            # Summed on the device and fetched at the end: no batch waits for the one before.
            parts.append(
                torch.stack([contract(one.a, one.delta, directions[one.unit]) for one in found]).sum(dim=0)
            )
    scores = torch.cat(parts).double().cpu().numpy()
    placed = np.empty_like(scores)
    placed[order] = scores
    return placed


def decompose_samples(
    network: UnitModel,
    *,
    encoded: Sequence[Encoded],
    direction: Mapping[str, Tensor],
    max_tokens: int,
    tell: Tell,
) -> list[Decomposition]:
    """Spreads the influence of training samples on one query over their positions and over the units.

    Args:
        network: The model with its units.
        encoded: Training samples.
        direction: V_u of the query, unit names to shape (P, M).
        max_tokens: Tokens in one forward pass.
        tell: Told before every batch.

    Returns:
        One decomposition for each sample, in the order given.
    """
    found: list[Decomposition | None] = [None] * len(encoded)
    done = 0
    with frozen(network.lm.model):
        for batch in pack(encoded, max_tokens):
            tell(done)
            done += len(batch.indices)
            products = [
                position_products(one.a, one.delta, direction[one.unit])
                for one in unit_gradients(network.lm.model, network.units, batch.to(network.lm.device))
            ]
            by_unit = torch.stack(products, dim=1).double().cpu().numpy()
            for row, index in enumerate(batch.indices):
                own = by_unit[row, :, : len(encoded[index].input_ids)]
                found[index] = Decomposition(own.sum(axis=0), own.sum(axis=1))
    return [one for one in found if one is not None]
