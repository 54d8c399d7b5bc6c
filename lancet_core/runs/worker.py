"""The process that works on one run: `python -m lancet_core.runs.worker FOLDER`.

It writes nothing outside its folder. Everything it prints goes to the folder's log.
"""

import argparse
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from lancet_core.acts.table import ACTS, Act
from lancet_core.errors import Cancelled
from lancet_core.runs.execution import execute
from lancet_core.runs.locks import take_lock
from lancet_core.runs.run_folder import RunFolder
from lancet_core.store.run_status import DONE


def main(arguments: Sequence[str], acts: Mapping[str, Act] = ACTS) -> int:
    """Works on one run.

    Args:
        arguments: The run folder, and `--lock N` where an open file with its lock was inherited.
        acts: Names to acts.

    Returns:
        0 when done, 1 otherwise.
    """
    parser = argparse.ArgumentParser(prog="lancet_core.runs.worker", description="Works on one run folder.")
    parser.add_argument("folder", type=Path, help="the run folder")
    parser.add_argument("--lock", type=int, help="open file that already holds the run's lock")
    asked = parser.parse_args(arguments)
    folder = RunFolder(asked.folder.resolve())
    lock = asked.lock if asked.lock is not None else take_lock(folder.lock)
    if lock is None:
        sys.stderr.write(f"error: run {folder.id} is being worked on by another process\n")
        return 1
    os.set_inheritable(lock, False)
    signal.signal(signal.SIGTERM, _stop)
    status = execute(folder, acts)
    os.close(lock)
    return 0 if status.state == DONE else 1


def _stop(_signal: int, _frame: object) -> None:
    raise Cancelled


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
