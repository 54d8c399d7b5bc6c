"""What a correction minimises: one table, each entry a function from what a step's samples say to named terms.

ŷ are the tokens of a forgotten sample (it pushes towards the bad answers), y those of a retained one, Δ = log π_θ − log π_θs of a whole response.

| name | minimises | source |
|---|---|---|
| `ibo` | −log σ(ε Δ±) over pairs + divergence on the retained | the paper, Eq. 15 to 17 |
| `ga` | mean log π_θ(ŷ) | gradient ascent on the forgotten |
| `graddiff` | mean log π_θ(ŷ) − mean log π_θ(y) | Liu et al. 2022 |
| `npo` | −2/β · log σ(−β Δ(ŷ)) − mean log π_θ(y) | Zhang et al. 2024, with the retain term of their experiments |
| `simnpo` | .125 · −2/β · log σ(−β · log π_θ(ŷ) / tokens) − mean log π_θ(y) | Fan et al. 2024, margin 0; weight as in open-unlearning |
| `pbo` | mean log π_θ(ŷ) + divergence on the retained and the forgotten | Bae et al. 2022, as the paper compares with it |

`ibo` and `pbo` stay near the start by proximity too, which depends on the parameters alone: the trainer adds it.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import softplus

from lancet_core.correction.ibo import (
    CORRECTIONS,
    DIVERGENCES,
    EPSILON,
    Margin,
    log_ratio_of_response,
)
from lancet_core.correction.settings import CorrectionSettings

SIMNPO_WEIGHT = 0.125


@dataclass(frozen=True)
class TokenRatios:
    """What the samples of one role in a step say.

    Attributes:
        log_ratios: log π_θ - log π_θs of each token, shape (sequences, positions), 0 outside responses.
        log_likelihoods: log π_θ of each token, the same shape.
        mask: True at response tokens, the same shape.
    """

    log_ratios: Tensor
    log_likelihoods: Tensor
    mask: Tensor

    @property
    def mean_log_likelihood(self) -> Tensor:
        """Mean over all response tokens: the NLL with its sign turned."""
        return self.log_likelihoods[self.mask].mean()


@dataclass(frozen=True)
class Step:
    """What the samples of a step say.

    Attributes:
        forget: Samples that push towards the queries.
        prefer: Samples that push away from them, one for each of those; empty where the objective reads none.
        retain: Samples that must stay as they are.
        forget_weight: Weights of the first, above 0, shape (pairs,).
        prefer_weight: Weights of the second, below 0, shape (pairs,).
    """

    forget: TokenRatios
    prefer: TokenRatios
    retain: TokenRatios
    forget_weight: Tensor
    prefer_weight: Tensor


@dataclass(frozen=True)
class Term:
    """One term of a loss.

    Attributes:
        value: What is reported.
        weight: Its weight in the loss.
    """

    value: Tensor
    weight: float = 1.0


Terms = Mapping[str, Term]


def influence_bregman(step: Step, settings: CorrectionSettings) -> Terms:
    """IBO: the two samples of a pair part, the retained stay."""
    forget, prefer = (
        log_ratio_of_response(role.log_ratios, role.mask, settings.log_ratio)
        for role in (step.forget, step.prefer)
    )
    margin = Margin(forget, prefer, step.forget_weight, step.prefer_weight)
    correction = CORRECTIONS[settings.form](margin, EPSILON[settings.polarity], settings.steepness)
    return {"correction": Term(correction), "divergence": _divergence(step.retain, settings)}


def gradient_ascent(step: Step, settings: CorrectionSettings) -> Terms:
    """GA: the forgotten become unlikely, without bound."""
    del settings
    return {"correction": Term(step.forget.mean_log_likelihood)}


def gradient_difference(step: Step, settings: CorrectionSettings) -> Terms:
    """GradDiff: the forgotten become unlikely, the retained likely."""
    return {**gradient_ascent(step, settings), **_trained_on(step.retain)}


def negative_preference(step: Step, settings: CorrectionSettings) -> Terms:
    """NPO: the forgotten become less likely than they were; saturates. Its gradient in Δ is 1 at the start, as of GA's sum."""
    beta, forget = settings.steepness, step.forget
    ratio = log_ratio_of_response(forget.log_ratios, forget.mask, "sum")
    return {"correction": Term(2 / beta * softplus(beta * ratio).mean()), **_trained_on(step.retain)}


def simple_negative_preference(step: Step, settings: CorrectionSettings) -> Terms:
    """SimNPO: as NPO, of the likelihood of a token itself, without the start model."""
    beta, forget = settings.steepness, step.forget
    likelihood = log_ratio_of_response(forget.log_likelihoods, forget.mask, "mean")
    correction = 2 / beta * softplus(beta * likelihood).mean()
    return {"correction": Term(correction, SIMNPO_WEIGHT), **_trained_on(step.retain)}


def proximal_bregman(step: Step, settings: CorrectionSettings) -> Terms:
    """PBO: GA under the divergence of all samples, the forgotten too."""
    both = TokenRatios(
        *(
            torch.cat([getattr(role, name) for role in (step.retain, step.forget)])
            for name in ("log_ratios", "log_likelihoods", "mask")
        )
    )
    return {**gradient_ascent(step, settings), "divergence": _divergence(both, settings)}


OBJECTIVES: dict[str, Callable[[Step, CorrectionSettings], Terms]] = {
    "ibo": influence_bregman,
    "ga": gradient_ascent,
    "graddiff": gradient_difference,
    "npo": negative_preference,
    "simnpo": simple_negative_preference,
    "pbo": proximal_bregman,
}


def total(terms: Terms) -> Tensor:
    """The loss: the terms by their weights."""
    return torch.stack([term.weight * term.value for term in terms.values()]).sum()


def _divergence(samples: TokenRatios, settings: CorrectionSettings) -> Term:
    value = DIVERGENCES[settings.divergence_level](samples.log_ratios, samples.mask)
    return Term(value, settings.divergence_weight)


def _trained_on(samples: TokenRatios) -> Terms:
    return {"retained": Term(-samples.mean_log_likelihood)}
