"""An act for tests: counts steps, keeps what it counted, and misbehaves when asked to."""

import errno
import json
import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lancet_core.acts.results import Result
from lancet_core.acts.subject import Subject
from lancet_core.config import setting
from lancet_core.errors import DataError


@dataclass(frozen=True)
class FakeRequest:
    steps: int = setting(3, "Steps.")
    pause_seconds: float = setting(0.0, "Pause at each step.")
    trouble: str = setting("", "What goes wrong at the second step.")

    @property
    def title(self) -> str:
        return f"Count to {self.steps}"


@dataclass(frozen=True)
class Counted(Result):
    counted_from: int = 0
    steps: int = 0
    pid: int = 0
    model: str | None = None

    @property
    def outcome(self) -> str:
        return f"counted to {self.steps}"


def run(subject: Subject, request: FakeRequest, *, folder: Path, progress: Any, load: Any = None) -> Counted:
    state = folder / "checkpoint.json"
    first = json.loads(state.read_text()) if state.exists() else 0
    for step in range(first, request.steps):
        progress("Counting", step + 1, request.steps, square=(step + 1) ** 2)
        if step == 1 and request.trouble:
            make_trouble(request.trouble, folder)
        state.write_text(json.dumps(step + 1))
        time.sleep(request.pause_seconds)
    model = load(subject.model).folder if load and subject.model else None
    return Counted(counted_from=first, steps=request.steps, pid=os.getpid(), model=model)


def make_trouble(kind: str, folder: Path) -> None:
    if kind == "data":
        raise DataError("row 7 has no prompt; give it one")
    if kind == "bug":
        raise ZeroDivisionError("division by zero")
    if kind == "full":
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    if kind == "deaf":
        (folder / "trouble").touch()
        while True:
            time.sleep(0.1)
    if kind == "stubborn":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        (folder / "trouble").touch()
        time.sleep(600)
