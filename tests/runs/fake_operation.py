"""An operation for tests: counts steps, keeps what it counted, and misbehaves when asked to."""

import errno
import json
import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lancet_core.config import setting
from lancet_core.errors import DataError


@dataclass(frozen=True)
class FakeConfig:
    steps: int = setting(3, "Steps.")
    pause_seconds: float = setting(0.0, "Pause at each step.")
    trouble: str = setting("", "What goes wrong at the second step.")
    model: str = setting("", "Model to ask for.")


def run(config: FakeConfig, folder: Path, progress: Any, load: Any = None) -> dict[str, Any]:
    state = folder / "checkpoint.json"
    first = json.loads(state.read_text()) if state.exists() else 0
    for step in range(first, config.steps):
        progress("Counting", step + 1, config.steps, square=(step + 1) ** 2)
        if step == 1 and config.trouble:
            make_trouble(config.trouble, folder)
        state.write_text(json.dumps(step + 1))
        time.sleep(config.pause_seconds)
    answer = load(config.model).folder if load and config.model else None
    return {"counted_from": first, "steps": config.steps, "pid": os.getpid(), "model": answer}


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
