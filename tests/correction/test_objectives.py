"""Each objective against what is printed of it, in float64, and what its gradient is at the start."""

import math

import pytest
import torch
from torch.testing import assert_close

from lancet_core.correction.objectives import OBJECTIVES, SIMNPO_WEIGHT, Step, TokenRatios, total
from lancet_core.correction.settings import BETAS, PAIRED, CorrectionSettings

GENERATOR = torch.Generator().manual_seed(3)
MASK = torch.tensor([[True, True, True, False], [True, True, False, False]])


def role(*, at_start=False):
    """Two responses of three and two tokens: their log-probabilities, and how these moved since the start."""
    start = -torch.rand(MASK.shape, generator=GENERATOR, dtype=torch.float64) - 0.1
    moved = (
        torch.zeros_like(start)
        if at_start
        else 0.3 * torch.randn(MASK.shape, generator=GENERATOR, dtype=torch.float64)
    )
    now = ((start + moved) * MASK).requires_grad_()
    return TokenRatios((now - start) * MASK, now, MASK)


def step_of(**values):
    one = torch.ones(2, dtype=torch.float64)
    return Step(role(**values), role(**values), role(**values), one, -one)


def responses(samples):
    """Log-probability of each response, its length, and its log-ratio to the start, one by one."""
    return [
        (float(now[mask].sum()), int(mask.sum()), float(ratio[mask].sum()))
        for now, ratio, mask in zip(
            samples.log_likelihoods.detach(), samples.log_ratios.detach(), samples.mask, strict=True
        )
    ]


def sigmoid(value):
    return 1 / (1 + math.exp(-value))


def nll(samples):
    said = responses(samples)
    return -sum(value for value, _, _ in said) / sum(count for _, count, _ in said)


def divergence(*roles):
    values = [float(d) for samples in roles for d in samples.log_ratios.detach()[samples.mask]]
    return sum(math.exp(d) - d - 1 for d in values) / len(values)


def printed(name, step, beta):
    """The loss as its source prints it, sample by sample."""
    forget, prefer = responses(step.forget), responses(step.prefer)
    if name == "ibo":
        parted = [f[2] - p[2] for f, p in zip(forget, prefer, strict=True)]
        return sum(-math.log(sigmoid(-beta * d)) for d in parted) / 2 + divergence(step.retain)
    ascent = -nll(step.forget)
    if name == "ga":
        return ascent
    if name == "graddiff":
        return ascent + nll(step.retain)
    if name == "npo":
        return sum(-2 / beta * math.log(sigmoid(-beta * d)) for _, _, d in forget) / 2 + nll(step.retain)
    if name == "simnpo":
        terms = [-2 / beta * math.log(sigmoid(-beta / count * value)) for value, count, _ in forget]
        return SIMNPO_WEIGHT * sum(terms) / 2 + nll(step.retain)
    assert name == "pbo"
    return ascent + divergence(step.forget, step.retain)


@pytest.mark.parametrize("name", OBJECTIVES)
def test_an_objective_is_what_is_printed(name):
    step = step_of()
    settings = CorrectionSettings(objective=name, polarity="undesirable")
    assert settings.steepness == (BETAS[name] or 1.0)
    loss = total(OBJECTIVES[name](step, settings))
    assert loss.item() == pytest.approx(printed(name, step, settings.steepness), rel=1e-12)
    other = CorrectionSettings(objective=name, polarity="undesirable", beta=0.7)
    assert total(OBJECTIVES[name](step, other)).item() == pytest.approx(printed(name, step, 0.7), rel=1e-12)


# By hand, at θ = θs: of a pair -β/2 for each token of one side of two, of GA 1/5 for each of five tokens, of NPO 1/2 for each token of one
# response of two (2/β · β · σ(0) = 1), of the retained -1/5 where they are trained on and 0 where they are held by the divergence.
AT_START = {
    "ibo": (0.25, -0.25, 0.0),
    "ga": (0.2, 0.0, 0.0),
    "graddiff": (0.2, 0.0, -0.2),
    "npo": (0.5, 0.0, -0.2),
    "pbo": (0.2, 0.0, 0.0),
}


@pytest.mark.parametrize("name", AT_START)
def test_the_gradient_at_the_start_is_that_by_hand(name):
    step = step_of(at_start=True)
    total(OBJECTIVES[name](step, CorrectionSettings(objective=name, polarity="undesirable"))).backward()
    for samples, expected in zip((step.forget, step.prefer, step.retain), AT_START[name], strict=True):
        found = samples.log_likelihoods.grad
        found = torch.zeros(MASK.shape, dtype=torch.float64) if found is None else found
        assert_close(found, expected * MASK.double())


def test_simnpo_asks_less_of_what_is_unlikely_already():
    """Its gradient is σ(β log π / tokens) / tokens for each token: less the more it is forgotten, and nothing in the end."""
    step = step_of()
    settings = CorrectionSettings(objective="simnpo", polarity="undesirable")
    total(OBJECTIVES["simnpo"](step, settings)).backward()
    for row, (value, count, _) in enumerate(responses(step.forget)):
        expected = SIMNPO_WEIGHT * 2 * sigmoid(4.5 * value / count) / count / 2
        found = step.forget.log_likelihoods.grad[row][MASK[row]]
        assert_close(found, torch.full_like(found, expected))


@pytest.mark.parametrize("name", sorted(set(OBJECTIVES) - set(PAIRED)))
def test_an_objective_that_forgets_reads_the_first_samples_alone(name):
    step = step_of()
    total(OBJECTIVES[name](step, CorrectionSettings(objective=name, polarity="undesirable"))).backward()
    assert step.prefer.log_likelihoods.grad is None
