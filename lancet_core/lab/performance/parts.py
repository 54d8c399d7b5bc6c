"""The tables of `docs/performance.md`, one part each, in ratios within one run."""

import platform
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
import transformers

from lancet_core.influence.methods import LINFAC, LINFAC_HEAD
from lancet_core.influence.settings import CANDIDATES_BY_INDEX
from lancet_core.lab.markdown import line_chart, table_of
from lancet_core.lab.performance import index_search, passes, rivals, subjects
from lancet_core.lab.performance.passes import Row

DEMO_SAMPLES = 1500
SCALES = (1000, 3000, 10_000, 30_000, 100_000)
INDEXED = (1000, 10_000, 50_000)
MADE_UP = (100_000, 1_000_000)
PER_SAMPLE, PEAK = "ms a sample", "peak MB"


@dataclass(frozen=True)
class Request:
    """What is measured: `rounds` of a pass, `rivals`, stopped after `peer_limit` seconds; `work` keeps corpora and indexes."""

    work: Path
    rounds: int
    peer_limit: float
    rivals: Sequence[str]


def measure_part(part: str, *, work: str, rounds: int, peer_limit: float, rivals: Sequence[str]) -> str:
    """Measures one part and gives its tables in Markdown."""
    rows = _PARTS[part](Request(Path(work), rounds, peer_limit, rivals))
    charts = [
        line_chart(f"{what}, by samples", points)
        for what in (PER_SAMPLE, PEAK)
        if len(points := [(row["samples"], row[what]) for row in rows if what in row]) == len(SCALES)
    ]
    versions = f"torch {torch.__version__}, transformers {transformers.__version__}"
    machine = f"{platform.machine()}, {torch.get_num_threads()} threads, {versions}"
    return "\n\n".join([f"{part}: {machine}", table_of(rows), *charts])


def _passes(request: Request) -> list[Row]:
    both = (subjects.wide("opt"), subjects.demo(DEMO_SAMPLES))
    return [row for subject in both for row in passes.ratios(subject, request.rounds)]


def _precision(_request: Request) -> list[Row]:
    pairs = [
        (subjects.demo(DEMO_SAMPLES), subjects.demo(DEMO_SAMPLES, "bfloat16")),
        (subjects.wide("opt"), subjects.wide("opt", torch.bfloat16)),
    ]
    return [passes.in_bfloat16(*pair, method) for pair in pairs for method in (LINFAC_HEAD, LINFAC)]


def _batches(_request: Request) -> list[Row]:
    return passes.sorting(subjects.demo(DEMO_SAMPLES))


def _scaling(request: Request) -> list[Row]:
    """Time and peak memory of one query scored on all samples as they become more, and time as texts become longer."""
    rows = passes.linear_in_tokens(subjects.wide("opt"))
    for count in SCALES:
        measured = index_search.measure_all(request.work, count)
        each = 1e3 * measured["seconds"] / count
        rows.append({"what": "one query on all samples, demo", **measured, PER_SAMPLE: each})
        _tell(str(rows[-1]))
    return rows


def _index(request: Request) -> list[Row]:
    candidates = (100, CANDIDATES_BY_INDEX, 200)
    return [
        row for count in INDEXED for row in index_search.measure(request.work, count, candidates, queries=10)
    ]


def _million(request: Request) -> list[Row]:
    return [index_search.measure_made_up(request.work, count, queries=5) for count in MADE_UP]


def _rivals(request: Request) -> list[Row]:
    return rivals.compare(request.rivals, request.peer_limit, _tell)


def _tell(text: str) -> None:
    sys.stderr.write(f"{text}\n")


_PARTS: dict[str, Callable[[Request], list[Row]]] = {
    "passes": _passes,
    "precision": _precision,
    "batches": _batches,
    "scaling": _scaling,
    "index": _index,
    "million": _million,
    "rivals": _rivals,
}
