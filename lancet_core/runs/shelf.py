"""Keeps the models used last in memory and lends each to one borrower at a time: torch hooks are not re-entrant."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

CAPACITY = 3
POLL_SECONDS = 0.1
_Key = tuple[Any, ...]


@dataclass
class _Slot:
    """Place of one model; `lock` is held by whoever uses it.

    Attributes:
        value: The model, None where it is not loaded.
        stamp: What its files looked like when it was loaded.
        used_at: When it was last lent or given back (monotonic seconds).
        lock: Re-entrant, so that one borrower may ask twice.
    """

    value: Any = None
    stamp: tuple[Any, ...] = ()
    used_at: float = 0.0
    lock: threading.RLock = field(default_factory=threading.RLock)


class Shelf:
    """Models by folder; the one unused for longest makes room for the next."""

    def __init__(
        self,
        load: Callable[[str], Any],
        capacity: int = CAPACITY,
        *,
        folder_of: Callable[[str], str] = str,
    ) -> None:
        """Begins empty.

        Args:
            load: Loads a model by its name.
            capacity: Most models in memory.
            folder_of: Where the files of a model lie; by themselves models are named by their folders.
        """
        self._load = load
        self._folder_of = folder_of
        self._capacity = capacity
        self._slots: dict[_Key, _Slot] = {}
        self._mutex = threading.Lock()

    @contextmanager
    def lend(self, folder: str, check: Callable[[], None] = lambda: None, **how: str) -> Iterator[Any]:
        """Lends a model until the block ends, loading it where it is new or its files changed.

        Args:
            folder: Folder or hub id.
            check: Called while waiting for another borrower; raises to give up.
            **how: Further arguments of what loads it, as its number type.

        Yields:
            The model, used by nobody else meanwhile.
        """
        key = (folder, *sorted(how.items()))
        with self._mutex:
            slot = self._slots.setdefault(key, _Slot())
        while not slot.lock.acquire(timeout=POLL_SECONDS):
            check()
        try:
            stamp = _stamp(self._folder_of(folder))
            if slot.value is None or slot.stamp != stamp:
                slot.value = None
                self._make_room(keep=key)
                slot.value, slot.stamp = self._load(folder, **how), stamp
            slot.used_at = time.monotonic()
            yield slot.value
        finally:
            slot.used_at = time.monotonic()
            slot.lock.release()

    @contextmanager
    def lender(self, check: Callable[[], None] = lambda: None) -> Iterator[Callable[..., Any]]:
        """Gives a function that lends models until the block ends.

        Only one borrower at a time may hold several models, else two could wait for each other.
        """
        with ExitStack() as lent:
            yield lambda folder, **how: lent.enter_context(self.lend(folder, check, **how))

    def loaded(self) -> list[str]:
        """Folders of the models in memory."""
        with self._mutex:
            return list(
                dict.fromkeys(str(key[0]) for key, slot in self._slots.items() if slot.value is not None)
            )

    def clear(self) -> None:
        """Takes all models out of memory that nobody uses."""
        self._make_room(keep=(), capacity=0)

    def _make_room(self, keep: _Key, capacity: int | None = None) -> None:
        """Drops the models unused for longest until one more fits; one that is lent stays."""
        most = self._capacity - 1 if capacity is None else capacity
        with self._mutex:
            others = [slot for key, slot in self._slots.items() if key != keep and slot.value is not None]
        for slot in sorted(others, key=lambda slot: slot.used_at)[: max(0, len(others) - most)]:
            if slot.lock.acquire(blocking=False):
                slot.value = None
                slot.lock.release()


def _stamp(folder: str) -> tuple[Any, ...]:
    """What the files of a model look like; empty for a hub id, whose files do not change under one revision."""
    if not Path(folder).is_dir():
        return ()
    facts = [(path.name, path.stat()) for path in sorted(Path(folder).iterdir()) if path.is_file()]
    return tuple((name, found.st_size, found.st_mtime_ns) for name, found in facts)
