"""Units are found from the module tree, and an unknown layout is refused with what was found."""

import pytest
import torch
import transformers

from lancet_core.errors import ModelError
from lancet_core.models.units import find_sublayers
from tests.references.influence import modules_of
from tests.tiny_models import ARCHITECTURES, LAYERS, WIDTH

SMALL = {
    "vocab_size": 330, "hidden_size": WIDTH, "num_hidden_layers": 2, "num_attention_heads": 4,
    "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2,
}  # fmt: skip
MODERN = {
    **SMALL,
    "intermediate_size": 48,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "max_position_embeddings": 64,
}


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_sublayers_are_those_of_the_source(architecture, tiny_model):
    model = tiny_model(architecture).model
    units = find_sublayers(model)
    assert [(unit.reader, unit.writer) for unit in units] == modules_of(model, architecture, LAYERS)
    assert len({unit.name for unit in units}) == len(units)
    assert {unit.width for unit in units} == {WIDTH}


def test_an_output_that_passes_its_own_norm_is_taken_behind_it():
    """Gemma 2 adds norm(attention(norm(x))): what is added is the second norm's output."""
    model = transformers.Gemma2ForCausalLM(transformers.Gemma2Config(**MODERN)).eval()
    block = model.model.layers[1]
    units = find_sublayers(model)
    assert [unit.writer for unit in units[2:]] == [
        block.post_attention_layernorm,
        block.post_feedforward_layernorm,
    ]
    assert [unit.reader for unit in units[2:]] == [block.self_attn, block.mlp]


def test_a_block_that_adds_inside_its_sublayers_is_refused():
    """BLOOM's attention and MLP modules add the residual themselves: their outputs are no contributions."""
    config = {**SMALL, "n_head": 4, "n_layer": 2}
    model = transformers.BloomForCausalLM(transformers.BloomConfig(**config)).eval()
    with pytest.raises(ModelError, match=r"self_attention \(BloomAttention\).*mlp \(BloomMLP\)"):
        find_sublayers(model)


def test_a_network_without_blocks_is_refused():
    class Flat(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.config = transformers.LlamaConfig(**MODERN)
            self.head = torch.nn.Linear(4, 4)

    with pytest.raises(ModelError, match="modules found: Flat, Linear"):
        find_sublayers(Flat())
