"""The gradient index of a study: built in one resumable pass over all samples, searched by every query."""

import hashlib
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from lancet_core.acts.index import IndexBuilt, IndexRequest
from lancet_core.acts.subject import Subject
from lancet_core.config import fingerprint, to_dict
from lancet_core.data.samples import read_samples
from lancet_core.errors import DataError, ModelError
from lancet_core.influence import sketch
from lancet_core.influence.curved_model import CurvedModel, Source, left_out_note, open_curved_model
from lancet_core.influence.index_manifest import MANIFEST, Manifest, read_manifest, write_manifest
from lancet_core.influence.scores import Directions
from lancet_core.influence.settings import InfluenceSettings
from lancet_core.influence.shards import Arrays, Shards, split
from lancet_core.models.encoding import Encoded
from lancet_core.models.loading import Loader
from lancet_core.operations.attribution_task import Task
from lancet_core.progress import Progress, silent

CHOOSING = "Choosing what to keep"
STAGE = "Indexing training samples"
SHARD_SAMPLES = 4096
SHARDS = "projections"
_OF_EACH = (SHARDS, "scales", "norms")
REBUILD = "build it again with: lancet index build STUDY"


def run(
    subject: Subject,
    request: IndexRequest,
    *,
    folder: Path,
    progress: Progress = silent,
    load: Loader | None = None,
) -> IndexBuilt:
    """Builds the gradient index of a study; a build that was killed goes on from its last whole shard.

    Raises:
        ConfigError: The method takes no curvature, or its factors would not fit into memory.
        DataError: No sample can be encoded.
        ModelError: The model cannot be loaded, or its layout is unknown.
        NumericalError: The curvature is singular, or a gradient is not finite.
    """
    started = time.perf_counter()
    source = Source(
        subject.model,
        read_samples(subject.samples, whole=False),
        subject.template,
        request.influence,
        subject.factors,
        folder,
    )
    curved = open_curved_model(source, progress, load)
    texts = curved.encode_rows(np.arange(len(source.ids)))
    if not texts:
        raise DataError("no training sample can be encoded, so there is nothing to index")
    basis_key = fingerprint(curved.key, request.index)
    place = Path(subject.indexes) / request.influence.gradient_key
    (place / MANIFEST).unlink(missing_ok=True)
    arrays = Shards(place, "basis", basis_key).compute(
        0, lambda: _fit_basis(curved, texts, request, progress)
    )
    basis = _read_basis(arrays)
    # Projections mean nothing beside another basis, and one that is fitted again need not be the same in its last bits.
    key = fingerprint(basis_key, hashlib.sha256(arrays["vectors"].data).hexdigest())
    shards = Shards(place, SHARDS, key)
    count, rows = _Indexing(curved, basis, request, progress, arrays, len(texts)).write(texts, shards)
    _remove_others(place, count)
    left_out = {**curved.left_out, **curved.broken_samples(texts, sorted(set(texts).difference(rows)))}
    size = sum(file.stat().st_size for file in place.glob(f"{SHARDS}-*.safetensors")) / len(rows)
    manifest = Manifest(
        gradients=curved.key,
        model=curved.network.lm.fingerprint,
        corpus=source.corpus,
        basis=basis_key,
        key=key,
        shards=count,
        samples=len(rows),
        too_long=len(source.ids) - len(texts),
        sketch_dimensions=len(basis.vectors),
        dimensions=basis.vectors.shape[1],
        bytes_per_sample=round(size, 1),
        influence=to_dict(request.influence),
        index=to_dict(request.index),
        left_out=left_out,
    )
    write_manifest(place, manifest)
    return IndexBuilt(
        samples=manifest.samples,
        too_long=manifest.too_long,
        dimensions=manifest.dimensions,
        sketch_dimensions=manifest.sketch_dimensions,
        bytes_per_sample=manifest.bytes_per_sample,
        seconds=round(time.perf_counter() - started, 3),
        notes=(*left_out_note(left_out), *curved.notes),
        left_out=left_out,
    )


def choose_by_index(
    curved: CurvedModel, task: Task, directions: Directions, *, settings: InfluenceSettings, folder: Path
) -> tuple[Task, NDArray[np.float32]]:
    """Chooses each group's candidates among all samples: the strongest of both signs by the index.

    Args:
        curved: Model and curvature.
        task: Queries and samples.
        directions: V of each group.
        settings: How many candidates, and whether their scores are divided.
        folder: Folder of the index.

    Returns:
        The task with its candidates, and the norm of every sample's whitened gradient, shape (samples,); NaN where a sample is
        not in the index.

    Raises:
        DataError: There is no whole index.
        ModelError: It belongs to another model or other settings.
    """
    manifest = read_manifest(folder)
    if manifest is None:
        raise DataError(f"there is no whole gradient index in {folder}; {REBUILD}")
    if manifest.gradients != curved.key:
        raise ModelError(
            f"the gradient index in {folder} belongs to another model or other settings "
            f"({manifest.gradients}, wanted {curved.key}); {REBUILD}, or set recall to tfidf"
        )
    basis = _read_basis(_required(Shards(folder, "basis", manifest.basis), 0, folder))
    queries = sketch.project_queries(curved.curvature, basis, directions)
    shards = Shards(folder, SHARDS, manifest.key)
    rows, scores = [], []
    normaliser = curved.normaliser(settings.score.normalise)
    norms = np.full(len(task.samples), np.nan, dtype=np.float32)
    for number in range(manifest.shards):
        shard = _required(shards, number, folder)
        rows.append(shard["rows"])
        norms[shard["rows"]] = shard["norms"]
        approximate = sketch.approximate(shard[SHARDS], shard["scales"], queries)
        if normaliser:
            approximate /= shard["norms"].astype(np.float32)[:, None]
        scores.append(approximate)
    every, values = np.concatenate(rows).astype(np.int64), np.concatenate(scores)
    count = settings.recall.count
    chosen = [np.sort(every[sketch.strongest(column, count)]) for column in values.T]
    return task.with_candidates(chosen), norms


