"""Runs a function in a process of its own: its peak memory is its own, and it can be stopped at a limit.

The process has the memory settings of LANCET's own processes. It tells what it has to say in marked lines on stdout; what it
writes to stderr is shown as it comes.
"""

import importlib
import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from lancet_core.runs.source import child_environment

_MARK = "@lab "
T = TypeVar("T")


@dataclass(frozen=True)
class Outcome:
    """How a process ended.

    Attributes:
        result: What the function returned; None where it was stopped or failed.
        stages: Seconds of each stage that it told.
        stopped: Whether it was stopped at the limit.
        failed: Whether it ended with an error, which stands on stderr.
    """

    result: Any
    stages: dict[str, float]
    stopped: bool
    failed: bool


def run_alone(
    function: str, arguments: Mapping[str, Any], limit_seconds: float = threading.TIMEOUT_MAX
) -> Outcome:
    """Runs a function.

    Args:
        function: `module:name`; it takes and returns JSON values.
        arguments: Its keyword arguments.
        limit_seconds: Seconds after which it is stopped, counted from `say_ready`.
    """
    command = [sys.executable, "-m", __name__, function, json.dumps(arguments)]
    result: Any = None
    stages: dict[str, float] = {}
    stopped = threading.Event()
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=child_environment()) as child:

        def stop(child: subprocess.Popen[str] = child) -> None:
            stopped.set()
            child.kill()

        timer = threading.Timer(limit_seconds, stop)
        for line in child.stdout or ():
            if not line.startswith(_MARK):
                continue
            message = json.loads(line.removeprefix(_MARK))
            if "ready" in message:
                timer.start()
            stages |= message.get("stage", {})
            result = message.get("result")
        timer.cancel()
    failed = bool(child.returncode) and not stopped.is_set()
    return Outcome(result, stages, stopped.is_set(), failed)


def say_ready() -> None:
    """Says that imports and loading are done: the limit counts from here."""
    _say(ready=True)


def say_stage(name: str, seconds: float) -> None:
    """Says how long a stage took."""
    _say(stage={name: seconds})


def timed_stage(name: str, act: Callable[[], T]) -> T:
    """Does something and says how long it took."""
    started = time.perf_counter()
    result = act()
    say_stage(name, time.perf_counter() - started)
    return result


def peak_megabytes() -> float:
    """Most memory that this process had; `getrusage` would count that of the process it was forked from."""
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    (line,) = (line for line in status.splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) / 1024


def _say(**message: Any) -> None:
    sys.stdout.write(f"{_MARK}{json.dumps(message)}\n")
    sys.stdout.flush()


def _run(function: str, arguments: str) -> None:
    module, _, name = function.partition(":")
    _say(result=getattr(importlib.import_module(module), name)(**json.loads(arguments)))


if __name__ == "__main__":
    _run(*sys.argv[1:])
