"""The operations that a run can be of, named without loading them: they need torch, whoever starts a run does not."""

import importlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from lancet_core.errors import JobError


@dataclass(frozen=True)
class Operation:
    """Where an operation lies.

    Attributes:
        module: Module with `run(config, folder, progress, load=…)`.
        config: `module:Class` of its settings.
        warm: Whether it may run in the model host, which lends it models that must stay as they are.
    """

    module: str
    config: str
    warm: bool = False


_CONFIGS = "lancet_core.operations.configs"

OPERATIONS: dict[str, Operation] = {
    "prepare": Operation("lancet_core.operations.prepare", f"{_CONFIGS}:PrepareConfig"),
    "attribute": Operation("lancet_core.operations.attribute", f"{_CONFIGS}:AttributeConfig", warm=True),
    "index": Operation("lancet_core.operations.index", f"{_CONFIGS}:IndexConfig"),
    "cluster": Operation("lancet_core.operations.cluster", f"{_CONFIGS}:ClusterConfig", warm=True),
    "score": Operation("lancet_core.operations.score", f"{_CONFIGS}:ScoreConfig"),
    "correct": Operation("lancet_core.operations.correct", f"{_CONFIGS}:CorrectConfig"),
    "evaluate": Operation("lancet_core.operations.evaluate", f"{_CONFIGS}:EvaluateConfig", warm=True),
    "compare": Operation("lancet_core.operations.compare", f"{_CONFIGS}:CompareConfig", warm=True),
    "build_demo": Operation("lancet_core.operations.build_demo", f"{_CONFIGS}:BuildDemoConfig"),
}


def find_operation(name: str, operations: Mapping[str, Operation]) -> Operation:
    """Looks up an operation by name.

    Raises:
        JobError: There is none of this name.
    """
    if name not in operations:
        raise JobError(f"there is no operation {name!r}; known operations: {', '.join(sorted(operations))}")
    return operations[name]


def load_config_class(operation: Operation) -> type[Any]:
    """Loads the settings class of an operation."""
    module, _, name = operation.config.partition(":")
    found: type[Any] = getattr(importlib.import_module(module), name)
    return found
