"""A pass over a corpus as a map over shards, each shard's result written whole or not at all, so that a killed pass goes on."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from lancet_core.files import write_tensors

Arrays = dict[str, NDArray[np.generic]]
Tell = Callable[[int], None]
"""Told how many samples of a pass are done."""


@dataclass(frozen=True)
class Shards:
    """Where the shards of one pass are kept.

    Attributes:
        folder: Folder of the files; None keeps nothing (a pass too short to be worth resuming).
        name: Name of the pass.
        key: Fingerprint of everything that the results depend on; shards of another key are computed again.
    """

    folder: Path | None
    name: str
    key: str

    def compute(self, number: int, function: Callable[[], Arrays]) -> Arrays:
        """Gives the result of one shard: from its file where a killed pass left it, else computed and written.

        Args:
            number: Number of the shard.
            function: Computes it.
        """
        finished = self.read(number)
        if finished is not None:
            return finished
        result, path = function(), self._path(number)
        if path is not None:
            write_tensors(path, save_file, result, {"key": self.key})
        return result

    def read(self, number: int) -> Arrays | None:
        """Reads the result of one shard; None where it was not written whole, or belongs to another key."""
        path = self._path(number)
        if path is None or not path.is_file():
            return None
        try:
            with safe_open(path, framework="np") as file:
                if (file.metadata() or {}).get("key") != self.key:
                    return None
                return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  # no mapping
        except SafetensorError:
            return None  # A file cut short, by a full disk for one: the shard is computed again.

    def _path(self, number: int) -> Path | None:
        return self.folder / f"{self.name}-{number:05d}.safetensors" if self.folder is not None else None


def split(count: int, size: int) -> list[range]:
    """Cuts `count` items into ranges of at most `size`."""
    return [range(start, min(start + size, count)) for start in range(0, count, size)]
