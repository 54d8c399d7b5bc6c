"""How much of the exact top a gradient index finds for how many bytes, and what a sketch without principal directions would find."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray

from lancet_core.data.conversations import exchanges
from lancet_core.evaluation.intervals import Interval, bootstrap_mean
from lancet_core.influence import sketch
from lancet_core.influence.curved_model import CurvedModel, Source, open_curved_model
from lancet_core.influence.settings import CANDIDATES_BY_INDEX, IndexSettings, InfluenceSettings
from lancet_core.lab.markdown import format_interval, format_number, table
from lancet_core.lab.scoring import Bench, score_corpus
from lancet_core.models.encoding import Encoded, encode_all, usable
from lancet_core.models.settings import DEFAULT_TEMPLATE
from lancet_core.progress import Progress, silent

TOP = 50
RESCORED = (CANDIDATES_BY_INDEX, 200, 300)
PRINCIPAL, SKETCH = "principal directions", "sketch alone"
SIZES = (128, 256, 512, 1024, 2048)
BASES = ((PRINCIPAL, 4096), (PRINCIPAL, 16384), (SKETCH, 1024), (SKETCH, 4096))
READING = "Reading whitened gradients"
_SCALE_NORM_AND_ROW_BYTES = 12
Projections = NDArray[np.float32]


@dataclass(frozen=True)
class IndexRow:
    """What one index found.

    Attributes:
        kind: How the dimensions are chosen.
        sketch_dimensions: Dimensions of the random sketch of a gradient.
        dimensions: Dimensions kept of each sample.
        bytes_per_sample: Bytes of each sample, scale and row included.
        top: Share of the exact top 50 of either sign among the index's own top 50 of that sign.
        rescored: The same after re-scoring as many candidates as `RESCORED` says, half of them of either sign.
    """

    kind: str
    sketch_dimensions: int
    dimensions: int
    bytes_per_sample: int
    top: Interval
    rescored: tuple[Interval, ...]


def measure_index(
    bench: Bench,
    settings: InfluenceSettings,
    bases: Sequence[tuple[str, int]] = BASES,
    progress: Progress = silent,
) -> list[IndexRow]:
    """Compares indexes of several sizes with the exact scores of every sample.

    The principal directions of a smaller index are the first of a larger one's, so that each size of the sketch is read once.

    Args:
        bench: Corpus and model.
        settings: Method, with `recall` set to all samples.
        bases: Kinds with the dimensions of their sketch.
        progress: Told at every batch.

    Returns:
        Rows of every kind, sketch and number of dimensions.
    """
    exact = score_corpus(bench, settings, progress).singles
    corpus = bench.corpus
    source = Source(
        str(bench.model), corpus.samples, DEFAULT_TEMPLATE, settings, str(bench.work / "factors"), bench.work
    )
    curved = open_curved_model(source, progress, lambda _folder, **_kind: bench.language_model)
    texts = list(curved.encode_rows(np.arange(len(source.ids))).values())
    pairs = [(query.prompt, query.response) for query in corpus.queries]
    encoded = usable(encode_all(curved.network.lm, exchanges(pairs), DEFAULT_TEMPLATE))
    directions = curved.directions(encoded, [(place,) for place in range(len(encoded))], progress=progress)
    rows: list[IndexRow] = []
    for kind, width in bases:
        basis = _fit_basis(curved, texts, width, progress)
        if kind == SKETCH:
            basis = replace(basis, vectors=torch.eye(width))
        stored = _projections(curved, basis, texts, normalise=settings.score.normalise, progress=progress)
        queries = sketch.project_queries(curved.curvature, basis, directions)
        for size in SIZES if kind == PRINCIPAL else (width,):
            rows.append(_row(kind, width, (stored[:, :size], queries[:, :size]), exact))
    return rows


def index_table(rows: Sequence[IndexRow]) -> str:
    """Writes the rows as a Markdown table."""
    header = (
        "dimensions chosen by",
        "sketch",
        "dimensions",
        "stored as",
        "bytes per sample",
        f"of the top {TOP}",
    )
    return table(
        (*header, *(f"{count} re-scored" for count in RESCORED)),
        [
            (
                row.kind,
                row.sketch_dimensions,
                row.dimensions,
                sketch.INT8,
                row.bytes_per_sample,
                format_interval(row.top),
                *(format_number(interval.value) for interval in row.rescored),
            )
            for row in rows
        ],
    )


def _fit_basis(curved: CurvedModel, texts: Sequence[Encoded], width: int, progress: Progress) -> sketch.Basis:
    settings = curved.source.settings
    order = np.random.default_rng(settings.curvature.seed).permutation(len(texts))
    chosen = [texts[place] for place in order[: IndexSettings().basis_samples]]
    basis, _, _ = sketch.fit_basis(
        curved.network,
        curved.curvature,
        texts=chosen,
        sizes=(width, max(SIZES)),
        max_tokens=settings.compute.max_tokens,
        tell=lambda done: progress(READING, done, len(chosen)),
    )
    return basis


def _projections(
    curved: CurvedModel, basis: sketch.Basis, texts: Sequence[Encoded], *, normalise: str, progress: Progress
) -> Projections:
    projections, norms = sketch.project_samples(
        curved.network,
        curved.curvature,
        basis,
        texts=texts,
        max_tokens=curved.source.settings.compute.max_tokens,
        tell=lambda done: progress(READING, done, len(texts)),
    )
    return projections / norms[:, None] if curved.normaliser(normalise) else projections


def _row(
    kind: str, width: int, projections: tuple[Projections, Projections], exact: NDArray[np.float64]
) -> IndexRow:
    samples, queries = projections
    near = sketch.approximate(*sketch.quantise(samples, sketch.INT8), queries)
    shares = [_shares(near[:, column], exact[:, column]) for column in range(exact.shape[1])]
    top, *rescored = (bootstrap_mean(list(values)) for values in zip(*shares, strict=True))
    size = samples.shape[1]
    return IndexRow(kind, width, size, size + _SCALE_NORM_AND_ROW_BYTES, top, tuple(rescored))


def _shares(near: Projections, exact: NDArray[np.float64]) -> tuple[float, ...]:
    """Share of the exact top of either sign found before, and after re-scoring, mean of both signs."""
    tops = [set(np.argsort(-sign * exact, kind="stable")[:TOP].tolist()) for sign in (1, -1)]
    nearest = [set(np.argsort(-sign * near, kind="stable")[:TOP].tolist()) for sign in (1, -1)]
    before = np.mean([len(top & chosen) / TOP for top, chosen in zip(tops, nearest, strict=True)])
    candidates = [set(sketch.strongest(near, count).tolist()) for count in RESCORED]
    after = [np.mean([len(top & chosen) / TOP for top in tops]) for chosen in candidates]
    return (float(before), *map(float, after))
