"""Which parameters of a model no unit covers."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from torch import Tensor, nn

from lancet_core.models.adapter_layers import adapter_modules, replaced_parameters
from lancet_core.models.unit_layout import find_blocks
from lancet_core.models.units import Unit, covered_by


@dataclass(frozen=True)
class Untracked:
    """Parameters that no unit covers.

    Attributes:
        name: Path of the module that holds them; modules at the same place of several blocks are one, as in `model.layers.0-11.norm`.
        share: Their share of the model's parameters, between 0 and 1.
        trained: Whether they are an adapter's, which trained them and nothing else.
    """

    name: str
    share: float
    trained: bool = False


def list_untracked(model: Any, units: Sequence[Unit]) -> list[Untracked]:
    """Lists the parameters that no unit covers, by the largest modules that hold nothing else, largest share first.

    Tied weights count once, and those in whose place an adapter's own run not at all. The shares and the share that units cover
    sum to 1.

    Args:
        model: The model of the units.
        units: Units that are tracked.
    """
    replaced = _ids(replaced_parameters(model))
    running = {
        id(parameter): parameter.numel() for parameter in model.parameters() if id(parameter) not in replaced
    }
    covered = _ids(
        parameter for unit in units for module in covered_by(unit) for parameter in module.parameters()
    )
    trained = _ids(
        parameter for module in adapter_modules(model) for parameter in module.parameters(recurse=False)
    )
    path, _blocks = find_blocks(model)
    whole = sum(running.values())
    listed = [
        Untracked(name, count / whole, is_trained)
        for is_trained, others in ((True, running.keys() - trained), (False, trained))
        for name, count in _by_place(_uncovered(model, "", covered | replaced | others), path)
    ]
    return sorted(listed, key=lambda untracked: -untracked.share)


def _ids(parameters: Iterable[Tensor]) -> set[int]:
    return {id(parameter) for parameter in parameters}


def _by_place(counts: Iterable[tuple[str, int]], path: str) -> Iterator[tuple[str, int]]:
    """Adds up modules at the same place of several blocks: yields their common path, and how many parameters they hold."""
    places: dict[tuple[str, str], tuple[list[int], int]] = {}
    for name, count in counts:
        place, number = _place(name, path)
        numbers, total = places.get(place, ([], 0))
        places[place] = ([*numbers, *number], total + count)
    for (before, after), (numbers, total) in places.items():
        yield ".".join(filter(None, (before, _ranges(numbers), after))), total


def _uncovered(module: nn.Module, name: str, covered: set[int]) -> Iterator[tuple[str, int]]:
    """Yields the largest modules below one that hold parameters and none of those covered; counts each parameter once.

    Args:
        module: Where to begin.
        name: Its path; empty for the whole model, which is never yielded as one.
        covered: Ids of the parameters that are covered; those met are added.
    """
    parameters = list(module.parameters())
    if name and not covered.intersection(map(id, parameters)):
        covered.update(map(id, parameters))
        if parameters:
            yield name, sum(parameter.numel() for parameter in parameters)
        return
    direct = [parameter for parameter in module.parameters(recurse=False) if id(parameter) not in covered]
    covered.update(map(id, direct))
    if direct:
        yield name, sum(parameter.numel() for parameter in direct)
    for child, inner in module.named_children():
        yield from _uncovered(inner, f"{name}.{child}" if name else child, covered)


def _place(name: str, path: str) -> tuple[tuple[str, str], list[int]]:
    """Splits a path around the number of its block, where it stands in one."""
    if not name.startswith(f"{path}."):
        return (name, ""), []
    number, _, after = name[len(path) + 1 :].partition(".")
    return (path, after), [int(number)]


def _ranges(numbers: Sequence[int]) -> str:
    """`0-2,5` of 0, 1, 2 and 5."""
    runs = groupby(enumerate(sorted(numbers)), key=lambda pair: pair[1] - pair[0])
    ends = [(members[0][1], members[-1][1]) for members in (list(run) for _, run in runs)]
    return ",".join(str(low) if low == high else f"{low}-{high}" for low, high in ends)
