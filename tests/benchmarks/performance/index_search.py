"""A typed query over a gradient index, its candidates scored again, on the demo's model with a warm host's engine.

Up to 100,000 samples are drawn by the demo's grammar, all distinct, and truly indexed. A million are made up: rows of the samples file
repeat with ids of their own, and their numbers in the index are random int8, which costs as much to search. What is measured runs in a
process of its own, so that its peak memory is that of the search: torch, model and samples file included.
"""

import argparse
import json
import statistics
import subprocess
import sys
import time
from dataclasses import asdict, replace
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd

from lancet_core.data.demo.corpus import CorpusSettings, build_corpus
from lancet_core.data.samples import content_id, samples_frame
from lancet_core.experiments.scoring import FITTING_STAGES, StageClock
from lancet_core.influence import index_manifest
from lancet_core.influence.settings import CANDIDATES_BY_INDEX, IndexSettings, InfluenceSettings
from lancet_core.influence.shards import Shards, split
from lancet_core.operations import attribute, index
from lancet_core.operations.configs import AttributeConfig, IndexConfig
from lancet_core.operations.engine import Source, open_engine
from lancet_core.progress import silent
from tests.benchmarks.performance import subjects

SETTINGS = InfluenceSettings(recall="index", device="auto")
TOP = 50


def measure(folder, count, numbers, candidates, queries):
    """Builds an index over drawn samples, searches it for so many candidates, and compares with exact scores of all samples."""
    place = _place(folder, count)
    name = f"index-{numbers}"
    started = time.perf_counter()
    index.run(_index_config(place, name, numbers), place / "build")
    built = {"build s": time.perf_counter() - started}
    exact = _exact_scores(place, queries)
    rows = []
    for most in candidates:
        found = search(place, name, queries, most)
        share = [
            len(set(best) & set(own)) / TOP for best, own in zip(exact, found["candidates"], strict=True)
        ]
        rows.append({**_row(count, numbers, most, found), "top 50 found": statistics.mean(share), **built})
        built = {}
    return rows


def measure_made_up(folder, count, numbers, queries):
    """The same with rows that repeat and random numbers: time and memory only."""
    place = _place(folder, 9000) / f"repeated-{count}"
    place.mkdir(exist_ok=True)
    _repeat(place.parent / "samples.parquet", place / "samples.parquet", count)
    _write_random_index(place, count, numbers)
    most = CANDIDATES_BY_INDEX
    return _row(count, numbers, most, search(place, f"index-{numbers}", queries, most))


def search(place, name, queries, candidates):
    """Asks queries in a process of its own, after one that warms it."""
    return _in_child("search", place, name, queries, candidates)


def score_all(place, queries):
    """Scores every sample exactly, in a process of its own; seconds of factors and of the rest, and peak memory."""
    return _in_child("score", place, "", queries, 0)


def drawn(folder, count):
    """Folder with the samples file of a corpus drawn by the demo's grammar."""
    return _place(folder, count)


def _row(count, numbers, candidates, found):
    return {
        "samples": count,
        "numbers": numbers,
        "candidates": candidates,
        "median s": statistics.median(found["seconds"]),
        "most s": max(found["seconds"]),
        "peak MB": found["peak_megabytes"],
    }


def _place(folder, count):
    place = Path(folder) / f"drawn-{count}"
    if not (place / "samples.parquet").is_file():
        place.mkdir(parents=True, exist_ok=True)
        corpus = build_corpus(CorpusSettings(samples=count), seed=1)
        samples_frame(corpus.training).to_parquet(place / "samples.parquet")
    return place


def _index_config(place, name, numbers):
    return IndexConfig(
        study="benchmark",
        model=str(subjects.DEMO / "impure"),
        samples=str(place / "samples.parquet"),
        template=subjects.demo_template(),
        to=str(place / name),
        influence=replace(SETTINGS, recall="all"),
        index=IndexSettings(numbers_per_sample=numbers),
        factors=str(place / "factors"),
    )


def _attribute_config(place, name, queries, **influence):
    return AttributeConfig(
        study="benchmark",
        model=str(subjects.DEMO / "impure"),
        samples=str(place / "samples.parquet"),
        template=subjects.demo_template(),
        queries=tuple(queries),
        influence=replace(SETTINGS, **influence),
        factors=str(place / "factors"),
        index=str(place / name) if name else "",
    )


