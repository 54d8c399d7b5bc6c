"""Estimates the curvature factors of a model from training samples: one pass, kept on disk for the next run."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from lancet_core.errors import DataError, NumericalError
from lancet_core.influence.capture import UnitGradients, finite_rows, frozen, only_rows, unit_gradients
from lancet_core.influence.factors import (
    POOLINGS,
    EigenFactors,
    FactorSums,
    decompose,
    load_factors,
    read_left_out,
    rotate,
    save_factors,
)
from lancet_core.influence.gradients import gradient_parts
from lancet_core.influence.methods import CORRECTED
from lancet_core.influence.pseudo import labels_of, pseudo_texts
from lancet_core.influence.settings import GradientSettings
from lancet_core.influence.shards import Arrays, Shards, Tell, split
from lancet_core.models.encoding import Encoded, pack
from lancet_core.models.units import UnitModel
from lancet_core.progress import Progress

STAGE = "Estimating the curvature"
CORRECTING = "Correcting the eigenvalues"
SHARD_SAMPLES = 512
LEFT_OUT = "left out"
LeaveOut = Callable[[int], None]
"""Told the place of a text that is left out, because what is computed of it is not finite."""


@dataclass(frozen=True)
class Fitted:
    """Factors, and what is not in them.

    Attributes:
        factors: Unit names to factors.
        left_out: Ids of the samples that are not in them, because what is computed of them is not finite, to the reason of each.
    """

    factors: dict[str, EigenFactors]
    left_out: dict[str, str]


@dataclass(frozen=True)
class FactorFile:
    """Where the factors of a model are kept for the next run.

    Attributes:
        folder: Folder of the factors; None keeps none.
        model: Fingerprint of the model.
        key: Fingerprint of everything else that they depend on.
    """

    folder: Path | None
    model: str
    key: str

    def read(self) -> Fitted | None:
        """Reads factors that an earlier run kept, None where there are none.

        Raises:
            ModelError: The file is broken or belongs to another model.
        """
        path = self._path
        if path is None or not path.is_file():
            return None
        return Fitted(load_factors(path, model=self.model, settings=self.key), read_left_out(path))

    def write(self, fitted: Fitted) -> None:
        """Keeps factors for the next run."""
        if self._path:
            save_factors(
                self._path, fitted.factors, model=self.model, settings=self.key, left_out=fitted.left_out
            )

    @property
    def _path(self) -> Path | None:
        return self.folder / f"factors-{self.model}-{self.key}.safetensors" if self.folder else None


def fit_factors(
    network: UnitModel,
    *,
    encoded: Sequence[Encoded],
    settings: GradientSettings,
    shards: Shards,
    progress: Progress,
    leave_out: LeaveOut = lambda _place: None,
) -> dict[str, EigenFactors]:
    """Estimates the factors of each unit from pseudo-gradients on training samples.

    With corrected eigenvalues a second pass over the same pseudo-gradients follows.

    Args:
        network: The model with its units.
        encoded: Samples to estimate from, at least one.
        settings: Pooling, eigenvalues, Fisher, seed, batch size.
        shards: Where finished shards are kept.
        progress: Told at every batch.
        leave_out: Told the place of each sample that is left out.

    Returns:
        Unit names to factors.

    Raises:
        DataError: There is no sample.
        NumericalError: No sample has finite gradients, or a factor is not finite, or all zero.
    """
    if not encoded:
        raise DataError(
            "no training sample can be encoded, so the curvature cannot be estimated; check the study"
        )
    order = _by_length(encoded)
    texts = pseudo_texts(network.lm, [encoded[place] for place in order], settings.curvature, progress)
    estimation = _Estimation(network, texts, settings, shards, progress)
    sums: dict[str, FactorSums] = {}
    broken: set[int] = set()
    for start, arrays in estimation.map_shards(STAGE, "factors", _sum_factors):
        broken |= {start + int(place) for place in arrays.pop(LEFT_OUT)}
        for unit, part in _unpack_sums(arrays).items():
            sums[unit] = sums[unit] + part if unit in sums else part
    for place in sorted(broken):
        leave_out(order[place])
    if not sums:
        raise NumericalError(
            f"the curvature cannot be estimated: of all {len(texts)} samples activations or gradients are not finite; compute in "
            "float32"
        )
    # Each sum goes when its factors are there: of a large model both together are several gigabytes.
    factors = {unit: decompose(sums.pop(unit), unit) for unit in list(sums)}
    if settings.curvature.eigenvalues != CORRECTED:
        return factors
    whole = [text for place, text in enumerate(texts) if place not in broken]
    return _with_corrected_eigenvalues(replace(estimation, texts=whole), factors)


def pseudo_gradients(
    network: UnitModel, texts: Sequence[Encoded], settings: GradientSettings, leave_out: LeaveOut
) -> Iterator[tuple[int, list[UnitGradients]]]:
    """Runs over texts in batches and yields how many a batch had, and a and δ̃ of each unit; parameters must be frozen.

    A text whose activations or gradients are not finite would spoil every sum over texts: it is not among the rows that are yielded.
    """
    labels = labels_of(texts, settings.curvature)
    for batch in pack(texts, settings.compute.max_tokens):
        moved = batch.to(network.lm.device)
        captured = unit_gradients(network.lm.model, network.units, moved, labels)
        finite = finite_rows(captured)
        for row in (~finite).nonzero().flatten().tolist():
            leave_out(batch.indices[row])
        if not bool(finite.all()):
            captured = [only_rows(each, finite) for each in captured]
        if bool(finite.any()):
            yield len(batch.indices), captured


@dataclass(frozen=True)
class _Estimation:
    """A pass over pseudo-data, the longest first, shard by shard."""

    network: UnitModel
    texts: Sequence[Encoded]
    settings: GradientSettings
    shards: Shards
    progress: Progress

    def map_shards(
        self, stage: str, name: str, function: "Callable[[_Estimation, Tell], Arrays]"
    ) -> Iterator[tuple[int, Arrays]]:
        """Yields where each shard begins and what a function gives for it; shards that a killed run finished are read."""
        shards = replace(self.shards, name=name)
        for number, part in enumerate(split(len(self.texts), SHARD_SAMPLES)):
            piece = replace(self, texts=self.texts[part.start : part.stop])
            compute = partial(function, piece, partial(self._tell, stage, part.start))
            yield part.start, shards.compute(number, compute)
            self.progress(stage, part.stop, len(self.texts))

    def batches(self, tell: Tell, leave_out: LeaveOut) -> Iterator[list[UnitGradients]]:
        """Yields a and δ̃ of each batch."""
        done = 0
        with frozen(self.network.lm.model):
            for rows, captured in pseudo_gradients(self.network, self.texts, self.settings, leave_out):
                tell(done)
                yield captured
                done += rows

    def _tell(self, stage: str, start: int, done: int) -> None:
        self.progress(stage, start + done, len(self.texts))


def _sum_factors(part: _Estimation, tell: Tell) -> Arrays:
    pool = POOLINGS[part.settings.curvature.pooling]
    sums: dict[str, FactorSums] = {}
    left_out: list[int] = []
    heads = {unit.name for unit in part.network.units if unit.is_head}
    for units in part.batches(tell, left_out.append):
        for captured in units:
            pooled = pool(captured.a, captured.delta, captured.mask)
            if captured.unit in sums:
                sums[captured.unit].add(pooled)
            else:
                sums[captured.unit] = FactorSums.of(pooled, diagonal=captured.unit in heads)
    return _pack_sums(sums) | {LEFT_OUT: np.asarray(left_out, dtype=np.int32)}


def _with_corrected_eigenvalues(
    estimation: _Estimation, factors: Mapping[str, EigenFactors]
) -> dict[str, EigenFactors]:
    """Measures Λ = (1/N) Σ_n (Q_Sᵀ g̃_n Q_A)² on per-sequence pseudo-gradients (EK-FAC, George et al. 2018)."""

    def squares(part: _Estimation, tell: Tell) -> Arrays:
        return {unit: total.cpu().numpy() for unit, total in _sum_squares(part, factors, tell).items()}

    totals: dict[str, Tensor] = {}
    for _, arrays in estimation.map_shards(CORRECTING, "eigenvalues", squares):
        for unit, total in arrays.items():
            part = torch.from_numpy(total).double()
            totals[unit] = totals[unit] + part if unit in totals else part
    count = len(estimation.texts)
    return {unit: replace(known, corrected=totals[unit] / count) for unit, known in factors.items()}


def _sum_squares(part: _Estimation, factors: Mapping[str, EigenFactors], tell: Tell) -> dict[str, Tensor]:
    sums: dict[str, Tensor] = {}
    rotations: dict[str, tuple[Tensor, Tensor | None]] = {}
    for units in part.batches(tell, lambda _place: None):
        for captured in units:
            if captured.unit not in rotations:
                known = factors[captured.unit]
                left = known.gradient_vectors
                rotations[captured.unit] = (
                    known.activation_vectors.to(captured.a),
                    None if left is None else left.to(captured.a),
                )
            for gradients in gradient_parts(*rotate(captured.a, captured.delta, *rotations[captured.unit])):
                squared = gradients.square().sum(dim=0)
                sums[captured.unit] = sums[captured.unit].add_(squared) if captured.unit in sums else squared
    return sums


def _by_length(encoded: Sequence[Encoded]) -> list[int]:
    """Places of the texts, the longest first, so that memory runs out at once or never; equal sets of samples give equal shards."""
    return sorted(
        range(len(encoded)), key=lambda place: (-len(encoded[place].input_ids), encoded[place].input_ids)
    )


def _pack_sums(sums: Mapping[str, FactorSums]) -> Arrays:
    arrays: Arrays = {}
    for unit, total in sums.items():
        arrays[f"{unit}:activation"] = total.activation.cpu().numpy()
        arrays[f"{unit}:gradient"] = total.gradient.cpu().numpy()
        counts = torch.tensor([int(total.activation_count), total.sequences])
        arrays[f"{unit}:counts"] = counts.numpy()
    return arrays


def _unpack_sums(arrays: Arrays) -> dict[str, FactorSums]:
    """Widens to float64, so that sums of many shards stay exact."""
    units = dict.fromkeys(name.rpartition(":")[0] for name in arrays)
    return {
        unit: FactorSums(
            torch.from_numpy(arrays[f"{unit}:activation"]).double(),
            torch.from_numpy(arrays[f"{unit}:gradient"]).double(),
            torch.tensor(int(arrays[f"{unit}:counts"][0])),
            int(arrays[f"{unit}:counts"][1]),
        )
        for unit in units
    }
