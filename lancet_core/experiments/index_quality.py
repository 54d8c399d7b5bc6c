"""How much of the exact top a gradient index finds for how many bytes, and what other ways of making it few would find."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray

from lancet_core.evaluation.intervals import Interval, mean_by
from lancet_core.evaluation.settings import MetricSettings
from lancet_core.experiments.markdown import number, told, write_table
from lancet_core.experiments.scoring import Bench, score_corpus
from lancet_core.influence import index
from lancet_core.influence.settings import CANDIDATES_BY_INDEX, IndexSettings, InfluenceSettings
from lancet_core.models.encoding import Encoded, encode_all
from lancet_core.models.settings import DEFAULT_TEMPLATE
from lancet_core.operations.engine import Engine, Source, open_engine
from lancet_core.progress import Progress, silent

TOP = 50
RESCORED = (CANDIDATES_BY_INDEX, 200, 300)
PRINCIPAL, BUCKETS = "principal directions", "buckets alone"
SIZES = (128, 256, 512, 1024, 2048)
BASES = ((PRINCIPAL, 4096), (PRINCIPAL, 16384), (BUCKETS, 1024), (BUCKETS, 4096))
READING = "Reading whitened gradients"
_SCALE_LENGTH_AND_ROW_BYTES = 12
_BYTES = {index.INT8: 1, index.FLOAT16: 2}
Numbers = NDArray[np.float32]


@dataclass(frozen=True)
class IndexRow:
    """What one index found.

    Attributes:
        kind: How a gradient becomes numbers.
        buckets: Sums of coordinates that the numbers are made of.
        numbers: Numbers of each sample.
        precision: How each is stored.
        bytes_per_sample: Bytes of each sample, scale and row included.
        found: Share of the exact top 50 of either sign among the index's own top 50 of that sign.
        rescored: The same after re-scoring as many candidates as `RESCORED` says, half of them of either sign.
    """

    kind: str
    buckets: int
    numbers: int
    precision: str
    bytes_per_sample: int
    found: Interval
    rescored: tuple[Interval, ...]


def measure_index(
    bench: Bench,
    settings: InfluenceSettings,
    bases: Sequence[tuple[str, int]] = BASES,
    progress: Progress = silent,
) -> list[IndexRow]:
    """Compares indexes of several sizes with the exact scores of every sample.

    The principal directions of a smaller index are the first of a larger one's, so that each number of buckets is read once.

    Args:
        bench: Corpus and model.
        settings: Method, with `recall` set to all samples.
        bases: Kinds with their numbers of buckets.
        progress: Told at every batch.

    Returns:
        Rows of every kind, number of buckets and size.
    """
    exact = score_corpus(bench, settings, progress).singles
    corpus = bench.corpus
    source = Source(
        str(bench.model), corpus.samples, DEFAULT_TEMPLATE, settings, str(bench.work / "factors"), bench.work
    )
    engine = open_engine(source, progress, lambda _folder: bench.language_model)
    texts = list(engine.encode_rows(np.arange(len(source.ids))).values())
    pairs = [(query.prompt, query.response) for query in corpus.queries]
    encoded = [text for text in encode_all(engine.network.lm, pairs, DEFAULT_TEMPLATE) if text is not None]
    directions = engine.directions(encoded, [(place,) for place in range(len(encoded))], progress)
    rows: list[IndexRow] = []
    for kind, buckets in bases:
        basis = _fit_basis(engine, texts, buckets, progress)
        if kind == BUCKETS:
            basis = replace(basis, vectors=torch.eye(buckets))
        stored = _numbers(engine, basis, texts, progress)
        asked = index.query_numbers(engine.curvature, basis, directions)
        for size in SIZES if kind == PRINCIPAL else (buckets,):
            rows += _rows(kind, buckets, (stored[:, :size], asked[:, :size]), exact)
    return rows


def index_table(rows: Sequence[IndexRow]) -> str:
    """Writes the rows as a Markdown table."""
    header = (
        "numbers made by",
        "buckets",
        "numbers",
        "stored as",
        "bytes per sample",
        f"of the top {TOP}",
        *(f"{count} re-scored" for count in RESCORED),
    )
    cells = [
        (
            row.kind,
            f"{row.buckets:,}",
            f"{row.numbers:,}",
            row.precision,
            f"{row.bytes_per_sample:,}",
            told(row.found),
            *(number(one.value) for one in row.rescored),
        )
        for row in rows
    ]
    return write_table(header, cells)


def _fit_basis(engine: Engine, texts: Sequence[Encoded], buckets: int, progress: Progress) -> index.Basis:
    settings = engine.source.settings
    order = np.random.default_rng(settings.seed).permutation(len(texts))
    chosen = [texts[place] for place in order[: IndexSettings().basis_samples]]
    basis, _, _ = index.fit_basis(
        engine.network,
        engine.curvature,
        texts=chosen,
        sizes=(buckets, max(SIZES)),
        max_tokens=settings.max_tokens,
        tell=lambda done: progress(READING, done, len(chosen)),
    )
    return basis


def _numbers(engine: Engine, basis: index.Basis, texts: Sequence[Encoded], progress: Progress) -> Numbers:
    numbers, lengths = index.sample_numbers(
        engine.network,
        engine.curvature,
        basis,
        texts=texts,
        max_tokens=engine.source.settings.max_tokens,
        tell=lambda done: progress(READING, done, len(texts)),
    )
    return numbers / lengths[:, None] if engine.normaliser else numbers


def _rows(
    kind: str, buckets: int, numbers: tuple[Numbers, Numbers], exact: NDArray[np.float64]
) -> Iterator[IndexRow]:
    """Yields a row for each precision."""
    samples, queries = numbers
    for precision in (index.INT8, index.FLOAT16):
        near = index.approximate(*index.quantise(samples, precision), queries)
        shares = [_shares(near[:, column], exact[:, column]) for column in range(exact.shape[1])]
        found, *rescored = (mean_by(MetricSettings(), list(values)) for values in zip(*shares, strict=True))
        size = samples.shape[1]
        used = size * _BYTES[precision] + _SCALE_LENGTH_AND_ROW_BYTES
        yield IndexRow(kind, buckets, size, precision, used, found, tuple(rescored))


def _shares(near: Numbers, exact: NDArray[np.float64]) -> tuple[float, ...]:
    """Share of the exact top of either sign found before, and after re-scoring, mean of both signs."""
    tops = [set(np.argsort(-sign * exact, kind="stable")[:TOP].tolist()) for sign in (1, -1)]
    own = [set(np.argsort(-sign * near, kind="stable")[:TOP].tolist()) for sign in (1, -1)]
    before = np.mean([len(top & chosen) / TOP for top, chosen in zip(tops, own, strict=True)])
    candidates = [set(index.strongest(near, count).tolist()) for count in RESCORED]
    after = [np.mean([len(top & chosen) / TOP for top in tops]) for chosen in candidates]
    return (float(before), *map(float, after))
