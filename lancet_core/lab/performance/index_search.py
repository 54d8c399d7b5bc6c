"""A typed query over a gradient index, its candidates scored again, on the demo's model with a warm host's model.

Up to 100,000 samples are drawn by the demo's grammar, all distinct, and truly indexed. A million are made up: rows of the samples file
repeat with ids of their own, and their sketches in the index are random int8, which costs as much to search. What is measured runs in a
process of its own, so that its peak memory is that of the search: torch, model and samples file included.
"""

import statistics
import time
from collections.abc import Sequence
from dataclasses import replace
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from lancet_core.acts.attribute import SCORES, AttributeRequest
from lancet_core.acts.index import IndexRequest
from lancet_core.acts.subject import Subject
from lancet_core.config import changed
from lancet_core.data.samples import Query, content_id, samples_frame
from lancet_core.errors import DataError
from lancet_core.influence.curved_model import Source, open_curved_model
from lancet_core.influence.index_manifest import Manifest, read_manifest, write_manifest
from lancet_core.influence.presets import preset
from lancet_core.influence.settings import CANDIDATES_BY_INDEX, IndexSettings
from lancet_core.influence.shards import Shards, split
from lancet_core.lab.keeper import Keeper
from lancet_core.lab.performance.alone import peak_megabytes, run_alone
from lancet_core.lab.performance.subjects import demo_queries
from lancet_core.lab.scoring import StageClock
from lancet_core.lab.world.corpus import CorpusSettings, build_corpus
from lancet_core.models.loading import load_language_model
from lancet_core.operations import attribute, index
from lancet_core.progress import silent
from lancet_core.study.demo import read_assets

SETTINGS = preset(recall="index")
DIMENSIONS = IndexSettings().dimensions
TOP, REPEATED, FITTED = 50, 9000, 2000
MADE_UP = "made up"
Row = dict[str, Any]


def measure(work: Path, count: int, candidates: Sequence[int], queries: int) -> list[Row]:
    """Builds an index over drawn samples, searches it for so many candidates, and compares with exact scores of all samples."""
    place = drawn_samples(work, count)
    started = time.perf_counter()
    _build_index(place)
    built = {"build s": time.perf_counter() - started}
    exact = _strongest(place, demo_queries(queries))
    rows = []
    for most in candidates:
        searched = _search_alone(place, queries, most)
        shares = [
            len(set(best) & set(top)) / TOP
            for best, top in zip(exact, searched.pop("candidates"), strict=True)
        ]
        rows.append({**_row(count, most, searched), "top 50 found": statistics.mean(shares), **built})
        built = {}
    return rows


def measure_made_up(work: Path, count: int, queries: int) -> Row:
    """Does the same with rows that repeat and random numbers: time and memory only."""
    source = drawn_samples(work, REPEATED) / "samples.parquet"

    def fill(folder: Path) -> None:
        _repeat(source, folder / "samples.parquet", count)
        _write_random_index(folder, count)

    place = Keeper(work).subfolder(f"repeated-{count}", fill)
    return _row(count, CANDIDATES_BY_INDEX, _search_alone(place, queries, CANDIDATES_BY_INDEX))


def measure_all(work: Path, count: int) -> Row:
    """Scores every drawn sample exactly on one query: seconds of factors and of the rest, and peak memory."""
    place = drawn_samples(work, count)
    measured: Row = run_alone(f"{__name__}:score_here", {"folder": str(place)}).result
    return {"samples": count, **measured}


def drawn_samples(work: Path, count: int) -> Path:
    """Gives the folder of a corpus drawn by the demo's grammar; its samples are drawn at the first call."""

    def fill(folder: Path) -> None:
        corpus = build_corpus(CorpusSettings(samples=count), seed=1)
        samples_frame(corpus.training).to_parquet(folder / "samples.parquet")

    return Keeper(work).subfolder(f"drawn-{count}", fill)


def search_here(folder: str, queries: int, candidates: int) -> Row:
    """Asks queries in this process, after one that warms it: the model of a host is warm."""
    subject, load = _subject(Path(folder)), cache(load_language_model)
    manifest = _manifest(Path(folder))
    *measured, warming = demo_queries(queries + 1)
    seconds, tops = [], []
    for number, query in enumerate([warming, *measured]):
        run = Path(folder) / "runs" / str(number)
        started = time.perf_counter()
        settings = changed(SETTINGS, candidates=candidates)
        request = AttributeRequest((query,), settings, index=manifest.key)
        attribute.run(subject, request, folder=run, load=load)
        seconds.append(time.perf_counter() - started)
        tops.append(list(pd.read_parquet(run / SCORES)["sample_id"]))
    return {"seconds": seconds[1:], "candidates": tops[1:], "peak": peak_megabytes()}


