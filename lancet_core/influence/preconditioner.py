"""The damped curvature as an operator: solving with it, and gradients in the basis in which it is the identity (Eq. 12)."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from lancet_core.errors import NumericalError
from lancet_core.influence.factors import EigenFactors, rotate
from lancet_core.influence.gradients import contract_and_measure, gradient_parts
from lancet_core.influence.settings import SolveSettings
from lancet_core.models.likelihood import full_precision


@dataclass(frozen=True)
class UnitPreconditioner:
    """The damped curvature of one unit, Q (Λ + λ) Qᵀ, in the eigenbasis Q = Q_A ⊗ Q_S.

    Attributes:
        activation_vectors: Q_A, shape (M, M).
        gradient_vectors: Q_S, shape (P, P); None is the identity.
        damped: Λ + λ, shape (P, M), positive.
        damping: λ.
    """

    activation_vectors: Tensor
    gradient_vectors: Tensor | None
    damped: Tensor
    damping: float

    def rotate(self, a: Tensor, delta: Tensor) -> tuple[Tensor, Tensor]:
        """Gives a Q_A and δ Q_S, whose modular gradients stand in the eigenbasis: Q_Sᵀ g Q_A; the same shapes."""
        return rotate(a, delta, self.activation_vectors, self.gradient_vectors)

    def solve(self, rotated: Tensor) -> Tensor:
        """Solves for modular gradients: V = Q_S [(Q_Sᵀ g Q_A) ⊘ (Λ + λ)] Q_Aᵀ (Eq. 12, damped), all in the eigenbasis.

        Deviations from Eq. 12: the order of the two factors, which the paper swaps, and the damping of Eq. 9, without which Â
        is singular whenever there are fewer sequences than dimensions.

        Args:
            rotated: Q_Sᵀ g Q_A, shape (…, P, M).

        Returns:
            Q_Sᵀ V Q_A, shaped and typed as `rotated`.
        """
        return rotated / self.damped.to(rotated)

    def whiten(self, a: Tensor, delta: Tensor) -> Iterator[Tensor]:
        """Yields modular gradients in the basis in which the curvature is the identity: g̃ = (Q_Sᵀ g Q_A) ⊘ √(Λ + λ).

        Args:
            a: Inputs, shape (rows, positions, M).
            delta: Gradients with respect to outputs, shape (rows, positions, P).

        Yields:
            Parts of the batch that fit into memory, in order, each of shape (some rows, P, M).
        """
        weights = self.damped.rsqrt()
        return (part.mul_(weights) for part in gradient_parts(*self.rotate(a, delta)))

    def whiten_direction(self, rotated: Tensor) -> Tensor:
        """Whitens the gradients that `solve` made directions V of; their products with whitened gradients are influence.

        Args:
            rotated: V in the eigenbasis, shape (queries, P, M).

        Returns:
            (Q_Sᵀ V Q_A) ⊙ √(Λ + λ), shaped as `rotated`.
        """
        return rotated * self.damped.sqrt().to(rotated)

    def rotate_back(self, rotated: Tensor) -> Tensor:
        """Takes gradients or directions X of shape (…, P, M) out of the eigenbasis: Q_S X Q_Aᵀ."""
        values = rotated @ self.activation_vectors.to(rotated).T
        return values if self.gradient_vectors is None else self.gradient_vectors.to(rotated) @ values

    def score(self, a: Tensor, delta: Tensor, rotated: Tensor) -> tuple[Tensor, Tensor]:
        """Influence of samples on queries, and on themselves.

        Args:
            a: Inputs, shape (rows, positions, M).
            delta: Gradients with respect to outputs, shape (rows, positions, P).
            rotated: Directions of the queries in the eigenbasis, shape (queries, P, M).

        Returns:
            Shapes (rows, queries) and (rows,).
        """
        return contract_and_measure(*self.rotate(a, delta), rotated, self.damped)

    def self_influence(self, a: Tensor, delta: Tensor) -> Tensor:
        """Influence of each sample on itself, ⟨V, g⟩ with V its own solve: the squared norm of its whitened gradient.

        Arguments as of `whiten`; returns shape (rows,).
        """
        return self.score(a, delta, self.damped.new_empty(0, *self.damped.shape))[1]


@dataclass(frozen=True)
class Identity:
    """No curvature at all: influence is the scalar product of gradients (graddot)."""

    damping: float = 0.0

    def rotate(self, a: Tensor, delta: Tensor) -> tuple[Tensor, Tensor]:
        """Gives both back."""
        return a, delta

    def solve(self, rotated: Tensor) -> Tensor:
        """Gives gradients back."""
        return rotated

    def rotate_back(self, rotated: Tensor) -> Tensor:
        """Gives gradients or directions back."""
        return rotated

    def score(self, a: Tensor, delta: Tensor, rotated: Tensor) -> tuple[Tensor, Tensor]:
        """Influence of samples on queries, and the squared norm of each gradient; as of `UnitPreconditioner`."""
        return contract_and_measure(a, delta, rotated, None)

    def self_influence(self, a: Tensor, delta: Tensor) -> Tensor:
        """Squared norm of each gradient, shape (rows,); arguments as of `UnitPreconditioner`."""
        nothing = full_precision(a[:0]).new_empty(0, delta.shape[2], a.shape[2])
        return self.score(a, delta, nothing)[1]


Preconditioner = UnitPreconditioner | Identity


def norms_of(squared: Tensor) -> Tensor:
    """Norms of gradients, from their squares.

    Never 0: a sample that the model knows by heart may have no gradient at all, and what it is divided by must leave it at 0.
    """
    return squared.clamp_min(torch.finfo(squared.dtype).tiny).sqrt()


def precondition(factors: EigenFactors, *, damping: float, kind: str, unit: str = "") -> UnitPreconditioner:
    """Damps the curvature of one unit.

    Args:
        factors: Eigendecompositions of the unit.
        damping: λ, or its ratio to the mean eigenvalue.
        kind: `relative` or `absolute`.
        unit: Name of the unit, for messages.

    Raises:
        NumericalError: The damped curvature is singular.
    """
    damped = factors.eigenvalues
    added = damping * float(damped.mean()) if kind == "relative" else damping
    damped = damped + added if damped is factors.corrected else damped.add_(added)
    if not bool((damped > 0).all()):
        raise NumericalError(
            f"the curvature of unit {unit} is singular under {kind} damping {damping}; raise the damping, or estimate the factors "
            "from more samples"
        )
    return UnitPreconditioner(factors.activation_vectors, factors.gradient_vectors, damped, added)


def preconditioners(
    factors: Mapping[str, EigenFactors],
    settings: SolveSettings,
    *,
    device: torch.device,
    dtype: torch.dtype,
) -> dict[str, Preconditioner]:
    """Damps the curvature of every unit and moves it to where gradients are.

    Args:
        factors: Unit names to factors.
        settings: Damping.
        device: Where gradients are.
        dtype: Their precision.

    Raises:
        NumericalError: A damped curvature is singular.
    """
    damped: dict[str, Preconditioner] = {}
    for unit, decomposed in factors.items():
        unpacked = precondition(decomposed, damping=settings.damping, kind=settings.damping_kind, unit=unit)
        damped[unit] = UnitPreconditioner(
            unpacked.activation_vectors.to(device, dtype),
            None if unpacked.gradient_vectors is None else unpacked.gradient_vectors.to(device, dtype),
            unpacked.damped.to(device, dtype),
            unpacked.damping,
        )
    return damped
