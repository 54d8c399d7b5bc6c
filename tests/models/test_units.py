"""Units are found from the module tree and a probing pass, and an unknown layout is refused with what was found."""

import pytest
import torch
import transformers

from lancet_core.errors import ConfigError, ModelError
from lancet_core.models.units import (
    Unit,
    find_head,
    find_linears,
    find_sublayers,
    select_units,
)
from lancet_core.models.untracked import Untracked, list_untracked
from tests.references.influence import modules_of
from tests.tiny_models import (
    ARCHITECTURES,
    INNER,
    LAYERS,
    WIDTH,
    byte_level_tokenizer,
    new_model,
    wrap_in_lora,
)

ADAPTED = ("llama", "gemma2", "opt-projected", "gpt2", "gpt_neox", "falcon", "bloom", "qwen2_moe")
# Linear layers of a block, written down from the source: name, inputs, outputs, bias.
KEYS = WIDTH // 2
LLAMA_ATTENTION = [
    ("self_attn.q_proj", WIDTH, WIDTH, False), ("self_attn.k_proj", WIDTH, KEYS, False),
    ("self_attn.v_proj", WIDTH, KEYS, False), ("self_attn.o_proj", WIDTH, WIDTH, False),
]  # fmt: skip
LLAMA_MLP = [
    ("gate_proj", WIDTH, INNER, False), ("up_proj", WIDTH, INNER, False), ("down_proj", INNER, WIDTH, False)
]  # fmt: skip
OPT = [
    *((f"self_attn.{name}_proj", WIDTH, WIDTH, True) for name in ("k", "v", "q", "out")),
    ("fc1", WIDTH, INNER, True), ("fc2", INNER, WIDTH, True),
]  # fmt: skip
LINEARS = {
    "llama": [*LLAMA_ATTENTION, *((f"mlp.{name}", *rest) for name, *rest in LLAMA_MLP)],
    "opt": OPT,
    "opt-projected": OPT,
    "gpt2": [
        ("attn.c_attn", WIDTH, 3 * WIDTH, True), ("attn.c_proj", WIDTH, WIDTH, True),
        ("mlp.c_fc", WIDTH, INNER, True), ("mlp.c_proj", INNER, WIDTH, True),
    ],
    "bloom": [
        ("self_attention.query_key_value", WIDTH, 3 * WIDTH, True), ("self_attention.dense", WIDTH, WIDTH, True),
        ("mlp.dense_h_to_4h", WIDTH, 4 * WIDTH, True), ("mlp.dense_4h_to_h", 4 * WIDTH, WIDTH, True),
    ],
    "mixtral": LLAMA_ATTENTION,
    "qwen2_moe": [
        *((name, inputs, outputs, not name.endswith("o_proj")) for name, inputs, outputs, _ in LLAMA_ATTENTION),
        *((f"mlp.shared_expert.{name}", *rest) for name, *rest in LLAMA_MLP),
        ("mlp.shared_expert_gate", WIDTH, 1, False),
    ],
}  # fmt: skip


@pytest.fixture
def adapted():
    def wrapped(architecture):
        with torch.random.fork_rng():
            torch.manual_seed(0)
            return wrap_in_lora(new_model(architecture, byte_level_tokenizer()))

    return wrapped


def small_llama(**changes):
    config = transformers.LlamaConfig(
        vocab_size=40,
        hidden_size=8,
        intermediate_size=12,
        num_hidden_layers=5,
        num_attention_heads=2,
        **changes,
    )
    return transformers.LlamaForCausalLM(config).eval()


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_sublayers_are_those_of_the_source(architecture, tiny_model):
    model = tiny_model(architecture).model
    units = find_sublayers(model)
    assert [(unit.reader, unit.writer) for unit in units] == modules_of(model, architecture, LAYERS)
    assert [unit.kind for unit in units] == ["attention", "mlp"] * LAYERS
    assert [unit.block for unit in units] == [0, 0, 1, 1]
    assert len({unit.name for unit in units}) == len(units)
    assert {(unit.inputs, unit.outputs, unit.bias) for unit in units} == {(WIDTH, WIDTH, False)}


