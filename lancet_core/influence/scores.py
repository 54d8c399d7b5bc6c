"""Influence scores: preconditioned query gradients, one pass over the candidates for all queries, and its decompositions."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lancet_core.errors import NumericalError
from lancet_core.influence.capture import UnitGradients, explain_broken, frozen, unit_gradients
from lancet_core.influence.gradients import contract, modular_gradient, position_products
from lancet_core.influence.preconditioner import Preconditioner, norms_of
from lancet_core.influence.shards import Tell
from lancet_core.models.encoding import Batch, Encoded, pack
from lancet_core.models.likelihood import full_precision
from lancet_core.models.token_text import token_texts
from lancet_core.models.units import UnitModel

_MOST_EXPLAINED = 50
NOT_FINITE = "what is computed of it is not finite"
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
    stacked = {unit: torch.stack(rows.pop(unit)) for unit in list(rows)}
    _require_finite(network, encoded, stacked)
    return stacked


def mean_by_group(gradients: Mapping[str, Tensor], groups: Sequence[Sequence[int]]) -> Gradients:
    """Averages query gradients within groups (Eq. 13); a group of one leaves its query as it is.

    Args:
        gradients: Gradients of the queries.
        groups: Query indices of each group.

    Returns:
        Gradients of the groups; the same tensors where each query is a group.
    """
    if all(list(members) == [number] for number, members in enumerate(groups)):
        return dict(gradients)
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
        Shape (samples, queries), in the order given; not finite where what is computed of a sample is not: `reasons` says why.
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
    return placed


def token_row(
    network: UnitModel, text: Encoded, decomposition: Decomposition, *, query_id: str, sample_id: str
) -> dict[str, Any]:
    """Gives a decomposition as a row of the table of tokens, columns `results.TOKEN_COLUMNS`."""
    return {
        "query_id": query_id,
        "sample_id": sample_id,
        "tokens": token_texts(network.lm.tokenizer, text.input_ids),
        "heat": decomposition.heat.tolist(),
        "response_start": text.response_start,
        "units": [unit.name for unit in network.units],
        "unit_influence": decomposition.unit_influence.tolist(),
    }


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
        One decomposition for each sample, in the order given, of which that of a sample is not finite as its score is not.
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
    return [by_index[index] for index in range(len(encoded))]


def reasons(network: UnitModel, encoded: Sequence[Encoded], otherwise: str = NOT_FINITE) -> list[str]:
    """Says of texts whose scores, sketches or factors are not finite what is broken, by a second look at each of the first.

    Args:
        network: The model with its units.
        encoded: The texts.
        otherwise: What is said of those of which nothing is found, or that are not looked at.
    """
    with frozen(network.lm.model):
        looked_at = [
            explain_broken(network.lm.model, network.units, batch.to(network.lm.device)) or otherwise
            for text in encoded[:_MOST_EXPLAINED]
            for batch in pack([text], 1)
        ]
    return [*looked_at, *[otherwise] * (len(encoded) - len(looked_at))]


def _heat(captured: UnitGradients, direction: Tensor, batch: Batch) -> Tensor:
    """Influence of each position of the text through one unit, shape (rows, positions)."""
    products = position_products(captured.a, captured.delta, direction)
    if captured.places is None:
        return products
    return products.new_zeros(batch.input_ids.shape).scatter_add_(1, captured.places.clamp(min=0), products)


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


def _require_finite(network: UnitModel, encoded: Sequence[Encoded], gradients: Mapping[str, Tensor]) -> None:
    """Refuses queries whose gradients are not finite.

    Raises:
        NumericalError: One is not; query and unit are named.
    """
    finite = torch.stack([torch.isfinite(values).flatten(1).all(dim=1) for values in gradients.values()])
    broken = (~finite.all(dim=0)).nonzero().flatten().tolist()
    if broken:
        reason = reasons(network, [encoded[broken[0]]])[0]
        raise NumericalError(
            f"query {broken[0] + 1} cannot be attributed: {reason}; compute in float32, or take it out of the queries"
        )
