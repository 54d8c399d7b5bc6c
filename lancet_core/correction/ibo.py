"""The three terms of Influence-driven Bregman Optimization (paper, Eq. 15 to 17)."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

EPSILON = {"undesirable": -1.0, "desirable": 1.0}


@dataclass(frozen=True)
class Margin:
    """What the correction term sees of a step's pairs.

    Attributes:
        positive: Log-ratio log(π_θ / π_θs) of the samples that push towards the queries, shape (pairs,).
        negative: The same of the samples that push away, shape (pairs,).
        positive_weight: Their weights, above 0, shape (pairs,).
        negative_weight: Weights of the other side, below 0, shape (pairs,).
    """

    positive: Tensor
    negative: Tensor
    positive_weight: Tensor
    negative_weight: Tensor

    def difference(self, beta: float = 1.0) -> Tensor:
        """Δ± = β [Î(z⁺) Δ(z⁺) + Î(z⁻) Δ(z⁻)] of each pair."""
        return beta * (self.positive_weight * self.positive + self.negative_weight * self.negative)


def bounded_correction(margin: Margin, epsilon: float, beta: float) -> Tensor:
    """-log σ(ε Δ±), averaged over the pairs: at least 0, saturating as the model obeys.

    Deviation from Eq. 15: ε stands inside the sigmoid, since with ε = -1 in front the printed loss is log σ(Δ±), which
    falls without bound and is gradient ascent. Both have the gradient -ε/2 with respect to Δ± at the start; β is Eq. 14's.
    """
    return -logsigmoid(epsilon * margin.difference(beta)).mean()


def literal_correction(margin: Margin, epsilon: float, beta: float) -> Tensor:
    """-ε log σ(Δ±), averaged: Eq. 15 as printed, which has no β, so that `beta` is not used."""
    del beta
    return -epsilon * logsigmoid(margin.difference()).mean()


CORRECTIONS: dict[str, Callable[[Margin, float, float], Tensor]] = {
    "bounded": bounded_correction,
    "literal": literal_correction,
}


def token_divergence(log_ratios: Tensor, mask: Tensor) -> Tensor:
    """Mean over response tokens of r - log r - 1 with r = π_θ / π_θs at each token (Eq. 16, taken per token).

    The k3 estimator of KL(π_θs ‖ π_θ) for tokens drawn from π_θs: never negative, and 0 with zero gradient at θ = θs. Written
    as expm1(d) - d, which keeps its digits near 0 in float32. It is not clamped: that would kill the restoring gradient.

    Args:
        log_ratios: d = log π_θ - log π_θs of each token, shape (sequences, positions).
        mask: True at response tokens, the same shape.
    """
    return _divergence(log_ratios[mask]).mean()


def sequence_divergence(log_ratios: Tensor, mask: Tensor) -> Tensor:
    """Mean over responses of r - log r - 1 with r the ratio of whole responses: Eq. 16 as printed; overflows on long ones."""
    return _divergence((log_ratios * mask).sum(dim=1)).mean()


DIVERGENCES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "token": token_divergence,
    "sequence": sequence_divergence,
}


def proximity(parameters: Iterable[Tensor], start: Iterable[Tensor]) -> Tensor:
    """½ ‖θ - θs‖² over the trained parameters (Eq. 17 without its weight λ)."""
    squares = [(now - then).square().sum() for now, then in zip(parameters, start, strict=True)]
    return 0.5 * torch.stack(squares).sum()


def adapter_proximity(factors: Iterable[tuple[Tensor, Tensor, float]]) -> Tensor:
    """½ ‖s B A‖² summed over adapted layers: the same distance where only a low-rank product was added.

    ‖BA‖² = tr((A Aᵀ)(Bᵀ B)), so that the product is never formed.

    Args:
        factors: A of shape (rank, inputs), B of shape (outputs, rank), and the scale s of each layer.
    """
    squares = [scale**2 * ((a @ a.T) * (b.T @ b)).sum() for a, b, scale in factors]
    return 0.5 * torch.stack(squares).sum()


def log_ratio_of_response(log_ratios: Tensor, mask: Tensor, reduction: str) -> Tensor:
    """Log-ratio of each whole response: the sum over its tokens, or their mean.

    Args:
        log_ratios: Log-ratio of each token, shape (sequences, positions).
        mask: True at response tokens, the same shape.
        reduction: `sum` or `mean`.

    Returns:
        Shape (sequences,).
    """
    total = (log_ratios * mask).sum(dim=1)
    return total / mask.sum(dim=1).clamp(min=1) if reduction == "mean" else total


def _divergence(log_ratio: Tensor) -> Tensor:
    return torch.expm1(log_ratio) - log_ratio
