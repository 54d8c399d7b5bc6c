"""The file lock that says that a process lives: held on an open file, given up by the system however the process ends.

An open file, and so its lock, can be inherited by a child or sent over a socket: a run is held without a gap from its
launcher to its worker.
"""

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lancet_core.errors import StoreError

PATIENCE_SECONDS = 1.0
"""Somebody who only looks whether a lock is held has it for an instant."""


def take_lock(path: Path, patience_seconds: float = PATIENCE_SECONDS) -> int | None:
    """Takes the exclusive lock on a file.

    Args:
        path: The file; made where it is missing.
        patience_seconds: How long to wait for it.

    Returns:
        The open file descriptor (close it to give the lock up), or None where another process holds the lock.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    deadline = time.monotonic() + patience_seconds
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= deadline:
                os.close(descriptor)
                return None
            time.sleep(0.01)
        else:
            return descriptor


@contextmanager
def held_lock(path: Path, taken: str) -> Iterator[None]:
    """Lets one process at a time do what stands in the block.

    Args:
        path: File of the lock.
        taken: What is said where another process has it for longer than half a minute.

    Raises:
        StoreError: Another process has it.
    """
    descriptor = take_lock(path, patience_seconds=30.0)
    if descriptor is None:
        raise StoreError(taken)
    try:
        yield
    finally:
        os.close(descriptor)


def holds_lock(descriptor: int, path: Path) -> bool:
    """Whether an open lock is still that of the file of this path: not where the file was deleted, or made anew."""
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except OSError:
        return False
