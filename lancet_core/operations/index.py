"""The gradient index of a study: built in one resumable pass over all samples, searched by every query."""

import hashlib
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from lancet_core.config import fingerprint, to_dict
from lancet_core.data.samples import read_samples
from lancet_core.errors import DataError, ModelError
from lancet_core.influence import index
from lancet_core.influence.index_manifest import MANIFEST, Manifest, read_manifest, write_manifest
from lancet_core.influence.scores import Directions
from lancet_core.influence.shards import Arrays, Shards, split
from lancet_core.models.encoding import Encoded
from lancet_core.models.loading import Loader
from lancet_core.operations.attribution_task import Task
from lancet_core.operations.configs import IndexConfig
from lancet_core.operations.engine import Engine, Source, open_engine
from lancet_core.progress import Progress, silent

CHOOSING = "Choosing what to keep"
STAGE = "Indexing training samples"
SHARD_SAMPLES = 4096
_OF_EACH = ("numbers", "scales", "lengths")
REBUILD = "build it again with: lancet index build STUDY"


def run(
    config: IndexConfig, folder: Path, progress: Progress = silent, load: Loader | None = None
) -> dict[str, Any]:
    """Builds the gradient index of a study; a build that was killed goes on from its last whole shard.

    Args:
        config: Study, method, size, and where the index is written.
        folder: Folder of the run.
        progress: Told at every batch.
        load: Gives the model; None loads it with the device and precision of the settings.

    Returns:
        Summary: `samples`, `too_long`, `numbers`, `buckets`, `bytes_per_sample`, `seconds`, `notes`.

    Raises:
        ConfigError: The method takes no curvature, or its factors would not fit into memory.
        DataError: No sample fits the model's context.
        ModelError: The model cannot be loaded, or its layout is unknown.
        NumericalError: The curvature is singular, or a gradient is not finite.
    """
    started = time.perf_counter()
    source = Source(
        config.model,
        read_samples(config.samples, whole=False),
        config.template,
        config.influence,
        config.factors,
        folder,
    )
    engine = open_engine(source, progress, load)
    texts = engine.encode_rows(np.arange(len(source.ids)))
    if not texts:
        raise DataError("no training sample fits the model's context, so there is nothing to index")
    basis_key = fingerprint([engine.key, source.corpus, to_dict(config.index)])
    place = Path(config.to)
    (place / MANIFEST).unlink(missing_ok=True)
    kept = Shards(place, "basis", basis_key).compute(0, lambda: _fit_basis(engine, texts, config, progress))
    basis = _read_basis(kept)
    # Numbers mean nothing beside another basis, and one that is fitted again need not be the same in its last bits.
    key = fingerprint([basis_key, hashlib.sha256(kept["vectors"].data).hexdigest()])
    rows = sorted(texts, key=lambda row: (-len(texts[row].input_ids), row))
    parts = split(len(rows), SHARD_SAMPLES)
    shards = Shards(place, "numbers", key)
    indexing = _Indexing(engine, basis, config, progress, kept, len(rows))
    for number, part in enumerate(parts):
        chosen = {row: texts[row] for row in rows[part.start : part.stop]}
        shards.compute(number, partial(indexing.compute, chosen, part.start))
        progress(STAGE, part.stop, len(rows))
    size = sum(file.stat().st_size for file in place.glob("numbers-*.safetensors")) / len(rows)
    _remove_others(place, len(parts))
    manifest = Manifest(
        engine=engine.key,
        model=engine.network.lm.fingerprint,
        corpus=source.corpus,
        basis=basis_key,
        key=key,
        shards=len(parts),
        samples=len(rows),
        too_long=len(source.ids) - len(texts),
        buckets=len(basis.vectors),
        numbers=basis.vectors.shape[1],
        bytes_per_sample=round(size, 1),
        influence=to_dict(config.influence),
        index=to_dict(config.index),
    )
    write_manifest(place, manifest)
    return {
        "samples": manifest.samples,
        "too_long": manifest.too_long,
        "numbers": manifest.numbers,
        "buckets": manifest.buckets,
        "bytes_per_sample": manifest.bytes_per_sample,
        "seconds": round(time.perf_counter() - started, 3),
        "notes": list(engine.notes),
    }