def score_here(folder: str) -> Row:
    """Scores every sample exactly on one query in this process."""
    subject = replace(_subject(Path(folder)), factors="")
    clock, started = StageClock(silent), time.perf_counter()
    run = Path(folder) / "runs" / f"score-{time.time_ns()}"
    attribute.run(subject, _exact_request(demo_queries(1)), folder=run, progress=clock)
    spent = time.perf_counter() - started - clock.fit_seconds
    return {"factors s": clock.fit_seconds, "seconds": spent, "peak MB": peak_megabytes()}


def _search_alone(place: Path, queries: int, candidates: int) -> Row:
    arguments = {"folder": str(place), "queries": queries, "candidates": candidates}
    searched: Row = run_alone(f"{__name__}:search_here", arguments).result
    return searched


def _row(count: int, candidates: int, searched: Row) -> Row:
    return {
        "samples": count,
        "dimensions": DIMENSIONS,
        "candidates": candidates,
        "median s": statistics.median(searched["seconds"]),
        "most s": max(searched["seconds"]),
        "peak MB": searched["peak"],
    }


def _subject(place: Path) -> Subject:
    """The demo's model and the samples of a folder."""
    assets = read_assets()
    return Subject(
        study="lab",
        model=str(assets.path("model")),
        samples=str(place / "samples.parquet"),
        template=str(assets.manifest["template"]),
        factors=str(place / "factors"),
        indexes=str(place / "indexes"),
    )


def _build_index(place: Path) -> None:
    request = IndexRequest(SETTINGS.of_gradients, IndexSettings(dimensions=DIMENSIONS))
    index.run(_subject(place), request, folder=place / "build")


def _index_folder(place: Path) -> Path:
    return place / "indexes" / SETTINGS.gradient_key


def _manifest(place: Path) -> Manifest:
    """What the index of a folder holds.

    Raises:
        DataError: There is no whole index.
    """
    manifest = read_manifest(_index_folder(place))
    if manifest is None:
        raise DataError(f"there is no whole gradient index in {place}; remove the folder and measure again")
    return manifest


def _exact_request(queries: Sequence[Query]) -> AttributeRequest:
    return AttributeRequest(tuple(queries), changed(SETTINGS, recall="all"))


def _strongest(place: Path, queries: Sequence[Query]) -> list[list[str]]:
    """Ids of the samples that score highest on each query, of all samples."""
    attribute.run(_subject(place), _exact_request(queries), folder=place / "exact")
    table = pd.read_parquet(place / "exact" / SCORES)
    ranked = {
        name: list(rows.nsmallest(TOP, "rank")["sample_id"]) for name, rows in table.groupby("query_id")
    }
    return [ranked[query.id] for query in queries]


def _repeat(source: Path, target: Path, count: int) -> None:
    """Writes a samples file of so many rows by repeating one, each row with an id of its own."""
    frame = pd.read_parquet(source)
    repeated = pd.concat([frame] * (count // len(frame) + 1), ignore_index=True).head(count)
    repeated["id"] = [content_id(str(number)) for number in range(count)]
    repeated.to_parquet(target)


def _write_random_index(place: Path, count: int) -> None:
    """Writes shards of random int8 behind the basis that is fitted to the first of the samples."""
    small = place / "small"
    small.mkdir()
    samples = pd.read_parquet(place / "samples.parquet")
    samples.head(FITTED).to_parquet(small / "samples.parquet")
    _build_index(small)
    manifest, target = _manifest(small), _index_folder(place)
    basis = Shards(_index_folder(small), "basis", manifest.basis).read(0)
    assert basis is not None
    subject = _subject(place)
    source = Source(subject.model, samples, subject.template, SETTINGS.of_gradients, subject.factors, place)
    curved = open_curved_model(source, silent)
    Shards(target, "basis", MADE_UP).compute(0, partial(dict, basis))
    generator = np.random.default_rng(0)
    parts = split(count, index.SHARD_SAMPLES)
    for number, part in enumerate(parts):
        drawn = generator.integers(-127, 128, (len(part), manifest.dimensions))
        arrays = {
            index.SHARDS: drawn.astype(np.int8),
            "scales": np.ones(len(part), dtype=np.float32),
            "norms": np.ones(len(part), dtype=np.float32),
            "rows": np.arange(part.start, part.stop, dtype=np.int32),
        }
        Shards(target, index.SHARDS, MADE_UP).compute(number, partial(dict, arrays))
    made_up = replace(
        manifest, gradients=curved.key, basis=MADE_UP, key=MADE_UP, shards=len(parts), samples=count
    )
    write_manifest(target, made_up)
