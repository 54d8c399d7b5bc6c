"""What a gradient index holds, written beside its shards. Torch-free, so that screens and command line can read it."""

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from lancet_core.errors import DataError
from lancet_core.files import read_json, write_json

MANIFEST = "index.json"


@dataclass(frozen=True)
class Manifest:
    """What an index holds.

    Attributes:
        gradients: Key of the whitened gradients that it keeps.
        model: Fingerprint of the model.
        corpus: Fingerprint of the study's samples.
        basis: Key of its basis.
        key: Key of its shards.
        shards: Number of shards.
        samples: Samples in it; those that the chat template refuses are not.
        too_long: Samples that are not in it.
        sketch_dimensions: Dimensions of the random sketch.
        dimensions: Dimensions kept of each sample.
        bytes_per_sample: Bytes of each sample on disk, scale and row included.
        influence: Settings that its gradients depend on.
        index: Settings of the index.
        left_out: Samples that are not in it, since what is computed of them is not finite: ids to reasons.
    """

    gradients: str
    model: str
    corpus: str
    basis: str
    key: str
    shards: int
    samples: int
    too_long: int
    sketch_dimensions: int
    dimensions: int
    bytes_per_sample: float
    influence: dict[str, Any]
    index: dict[str, Any]
    left_out: dict[str, str] = field(default_factory=dict)


def read_manifest(folder: Path) -> Manifest | None:
    """Reads what an index holds; None where there is no whole one."""
    try:
        return Manifest(**read_json(folder / MANIFEST))
    except (DataError, TypeError):
        return None


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Writes what an index holds: last of all, since it says that the index is whole."""
    write_json(folder / MANIFEST, asdict(manifest))
