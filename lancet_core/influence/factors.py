"""Kronecker factors of the curvature and the damped solve with them (Eq. 9, 11, 12). Needs no model: a, δ and mask suffice."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from lancet_core.errors import ModelError, NumericalError

_ROUND_OFF = 1e-4


@dataclass(frozen=True)
class FactorSums:
    """Sums over sequences from which the factors of one unit are made; two of them add up to that of both parts.

    Attributes:
        activation: Sum of outer products of inputs, shape (M, M), float64.
        gradient: Sum of outer products of pseudo-gradients, shape (P, P), float64.
        activation_count: What `activation` is divided by: sequences (reduce) or tokens (expand).
        sequences: What `gradient` is divided by.
    """

    activation: Tensor
    gradient: Tensor
    activation_count: int
    sequences: int

    def __add__(self, other: "FactorSums") -> "FactorSums":
        """Merges two parts of a corpus."""
        return FactorSums(
            self.activation + other.activation,
            self.gradient + other.gradient,
            self.activation_count + other.activation_count,
            self.sequences + other.sequences,
        )


@dataclass(frozen=True)
class EigenFactors:
    """Eigendecompositions of the two factors of one unit: Â = Q_A diag(λ_A) Q_Aᵀ, Ŝ likewise.

    Attributes:
        activation_vectors: Q_A, shape (M, M), one eigenvector per column.
        activation_values: λ_A, shape (M,), not negative.
        gradient_vectors: Q_S, shape (P, P).
        gradient_values: λ_S, shape (P,), not negative.
    """

    activation_vectors: Tensor
    activation_values: Tensor
    gradient_vectors: Tensor
    gradient_values: Tensor


def sum_reduce(a: Tensor, delta: Tensor, mask: Tensor) -> FactorSums:
    """Sums of Eq. 11 (K-FAC-reduce): Σ_n ā_n ā_nᵀ and Σ_n (Σ_t δ̃_t)(Σ_t δ̃_t)ᵀ.

    Deviation from Eq. 11: ā_n is the mean over the sequence's own tokens, where the paper divides by one common T; padding is
    masked.

    Args:
        a: Inputs, shape (sequences, positions, M).
        delta: Pseudo-gradients with respect to outputs, shape (sequences, positions, P).
        mask: True at real tokens, shape (sequences, positions).
    """
    real = mask[:, :, None].to(a.dtype)
    mean = (a * real).sum(dim=1) / real.sum(dim=1)
    total = (delta * real).sum(dim=1)
    return FactorSums(_outer(mean), _outer(total), len(a), len(a))


def sum_expand(a: Tensor, delta: Tensor, mask: Tensor) -> FactorSums:
    """Sums of K-FAC-expand, as EK-FAC has them: Σ_n Σ_t a aᵀ and Σ_n Σ_t δ̃ δ̃ᵀ.

    The first is later divided by tokens and the second by **sequences**: with a token mean in both the product misses the
    per-sequence Gauss-Newton block by the mean length.

    Args:
        a: Inputs, shape (sequences, positions, M).
        delta: Pseudo-gradients with respect to outputs, shape (sequences, positions, P).
        mask: True at real tokens, shape (sequences, positions).
    """
    inputs, gradients = a[mask], delta[mask]
    return FactorSums(_outer(inputs), _outer(gradients), len(inputs), len(a))


POOLINGS = {"reduce": sum_reduce, "expand": sum_expand}


def covariances(sums: FactorSums) -> tuple[Tensor, Tensor]:
    """Activation and gradient factor Â and Ŝ of one unit."""
    return sums.activation / sums.activation_count, sums.gradient / sums.sequences


def decompose(sums: FactorSums) -> EigenFactors:
    """Takes the eigendecomposition of both factors in float64.

    Eigenvalues that float32 rounding made negative (by less than 1e-4 of the largest) are set to 0.

    Raises:
        NumericalError: A factor is not finite or not positive semi-definite.
    """
    (activation_values, activation_vectors), (gradient_values, gradient_vectors) = (
        _eigen(matrix) for matrix in covariances(sums)
    )
    return EigenFactors(activation_vectors, activation_values, gradient_vectors, gradient_values)


def precondition(gradients: Tensor, factors: EigenFactors, *, damping: float, kind: str) -> Tensor:
    """Solves (Â ⊗ Ŝ + λ)⁻¹ for modular gradients: V = Q_S [(Q_Sᵀ g Q_A) ⊘ (λ_S λ_Aᵀ + λ)] Q_Aᵀ (Eq. 12, damped).

    Deviations from Eq. 12: the order of the two factors, which the paper swaps, and the damping of Eq. 9, without which Â is
    singular whenever there are fewer sequences than dimensions.

    Args:
        gradients: g, shape (…, P, M).
        factors: Eigendecompositions of the unit.
        damping: λ, or its ratio to the mean eigenvalue.
        kind: `relative` or `absolute`.

    Returns:
        V, shaped and typed as `gradients`.

    Raises:
        NumericalError: The damped curvature is singular.
    """
    eigenvalues = factors.gradient_values[:, None] * factors.activation_values[None, :]
    added = damping * float(eigenvalues.mean()) if kind == "relative" else damping
    damped = eigenvalues + added
    if not bool((damped > 0).all()):
        raise NumericalError(
            f"the curvature of a unit is singular under {kind} damping {damping}; raise the damping, or estimate the factors from "
            "more samples"
        )
    left, right = factors.gradient_vectors.to(gradients), factors.activation_vectors.to(gradients)
    return left @ ((left.T @ gradients @ right) / damped.to(gradients)) @ right.T


def save_factors(path: Path, factors: Mapping[str, EigenFactors], *, model: str, settings: str) -> None:
    """Writes factors whole or not at all.

    Args:
        path: File to write.
        factors: Unit names to factors.
        model: Fingerprint of the model.
        settings: Fingerprint of everything else that the factors depend on.
    """
    tensors = {
        f"{unit}:{name}": tensor.to(torch.float32).contiguous()
        for unit, factor in factors.items()
        for name, tensor in vars(factor).items()
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_suffix(".part")
    save_file(tensors, unfinished, metadata={"model": model, "settings": settings})
    unfinished.replace(path)


def load_factors(path: Path, *, model: str, settings: str) -> dict[str, EigenFactors]:
    """Reads factors, unit names to factors.

    Args:
        path: File that `save_factors` wrote.
        model: Fingerprint of the model that they are to be used with.
        settings: Fingerprint of everything else that they must depend on.

    Raises:
        ModelError: The file is broken, or belongs to another model or other settings.
    """
    try:
        with safe_open(path, framework="pt") as file:
            written = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  # no mapping
    except (SafetensorError, OSError) as error:
        raise ModelError(
            f"the factors in {path} cannot be read: {error}; delete the file, they are computed again"
        ) from error
    for what, wanted in (("model", model), ("settings", settings)):
        if written.get(what) != wanted:
            raise ModelError(
                f"the factors in {path} belong to another {what} ({written.get(what)}, wanted {wanted}); delete the file or name "
                "another folder, they are computed again"
            )
    units = dict.fromkeys(name.rpartition(":")[0] for name in tensors)
    names = EigenFactors.__dataclass_fields__
    return {unit: EigenFactors(**{name: tensors[f"{unit}:{name}"] for name in names}) for unit in units}


def _outer(rows: Tensor) -> Tensor:
    """Σ of outer products of rows, in the rows' precision, then widened to float64 for summing over batches."""
    return (rows.T @ rows).double()


def _eigen(matrix: Tensor) -> tuple[Tensor, Tensor]:
    if not bool(torch.isfinite(matrix).all()):
        raise NumericalError(
            "a curvature factor is not finite; the model's gradients overflow: compute in float32"
        )
    values, vectors = torch.linalg.eigh((matrix + matrix.T) / 2)
    if float(values[0]) < -_ROUND_OFF * float(values[-1].abs()):
        raise NumericalError(
            f"a curvature factor has the eigenvalue {float(values[0]):.3g}; it must not be negative"
        )
    return values.clamp(min=0.0), vectors