def choose_by_index(
    engine: Engine, task: Task, directions: Directions, folder: Path
) -> tuple[Task, NDArray[np.float32]]:
    """Chooses each group's candidates among all samples: the strongest of both signs by the index.

    Args:
        engine: Model and curvature.
        task: Queries and samples.
        directions: V of each group.
        folder: Folder of the index.

    Returns:
        The task with its candidates, and the length of every sample's whitened gradient, shape (samples,); NaN where a sample is
        not in the index.

    Raises:
        DataError: There is no whole index.
        ModelError: It belongs to another model or other settings.
    """
    manifest = read_manifest(folder)
    if manifest is None:
        raise DataError(f"there is no whole gradient index in {folder}; {REBUILD}")
    if manifest.engine != engine.key:
        raise ModelError(
            f"the gradient index in {folder} belongs to another model or other settings "
            f"({manifest.engine}, wanted {engine.key}); {REBUILD}, or set recall to tfidf"
        )
    basis = _read_basis(_required(Shards(folder, "basis", manifest.basis), 0, folder))
    queries = index.query_numbers(engine.curvature, basis, directions)
    shards = Shards(folder, "numbers", manifest.key)
    rows, scores = [], []
    lengths = np.full(len(task.samples), np.nan, dtype=np.float32)
    for number in range(manifest.shards):
        kept = _required(shards, number, folder)
        rows.append(kept["rows"])
        lengths[kept["rows"]] = kept["lengths"]
        near = index.approximate(kept["numbers"], kept["scales"], queries)
        if engine.normaliser:
            near /= kept["lengths"].astype(np.float32)[:, None]
        scores.append(near)
    every, values = np.concatenate(rows).astype(np.int64), np.concatenate(scores)
    count = engine.source.settings.candidate_count
    chosen = [np.sort(every[index.strongest(own, count)]) for own in values.T]
    return task.with_candidates(chosen), lengths


@dataclass(frozen=True)
class _Indexing:
    """The pass over all samples.

    Attributes:
        engine: Model and curvature.
        basis: How a gradient becomes numbers.
        config: Precision.
        progress: Told at every batch.
        kept: What was written of the basis, with the numbers of the samples that it was found from.
        total: Samples in all.
    """

    engine: Engine
    basis: index.Basis
    config: IndexConfig
    progress: Progress
    kept: Arrays
    total: int

    @cached_property
    def read(self) -> dict[int, int]:
        """Rows of the samples that the basis was found from, and their places among them."""
        return {int(row): place for place, row in enumerate(self.kept["read"])}

    def compute(self, texts: dict[int, Encoded], done_before: int) -> Arrays:
        """Numbers of some samples, by row: first of those that the basis was found from, which are known."""
        read, unread = ([row for row in texts if (row in self.read) is known] for known in (True, False))
        places = [self.read[row] for row in read]
        parts = [{name: self.kept[name][places] for name in _OF_EACH}]
        if unread:
            parts.append(self._read([texts[row] for row in unread], done_before + len(read)))
        joined = {name: np.concatenate([part[name] for part in parts]) for name in _OF_EACH}
        return {**joined, "rows": np.asarray([*read, *unread], dtype=np.int32)}

    def _read(self, texts: Sequence[Encoded], done_before: int) -> Arrays:
        numbers, lengths = index.sample_numbers(
            self.engine.network,
            self.engine.curvature,
            self.basis,
            texts=texts,
            max_tokens=self.engine.source.settings.max_tokens,
            tell=lambda done: self.progress(STAGE, done_before + done, self.total),
        )
        return _stored(numbers, lengths, self.config)


def _stored(numbers: NDArray[np.float32], lengths: NDArray[np.float32], config: IndexConfig) -> Arrays:
    stored, scales = index.quantise(numbers, config.index.precision)
    return dict(zip(_OF_EACH, (stored, scales, lengths), strict=True))


def _fit_basis(engine: Engine, texts: dict[int, Encoded], config: IndexConfig, progress: Progress) -> Arrays:
    order = np.random.default_rng(config.influence.seed).permutation(sorted(texts))
    chosen = order[: config.index.basis_samples]
    basis, numbers, lengths = index.fit_basis(
        engine.network,
        engine.curvature,
        texts=[texts[int(row)] for row in chosen],
        sizes=(config.index.buckets, config.index.numbers_per_sample),
        max_tokens=engine.source.settings.max_tokens,
        tell=lambda done: progress(CHOOSING, done, len(chosen)),
    )
    rows = {f"rows:{unit}": own.numpy() for unit, (own, _) in basis.hashes.items()}
    columns = {f"columns:{unit}": own.numpy() for unit, (_, own) in basis.hashes.items()}
    # In float16: half the file, and an error that int8 numbers hide.
    vectors = {"vectors": basis.vectors.half().numpy()}
    return {
        **vectors,
        **rows,
        **columns,
        "read": chosen.astype(np.int32),
        **_stored(numbers, lengths, config),
    }


def _read_basis(arrays: Arrays) -> index.Basis:
    units = sorted(name.partition(":")[2] for name in arrays if name.startswith("rows:"))
    hashes = {
        unit: (torch.from_numpy(arrays[f"rows:{unit}"]), torch.from_numpy(arrays[f"columns:{unit}"]))
        for unit in units
    }
    return index.Basis(hashes, torch.from_numpy(arrays["vectors"]).float())


def _required(shards: Shards, number: int, folder: Path) -> Arrays:
    """Reads a shard that must be there.

    Raises:
        DataError: It is missing, or its file was cut short.
    """
    kept = shards.read(number)
    if kept is None:
        raise DataError(
            f"shard {number} of {shards.name} of the gradient index in {folder} is missing or broken; {REBUILD}: only this shard is "
            "made again"
        )
    return kept


def _remove_others(folder: Path, count: int) -> None:
    """Removes shards that an index of more shards left."""
    for file in folder.glob("numbers-*.safetensors"):
        if int(file.stem.rpartition("-")[2]) >= count:
            file.unlink()
