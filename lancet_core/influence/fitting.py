"""Estimates the curvature factors of a model from training samples: one pass, kept on disk for the next run."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from lancet_core.errors import DataError
from lancet_core.influence.capture import UnitGradients, frozen, require_finite, unit_gradients
from lancet_core.influence.factors import (
    POOLINGS,
    EigenFactors,
    FactorSums,
    decompose,
    load_factors,
    rotate,
    save_factors,
)
from lancet_core.influence.gradients import gradient_parts
from lancet_core.influence.methods import CORRECTED
from lancet_core.influence.pseudo import labels_of, pseudo_texts
from lancet_core.influence.settings import GradientSettings
from lancet_core.influence.shards import Arrays, Shards, Tell, split
from lancet_core.models.encoding import Batch, Encoded, pack
from lancet_core.models.units import UnitModel
from lancet_core.progress import Progress

STAGE = "Estimating the curvature"
CORRECTING = "Correcting the eigenvalues"
SHARD_SAMPLES = 512


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

    def read(self) -> dict[str, EigenFactors] | None:
        """Reads factors that an earlier run kept, None where there are none.

        Raises:
            ModelError: The file is broken or belongs to another model.
        """
        path = self._path
        return load_factors(path, model=self.model, settings=self.key) if path and path.is_file() else None

    def write(self, factors: Mapping[str, EigenFactors]) -> None:
        """Keeps factors for the next run."""
        if self._path:
            save_factors(self._path, factors, model=self.model, settings=self.key)

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
) -> dict[str, EigenFactors]:
    """Estimates the factors of each unit from pseudo-gradients on training samples.

    With corrected eigenvalues a second pass over the same pseudo-gradients follows.

    Args:
        network: The model with its units.
        encoded: Samples to estimate from, at least one.
        settings: Pooling, eigenvalues, Fisher, seed, batch size.
        shards: Where finished shards are kept.
        progress: Told at every batch.

    Returns:
        Unit names to factors.

    Raises:
        DataError: There is no sample.
        NumericalError: A factor is not finite, or all zero.
    """
    if not encoded:
        raise DataError(
            "no training sample can be encoded, so the curvature cannot be estimated; check the study"
        )
    texts = pseudo_texts(network.lm, _by_length(encoded), settings.curvature, progress)
    estimation = _Estimation(network, texts, settings, shards, progress)
    sums: dict[str, FactorSums] = {}
    for arrays in estimation.map_shards(
        STAGE, "factors", lambda part, tell: _pack_sums(_sum_factors(part, tell))
    ):
        for unit, part in _unpack_sums(arrays).items():
            sums[unit] = sums[unit] + part if unit in sums else part
    factors = {unit: decompose(total, unit) for unit, total in sums.items()}
    if settings.curvature.eigenvalues != CORRECTED:
        return factors
    return _with_corrected_eigenvalues(estimation, factors)


def pseudo_gradients(
    network: UnitModel, texts: Sequence[Encoded], settings: GradientSettings
) -> Iterator[tuple[Batch, list[UnitGradients]]]:
    """Runs over texts in batches and yields a and δ̃ of each unit; parameters must be frozen."""
    labels = labels_of(texts, settings.curvature)
    for batch in pack(texts, settings.compute.max_tokens):
        moved = batch.to(network.lm.device)
        yield moved, unit_gradients(network.lm.model, network.units, moved, labels)


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
    ) -> Iterator[Arrays]:
        """Yields what a function gives for each shard; shards that a killed run finished are read."""
        shards = replace(self.shards, name=name)
        for number, part in enumerate(split(len(self.texts), SHARD_SAMPLES)):
            piece = replace(self, texts=self.texts[part.start : part.stop])
            yield shards.compute(number, partial(function, piece, partial(self._tell, stage, part.start)))
            self.progress(stage, part.stop, len(self.texts))

    def batches(self, tell: Tell) -> Iterator[tuple[Batch, list[UnitGradients]]]:
        """Yields a and δ̃ of each batch."""
        done = 0
        with frozen(self.network.lm.model):
            for batch, captured in pseudo_gradients(self.network, self.texts, self.settings):
                tell(done)
                yield batch, captured
                done += len(batch.indices)

    def _tell(self, stage: str, start: int, done: int) -> None:
        self.progress(stage, start + done, len(self.texts))

    def require_finite(self, values: Mapping[str, Tensor]) -> None:
        """Names sample and unit where a sum over samples is not finite.

        Raises:
            NumericalError: One is not.
        """
        if all(bool(torch.isfinite(value).all()) for value in values.values()):
            return
        with frozen(self.network.lm.model):
            require_finite(
                self.network.lm.model,
                self.network.units,
                (
                    batch.to(self.network.lm.device)
                    for batch in pack(self.texts, self.settings.compute.max_tokens)
                ),
                names=[self.network.lm.tokenizer.decode(text.input_ids)[:60] for text in self.texts],
                labels=labels_of(self.texts, self.settings.curvature),
            )


def _sum_factors(part: _Estimation, tell: Tell) -> dict[str, FactorSums]:
    pool = POOLINGS[part.settings.curvature.pooling]
    sums: dict[str, FactorSums] = {}
    heads = {unit.name for unit in part.network.units if unit.is_head}
    for _batch, units in part.batches(tell):
        for captured in units:
            pooled = pool(captured.a, captured.delta, captured.mask)
            if captured.unit in sums:
                sums[captured.unit].add(pooled)
            else:
                sums[captured.unit] = FactorSums.of(pooled, diagonal=captured.unit in heads)
    part.require_finite({unit: total.activation.diagonal() for unit, total in sums.items()})
    gradients = {unit: total.gradient for unit, total in sums.items()}
    part.require_finite(
        {unit: total if total.ndim == 1 else total.diagonal() for unit, total in gradients.items()}
    )
    return sums


def _with_corrected_eigenvalues(
    estimation: _Estimation, factors: Mapping[str, EigenFactors]
) -> dict[str, EigenFactors]:
    """Measures Λ = (1/N) Σ_n (Q_Sᵀ g̃_n Q_A)² on per-sequence pseudo-gradients (EK-FAC, George et al. 2018)."""

    def squares(part: _Estimation, tell: Tell) -> Arrays:
        return {unit: total.cpu().numpy() for unit, total in _sum_squares(part, factors, tell).items()}

    totals: dict[str, Tensor] = {}
    for arrays in estimation.map_shards(CORRECTING, "eigenvalues", squares):
        for unit, total in arrays.items():
            part = torch.from_numpy(total).double()
            totals[unit] = totals[unit] + part if unit in totals else part
    count = len(estimation.texts)
    return {unit: replace(known, corrected=totals[unit] / count) for unit, known in factors.items()}


def _sum_squares(part: _Estimation, factors: Mapping[str, EigenFactors], tell: Tell) -> dict[str, Tensor]:
    sums: dict[str, Tensor] = {}
    rotations: dict[str, tuple[Tensor, Tensor | None]] = {}
    for _batch, units in part.batches(tell):
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


def _by_length(encoded: Sequence[Encoded]) -> list[Encoded]:
    """The longest first, so that memory runs out at once or never; equal sets of samples give equal shards."""
    return sorted(encoded, key=lambda text: (-len(text.input_ids), text.input_ids))


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