@pytest.mark.parametrize("architecture", ADAPTED)
def test_lora_changes_no_sublayer(architecture, adapted):
    model = adapted(architecture)
    units = find_sublayers(model)
    assert [(unit.reader, unit.writer) for unit in units] == modules_of(model, architecture, LAYERS)
    assert [unit.kind for unit in units] == ["attention", "mlp"] * LAYERS


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_rounding_hides_no_sublayer(architecture):
    """In bfloat16, where sublayers add little to the stream."""
    with torch.random.fork_rng():
        torch.manual_seed(1)
        model = new_model(architecture, byte_level_tokenizer())
    expected = modules_of(model, architecture, LAYERS)
    for module in {module for pair in expected for module in pair}:
        for parameter in module.parameters():
            parameter.data *= 0.2
    units = find_sublayers(model.to(torch.bfloat16))
    assert [(unit.reader, unit.writer) for unit in units] == expected
    assert [unit.kind for unit in units] == ["attention", "mlp"] * LAYERS


@pytest.mark.parametrize("architecture", LINEARS)
def test_linears_are_those_of_the_source(architecture, tiny_model):
    model = tiny_model(architecture).model
    block = find_sublayers(model)[0].name.rsplit(".0.", 1)[0]
    expected = [
        (f"{block}.{number}.{name}", inputs, outputs, bias, number)
        for number in range(LAYERS)
        for name, inputs, outputs, bias in LINEARS[architecture]
    ]
    units = find_linears(model)
    found = [(unit.name, unit.inputs, unit.outputs, unit.bias, unit.block) for unit in units]
    assert found == expected
    assert all(unit.reader is unit.writer is model.get_submodule(unit.name) for unit in units)
    attention = [("attn" in unit.name or "attention" in unit.name) for unit in units]
    assert [unit.kind == "attention" for unit in units] == attention


@pytest.mark.parametrize("architecture", ADAPTED)
def test_linears_in_lora_are_its_factors(architecture, adapted):
    model = adapted(architecture)
    factors = {
        module: (module.in_features, module.out_features)
        for name, module in model.named_modules()
        if name.endswith((".lora_A.default", ".lora_B.default")) and ".project_" not in name
    }
    units = find_linears(model)
    assert {unit.reader: (unit.inputs, unit.outputs) for unit in units} == factors
    assert len(units) == len(factors)
    assert not any(unit.bias for unit in units)


def test_probing_leaves_the_model_as_it_is():
    model = small_llama(attention_dropout=0.5)
    model.train()
    model.model.layers[2].eval()
    for parameter in model.model.layers[0].parameters():
        parameter.requires_grad_(False)

    def state():
        tensors = [tensor.clone() for tensor in (*model.parameters(), *model.buffers())]
        flags = [module.training for module in model.modules()], [p.requires_grad for p in model.parameters()]
        hooks = [len(module._forward_hooks) for module in model.modules()]
        return [*tensors, torch.random.get_rng_state()], (flags, hooks)

    before = state()
    find_sublayers(model)
    find_linears(model)
    after = state()
    assert all(torch.equal(*pair) for pair in zip(before[0], after[0], strict=True))
    assert before[1] == after[1]


def test_tracked_and_last_blocks_keep_what_they_name():
    units = find_sublayers(small_llama())
    assert select_units(units) == units
    assert select_units(units, tracked="attention") == units[::2]
    assert select_units(units, tracked="mlp", last_blocks=2) == [units[7], units[9]]
    assert select_units(units, last_blocks=9) == units
    head = find_head(small_llama())
    assert select_units([*units, *head], tracked="head") == head


def test_merged_mlps_read_with_the_first_and_write_with_the_last():
    model = small_llama()
    units = find_sublayers(model)
    mlps = [layer.mlp for layer in model.model.layers]
    merged = [unit for unit in select_units(units, merge_blocks=2) if unit.kind == "mlp"]
    assert [(unit.reader, unit.writer) for unit in merged] == [
        (mlps[0], mlps[1]),
        (mlps[2], mlps[3]),
        (mlps[4], mlps[4]),
    ]
    assert [unit.name for unit in merged] == [
        "model.layers.0.mlp+1.mlp",
        "model.layers.2.mlp+3.mlp",
        "model.layers.4.mlp",
    ]
    assert [unit.block for unit in merged] == [1, 3, 4]
    attention = [unit for unit in select_units(units, merge_blocks=2) if unit.kind == "attention"]
    assert attention == units[::2]


def test_merging_begins_with_the_first_block_that_is_kept():
    units = find_sublayers(small_llama())
    (only,) = select_units(units, tracked="mlp", last_blocks=3, merge_blocks=3)
    assert only.name == "model.layers.2.mlp+4.mlp"


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"tracked": "norms"}, "no unit is left of 10: tracked = norms"),
        ({"tracked": "attention", "merge_blocks": 2}, "none is tracked"),
    ],
)
def test_a_selection_of_nothing_is_refused(settings, message):
    with pytest.raises(ConfigError, match=message):
        select_units(find_sublayers(small_llama()), **settings)


