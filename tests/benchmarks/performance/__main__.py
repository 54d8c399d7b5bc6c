"""How fast the engine is: `python -m tests.benchmarks.performance [--only passes] [--rounds 4] [--peer-limit 1800]`.

Tables of ratios within one run; parts are passes, precision, batches, scaling, index, million, rivals. `docs/performance.md` keeps what
was printed, with machine and settings. Takes hours in all; peers that are not installed are named and left out.
"""

import argparse
import os
import sys
import tempfile
import time
from pathlib import Path

import pandas as pd
import torch
import transformers

from lancet_core.influence.methods import LINFAC, LINFAC_HEAD
from lancet_core.influence.settings import CANDIDATES_BY_INDEX, IndexSettings
from lancet_core.runs.source import KEEPS_MEMORY, child_environment
from tests.benchmarks.performance import index_search, passes, rivals, subjects

DEMO_SAMPLES = 1500
NUMBERS = IndexSettings().numbers_per_sample
SCALES = (1000, 3000, 10_000, 30_000, 100_000)


def main():
    parser = argparse.ArgumentParser(
        prog="tests.benchmarks.performance",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--only", action="append", choices=list(PARTS), help="parts to measure; all unless given"
    )
    parser.add_argument("--rounds", type=int, default=4, help="repetitions of a pass")
    parser.add_argument(
        "--peer-limit", type=float, default=1800, metavar="SECONDS", help="a rival is stopped then"
    )
    parser.add_argument("--rival", action="append", choices=rivals.NAMES, help="rivals; all unless given")
    parser.add_argument("--folder", type=Path, help="keeps corpora and indexes for the next run")
    asked = parser.parse_args()
    print(
        f"torch {torch.__version__}, transformers {transformers.__version__}, {torch.get_num_threads()} threads"
    )
    with tempfile.TemporaryDirectory() as made:
        asked.folder = asked.folder or Path(made)
        for part in asked.only or PARTS:
            started = time.perf_counter()
            load = os.getloadavg()[0]
            rows = PARTS[part](asked)
            print(f"\n## {part} ({time.perf_counter() - started:.0f} s, load before {load:.1f})\n")
            print(as_markdown(rows))
            sys.stdout.flush()


def measure_passes(asked):
    return [
        *passes.ratios(subjects.wide("opt"), asked.rounds),
        *passes.ratios(subjects.demo(DEMO_SAMPLES), asked.rounds),
    ]


def measure_precision(asked):
    pairs = [
        (subjects.demo(DEMO_SAMPLES), subjects.demo(DEMO_SAMPLES, "bfloat16")),
        (subjects.wide("opt"), subjects.wide("opt", torch.bfloat16)),
    ]
    return [passes.in_bfloat16(*pair, method) for pair in pairs for method in (LINFAC_HEAD, LINFAC)]


def measure_batches(asked):
    return passes.sorting(subjects.demo(DEMO_SAMPLES))


def measure_scaling(asked):
    """Time and peak memory of one query scored on all samples as they become more, and time as texts become longer."""
    rows = passes.linear_in_tokens(subjects.wide("opt"))
    for count in SCALES:
        found = index_search.score_all(index_search.drawn(asked.folder, count), 1)
        fit, spent = found["seconds"]
        rows.append(
            {
                "what": "one query on all samples, demo",
                "samples": count,
                "factors s": fit,
                "seconds": spent,
                "ms a sample": 1e3 * spent / count,
                "peak MB": found["peak_megabytes"],
            }
        )
        sys.stderr.write(f"{rows[-1]}\n")
    for what in ("ms a sample", "peak MB"):
        print(as_chart(f"{what}, by samples", [(row["samples"], row[what]) for row in rows if what in row]))
    return rows


def measure_index(asked):
    return [
        row
        for count in (1000, 10_000, 50_000)
        for row in index_search.measure(asked.folder, count, NUMBERS, (100, CANDIDATES_BY_INDEX, 200), 10)
    ]


def measure_million(asked):
    return [index_search.measure_made_up(asked.folder, count, NUMBERS, 5) for count in (100_000, 1_000_000)]


def measure_rivals(asked):
    return rivals.compare(asked.rival or rivals.NAMES, asked.peer_limit)


PARTS = {
    "passes": measure_passes,
    "precision": measure_precision,
    "batches": measure_batches,
    "scaling": measure_scaling,
    "index": measure_index,
    "million": measure_million,
    "rivals": measure_rivals,
}


def as_markdown(rows):
    """A table with a column for everything that any row says."""
    frame = pd.DataFrame(rows)
    lines = ["| " + " | ".join(frame.columns) + " |", "|---" * len(frame.columns) + "|"]
    return "\n".join(
        [*lines, *("| " + " | ".join(map(as_text, row)) + " |" for row in frame.itertuples(index=False))]
    )


def as_chart(title, points):
    """A Mermaid line from 0 upwards; places along the axis are evenly spaced, whatever their numbers."""
    names, values = ([f'"{place:,}"' for place, _ in points], [round(value, 2) for _, value in points])
    return "\n".join(
        [
            "```mermaid",
            "xychart-beta",
            f'  title "{title}"',
            f"  x-axis [{', '.join(names)}]",
            f"  y-axis 0 --> {1.2 * max(values):.2f}",
            f"  line {values}",
            "```",
        ]
    )


def as_text(value):
    if isinstance(value, float):
        return "" if value != value else f"{value:,.3f}" if abs(value) < 10 else f"{value:,.1f}"
    return (
        ""
        if value is None
        else f"{value:,}"
        if isinstance(value, int) and not isinstance(value, bool)
        else str(value)
    )


if __name__ == "__main__":
    if not KEEPS_MEMORY.keys() <= os.environ.keys():  # as in LANCET's own processes
        os.execve(sys.executable, sys.orig_argv, child_environment())
    main()
