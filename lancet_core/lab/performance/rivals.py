"""LinFAC and EK-FAC of ours, kronfluence's EK-FAC and bergson, end to end on the same model, samples and queries.

Each runs in a process of its own that says how long each of its stages took and is stopped at a limit; what it had spent by then
is a lower bound. Imports and loading the model do not count. The model is a GPT-NeoX in the shape of Pythia-160m, and not an OPT:
transformers joins rows and positions before OPT's MLP, where kronfluence takes each token for a sample.
"""

import os
import tempfile
import time
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path

import torch

from lancet_core.lab.factory.training import train_tokenizer
from lancet_core.lab.performance import passes, subjects
from lancet_core.lab.performance.alone import run_alone, say_ready, say_stage, timed_stage
from lancet_core.lab.performance.names import BERGSON_EKFAC, KRONFLUENCE, OURS
from lancet_core.models.units import find_linears

BATCH_SIZE = 16


def compare(names: Sequence[str], limit_seconds: float, tell: Callable[[str], None]) -> list[passes.Row]:
    """Gives one row for each stage of each rival: seconds, and whether it was stopped.

    Args:
        names: Of `RIVALS`; one whose library is not installed gets a row that says so.
        limit_seconds: Seconds after which a rival is stopped.
        tell: Told what each took as soon as it is done: a rival takes many minutes.
    """
    rows: list[passes.Row] = []
    for name in names:
        library = name.split()[0]
        if name not in OURS and find_spec(library) is None:
            rows.append({"method": name, "stage": f"not installed: {library}"})
            continue
        outcome = run_alone(f"{__name__}:measure_rival", {"name": name}, limit_seconds)
        rows += [
            {"method": name, "stage": stage, "seconds": spent} for stage, spent in outcome.stages.items()
        ]
        total = limit_seconds if outcome.stopped else sum(outcome.stages.values())
        whole = {"stage": "failed"} if outcome.failed else {"stage": "end to end", "seconds": total}
        rows.append({"method": name, **whole, "stopped": outcome.stopped})
        tell(f"{name}: {rows[-1]['stage']}, {total:.0f} s")
    return rows


def measure_rival(name: str) -> None:
    """Runs one rival in this process and says how long its stages take."""
    torch.set_num_threads(os.cpu_count() or 1)
    subject = subjects.wide("neox")
    with tempfile.TemporaryDirectory() as folder:
        if name in OURS:
            say_ready()
            _measure_ours(name, subject)
        elif name == KRONFLUENCE:
            _measure_kronfluence(subject, folder)
        else:
            _measure_bergson(name, subject, Path(folder))


def _measure_ours(method: str, subject: subjects.Subject) -> None:
    method_passes = passes.MethodPasses(subject, passes.method_settings(method))
    with passes.decompositions_timed() as spent:
        started = time.perf_counter()
        factors = method_passes.fit(subject.samples)
        whole = time.perf_counter() - started
    say_stage("factors, eigenvalues", whole - sum(spent))
    say_stage("eigendecomposition", sum(spent))
    curvature = method_passes.curvature(factors)

    def solve() -> object:
        directions = method_passes.solve(subject.queries, curvature)
        if method_passes.normaliser is None:
            _ = directions.plain  # what scoring reads, and keeps
        return directions

    directions = timed_stage("queries and solve (IHVP)", solve)
    timed_stage("score", lambda: method_passes.score(subject.samples, directions))


def _measure_kronfluence(subject: subjects.Subject, folder: str) -> None:
    from lancet_core.lab.performance.peers import kronfluence_ekfac

    model = subject.lm.model
    say_ready()
    kronfluence_ekfac.attribute(
        (model, find_linears(model)),
        subject.samples,
        subject.queries,
        folder=folder,
        batch_size=BATCH_SIZE,
        empirical=False,
    )


def _measure_bergson(name: str, subject: subjects.Subject, folder: Path) -> None:
    from lancet_core.lab.performance.peers import bergson_index

    # It takes no more tokens at once than model and tokenizer have context for, which changes nothing in rotary positions.
    subject.lm.model.config.max_position_embeddings = bergson_index.TOKENS
    subject.lm.model.save_pretrained(folder / "model")
    tokenizer = train_tokenizer([], subjects.VOCABULARY)
    tokenizer.model_max_length = bergson_index.TOKENS
    tokenizer.save_pretrained(folder / "model")
    attribute = bergson_index.ekfac if name == BERGSON_EKFAC else bergson_index.build_and_query
    say_ready()
    attribute(folder / "model", subject.samples, subject.queries, folder=folder)
