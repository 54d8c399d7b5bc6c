"""The one way of keeping what the laboratory computes: each result under a key made of all that it depends on.

Everything is written whole or not at all. A file that cannot be read counts as not there, so that it is made again.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from lancet_core.files import replacing, replacing_folder, write_tensors


@dataclass(frozen=True)
class Kept:
    """What was computed.

    Attributes:
        arrays: Names to arrays.
        facts: Names to texts, such as JSON.
    """

    arrays: Mapping[str, NDArray[Any]] = field(default_factory=dict)
    facts: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Keeper:
    """A folder of results.

    Attributes:
        folder: Where they lie; made with the first of them.
    """

    folder: Path

    def path(self, key: str) -> Path:
        """Where the result of a key lies."""
        return self.folder / f"{key}.safetensors"

    def read(self, key: str) -> Kept | None:
        """Reads a result; None where there is none, or its file is broken."""
        try:
            with safe_open(self.path(key), framework="np") as file:
                return Kept({name: file.get_tensor(name) for name in file.keys()}, file.metadata() or {})  # noqa: SIM118
        except (SafetensorError, OSError):
            return None

    def write(self, key: str, result: Kept) -> None:
        """Writes a result, whole or not at all.

        Raises:
            OSError: It cannot be written.
        """
        # safetensors writes the bytes as they lie: a transposed array would come back with its numbers in other places.
        arrays = {name: np.ascontiguousarray(values) for name, values in result.arrays.items()}
        write_tensors(self.path(key), save_file, arrays, result.facts)

    def result(self, key: str, compute: Callable[[], Kept]) -> Kept:
        """Reads a result, or computes and writes it."""
        result = self.read(key)
        if result is None:
            result = compute()
            self.write(key, result)
        return result

    def file(self, name: str, write: Callable[[Path], Any]) -> Path:
        """Gives the path of a file of another form, which is written at the first call."""
        path = self.folder / name
        if not path.is_file():
            with replacing(path) as temporary:
                write(temporary)
        return path

    def subfolder(self, name: str, fill: Callable[[Path], Any]) -> Path:
        """Gives the path of a folder, which is filled at the first call."""
        path = self.folder / name
        if not path.is_dir():
            with replacing_folder(path) as temporary:
                fill(temporary)
        return path
