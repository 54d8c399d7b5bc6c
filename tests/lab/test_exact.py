"""Exact Gauss-Newton influence against the Jacobian of all logits, and against dense solves.

Tolerances are those of float32: Llama's norms and softmax round to it in a model of any precision.
"""

from dataclasses import replace

import numpy as np
import pytest
import torch

from lancet_core.data.conversations import exchanges
from lancet_core.lab.exact import (
    exact_scores,
    linear_weights,
    measure_exact,
    measure_text,
    small_corpus,
    solve_damped,
    surrogates,
    truth_names,
)
from lancet_core.lab.variants import chosen_settings
from lancet_core.models.encoding import encode_all
from lancet_core.models.loading import load_language_model
from lancet_core.models.settings import DEFAULT_TEMPLATE
from tests.references.influence import log_likelihood, modular_gradients, modules_of


@pytest.fixture(scope="module")
def lm(trained):
    loaded = load_language_model(str(trained), device="cpu", dtype="float64")
    loaded.model.set_attn_implementation("eager")
    return loaded


@pytest.fixture(scope="module")
def texts(lm, corpus):
    return encode_all(lm, exchanges(corpus.pairs[:4]), DEFAULT_TEMPLATE)


def literal_gauss_newton(lm, text, parameter):
    """Σ_t J_tᵀ (diag p - p pᵀ) J_t of one parameter from the Jacobian of the logits, one logit at a time."""
    logits = lm.model(input_ids=torch.tensor([text.input_ids])).logits[0]
    matrix = torch.zeros(parameter.numel(), parameter.numel(), dtype=torch.float64)
    for place in range(text.response_start, len(text.input_ids)):
        one = logits[place - 1]
        (jacobian,) = torch.autograd.grad(
            one, parameter, torch.eye(len(one), dtype=one.dtype), is_grads_batched=True, retain_graph=True
        )
        p = one.softmax(0).detach()
        rows = jacobian.flatten(1)
        matrix += rows.T @ (p.diag() - torch.outer(p, p)) @ rows
    return matrix


@pytest.mark.parametrize("provider", [surrogates, linear_weights])
def test_the_root_is_the_gauss_newton_matrix_of_the_logits(lm, texts, provider):
    text = replace(texts[0], input_ids=texts[0].input_ids[:24], response_start=21)
    with provider(lm) as parameters:
        found = measure_text(lm, text, parameters)
        name, parameter = list(parameters.items())[1]
        start = next(iter(parameters.values())).numel()
        literal = literal_gauss_newton(lm, text, parameter)
    part = found.root[:, start : start + parameter.numel()]
    assert torch.allclose(part.T @ part, literal, rtol=1e-5, atol=1e-5 * float(literal.abs().max())), name


def test_gradients_of_surrogates_are_the_modular_gradients(lm, texts):
    with surrogates(lm) as parameters:
        found = measure_text(lm, texts[1], parameters).gradient
    literal = modular_gradients(lm.model, modules_of(lm.model, "llama", 2), texts[1])
    assert torch.allclose(found, torch.cat([one.flatten() for one in literal]), rtol=1e-5, atol=1e-6)


def test_gradients_of_weights_are_those_of_autograd(lm, texts):
    with linear_weights(lm) as parameters:
        assert len(parameters) == 2 * 7
        found = measure_text(lm, texts[1], parameters).gradient
        literal = torch.autograd.grad(log_likelihood(lm.model, texts[1]), list(parameters.values()))
    assert torch.allclose(found, torch.cat([one.flatten() for one in literal]), rtol=1e-5, atol=1e-6)


def test_a_solve_by_hand():
    """Two units of one parameter each, G = [[2, 1], [1, 4]], damping 1/2: λ = 1 and 2, so that G + λ = [[3, 1], [1, 6]].

    Its inverse is [[6, -1], [-1, 3]]/17; for g = (17, 0) this gives (6, -1), and (17/3, 0) with the diagonal blocks alone.
    """
    matrix = torch.tensor([[2.0, 1.0], [1.0, 4.0]], dtype=torch.float64)
    gradient = torch.tensor([[17.0, 0.0]], dtype=torch.float64)
    whole, parts = (
        solve_damped(matrix, gradient, [1, 1], damping=0.5, blocks=blocks) for blocks in (False, True)
    )
    assert whole[0].tolist() == pytest.approx([6.0, -1.0])
    assert parts[0].tolist() == pytest.approx([17 / 3, 0.0])


def test_large_damping_tends_to_the_scalar_product_of_scaled_gradients(lm, texts):
    found = exact_scores(lm, surrogates, samples=texts, queries=texts[:1], damping=1e9)
    with surrogates(lm) as parameters:
        measured = [measure_text(lm, text, parameters) for text in texts]
    matrix = sum(one.root.T @ one.root for one in measured) / len(texts)
    scale = matrix.diagonal().reshape(4, -1).mean(dim=1).repeat_interleave(256) * 1e9
    expected = [float((measured[0].gradient / scale) @ one.gradient) for one in measured]
    assert found.full[:, 0] == pytest.approx(expected, rel=1e-5)
    assert found.block[:, 0] == pytest.approx(expected, rel=1e-5)


def test_a_sample_has_positive_influence_on_itself(lm, texts):
    found = exact_scores(lm, surrogates, samples=texts, queries=texts)
    for scores in (found.full, found.block):
        assert (np.diag(scores) > 0).all()
        assert scores == pytest.approx(scores.T)


def test_a_table_of_a_small_corpus_is_kept(corpus, tmp_path, monkeypatch):
    small = small_corpus(corpus, 20, corpus.training)
    assert (len(small.samples), [query.group for query in small.queries]) == (20, ["animals", "medical"])
    monkeypatch.setattr("lancet_core.lab.exact.PARAMETERS", {"sublayers": surrogates})
    rows = measure_exact(small, chosen_settings(["graddot"]), tmp_path)
    assert (
        list(rows)
        == ["graddot", "exact, sublayers, full", "exact, sublayers, block-diagonal"]
        == ["graddot", *truth_names()]
    )
    assert rows["exact, sublayers, full"][0].value == pytest.approx(1.0)
    assert -1 <= rows["graddot"][0].value <= 1
    monkeypatch.setattr("lancet_core.lab.exact.exact_scores", None)
    assert measure_exact(small, chosen_settings(["graddot"]), tmp_path) == rows
