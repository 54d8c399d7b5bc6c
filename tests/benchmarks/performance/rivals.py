"""LinFAC and EK-FAC of ours, kronfluence's EK-FAC and bergson, end to end on the same model, samples and queries.

Each runs in a process of its own that says how long each of its stages took and is stopped at a limit; what it had spent by then
is a lower bound. Imports and loading the model do not count. The model is a GPT-NeoX in the shape of Pythia-160m, and not an OPT:
transformers joins rows and positions before OPT's MLP, where kronfluence takes each token for a sample.
"""

import argparse
import importlib
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

from lancet_core.runs.source import child_environment

OURS = ("linfac", "linfac-head", "linfac-head, head alone", "ekfac")
NAMES = (*OURS, "kronfluence", "bergson index", "bergson ekfac")
BATCH_SIZE = 16
LIBRARIES = {"kronfluence": "kronfluence", "bergson index": "bergson", "bergson ekfac": "bergson"}


def compare(names, limit_seconds):
    """One row for each stage of each rival: seconds, and whether it was stopped."""
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for name in names:
            library = LIBRARIES.get(name)
            reason = _why_not(library) if library else ""
            if reason:
                rows.append(_shown({"method": name, "stage": reason}))
                continue
            own = Path(folder) / name.replace(" ", "-").replace(",", "")
            found, finished, failure = _watched(name, own, limit_seconds)
            if failure:
                rows.append(_shown({"method": name, "stage": f"failed: {failure}"}))
                continue
            total = sum(found.values()) if finished else limit_seconds
            rows += [{"method": name, "stage": stage, "seconds": spent} for stage, spent in found.items()]
            rows.append(
                _shown({"method": name, "stage": "end to end", "seconds": total, "stopped": not finished})
            )
    return rows


def _shown(row):
    """Says at once what the table at the end will say: a rival takes many minutes."""
    sys.stderr.write(f"{row}\n")
    return row


def _why_not(library):
    try:
        importlib.import_module(library)
    except ImportError as error:
        return f"not installed: {error}"
    return ""


def _watched(name, folder, limit_seconds):
    """Runs one rival; gives the seconds of its finished stages, whether it came to its end, and why it failed if it did."""
    folder.mkdir()
    command = [sys.executable, "-m", "tests.benchmarks.performance.rivals", name, str(folder)]
    with (folder / "log").open("w") as log:
        # Peers are given what LANCET gives its own processes.
        child = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=log, text=True, env=child_environment()
        )
    stages, ready = {}, threading.Event()
    reader = threading.Thread(target=_listen, args=(child.stdout, stages, ready), daemon=True)
    reader.start()
    while child.poll() is None and not ready.wait(0.2):
        pass
    started = time.perf_counter()
    while child.poll() is None and time.perf_counter() - started < limit_seconds:
        time.sleep(0.2)
    finished = child.poll() is not None
    if not finished:
        child.kill()
    child.wait()
    reader.join()
    if not (finished and child.returncode):
        return stages, finished, ""
    log = (folder / "log").read_text()
    sys.stderr.write(log[-2000:])
    return stages, finished, log.strip().rpartition("\n")[2]


def _listen(stream, stages, ready):
    for line in stream:
        if line.startswith('{"stage"'):
            told = json.loads(line)
            stages[told["stage"]] = told["seconds"]
        elif line.startswith("ready"):
            ready.set()


def _tell(stage, seconds):
    sys.stdout.write(json.dumps({"stage": stage, "seconds": seconds}) + "\n")
    sys.stdout.flush()


def _timed(stage, act):
    started = time.perf_counter()
    result = act()
    _tell(stage, time.perf_counter() - started)
    return result


def _ours(method, subject):
    from lancet_core.influence.scores import MeasuredLengths
    from tests.benchmarks.performance import passes

    settings = passes.settings_of(method)
    network = passes.network_of(subject, settings)
    with passes.decompositions_timed() as spent:
        started = time.perf_counter()
        factors = passes.fit(network, subject.samples, settings)
        whole = time.perf_counter() - started
    _tell("factors, eigenvalues", whole - sum(spent))
    _tell("eigendecomposition", sum(spent))
    curvature = passes.curvature_of(network, factors, settings)
    normaliser = MeasuredLengths(curvature) if settings.curvature.normalise else None

    def solve():
        directions = passes.directions_of(network, subject.queries, curvature)
        if normaliser is None:
            _ = directions.plain  # what scoring reads, and keeps
        return directions

    directions = _timed("queries and solve (IHVP)", solve)
    _timed("score", lambda: passes.score(network, subject.samples, directions, normaliser=normaliser))


def _run(name, folder):
    import torch

    from tests.benchmarks.performance import subjects

    torch.set_num_threads(os.cpu_count() or 1)
    subject = subjects.wide("neox")
    if name in OURS:
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        _ours(name, subject)
        return
    if name == "kronfluence":
        from lancet_core.models.units import find_linears
        from tests.benchmarks.performance import kronfluence_peer

        sys.stdout.write("ready\n")
        sys.stdout.flush()
        kronfluence_peer.attribute(
            subject.lm.model, find_linears(subject.lm.model), subject.samples, subject.queries,
            folder=folder, batch_size=BATCH_SIZE, empirical=False, tell=_tell,
        )  # fmt: skip
        return
    from tests import tiny_models
    from tests.benchmarks.performance import bergson_peer

    # It takes no more tokens at once than model and tokenizer have context for, which changes nothing in rotary positions.
    subject.lm.model.config.max_position_embeddings = bergson_peer.TOKENS
    subject.lm.model.save_pretrained(folder / "model")
    tokenizer = tiny_models.byte_level_tokenizer()
    tokenizer.model_max_length = bergson_peer.TOKENS
    tokenizer.save_pretrained(folder / "model")
    act = bergson_peer.ekfac if name == "bergson ekfac" else bergson_peer.build_and_query
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    act(folder / "model", subject.samples, subject.queries, folder=folder, tell=_tell)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="One rival; `compare` starts it.")
    parser.add_argument("name", choices=NAMES)
    parser.add_argument("folder", type=Path)
    asked = parser.parse_args()
    _run(asked.name, asked.folder)
