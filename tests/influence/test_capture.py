"""What each unit reads and how log p depends on what it writes (tests 3 and 6 of the design)."""

import pytest
import torch

from lancet_core.influence.capture import data_labels, frozen, sampled_labels, unit_gradients
from lancet_core.influence.factors import sum_reduce
from lancet_core.influence.scores import modular_gradient
from lancet_core.models.encoding import pack
from lancet_core.models.units import find_sublayers
from tests.references.influence import modular_gradients, modules_of
from tests.tiny_models import ARCHITECTURES, LAYERS


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("side", ["right", "left"])
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
            got = modular_gradient(unit.a, unit.delta)[row]
            torch.testing.assert_close(got, expected, rtol=1e-8, atol=1e-10 * float(expected.abs().max()))


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
        whole = sum_reduce(unit.a, unit.delta, batch.attention_mask)
        without_prompt = sum_reduce(unit.a, unit.delta, batch.response_mask)
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
