"""Memory that an attribution takes, reckoned before the model is loaded. Torch-free."""

import math

from lancet_core.influence.methods import CORRECTED, IDENTITY, LINEARS
from lancet_core.influence.settings import TOKENS_AT_ONCE, GradientSettings, UnitSettings
from lancet_core.models.needs import BYTES_OF, ModelSize, Need, loading_need, pass_need, tokens_of_a_pass

WAYS_OUT = "take --dtype bfloat16, --tracked head or attention, --last-blocks, fewer queries, or --max-tokens and a smaller context"
_FLOAT32, _FLOAT64 = BYTES_OF["float32"], BYTES_OF["float64"]


def attribution_need(size: ModelSize, settings: GradientSettings, *, queries: int, longest: int = 0) -> Need:
    """What an attribution takes at its height on a CPU.

    Args:
        size: The model.
        settings: Units, curvature, precision.
        queries: Queries, or groups of them; 0 for the gradient index.
        longest: Tokens of the longest sample, where it is known.
    """
    usual = tokens_of_a_pass(size.vocabulary, TOKENS_AT_ONCE["cpu"])
    tokens = max(settings.compute.max_tokens or usual, longest)
    shapes = _unit_shapes(size, settings.units)
    numbers = sum(outputs * inputs for outputs, inputs in shapes)
    parts = {
        "curvature": _curvature_bytes(size, settings, shapes),
        "queries": 2 * queries * numbers * _FLOAT32,
    }
    widest = max(outputs * inputs for outputs, inputs in shapes)
    parts["gradients of a unit"] = 2 * widest * _FLOAT32
    need = loading_need(size, settings.compute.dtype)
    return need + pass_need(size, settings.compute.dtype, tokens=tokens, counted=tokens) + Need(parts)


def _unit_shapes(size: ModelSize, units: UnitSettings) -> list[tuple[int, int]]:
    """Outputs and inputs of each unit."""
    blocks = min(units.last_blocks or size.layers, size.layers)
    if units.kind == LINEARS:
        share = blocks / size.layers
        each = [(math.prod(shape[:-1]), shape[-1]) for shape in size.maps]
        inside = each[: max(1, round(len(each) * share))]
    else:
        inside = [(size.width, size.width)] * (2 if units.tracked == "all" else 1) * blocks
    head = [(size.vocabulary, size.width)] if units.has_head else []
    return head if units.tracked == "head" else [*inside, *head]


def _curvature_bytes(size: ModelSize, settings: GradientSettings, shapes: list[tuple[int, int]]) -> int:
    """Sums and eigenvectors in float64, and eigenvalues, as `memory.factor_bytes` reckons them of units that are known."""
    if settings.curvature.eigenvalues == IDENTITY:
        return 0
    sides = sum(
        inputs**2 + (outputs if outputs == size.vocabulary else outputs**2) for outputs, inputs in shapes
    )
    numbers = sum(outputs * inputs for outputs, inputs in shapes)
    measured = numbers * _FLOAT64 if settings.curvature.eigenvalues == CORRECTED else 0
    return 2 * sides * _FLOAT64 + numbers * _FLOAT32 + measured
