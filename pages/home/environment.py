"""What this machine offers and what the study's model is: the line at the foot of Home."""

import os
from dataclasses import dataclass
from pathlib import Path

from lancet_core.files import read_json_or_none
from lancet_core.study.study import Study


@dataclass(frozen=True)
class Environment:
    """A machine and a model in numbers.

    Attributes:
        architecture: Class of the model as its `config.json` names it, empty where it does not say.
        weights_bytes: Size of its safetensors files; 0 where the model is not a local folder.
        cores: Processor cores that this process may use.
        memory_bytes: Memory of the machine.
        has_gpu: Whether an NVIDIA device is visible.
    """

    architecture: str
    weights_bytes: int
    cores: int
    memory_bytes: int
    has_gpu: bool


def environment(study: Study) -> Environment:
    """Describes the machine and the model of a study without loading either."""
    folder = Path(study.model)
    return Environment(
        architecture=_architecture(folder / "config.json"),
        weights_bytes=sum(file.stat().st_size for file in folder.glob("*.safetensors")),
        cores=len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1,
        memory_bytes=os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        has_gpu=Path("/dev/nvidia0").exists(),
    )


def _architecture(config: Path) -> str:
    content = read_json_or_none(config)
    architectures = content.get("architectures") if isinstance(content, dict) else None
    return str(architectures[0]) if isinstance(architectures, list) and architectures else ""
