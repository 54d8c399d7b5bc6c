"""Estimates the curvature factors of a model from training samples: one pass, kept on disk for the next run."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from lancet_core.config import fingerprint
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
from lancet_core.influence.settings import InfluenceSettings
from lancet_core.influence.shards import Arrays, Shards, Tell, split
from lancet_core.models.encoding import Batch, Encoded, pack
from lancet_core.models.loading import LanguageModel
from lancet_core.models.units import UnitModel
from lancet_core.progress import Progress

STAGE = "Estimating the curvature"
CORRECTING = "Correcting the eigenvalues"
SHARD_SAMPLES = 512


@dataclass(frozen=True)
class FactorIdentity:
    """What factors depend on besides the model.

    Attributes:
        template: Template of the study.
        corpus: Fingerprint of the samples they may be estimated from.
        units: Names of the units.
        pooling: `reduce` or `expand`.
        eigenvalues: `kronecker` or `corrected`.
        fisher: `sampled`, `generated` or `empirical`.
        samples: Number of samples, 0 for all.
        seed: Seed of labels and of the choice of samples.
        dtype: Precision of the model.
    """

    template: str
    corpus: str
    units: tuple[str, ...]
    pooling: str
    eigenvalues: str
    fisher: str
    samples: int
    seed: int
    dtype: str

    @property
    def key(self) -> str:
        """Names the identity in 12 hexadecimal digits."""
        return fingerprint(self)


def identify(
    settings: InfluenceSettings, *, units: Sequence[str], template: str, corpus: str
) -> FactorIdentity:
    """Takes what matters to the factors from the settings: not the damping, the recall or the batch size."""
    return FactorIdentity(
        template=template,
        corpus=corpus,
        units=tuple(units),
        pooling=settings.curvature.pooling,
        eigenvalues=settings.curvature.eigenvalues,
        fisher=settings.curvature.fisher,
        samples=settings.factor_samples,
        seed=settings.seed,
        dtype=settings.dtype,
    )


def factor_file(folder: Path, lm: LanguageModel, identity: FactorIdentity) -> Path:
    """Where factors are kept, named by model and settings."""
    return folder / f"factors-{lm.fingerprint}-{identity.key}.safetensors"


def read_kept_factors(
    folder: Path, lm: LanguageModel, identity: FactorIdentity
) -> dict[str, EigenFactors] | None:
    """Reads factors that an earlier run kept, None where there are none.

    Raises:
        ModelError: The file is broken or belongs to another model.
    """
    path = factor_file(folder, lm, identity)
    if not path.is_file():
        return None
    return load_factors(path, model=lm.fingerprint, settings=identity.key)


def keep_factors(
    folder: Path, lm: LanguageModel, identity: FactorIdentity, factors: dict[str, EigenFactors]
) -> None:
    """Keeps factors for the next run."""
    path = factor_file(folder, lm, identity)
    save_factors(path, factors, model=lm.fingerprint, settings=identity.key)


def fit_factors(
    network: UnitModel,
    *,
    encoded: Sequence[Encoded],
    settings: InfluenceSettings,
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
            "no training sample fits the model's context, so the curvature cannot be estimated; check the study"
        )
    texts = pseudo_texts(network.lm, _by_length(encoded), settings, progress)
    estimation = _Estimation(network, texts, settings, shards, progress)
    sums: dict[str, FactorSums] = {}
    for found in estimation.map_shards(
        STAGE, "factors", lambda part, tell: _pack_sums(_sum_factors(part, tell))
    ):
        for unit, part in _unpack_sums(found).items():
            sums[unit] = sums[unit] + part if unit in sums else part
    factors = {unit: decompose(total, unit) for unit, total in sums.items()}
    if settings.curvature.eigenvalues != CORRECTED:
        return factors
    return _with_corrected_eigenvalues(estimation, factors)


def pseudo_gradients(
    network: UnitModel, texts: Sequence[Encoded], settings: InfluenceSettings
) -> Iterator[tuple[Batch, list[UnitGradients]]]:
    """Runs over texts in batches and yields a and δ̃ of each unit; parameters must be frozen."""
    labels = labels_of(texts, settings)
    for batch in pack(texts, settings.max_tokens):
        moved = batch.to(network.lm.device)
        yield moved, unit_gradients(network.lm.model, network.units, moved, labels)


@dataclass(frozen=True)
class _Estimation:
    """A pass over pseudo-data, shard by shard.

    Attributes:
        network: The model with its units.
        texts: Pseudo-data, the longest first.
        settings: Fisher, seed, batch size.
        shards: Where finished shards are kept.
        progress: Told at every batch.
    """

    network: UnitModel
    texts: Sequence[Encoded]
    settings: InfluenceSettings
    shards: Shards
    progress: Progress

    def map_shards(
        self, stage: str, name: str, function: "Callable[[_Estimation, Tell], Arrays]"
    ) -> Iterator[Arrays]:
        """Yields what a function gives for each shard; shards that a killed run finished are read."""
        kept = replace(self.shards, name=name)
        for number, part in enumerate(split(len(self.texts), SHARD_SAMPLES)):
            piece = replace(self, texts=self.texts[part.start : part.stop])
            yield kept.compute(number, partial(function, piece, partial(self._tell, stage, part.start)))
            self.progress(stage, part.stop, len(self.texts))

    def batches(self, tell: Tell) -> Iterator[tuple[Batch, list[UnitGradients]]]:
        """Yields a and δ̃ of each batch."""
        done = 0
        with frozen(self.network.lm.model):
            for batch, found in pseudo_gradients(self.network, self.texts, self.settings):
                tell(done)
                yield batch, found
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
                (batch.to(self.network.lm.device) for batch in pack(self.texts, self.settings.max_tokens)),
                names=[self.network.lm.tokenizer.decode(text.input_ids)[:60] for text in self.texts],
                labels=labels_of(self.texts, self.settings),
            )


def _sum_factors(part: _Estimation, tell: Tell) -> dict[str, FactorSums]:
    pool = POOLINGS[part.settings.curvature.pooling]
    sums: dict[str, FactorSums] = {}
    heads = {unit.name for unit in part.network.units if unit.is_head}
    for _batch, units in part.batches(tell):
        for found in units:
            pooled = pool(found.a, found.delta, found.mask)
            if found.unit in sums:
                sums[found.unit].add(pooled)
            else:
                sums[found.unit] = FactorSums.of(pooled, diagonal=found.unit in heads)
    part.require_finite({unit: total.activation.diagonal() for unit, total in sums.items()})
    gradients = {unit: total.gradient for unit, total in sums.items()}
    part.require_finite({unit: one if one.ndim == 1 else one.diagonal() for unit, one in gradients.items()})
    return sums


def _with_corrected_eigenvalues(
    estimation: _Estimation, factors: Mapping[str, EigenFactors]
) -> dict[str, EigenFactors]:
    """Measures Λ = (1/N) Σ_n (Q_Sᵀ g̃_n Q_A)² on per-sequence pseudo-gradients (EK-FAC, George et al. 2018)."""

    def squares(part: _Estimation, tell: Tell) -> Arrays:
        return {unit: total.cpu().numpy() for unit, total in _sum_squares(part, factors, tell).items()}

    totals: dict[str, Tensor] = {}
    for found in estimation.map_shards(CORRECTING, "eigenvalues", squares):
        for unit, total in found.items():
            part = torch.from_numpy(total).double()
            totals[unit] = totals[unit] + part if unit in totals else part
    count = len(estimation.texts)
    return {unit: replace(one, corrected=totals[unit] / count) for unit, one in factors.items()}


def _sum_squares(part: _Estimation, factors: Mapping[str, EigenFactors], tell: Tell) -> dict[str, Tensor]:
    sums: dict[str, Tensor] = {}
    rotations: dict[str, tuple[Tensor, Tensor | None]] = {}
    for _batch, units in part.batches(tell):
        for found in units:
            if found.unit not in rotations:
                one = factors[found.unit]
                left = one.gradient_vectors
                rotations[found.unit] = (
                    one.activation_vectors.to(found.a),
                    None if left is None else left.to(found.a),
                )
            for gradients in gradient_parts(*rotate(found.a, found.delta, *rotations[found.unit])):
                squared = gradients.square().sum(dim=0)
                sums[found.unit] = sums[found.unit].add_(squared) if found.unit in sums else squared
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
