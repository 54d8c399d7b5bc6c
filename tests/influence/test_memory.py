"""What would not fit into memory is refused before the run, with what would."""

from dataclasses import replace

import pytest
import torch

from lancet_core.errors import ConfigError
from lancet_core.influence import memory
from lancet_core.influence.methods import EKFAC, GRADDOT, LINFAC, LINFAC_HEAD
from lancet_core.influence.presets import PRESETS
from lancet_core.influence.settings import TOKENS_AT_ONCE
from lancet_core.models.units import HEAD, Unit

CURVATURES = {name: settings.curvature for name, settings in PRESETS.items()}
NOWHERE = torch.nn.Identity()
CPU = torch.device("cpu")


def units(blocks, inputs=1000, outputs=2000, bias=False):
    return [
        Unit(f"layers.{block}.mlp", NOWHERE, NOWHERE, inputs, outputs, "mlp", block, bias)
        for block in range(blocks)
    ]


def test_bytes_are_counted_by_hand():
    """One unit of 1000 × 2000: sides 1e6 + 4e6 numbers, twice (sums and eigenvectors), 8 bytes each: 80 MB; eigenvalues 2e6 · 4: 8 MB."""
    assert memory.factor_bytes(units(1), CURVATURES[LINFAC]) == 88_000_000
    assert memory.factor_bytes(units(1), CURVATURES[EKFAC]) == 88_000_000 + 16_000_000
    assert memory.factor_bytes(units(1), CURVATURES[GRADDOT]) == 0
    biased = 16 * (1001**2 + 2000**2) + 4 * 1001 * 2000
    assert memory.factor_bytes(units(1, bias=True), CURVATURES[LINFAC]) == biased
    assert memory.direction_bytes(units(3), queries=10) == 2 * 10 * 3 * 2_000_000 * 4


def test_the_vocabulary_of_the_head_is_counted_once_and_not_squared():
    """Â has 1e6 numbers, the diagonal of Ŝ 128,000, twice, 8 bytes each; eigenvalues 1000 · 128,000 · 4."""
    head = Unit("lm_head", NOWHERE, NOWHERE, 1000, 128_000, HEAD, 3)
    assert memory.factor_bytes([head], CURVATURES[LINFAC_HEAD]) == 16 * 1_128_000 + 512_000_000


def test_what_fits_passes(monkeypatch):
    monkeypatch.setattr(memory, "free_bytes", lambda device: 10**9)
    memory.require_memory(units(4), CURVATURES[LINFAC], queries=1, device=CPU)


def test_what_does_not_fit_is_refused_with_what_would(monkeypatch):
    monkeypatch.setattr(memory, "free_bytes", lambda device: 10**9)
    with pytest.raises(ConfigError, match=r"40 units.*1\.0 GB are free.*layers\.0\.mlp.*the last 8 blocks"):
        memory.require_memory(units(40), CURVATURES[LINFAC], queries=1, device=CPU)
    with pytest.raises(ConfigError, match="fewer queries"):
        memory.require_memory(units(1), CURVATURES[LINFAC], queries=1000, device=CPU)


def test_free_memory_is_read_from_the_machine():
    assert 10**7 < memory.free_bytes(CPU) < 10**14


def test_a_forward_pass_takes_half_of_a_gpus_free_memory_at_most(tiny_model, monkeypatch):
    lm = tiny_model()
    assert memory.tokens_at_once(lm) == TOKENS_AT_ONCE["cpu"]
    on_gpu = replace(lm, device=torch.device("cuda"))
    vocabulary = len(lm.model.get_input_embeddings().weight)
    maps = [layer.weight.shape for layer in lm.model.modules() if isinstance(layer, torch.nn.Linear)]
    kept = 4 * (sum(sum(shape) for shape in maps if vocabulary not in shape) + 4 * vocabulary)
    for free, tokens in (
        (10**12, TOKENS_AT_ONCE["cuda"]),
        (2 * kept * 1000 + 1, 1000),
        (0, memory.LEAST_TOKENS_AT_ONCE),
    ):
        monkeypatch.setattr(memory, "free_bytes", lambda device, free=free: free)
        assert memory.tokens_at_once(on_gpu) == tokens
