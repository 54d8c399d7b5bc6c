"""Memory that factors and directions take, estimated before a run so that it is refused and not killed."""

from collections.abc import Sequence
from typing import Any

import psutil
import torch

from lancet_core.errors import ConfigError
from lancet_core.influence.gradients import MOST_NUMBERS
from lancet_core.influence.methods import CORRECTED, IDENTITY
from lancet_core.influence.settings import TOKENS_AT_ONCE, CurvatureSettings
from lancet_core.models.loading import LanguageModel
from lancet_core.models.needs import tokens_of_a_pass
from lancet_core.models.units import Unit

_GIGABYTE = 1e9
_FLOAT32, _FLOAT64 = 4, 8
LEAST_TOKENS_AT_ONCE = 512


def factor_bytes(units: Sequence[Unit], curvature: CurvatureSettings) -> int:
    """Bytes that the factors of some units take while they are estimated: sums in float64 with their eigenvectors, and eigenvalues.

    Args:
        units: The units.
        curvature: Whether there is curvature, and whether its eigenvalues are corrected.
    """
    if curvature.eigenvalues == IDENTITY:
        return 0
    sides = sum(_inputs(unit) ** 2 + unit.outputs ** (1 if unit.is_head else 2) for unit in units)
    eigenvalues = sum(_inputs(unit) * unit.outputs for unit in units)
    measured = eigenvalues * _FLOAT64 if curvature.eigenvalues == CORRECTED else 0
    return 2 * sides * _FLOAT64 + eigenvalues * _FLOAT32 + measured


def direction_bytes(units: Sequence[Unit], queries: int) -> int:
    """Bytes that gradients and directions of some queries take."""
    return 2 * queries * sum(_inputs(unit) * unit.outputs for unit in units) * _FLOAT32


def require_memory(
    units: Sequence[Unit], curvature: CurvatureSettings, *, queries: int, device: torch.device
) -> None:
    """Refuses a run that would not fit, and says what would.

    Raises:
        ConfigError: Factors, directions and one modular gradient of the widest unit exceed the free memory.
    """
    widest = max(units, key=lambda unit: _inputs(unit) * unit.outputs)
    gradient = max(MOST_NUMBERS // 8, _inputs(widest) * widest.outputs) * _FLOAT32
    needed = factor_bytes(units, curvature) + direction_bytes(units, queries) + gradient
    free = free_bytes(device)
    if needed <= free:
        return
    fitting = _blocks_that_fit(units, curvature, room=free - gradient, queries=queries)
    way_out = (
        f"track the last {fitting} blocks (last_blocks)" if fitting else "attribute fewer queries at once"
    )
    raise ConfigError(
        f"the curvature of {len(units)} units and {queries} queries need {needed / _GIGABYTE:.1f} GB, {free / _GIGABYTE:.1f} GB are "
        f"free; the widest unit is {widest.name} with {_inputs(widest):,} × {widest.outputs:,}; {way_out}, track only attention "
        "(tracked), or take a machine with more memory"
    )


def tokens_at_once(lm: LanguageModel) -> int:
    """Tokens of one forward pass: as many as are fastest, and whose logits are no larger than is needed for that.

    On a GPU a pass takes no more than half of the free memory: it keeps what each linear map read and wrote, and about four arrays
    as wide as the vocabulary, in float32.
    """
    most = TOKENS_AT_ONCE[lm.device.type]
    embedding = lm.model.get_input_embeddings().weight
    if lm.device.type == "cpu":
        return tokens_of_a_pass(len(embedding), most)
    maps = [
        parameter.shape[-2:]
        for parameter in lm.model.parameters()
        if parameter.dim() > 1 and len(embedding) not in parameter.shape
    ]
    kept = sum(map(sum, maps)) * embedding.element_size() + 4 * len(embedding) * _FLOAT32
    return max(LEAST_TOKENS_AT_ONCE, min(most, int(free_bytes(lm.device) // (2 * kept))))


def free_bytes(device: torch.device) -> int:
    """Memory that is free where tensors go, in bytes."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    memory: Any = psutil.virtual_memory()
    return int(memory.available)


def _blocks_that_fit(units: Sequence[Unit], curvature: CurvatureSettings, *, room: int, queries: int) -> int:
    """How many of the last blocks fit."""
    blocks = sorted({unit.block for unit in units}, reverse=True)
    for count in range(len(blocks), 0, -1):
        last = [unit for unit in units if unit.block in blocks[:count]]
        if factor_bytes(last, curvature) + direction_bytes(last, queries) <= room:
            return count
    return 0


def _inputs(unit: Unit) -> int:
    return unit.inputs + unit.bias
