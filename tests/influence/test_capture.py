"""What each unit reads and how log p depends on what it writes (tests 3 and 6 of the design)."""

import copy
from dataclasses import replace

import peft
import pytest
import torch

from lancet_core.influence.capture import (
    data_labels,
    explain_broken,
    finite_rows,
    frozen,
    sampled_labels,
    unit_gradients,
)
from lancet_core.influence.factors import FactorSums, pool_reduce
from lancet_core.influence.gradients import modular_gradient
from lancet_core.models.encoding import pack
from lancet_core.models.loading import load_language_model
from lancet_core.models.units import find_head, find_linears, find_sublayers, select_units
from lancet_core.models.untracked import list_untracked
from tests.references.influence import linear_gradients, modular_gradients, modules_of
from tests.tiny_models import ARCHITECTURES, LAYERS, save_adapter, wrap_in_lora

# Transformers computes their softmax in float32 even in float64, and a left-padded row without any key gives NaN there.
FLOAT32_SOFTMAX = {"gemma2", "gptj", "bloom"}
NO_LEFT_PADDING = {"gemma2", "bloom"}
on_each_side = pytest.mark.parametrize(
    ("architecture", "side"),
    [
        (architecture, side)
        for architecture in ARCHITECTURES
        for side in ("right", "left")
        if side == "right" or architecture not in NO_LEFT_PADDING
    ],
)


def agree(got, expected, architecture):
    tight = architecture not in FLOAT32_SOFTMAX
    rtol, atol = (1e-8, 1e-10) if tight else (1e-5, 1e-6)
    torch.testing.assert_close(got, expected, rtol=rtol, atol=atol * float(expected.abs().max()))


@on_each_side
def test_modular_gradient_equals_autograd(architecture, side, tiny_model, texts_of, padded):
    lm = tiny_model(architecture, dtype="float64")
    texts = texts_of(lm)
    batch = padded(texts, side, extra=3)
    with frozen(lm.model):
        found = unit_gradients(lm.model, find_sublayers(lm.model), batch)
    modules = modules_of(lm.model, architecture, LAYERS)
    assert len(found) == len(modules)
    for row, index in enumerate(batch.indices):
        literal = modular_gradients(lm.model, modules, texts[index])
        for unit, expected in zip(found, literal, strict=True):
            agree(modular_gradient(unit.a, unit.delta)[row], expected, architecture)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("adapted", [False, True], ids=["plain", "lora"])
def test_gradient_of_a_linear_layer_equals_autograd(architecture, adapted, tiny_model, texts_of, padded):
    """Weight and bias of `nn.Linear` and Conv1D; with LoRA those of lora_A and lora_B."""
    lm = tiny_model(architecture, dtype="float64")
    model = wrap_in_lora(copy.deepcopy(lm.model)) if adapted else lm.model
    texts = texts_of(lm)
    batch, units = padded(texts, extra=3), find_linears(model)
    with frozen(model):
        found = unit_gradients(model, units, batch)
    for row, index in enumerate(batch.indices):
        literal = linear_gradients(model, [unit.reader for unit in units], texts[index])
        for unit, expected in zip(found, literal, strict=True):
            agree(modular_gradient(unit.a, unit.delta)[row], expected, architecture)


@on_each_side
def test_gradient_of_the_head_equals_autograd(architecture, side, tiny_model, texts_of, padded):
    """Its weight taken apart from the embeddings that it may be tied to; a and δ stand at the tokens that are predicted."""
    lm = tiny_model(architecture, dtype="float64")
    model = copy.deepcopy(lm.model)
    head = model.get_output_embeddings()
    head.weight = torch.nn.Parameter(head.weight.detach().clone())
    texts = texts_of(lm)
    batch, units = padded(texts, side, extra=3), find_head(model)
    with frozen(model):
        (found,) = unit_gradients(model, units, batch)
    rows, slots = found.mask.nonzero(as_tuple=True)
    assert batch.response_mask[rows, found.places[rows, slots]].all()
    assert int(found.mask.sum()) == int(batch.response_mask.sum())
    assert found.delta[~found.mask].eq(0).all()
    assert found.a[~found.mask].eq(0).all()
    for row, index in enumerate(batch.indices):
        (expected,) = linear_gradients(model, [head], texts[index])
        agree(modular_gradient(found.a, found.delta)[row], expected, architecture)


def test_an_adapter_leaves_the_head_as_it_is(tiny_model):
    assert find_head(wrap_in_lora(copy.deepcopy(tiny_model("llama").model))) == []
    config = peft.LoraConfig(r=2, target_modules=["lm_head"], task_type="CAUSAL_LM")
    assert find_head(peft.get_peft_model(copy.deepcopy(tiny_model("llama").model), config)) == []


def test_a_head_that_an_adapter_trained_is_a_unit_and_embeddings_are_named(
    tiny_model_folder, tmp_path, texts_of, padded
):
    save_adapter(tiny_model_folder(), tmp_path, modules_to_save=["lm_head", "embed_tokens"])
    lm = load_language_model(str(tmp_path), device="cpu", dtype="float64")
    texts = texts_of(lm)
    batch, head = padded(texts), find_head(lm.model)
    with frozen(lm.model):
        (found,) = unit_gradients(lm.model, head, batch)
    for row, index in enumerate(batch.indices):
        (expected,) = linear_gradients(lm.model, [head[0].reader], texts[index])
        agree(modular_gradient(found.a, found.delta)[row], expected, "llama")
    parts = list_untracked(lm.model, [*find_sublayers(lm.model), *head])
    assert [part.name for part in parts if part.trained] == [
        "base_model.model.model.embed_tokens.modules_to_save"
    ]