@dataclass(frozen=True)
class _Indexing:
    """The pass over all samples; `basis_arrays` holds the projections of those that the basis was made from."""

    curved: CurvedModel
    basis: sketch.Basis
    request: IndexRequest
    progress: Progress
    basis_arrays: Arrays
    total: int

    @cached_property
    def read(self) -> dict[int, int]:
        """Rows of the samples that the basis was made from, and their places among them."""
        return {int(row): place for place, row in enumerate(self.basis_arrays["read"])}

    def write(self, texts: dict[int, Encoded], shards: Shards) -> tuple[int, list[int]]:
        """Writes the shards that are not there yet, the longest samples first; returns how many there are, and the rows in them."""
        written: list[int] = []
        rows = sorted(texts, key=lambda row: (-len(texts[row].input_ids), row))
        parts = split(len(rows), SHARD_SAMPLES)
        for number, part in enumerate(parts):
            chosen = {row: texts[row] for row in rows[part.start : part.stop]}
            written += shards.compute(number, partial(self.compute, chosen, part.start))["rows"].tolist()
            self.progress(STAGE, part.stop, len(rows))
        return len(parts), written

    def compute(self, texts: dict[int, Encoded], done_before: int) -> Arrays:
        """Projections of some samples, by row: first of those that the basis was made from, which are known.

        Samples whose gradients are not finite are not among them.
        """
        read, unread = ([row for row in texts if (row in self.read) is known] for known in (True, False))
        places = [self.read[row] for row in read]
        parts = [{name: self.basis_arrays[name][places] for name in _OF_EACH}]
        if unread:
            arrays, finite = self._read([texts[row] for row in unread], done_before + len(read))
            parts.append(arrays)
            unread = [row for row, whole in zip(unread, finite, strict=True) if whole]
        joined = {name: np.concatenate([part[name] for part in parts]) for name in _OF_EACH}
        return {**joined, "rows": np.asarray([*read, *unread], dtype=np.int32)}

    def _read(self, texts: Sequence[Encoded], done_before: int) -> tuple[Arrays, NDArray[np.bool_]]:
        projections, norms = sketch.project_samples(
            self.curved.network,
            self.curved.curvature,
            self.basis,
            texts=texts,
            max_tokens=self.curved.source.settings.compute.max_tokens,
            tell=lambda done: self.progress(STAGE, done_before + done, self.total),
        )
        return _stored(projections, norms, self.request)


def _stored(
    projections: NDArray[np.float32], norms: NDArray[np.float32], request: IndexRequest
) -> tuple[Arrays, NDArray[np.bool_]]:
    """What is kept of the samples whose gradients are finite, and which these are, shape (samples,)."""
    finite = np.isfinite(norms)
    stored, scales = sketch.quantise(projections[finite], request.index.precision)
    return dict(zip(_OF_EACH, (stored, scales, norms[finite]), strict=True)), finite


def _fit_basis(
    curved: CurvedModel, texts: dict[int, Encoded], request: IndexRequest, progress: Progress
) -> Arrays:
    order = np.random.default_rng(request.influence.curvature.seed).permutation(sorted(texts))
    chosen = order[: request.index.basis_samples]
    basis, projections, norms = sketch.fit_basis(
        curved.network,
        curved.curvature,
        texts=[texts[int(row)] for row in chosen],
        sizes=(request.index.sketch_dimensions, request.index.dimensions),
        max_tokens=curved.source.settings.compute.max_tokens,
        tell=lambda done: progress(CHOOSING, done, len(chosen)),
    )
    kept, finite = _stored(projections, norms, request)
    rows = {f"rows:{unit}": hashed.numpy() for unit, (hashed, _) in basis.hashes.items()}
    columns = {f"columns:{unit}": hashed.numpy() for unit, (_, hashed) in basis.hashes.items()}
    # In float16: half the file, and an error that int8 hides.
    vectors = {"vectors": basis.vectors.half().numpy()}
    return {
        **vectors,
        **rows,
        **columns,
        "read": chosen[finite].astype(np.int32),
        **kept,
    }


def _read_basis(arrays: Arrays) -> sketch.Basis:
    units = sorted(name.partition(":")[2] for name in arrays if name.startswith("rows:"))
    hashes = {
        unit: (torch.from_numpy(arrays[f"rows:{unit}"]), torch.from_numpy(arrays[f"columns:{unit}"]))
        for unit in units
    }
    return sketch.Basis(hashes, torch.from_numpy(arrays["vectors"]).float())


def _required(shards: Shards, number: int, folder: Path) -> Arrays:
    """Reads a shard that must be there and whole."""
    arrays = shards.read(number)
    if arrays is None:
        raise DataError(
            f"shard {number} of {shards.name} of the gradient index in {folder} is missing or broken; {REBUILD}: only this shard is "
            "made again"
        )
    return arrays


def _remove_others(folder: Path, count: int) -> None:
    """Removes shards that an index of more shards left."""
    for file in folder.glob(f"{SHARDS}-*.safetensors"):
        if int(file.stem.rpartition("-")[2]) >= count:
            file.unlink()
