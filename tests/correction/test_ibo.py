import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.testing import assert_close

from lancet_core.correction.ibo import (
    Margin,
    adapter_proximity,
    bounded_correction,
    literal_correction,
    log_ratio_of_response,
    proximity,
    sequence_divergence,
    token_divergence,
)

ONE = torch.ones(1, dtype=torch.float64)


def margin_at(value):
    """A margin whose Δ± is `value` at β = 1: Δ(z⁺) = value, Δ(z⁻) = 0, weights 1 and -1."""
    delta = torch.tensor([value], dtype=torch.float64, requires_grad=True)
    return delta, Margin(delta, torch.zeros(1, dtype=torch.float64), ONE, -ONE)


@pytest.mark.parametrize("epsilon", [-1.0, 1.0])
@pytest.mark.parametrize(
    ("form", "start"),
    [(bounded_correction, lambda _: math.log(2)), (literal_correction, lambda e: e * math.log(2))],
)
def test_both_forms_have_the_gradient_minus_epsilon_half_at_the_start(form, start, epsilon):
    # d/dΔ of -log σ(εΔ) is -ε σ(-εΔ) = -ε/2 at 0, and of -ε log σ(Δ) it is -ε σ(-Δ) = -ε/2 at 0.
    delta, margin = margin_at(0.0)
    loss = form(margin, epsilon, 1.0)
    loss.backward()
    assert loss.item() == pytest.approx(start(epsilon))
    assert delta.grad.item() == pytest.approx(-epsilon / 2)


def test_the_bounded_form_saturates_where_the_literal_one_falls_without_end():
    # ε = -1: far in the wanted direction (Δ± = -50) bounded is 0 with no gradient left, literal is -50 and still pulls with 1.
    delta, margin = margin_at(-50.0)
    bounded = bounded_correction(margin, -1.0, 1.0)
    bounded.backward()
    assert bounded.item() == pytest.approx(0, abs=1e-12)
    assert abs(delta.grad.item()) < 1e-12
    delta, margin = margin_at(-50.0)
    literal = literal_correction(margin, -1.0, 1.0)
    literal.backward()
    assert literal.item() == pytest.approx(-50)
    assert delta.grad.item() == pytest.approx(1)


def test_both_samples_of_a_pair_count_with_their_weights_and_beta():
    margin = Margin(torch.tensor([2.0]), torch.tensor([3.0]), torch.tensor([0.5]), torch.tensor([-0.25]))
    assert margin.difference(0.1).item() == pytest.approx(0.1 * (0.5 * 2 - 0.25 * 3))


@given(st.lists(st.floats(-8, 8), min_size=1, max_size=20))
def test_the_divergence_is_never_negative(values):
    log_ratios = torch.tensor([values], dtype=torch.float32)
    assert token_divergence(log_ratios, torch.ones_like(log_ratios, dtype=torch.bool)).item() >= 0


def test_the_divergence_has_value_and_gradient_zero_at_the_start():
    log_ratios = torch.zeros(2, 3, requires_grad=True)
    loss = token_divergence(log_ratios, torch.ones(2, 3, dtype=torch.bool))
    loss.backward()
    assert loss.item() == 0
    assert_close(log_ratios.grad, torch.zeros(2, 3))


def test_the_divergence_keeps_its_digits_near_zero():
    # d²/2 + d³/6 by Taylor; r - log r - 1 written out loses everything in float32 here.
    log_ratios = torch.full((1, 1), 1e-4)
    value = token_divergence(log_ratios, torch.ones(1, 1, dtype=torch.bool)).item()
    assert value == pytest.approx(5e-9, rel=0.02)


def test_its_mean_under_the_start_model_is_the_kl_divergence():
    generator = torch.Generator().manual_seed(0)
    start, now = (torch.randn(7, generator=generator, dtype=torch.float64).log_softmax(0) for _ in range(2))
    log_ratio = (now - start)[None]
    expectation = (start.exp() * (torch.expm1(log_ratio[0]) - log_ratio[0])).sum()
    exact = (start.exp() * (start - now)).sum()
    assert_close(expectation, exact)
    each = [token_divergence(log_ratio[:, [token]], torch.ones(1, 1, dtype=torch.bool)) for token in range(7)]
    assert_close((start.exp() * torch.stack(each)).sum(), exact)


def test_padding_does_not_count():
    log_ratios = torch.tensor([[0.3, 9.0], [-0.2, 0.1]])
    mask = torch.tensor([[True, False], [True, True]])
    expected = sum(math.expm1(d) - d for d in (0.3, -0.2, 0.1)) / 3
    assert token_divergence(log_ratios, mask).item() == pytest.approx(expected)
    assert log_ratio_of_response(log_ratios, mask, "sum").tolist() == pytest.approx([0.3, -0.1])
    assert log_ratio_of_response(log_ratios, mask, "mean").tolist() == pytest.approx([0.3, -0.05])


def test_the_printed_sequence_level_takes_the_ratio_of_whole_responses():
    log_ratios = torch.tensor([[0.3, 0.2], [0.1, 9.0]])
    mask = torch.tensor([[True, True], [True, False]])
    expected = (math.expm1(0.5) - 0.5 + math.expm1(0.1) - 0.1) / 2
    assert sequence_divergence(log_ratios, mask).item() == pytest.approx(expected)


def test_proximity_is_half_the_squared_distance_with_an_adapter_too():
    assert proximity([torch.tensor([3.0, 0.0])], [torch.tensor([0.0, 4.0])]).item() == pytest.approx(12.5)
    generator = torch.Generator().manual_seed(1)
    a, b = torch.randn(2, 5, generator=generator), torch.randn(4, 2, generator=generator)
    assert adapter_proximity([(a, b, 2.0)]).item() == pytest.approx(
        0.5 * (2 * b @ a).square().sum().item(), rel=1e-5
    )