@pytest.mark.parametrize("architecture", ["llama", "opt", "falcon", "mixtral"])
def test_merged_blocks_read_the_first_and_write_the_last(architecture, tiny_model, texts_of, padded):
    lm = tiny_model(architecture, dtype="float64")
    texts = texts_of(lm)
    batch = padded(texts)
    merged = select_units(find_sublayers(lm.model), tracked="mlp", merge_blocks=LAYERS)
    with frozen(lm.model):
        (found,) = unit_gradients(lm.model, merged, batch)
    modules = modules_of(lm.model, architecture, LAYERS)
    reader, writer = modules[1][0], modules[-1][1]
    for row, index in enumerate(batch.indices):
        (expected,) = modular_gradients(lm.model, [(reader, writer)], texts[index])
        agree(modular_gradient(found.a, found.delta)[row], expected, architecture)


def test_a_broken_activation_is_named_with_its_sample_and_unit(tiny_model, texts_of):
    lm = tiny_model("llama", dtype="float64")
    texts, units = texts_of(lm), find_sublayers(lm.model)
    rare = next(token for token in texts[2].input_ids if token not in texts[0].input_ids + texts[1].input_ids)
    broken = copy.deepcopy(lm.model)
    with torch.no_grad():
        broken.get_input_embeddings().weight[rare] = float("inf")
    batches = pack(texts, 10**6) + pack(texts, 1)
    with frozen(broken):
        (found, *alone) = [
            finite_rows(unit_gradients(broken, find_sublayers_like(broken, units), batch))
            for batch in batches
        ]
        alone_third = next(batch for batch in batches if batch.indices == (2,))
        reason = explain_broken(broken, find_sublayers_like(broken, units), alone_third)
    assert dict(zip(batches[0].indices, found.tolist(), strict=True)) == {0: True, 1: True, 2: False}
    assert {batch.indices[0]: bool(one) for batch, one in zip(batches[1:], alone, strict=True)} == {
        0: True,
        1: True,
        2: False,
    }
    assert reason == "its activations in unit model.layers.0.self_attn are not finite"


def find_sublayers_like(model, units):
    """The same units in a copy of the model."""
    return [
        replace(
            unit,
            reader=model.get_submodule(unit.name),
            writer=model.get_submodule(unit.name),
        )
        for unit in units
    ]


def test_padding_is_zero_and_prompt_positions_are_not(tiny_model, texts_of, padded):
    lm = tiny_model("llama", dtype="float64")
    batch = padded(texts_of(lm), extra=2)
    units = find_sublayers(lm.model)
    with frozen(lm.model):
        found = unit_gradients(lm.model, units, batch)
    prompt = batch.attention_mask & ~batch.response_mask
    for unit in found[:-1]:
        assert unit.a[~batch.attention_mask].eq(0).all()
        assert unit.delta[~batch.attention_mask].eq(0).all()
        assert unit.delta[prompt].abs().sum() > 0
        whole = FactorSums.of(pool_reduce(unit.a, unit.delta, batch.attention_mask))
        without_prompt = FactorSums.of(pool_reduce(unit.a, unit.delta, batch.response_mask))
        assert not torch.allclose(whole.gradient, without_prompt.gradient, rtol=1e-2)


def test_sampled_labels_depend_on_the_sample_alone(tiny_model, texts_of):
    lm = tiny_model()
    texts = texts_of(lm)

    def labels_by_text(order, max_tokens, seed=0):
        chosen = [texts[index] for index in order]
        draw = sampled_labels(chosen, seed)
        found = {}
        for batch in pack(chosen, max_tokens):

            def keep(batch, logits):
                labels = draw(batch, logits)
                rows = labels.split(batch.response_mask.sum(dim=1).tolist())
                found.update(
                    {order[index]: row.tolist() for index, row in zip(batch.indices, rows, strict=True)}
                )
                return labels

            with frozen(lm.model):
                unit_gradients(lm.model, find_sublayers(lm.model), batch, keep)
        return found

    together = labels_by_text([0, 1, 2], 10**6)
    assert together == labels_by_text([2, 0, 1], 1)
    assert together != labels_by_text([0, 1, 2], 10**6, seed=1)


def test_sampled_labels_follow_the_model(tiny_model, texts_of):
    """Over many seeds the share of each label tends to its probability: at most .08 off for 1,500 draws (6 σ)."""
    lm = tiny_model()
    (text,) = texts_of(lm)[:1]
    (batch,) = pack([text], 10**6)
    logits = torch.randn(int(batch.response_mask.sum()), 5, generator=torch.Generator().manual_seed(0))
    draws = torch.stack([sampled_labels([text], seed)(batch, logits) for seed in range(1500)])
    shares = torch.stack([(draws == label).float().mean(dim=0) for label in range(5)], dim=1)
    assert (shares - logits.softmax(dim=1)).abs().max() < 0.08


def test_parameters_get_their_gradients_back(tiny_model, texts_of, padded):
    lm = tiny_model()
    with frozen(lm.model):
        assert not any(parameter.requires_grad for parameter in lm.model.parameters())
        unit_gradients(lm.model, find_sublayers(lm.model), padded(texts_of(lm)), data_labels)
    assert all(parameter.requires_grad for parameter in lm.model.parameters())
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in lm.model.modules())