def test_linears_are_not_merged():
    with pytest.raises(ConfigError, match="these units are linear layers; set merge_blocks = 1"):
        select_units(find_linears(small_llama()), merge_blocks=2)


def share_of(model, modules):
    counted = {id(p): p.numel() for module in modules for p in module.parameters()}
    return sum(counted.values()) / sum(p.numel() for p in model.parameters())


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("find", [find_sublayers, find_linears])
def test_covered_and_untracked_shares_sum_to_one(architecture, find, tiny_model):
    model = tiny_model(architecture).model
    units = find(model)
    untracked = list_untracked(model, units)
    covered = share_of(model, [module for unit in units for module in unit.covers])
    assert sum(entry.share for entry in untracked) + covered == pytest.approx(1.0, abs=1e-12)
    assert [entry.share for entry in untracked] == sorted((entry.share for entry in untracked), reverse=True)
    assert len({entry.name for entry in untracked}) == len(untracked)


def test_untracked_parameters_are_told_by_module():
    model = small_llama()
    layers = model.model.layers
    units = select_units(find_sublayers(model), tracked="mlp", last_blocks=3, merge_blocks=2)
    norms = ("input_layernorm", "post_attention_layernorm")
    expected = {
        "model.layers.0-1": share_of(model, layers[:2]),
        "model.layers.2-4.self_attn": share_of(model, [layer.self_attn for layer in layers[2:]]),
        "model.embed_tokens": share_of(model, [model.model.embed_tokens]),
        "lm_head": share_of(model, [model.lm_head]),
        "model.norm": share_of(model, [model.model.norm]),
        **{
            f"model.layers.2-4.{name}": share_of(model, [layer.get_submodule(name) for layer in layers[2:]])
            for name in norms
        },
    }
    found = list_untracked(model, units)
    assert {entry.name: entry.share for entry in found} == pytest.approx(expected)
    assert found[0] == Untracked("model.layers.0-1", pytest.approx(expected["model.layers.0-1"]))


def test_tied_weights_count_once():
    model = small_llama(tie_word_embeddings=True)
    names = {entry.name for entry in list_untracked(model, find_sublayers(model))}
    assert "model.embed_tokens" in names
    assert "lm_head" not in names


def test_experts_are_untracked_by_linears_and_tracked_by_sublayers(tiny_model):
    model = tiny_model("mixtral").model
    names = {entry.name for entry in list_untracked(model, find_linears(model))}
    assert "model.layers.0-1.mlp" in names
    assert not any("mlp" in entry.name for entry in list_untracked(model, find_sublayers(model)))


def test_layers_adapted_by_lora_are_untracked(adapted):
    model = adapted("llama")
    names = {entry.name for entry in list_untracked(model, find_linears(model))}
    assert "base_model.model.model.layers.0-1.self_attn.q_proj.base_layer" in names
    assert not any("lora" in name for name in names)


def test_a_unit_without_covers_stands_for_its_reader_and_writer():
    model = small_llama()
    (first, *_) = find_sublayers(model)
    bare = Unit("bare", first.reader, first.writer, 8, 8, "attention", 0)
    assert list_untracked(model, [bare]) == list_untracked(model, [first])


class Doubling(torch.nn.Module):
    """A sublayer that multiplies the stream instead of adding to it."""

    def __init__(self, width):
        super().__init__()
        self.projection = torch.nn.Linear(width, width)

    def forward(self, values):
        return self.projection(values).tanh()


def test_an_output_that_is_not_added_is_refused():
    model = small_llama()
    model.model.layers[3].mlp = Doubling(8)
    model.model.layers[3].register_forward_hook(lambda _module, _arguments, output: output * 2)
    with pytest.raises(ModelError, match=r"layers\.3\.mlp writes is not added.*mlp \(Doubling\)"):
        find_sublayers(model)


def test_a_network_without_blocks_is_refused():
    class Flat(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.config = transformers.LlamaConfig()
            self.head = torch.nn.Linear(4, 4)

    with pytest.raises(ModelError, match="modules found: Flat, Linear"):
        find_sublayers(Flat())


def test_linears_that_see_only_some_tokens_are_refused():
    model = small_llama()
    for module in model.model.layers.modules():
        if type(module) is torch.nn.Linear:
            module.register_forward_pre_hook(lambda _module, arguments: (arguments[0][:1],))
            module.register_forward_hook(lambda _module, _arguments, output: torch.cat([output, output]))
    with pytest.raises(ModelError, match=r"no linear layer in model\.layers sees every token once"):
        find_linears(model)
