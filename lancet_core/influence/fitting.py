"""Estimates the curvature factors of a model from training samples: one pass, kept on disk for the next run."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from lancet_core.config import fingerprint
from lancet_core.errors import DataError
from lancet_core.influence.capture import Labels, data_labels, frozen, sampled_labels, unit_gradients
from lancet_core.influence.factors import (
    POOLINGS,
    EigenFactors,
    FactorSums,
    decompose,
    load_factors,
    save_factors,
)
from lancet_core.influence.settings import POOLING, InfluenceSettings
from lancet_core.influence.shards import Arrays, Shards, split
from lancet_core.models.encoding import Encoded, pack
from lancet_core.models.loading import LanguageModel
from lancet_core.models.units import UnitModel
from lancet_core.progress import Progress

STAGE = "Estimating the curvature"
SHARD_SAMPLES = 512


@dataclass(frozen=True)
class FactorIdentity:
    """What factors depend on besides the model.

    Attributes:
        template: Template of the study.
        corpus: Fingerprint of the samples they may be estimated from.
        pooling: `reduce` or `expand`.
        fisher: `sampled` or `empirical`.
        samples: Number of samples, 0 for all.
        seed: Seed of labels and of the choice of samples.
        dtype: Precision of the model.
    """

    template: str
    corpus: str
    pooling: str
    fisher: str
    samples: int
    seed: int
    dtype: str

    @property
    def key(self) -> str:
        """Names the identity in 12 hexadecimal digits."""
        return fingerprint(self)


def identify(settings: InfluenceSettings, *, template: str, corpus: str) -> FactorIdentity:
    """Takes what matters to the factors from the settings: not the damping, the recall or the batch size."""
    return FactorIdentity(
        template=template,
        corpus=corpus,
        pooling=POOLING[settings.method],
        fisher=settings.fisher,
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

    Args:
        network: The model with its units.
        encoded: Samples to estimate from, at least one.
        settings: Pooling (by method), Fisher, seed, batch size.
        shards: Where finished shards are kept.
        progress: Told at every batch.

    Returns:
        Unit names to factors.

    Raises:
        DataError: There is no sample.
        NumericalError: A factor is not finite.
    """
    if not encoded:
        raise DataError(
            "no training sample fits the model's context, so the curvature cannot be estimated; check the study"
        )
    ordered = sorted(encoded, key=lambda text: (-len(text.input_ids), text.input_ids))
    sums: dict[str, FactorSums] = {}
    for number, part in enumerate(split(len(ordered), SHARD_SAMPLES)):
        texts = [ordered[index] for index in part]

        def compute(texts: Sequence[Encoded] = texts, start: int = part.start) -> Arrays:
            def tell(done: int) -> None:
                progress(STAGE, start + done, len(ordered))

            return _pack_sums(_sum_shard(network, texts=texts, settings=settings, tell=tell))

        for unit, found in _unpack_sums(shards.compute(number, compute)).items():
            sums[unit] = sums[unit] + found if unit in sums else found
        progress(STAGE, part.stop, len(ordered))
    return {unit: decompose(total) for unit, total in sums.items()}


def _sum_shard(
    network: UnitModel,
    *,
    texts: Sequence[Encoded],
    settings: InfluenceSettings,
    tell: Callable[[int], None],
) -> dict[str, FactorSums]:
    pool = POOLINGS[POOLING[settings.method]]
    labels: Labels = data_labels if settings.fisher == "empirical" else sampled_labels(texts, settings.seed)
    sums: dict[str, FactorSums] = {}
    done = 0
    with frozen(network.lm.model):
        for batch in pack(texts, settings.max_tokens):
            tell(done)
            moved = batch.to(network.lm.device)
            for found in unit_gradients(network.lm.model, network.units, moved, labels):
                part = pool(found.a, found.delta, moved.attention_mask)
                sums[found.unit] = sums[found.unit] + part if found.unit in sums else part
            done += len(batch.indices)
    return sums


def _pack_sums(sums: dict[str, FactorSums]) -> Arrays:
    arrays: Arrays = {}
    for unit, total in sums.items():
        arrays[f"{unit}:activation"] = total.activation.cpu().numpy()
        arrays[f"{unit}:gradient"] = total.gradient.cpu().numpy()
        counts = torch.tensor([total.activation_count, total.sequences])
        arrays[f"{unit}:counts"] = counts.numpy()
    return arrays


def _unpack_sums(arrays: Arrays) -> dict[str, FactorSums]:
    units = dict.fromkeys(name.rpartition(":")[0] for name in arrays)
    return {
        unit: FactorSums(
            torch.from_numpy(arrays[f"{unit}:activation"]),
            torch.from_numpy(arrays[f"{unit}:gradient"]),
            int(arrays[f"{unit}:counts"][0]),
            int(arrays[f"{unit}:counts"][1]),
        )
        for unit in units
    }
