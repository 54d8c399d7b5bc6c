"""Starts processes that outlive whoever started them."""

import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

from lancet_core.runs.source import child_environment


def detach(
    module: str, arguments: Sequence[str], *, log: Path, folder: Path, inherited: Sequence[int] = ()
) -> subprocess.Popen[bytes]:
    """Starts a Python module in a session of its own.

    Args:
        module: Module to run, as in `python -m`.
        arguments: Its arguments.
        log: File that its output is added to.
        folder: Folder that it works in.
        inherited: Open files that it keeps.

    Returns:
        The process; a thread waits for it, so that it leaves no zombie.

    Raises:
        OSError: It cannot be started.
    """
    # -P: whatever lies in the working folder is never imported.
    command = [sys.executable, "-P", "-m", module, *arguments]
    with log.open("ab") as output:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            cwd=folder,
            env=child_environment(),
            pass_fds=tuple(inherited),
            start_new_session=True,
        )
    threading.Thread(target=process.wait, daemon=True, name=f"waits for {process.pid}").start()
    return process
