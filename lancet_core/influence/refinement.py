"""A few conjugate-gradient steps from the factored solve towards the exact damped Gauss-Newton solve."""

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor

from lancet_core.influence.capture import frozen
from lancet_core.influence.fitting import pseudo_gradients
from lancet_core.influence.gradients import contract, gradient_parts
from lancet_core.influence.preconditioner import Preconditioner
from lancet_core.influence.scores import Directions, Gradients
from lancet_core.influence.settings import InfluenceSettings
from lancet_core.models.encoding import Encoded
from lancet_core.models.units import UnitModel
from lancet_core.progress import Progress

STAGE = "Refining the solve"


def refine(
    network: UnitModel,
    gradients: Mapping[str, Tensor],
    *,
    texts: Sequence[Encoded],
    curvature: Mapping[str, Preconditioner],
    settings: InfluenceSettings,
    progress: Progress,
) -> Directions:
    """Solves (F + λ) V = g by preconditioned conjugate gradients; F joins all units, which the factors treat apart.

    F = (1/N) Σ_n g̃_n g̃_nᵀ over per-sequence pseudo-gradients, λ of each unit as in the factored solve, which is both the start
    and the preconditioner. Every step is one more pass over the texts, whatever the number of queries.

    Args:
        network: The model with its units.
        gradients: Gradients of the queries.
        texts: Pseudo-data that F is estimated from.
        curvature: Factored solve of each unit.
        settings: Number of steps, Fisher, seed, batch size.
        progress: Told at every batch.

    Returns:
        V of each query.
    """

    def applied(vectors: Gradients, step: int) -> Gradients:
        stage = f"{STAGE}, step {step + 1} of {settings.refine_steps}"
        return _apply_fisher(
            network,
            vectors,
            texts=texts,
            curvature=curvature,
            settings=settings,
            tell=lambda done: progress(stage, done, len(texts)),
        )

    solution = {unit: curvature[unit].solve(values) for unit, values in gradients.items()}
    image = applied(solution, 0)
    residual = {unit: gradients[unit] - image[unit] for unit in gradients}
    direction: Gradients = {}
    before = None
    for step in range(settings.refine_steps):
        solved = {unit: curvature[unit].solve(values) for unit, values in residual.items()}
        now = _products(residual, solved)
        direction = solved if before is None else _sum(solved, direction, _ratio(now, before))
        image = applied(direction, step)
        size = _ratio(now, _products(direction, image))
        solution = _sum(solution, direction, size)
        residual = _sum(residual, image, -size)
        before = now
    return Directions(curvature, solution)


def _apply_fisher(
    network: UnitModel,
    vectors: Gradients,
    *,
    texts: Sequence[Encoded],
    curvature: Mapping[str, Preconditioner],
    settings: InfluenceSettings,
    tell: Callable[[int], None],
) -> Gradients:
    """(F + λ) applied to matrices of shape (queries, P, M) of each unit."""
    sums = {unit: torch.zeros_like(values) for unit, values in vectors.items()}
    done = 0
    with frozen(network.lm.model):
        for batch, units in pseudo_gradients(network, texts, settings):
            tell(done)
            done += len(batch.indices)
            rotated = {one.unit: curvature[one.unit].rotate(one.a, one.delta) for one in units}
            products = [contract(*pair, vectors[unit]) for unit, pair in rotated.items()]
            weights = torch.stack(products).sum(dim=0)
            for unit, pair in rotated.items():
                start = 0
                for found in gradient_parts(*pair):
                    rows = weights[start : start + len(found)]
                    sums[unit] += (rows.T @ found.flatten(1)).view_as(sums[unit])
                    start += len(found)
    return {
        unit: total / len(texts) + curvature[unit].damping * vectors[unit] for unit, total in sums.items()
    }


def _products(left: Gradients, right: Gradients) -> Tensor:
    """Scalar product of each query over all units, shape (queries,)."""
    return torch.stack([(left[unit] * right[unit]).sum(dim=(1, 2)) for unit in left]).sum(dim=0)


def _ratio(part: Tensor, whole: Tensor) -> Tensor:
    """Step sizes; 0 for a query that is solved already."""
    return torch.where(whole > 0, part / whole, 0.0)


def _sum(left: Gradients, right: Gradients, factor: Tensor) -> Gradients:
    """Left + factor · right, query by query."""
    return {unit: left[unit] + factor[:, None, None] * right[unit] for unit in left}
