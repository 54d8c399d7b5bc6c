"""Factors of the curvature (Eq. 9, 11) and their eigendecompositions. Needs no model: a, δ and mask suffice."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from lancet_core.errors import ModelError, NumericalError
from lancet_core.files import write_tensors
from lancet_core.influence.methods import EXPAND, REDUCE
from lancet_core.models.likelihood import full_precision

_ROUND_OFF = 1e-4


@dataclass(frozen=True)
class Pooled:
    """What the sequences of a batch add to the factors of one unit, in float32 or float64.

    Attributes:
        activations: Rows whose outer products make Â, shape (rows, M).
        gradients: Rows whose outer products make Ŝ, shape (rows, P).
        activation_count: What the sum of the first is divided by: sequences (reduce) or tokens (expand); no dimension.
        sequences: What the sum of the second is divided by.
    """

    activations: Tensor
    gradients: Tensor
    activation_count: Tensor
    sequences: int


@dataclass
class FactorSums:
    """Sums over sequences from which the factors of one unit are made; those of two parts of a corpus add up.

    Attributes:
        activation: Sum of outer products of inputs, shape (M, M).
        gradient: Sum of outer products of pseudo-gradients, shape (P, P); of their squares, shape (P,), where Ŝ is diagonal.
        activation_count: What `activation` is divided by.
        sequences: What `gradient` is divided by.
    """

    activation: Tensor
    gradient: Tensor
    activation_count: Tensor
    sequences: int

    @classmethod
    def of(cls, pooled: Pooled, *, diagonal: bool = False) -> "FactorSums":
        """Sums one batch; `diagonal` keeps only the diagonal of Ŝ, for the output head: its P is the vocabulary."""
        inputs, outputs = pooled.activations.shape[1], pooled.gradients.shape[1]
        empty = cls(
            pooled.activations.new_zeros(inputs, inputs),
            pooled.gradients.new_zeros((outputs,) if diagonal else (outputs, outputs)),
            torch.zeros_like(pooled.activation_count),
            0,
        )
        empty.add(pooled)
        return empty

    def add(self, pooled: Pooled) -> None:
        """Adds one batch in place: no matrix of the size of a factor is formed beside the sum."""
        self.activation.addmm_(pooled.activations.T, pooled.activations)
        if self.gradient.ndim == 1:
            self.gradient += pooled.gradients.square().sum(dim=0)
        else:
            self.gradient.addmm_(pooled.gradients.T, pooled.gradients)
        self.activation_count = self.activation_count + pooled.activation_count
        self.sequences += pooled.sequences

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
    """Eigendecompositions of the two factors of one unit: Â = Q_A diag(λ_A) Q_Aᵀ, Ŝ likewise, or diagonal.

    Attributes:
        activation_vectors: Q_A, shape (M, M), one eigenvector per column.
        activation_values: λ_A, shape (M,), not negative.
        gradient_values: λ_S, shape (P,), not negative.
        gradient_vectors: Q_S, shape (P, P); None is the identity: Ŝ is diagonal.
        corrected: Eigenvalues of the curvature measured in the eigenbasis, shape (P, M); None takes λ_S λ_Aᵀ.
    """

    activation_vectors: Tensor
    activation_values: Tensor
    gradient_values: Tensor
    gradient_vectors: Tensor | None = None
    corrected: Tensor | None = None

    @property
    def eigenvalues(self) -> Tensor:
        """Eigenvalues Λ of the curvature, shape (P, M)."""
        if self.corrected is not None:
            return self.corrected
        return self.gradient_values[:, None] * self.activation_values[None, :]


def pool_reduce(a: Tensor, delta: Tensor, mask: Tensor) -> Pooled:
    """Rows of Eq. 11 (K-FAC-reduce): ā_n and Σ_t δ̃_t of each sequence.

    Deviation from Eq. 11: ā_n is the mean over the sequence's own tokens, where the paper divides by one common T; padding is
    masked.

    Args:
        a: Inputs, shape (sequences, positions, M).
        delta: Pseudo-gradients with respect to outputs, shape (sequences, positions, P).
        mask: True at real tokens, shape (sequences, positions).
    """
    real = mask[:, :, None]
    mean = full_precision(a * real).sum(dim=1) / real.sum(dim=1)
    return Pooled(mean, full_precision(delta * real).sum(dim=1), torch.tensor(len(a)), len(a))


def pool_expand(a: Tensor, delta: Tensor, mask: Tensor) -> Pooled:
    """Rows of K-FAC-expand, as EK-FAC has them: a_t and δ̃_t of each token.

    The sum of the first is later divided by tokens and that of the second by **sequences**: with a token mean in both the product
    misses the per-sequence Gauss-Newton block by the mean length. Padding is set to 0, which adds nothing.

    Args:
        a: Inputs, shape (sequences, positions, M).
        delta: Pseudo-gradients with respect to outputs, shape (sequences, positions, P).
        mask: True at real tokens, shape (sequences, positions).
    """
    real = mask[:, :, None]
    return Pooled(
        full_precision(a * real).flatten(0, 1), full_precision(delta * real).flatten(0, 1), mask.sum(), len(a)
    )


POOLINGS = {REDUCE: pool_reduce, EXPAND: pool_expand}


def covariances(sums: FactorSums) -> tuple[Tensor, Tensor]:
    """Activation and gradient factor Â and Ŝ of one unit, in float64; Ŝ as its diagonal, shape (P,), where it has no more."""
    return (
        sums.activation.double() / float(sums.activation_count),
        sums.gradient.double() / sums.sequences,
    )


def decompose(sums: FactorSums, unit: str = "") -> EigenFactors:
    """Takes the eigendecomposition of both factors in float64.

    Eigenvalues that float32 rounding made negative (by less than 1e-4 of the largest) are set to 0.

    Args:
        sums: Sums of the unit.
        unit: Its name, for messages.

    Raises:
        NumericalError: A factor is not finite, all zero, or not positive semi-definite.
    """
    activation, gradient = covariances(sums)
    activation_values, activation_vectors = _eigen(activation, f"activation factor of unit {unit}")
    what = f"gradient factor of unit {unit}"
    if gradient.ndim == 1:
        _require_useful(gradient, what)
        return EigenFactors(activation_vectors, activation_values, gradient)
    gradient_values, gradient_vectors = _eigen(gradient, what)
    return EigenFactors(activation_vectors, activation_values, gradient_values, gradient_vectors)


def rotate(
    a: Tensor, delta: Tensor, activation_vectors: Tensor, gradient_vectors: Tensor | None
) -> tuple[Tensor, Tensor]:
    """Gives a Q_A and δ Q_S, the same shapes: tokens are rotated and not gradients, for there are fewer positions than dimensions."""
    rotated = a @ activation_vectors.to(a)
    if gradient_vectors is None:
        return rotated, delta
    return rotated, delta @ gradient_vectors.to(delta)


def save_factors(
    path: Path,
    factors: Mapping[str, EigenFactors],
    *,
    model: str,
    settings: str,
    left_out: Mapping[str, str] | None = None,
) -> None:
    """Writes factors whole or not at all.

    Args:
        path: File to write.
        factors: Unit names to factors.
        model: Fingerprint of the model.
        settings: Fingerprint of everything else that the factors depend on.
        left_out: Ids of samples that are not in them to the reason of each.
    """
    tensors = {
        f"{unit}:{name}": tensor.to(torch.float32).contiguous().cpu()
        for unit, factor in factors.items()
        for name, tensor in vars(factor).items()
        if tensor is not None
    }
    facts = {"model": model, "settings": settings, "left_out": json.dumps(dict(left_out or {}))}
    write_tensors(path, save_file, tensors, facts)


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
    units: dict[str, dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        unit, _, field = name.rpartition(":")
        units.setdefault(unit, {})[field] = tensor
    return {unit: EigenFactors(**fields) for unit, fields in units.items()}


def read_left_out(path: Path) -> dict[str, str]:
    """Reads which samples are not in the factors that `load_factors` gives, ids to reasons."""
    with safe_open(path, framework="pt") as file:
        left_out: dict[str, str] = json.loads((file.metadata() or {}).get("left_out", "{}"))
    return left_out


def _eigen(matrix: Tensor, what: str) -> tuple[Tensor, Tensor]:
    _require_useful(matrix, what)
    values, vectors = torch.linalg.eigh((matrix + matrix.T) / 2)
    if float(values[0]) < -_ROUND_OFF * float(values[-1].abs()):
        raise NumericalError(f"the {what} has the eigenvalue {float(values[0]):.3g}; it must not be negative")
    return values.clamp(min=0.0), vectors


def _require_useful(factor: Tensor, what: str) -> None:
    """Refuses a factor that is not finite, or all zero."""
    if not bool(torch.isfinite(factor).all()):
        raise NumericalError(f"the {what} is not finite; the model's gradients overflow: compute in float32")
    if not bool(factor.any()):
        raise NumericalError(
            f"the {what} is all zero: nothing that the samples say passes through it; leave the unit out (tracked, "
            "last_blocks), or estimate the factors from other samples"
        )
