"""Does an act in this process, without a workspace: writes its inputs where a worker finds them, and runs its operation."""

import pickle
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pandas as pd
from torch.testing import assert_close

from lancet_core.acts.results import INPUTS
from lancet_core.acts.subject import Subject
from lancet_core.files import write_json_lines, write_table
from lancet_core.models.loading import load_language_model
from lancet_core.progress import Progress, silent

ROOT = Path(__file__).resolve().parents[1]


@dataclass(frozen=True)
class Order:
    """What is asked of what, with the tables that the run is given: rows for `.jsonl`, else a table, each by its file name."""

    subject: Subject
    request: Any
    inputs: Mapping[str, Any] = field(default_factory=dict)

    def changed(self, **values: Any) -> "Order":
        """The same order with other values of its subject or of its request, by their names."""
        subject = {name: value for name, value in values.items() if hasattr(self.subject, name)}
        request = {name: value for name, value in values.items() if name not in subject}
        return replace(
            self, subject=replace(self.subject, **subject), request=replace(self.request, **request)
        )


def perform(run: Callable[..., Any], order: Order, folder: Path, progress: Progress = silent) -> Any:
    """Runs an operation on an order; a second time in one folder resumes it."""
    (folder / INPUTS).mkdir(parents=True, exist_ok=True)
    for name, table in order.inputs.items():
        write = write_table if isinstance(table, pd.DataFrame) else write_json_lines
        write(folder / INPUTS / name, table)
    return replace(run(order.subject, order.request, folder=folder, progress=progress), folder=folder)


def perform_killed(run: Callable[..., Any], order: Order, folder: Path, *, step: str, at: int) -> None:
    """Runs an operation in a process of its own, which is killed when it has told so many of a step."""
    order_path = folder / "order.pickle"
    order_path.write_bytes(pickle.dumps(order))
    script = f"""
import os, pickle, signal, torch
from pathlib import Path
from {run.__module__} import run
from tests.performing import perform
torch.set_num_threads(1)
def progress(step, done=0, total=None, **values):
    if step == {step!r} and done == {at}:
        os.kill(os.getpid(), signal.SIGKILL)
perform(run, pickle.loads(Path({str(order_path)!r}).read_bytes()), Path({str(folder)!r}), progress)
"""
    killed = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, timeout=600
    )
    assert killed.returncode == -signal.SIGKILL, killed.stderr


def parameters(folder: str | Path) -> dict[str, Any]:
    """Parameters of a saved model, by name."""
    return dict(load_language_model(str(folder), device="cpu").model.named_parameters())


def assert_equal_models(left: str | Path, right: str | Path) -> None:
    """Checks that two saved models have the same parameters, to the last bit."""
    ours, theirs = parameters(left), parameters(right)
    assert ours.keys() == theirs.keys()
    for name, value in ours.items():
        assert_close(value, theirs[name], rtol=0, atol=0, msg=name)
