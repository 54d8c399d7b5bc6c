"""A few conjugate-gradient steps towards the exact damped Gauss-Newton solve, preconditioned by the factored one."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from lancet_core.influence.capture import frozen
from lancet_core.influence.fitting import pseudo_gradients
from lancet_core.influence.gradients import contract, gradient_parts
from lancet_core.influence.preconditioner import Preconditioner
from lancet_core.influence.scores import Directions, Gradients
from lancet_core.influence.settings import GradientSettings
from lancet_core.influence.shards import Tell
from lancet_core.models.encoding import Encoded
from lancet_core.models.units import UnitModel
from lancet_core.progress import Progress

STAGE = "Refining the solve"


@dataclass(frozen=True)
class DampedFisher:
    """F + λ as an operator: F = (1/N) Σ_n g̃_n g̃_nᵀ over per-sequence pseudo-gradients joins all units, which the factors treat apart.

    Attributes:
        network: The model with its units.
        texts: Pseudo-data that F is estimated from.
        curvature: Factored solve of each unit, whose λ this has too.
        settings: Fisher, seed, batch size.
    """

    network: UnitModel
    texts: Sequence[Encoded]
    curvature: Mapping[str, Preconditioner]
    settings: GradientSettings

    def apply(self, vectors: Mapping[str, Tensor], tell: Tell) -> Gradients:
        """(F + λ) applied to matrices of shape (queries, P, M) of each unit, in the eigenbasis; one pass over the texts."""
        sums = {unit: torch.zeros_like(values) for unit, values in vectors.items()}
        done = 0
        left_out: list[int] = []
        with frozen(self.network.lm.model):
            for rows, units in pseudo_gradients(self.network, self.texts, self.settings, left_out.append):
                tell(done)
                done += rows
                rotated = {each.unit: self.curvature[each.unit].rotate(each.a, each.delta) for each in units}
                products = [contract(*pair, vectors[unit]) for unit, pair in rotated.items()]
                weights = torch.stack(products).sum(dim=0)
                for unit, pair in rotated.items():
                    start = 0
                    for gradients in gradient_parts(*pair):
                        of_rows = weights[start : start + len(gradients)]
                        sums[unit] += (of_rows.T @ gradients.flatten(1)).view_as(sums[unit])
                        start += len(gradients)
        return {
            unit: total / (len(self.texts) - len(left_out)) + self.curvature[unit].damping * vectors[unit]
            for unit, total in sums.items()
        }


def refine(
    fisher: DampedFisher, gradients: Mapping[str, Tensor], *, steps: int, progress: Progress
) -> Directions:
    """Solves (F + λ) V = g by preconditioned conjugate gradients from V = 0: each step is one pass over the texts.

    The factored solve is the preconditioner, and up to its length the first step: `steps` beyond one change a ranking. Whatever the
    number of queries, they share the passes.

    Args:
        fisher: F + λ.
        gradients: Gradients of the queries.
        steps: Number of steps, at least one.
        progress: Told at every batch.

    Returns:
        V of each query.
    """
    solution = {unit: torch.zeros_like(values) for unit, values in gradients.items()}
    residual = dict(gradients)
    direction: Gradients = {}
    before = None
    for step in range(1, steps + 1):
        solved = {unit: fisher.curvature[unit].solve(values) for unit, values in residual.items()}
        now = _products(residual, solved)
        direction = solved if before is None else _sum(solved, direction, _ratio(now, before))
        image = fisher.apply(
            direction, _teller(progress, f"{STAGE}, step {step} of {steps}", len(fisher.texts))
        )
        size = _ratio(now, _products(direction, image))
        solution = _sum(solution, direction, size)
        residual = _sum(residual, image, -size)
        before = now
    return Directions(fisher.curvature, solution)


def _teller(progress: Progress, stage: str, total: int) -> Tell:
    return lambda done: progress(stage, done, total)


def _products(left: Gradients, right: Gradients) -> Tensor:
    """Scalar product of each query over all units, shape (queries,)."""
    return torch.stack([(left[unit] * right[unit]).sum(dim=(1, 2)) for unit in left]).sum(dim=0)


def _ratio(part: Tensor, whole: Tensor) -> Tensor:
    """Step sizes; 0 for a query that is solved already."""
    return torch.where(whole > 0, part / whole, 0.0)


def _sum(left: Gradients, right: Gradients, factor: Tensor) -> Gradients:
    """Left + factor · right, query by query."""
    return {unit: left[unit] + factor[:, None, None] * right[unit] for unit in left}
