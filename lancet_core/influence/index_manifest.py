"""What a gradient index holds, written beside its shards. Torch-free, so that screens and command line can read it."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from lancet_core.config import fingerprint
from lancet_core.errors import DataError
from lancet_core.files import read_json, write_json
from lancet_core.influence.methods import IDENTITY
from lancet_core.influence.settings import InfluenceSettings

MANIFEST = "index.json"
_WHAT_GRADIENTS_DEPEND_ON = (
    "tracked",
    "last_blocks",
    "merge_blocks",
    "damping_kind",
    "factor_samples",
    "seed",
    "dtype",
)


@dataclass(frozen=True)
class Manifest:
    """What an index holds.

    Attributes:
        engine: Key of the engine whose whitened gradients it keeps.
        model: Fingerprint of the model.
        corpus: Fingerprint of the study's samples.
        basis: Key of its basis.
        key: Key of its shards.
        shards: Number of shards.
        samples: Samples in it; those that exceed the model's context are not.
        too_long: Samples that exceed it.
        buckets: Buckets that they are made of.
        numbers: Numbers of each sample.
        bytes_per_sample: Bytes of each sample on disk, scale and row included.
        influence: Settings of the method.
        index: Settings of the index.
    """

    engine: str
    model: str
    corpus: str
    basis: str
    key: str
    shards: int
    samples: int
    too_long: int
    buckets: int
    numbers: int
    bytes_per_sample: float
    influence: dict[str, Any]
    index: dict[str, Any]


def read_manifest(folder: Path) -> Manifest | None:
    """Reads what an index holds; None where there is no whole one."""
    try:
        return Manifest(**read_json(folder / MANIFEST))
    except (DataError, TypeError):
        return None


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Writes what an index holds: last of all, since it says that the index is whole."""
    write_json(folder / MANIFEST, asdict(manifest))


def can_be_indexed(settings: InfluenceSettings) -> bool:
    """Whether a method has whitened gradients that an index could keep: not without gradients, nor without curvature."""
    return settings.takes_gradients and settings.curvature.eigenvalues != IDENTITY


def gradient_settings(settings: InfluenceSettings) -> dict[str, Any]:
    """Names what the whitened gradients depend on: not the recall, nor how the final scores are refined or divided."""
    chosen = settings.curvature
    return {
        **{name: value for name, value in asdict(chosen).items() if name != "normalise"},
        **{name: getattr(settings, name) for name in _WHAT_GRADIENTS_DEPEND_ON},
    }


def gradient_key(settings: InfluenceSettings) -> str:
    """Hashes `gradient_settings` to 12 hexadecimal digits: equal keys can be answered from the same index."""
    return fingerprint(gradient_settings(settings))