def _exact_scores(place, queries):
    """Ids of the samples that score highest on each query, of all samples."""
    config = replace(_attribute_config(place, "", subjects.demo_queries(queries), recall="all"), detail=0)
    run = place / "exact"
    attribute.run(config, run)
    table = pd.read_parquet(run / "scores.parquet")
    ranked = {name: list(own.nsmallest(TOP, "rank")["sample_id"]) for name, own in table.groupby("query_id")}
    return [ranked[query.id] for query in config.queries]


def _repeat(source, target, count):
    """Writes a samples file of so many rows by repeating one, each row with an id of its own."""
    frame = pd.read_parquet(source)
    repeated = pd.concat([frame] * (count // len(frame) + 1), ignore_index=True).head(count)
    repeated["id"] = [content_id(str(number)) for number in range(count)]
    repeated.to_parquet(target)


def _write_random_index(place, count, numbers):
    """Writes shards of random int8 behind the basis that is fitted to the first of the samples."""
    small = place / "small"
    small.mkdir(exist_ok=True)
    pd.read_parquet(place / "samples.parquet").head(2000).to_parquet(small / "samples.parquet")
    index.run(_index_config(small, "index", numbers), small / "build")
    manifest = index_manifest.read_manifest(small / "index")
    basis = Shards(small / "index", "basis", manifest.basis).read(0)
    config = _index_config(place, f"index-{numbers}", numbers)
    source = Source(
        config.model,
        pd.read_parquet(config.samples),
        config.template,
        config.influence,
        config.factors,
        place,
    )
    engine = open_engine(source, silent)
    target = Path(config.to)
    Shards(target, "basis", "made up").compute(0, lambda: basis)
    generator = np.random.default_rng(0)
    parts = split(count, index.SHARD_SAMPLES)
    for number, part in enumerate(parts):
        size = (len(part), manifest.numbers)
        arrays = {
            "numbers": generator.integers(-127, 128, size, dtype=np.int8),
            "scales": np.ones(len(part), dtype=np.float32),
            "lengths": np.ones(len(part), dtype=np.float32),
            "rows": np.arange(part.start, part.stop, dtype=np.int32),
        }
        Shards(target, "numbers", "made up").compute(number, lambda arrays=arrays: arrays)
    facts = {**asdict(manifest), "engine": engine.key, "basis": "made up", "key": "made up"}
    index_manifest.write_manifest(
        target, index_manifest.Manifest(**{**facts, "shards": len(parts), "samples": count})
    )


def _in_child(act, place, name, queries, candidates):
    command = [sys.executable, "-m", __name__, act, str(place), "--index", name]
    command += ["--queries", str(queries), "--candidates", str(candidates)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(done.stderr[-2000:])
    return json.loads(done.stdout.splitlines()[-1])


def _child(act, place, name, count, most):
    from lancet_core.models.loading import load_language_model

    load = cache(load_language_model)
    queries = subjects.demo_queries(count + 1)
    seconds, candidates = [], []
    # The last query warms what the first use of a library costs; the engine of a host is warm.
    if act == "search":
        for number, query in enumerate([queries[-1], *queries[:-1]]):
            run = place / "runs" / str(number)
            started = time.perf_counter()
            attribute.run(_attribute_config(place, name, [query], candidates=most), run, load=load)
            seconds.append(time.perf_counter() - started)
            candidates.append(list(pd.read_parquet(run / "scores.parquet")["sample_id"]))
    else:
        config = replace(_attribute_config(place, "", queries[:-1], recall="all"), detail=0, factors="")
        clock, started = StageClock(silent), time.perf_counter()
        attribute.run(config, place / "runs" / f"score-{time.time_ns()}", clock, load=load)
        fit = sum(clock.seconds.get(stage, 0.0) for stage in FITTING_STAGES)
        seconds += [0.0, fit, time.perf_counter() - started - fit]
    found = {"seconds": seconds[1:], "candidates": candidates[1:], "peak_megabytes": _peak_megabytes()}
    sys.stdout.write(json.dumps(found) + "\n")


def _peak_megabytes():
    """Most memory that this process had; `getrusage` would count that of the process it was forked from."""
    (line,) = (
        line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM")
    )
    return int(line.split()[1]) / 1024


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="One measured process; `measure` starts it.")
    parser.add_argument("act", choices=["search", "score"])
    parser.add_argument("place", type=Path)
    parser.add_argument("--index", default="")
    parser.add_argument("--queries", type=int, default=1)
    parser.add_argument("--candidates", type=int, default=0)
    asked = parser.parse_args()
    _child(asked.act, asked.place, asked.index, asked.queries, asked.candidates)
