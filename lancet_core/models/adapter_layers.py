"""What PEFT puts into a model: layers beside those that it adapts, and copies of the modules that are trained whole."""

from typing import Any

from torch import nn


def adapter_modules(model: Any) -> set[nn.Module]:
    """What adapters such as LoRA put beside the layers that they adapt, and their copies of the modules that they train whole."""
    adapted: list[Any] = [module for module in model.modules() if hasattr(module, "base_layer")]
    inside = {inner for module in adapted for inner in module.modules()}
    beside = inside - {inner for module in adapted for inner in module.base_layer.modules()}
    whole = [copy for wrapper in trained_whole(model) for copy in copies(wrapper)]
    return beside | {inner for module in whole for inner in module.modules()}


def trained_whole(model: Any) -> list[Any]:
    """What PEFT puts around a module that is trained beside an adapter: a copy of it, with weights of its own, runs in its place."""
    return [
        module
        for module in model.modules()
        if isinstance(dict(module.named_children()).get("modules_to_save"), nn.ModuleDict)
    ]


def copies(wrapper: Any) -> list[nn.Module]:
    """The copies within what `trained_whole` gives."""
    return list(wrapper.modules_to_save.values())


def replaced_parameters(model: Any) -> list[nn.Parameter]:
    """Parameters of the modules in whose place copies run: nothing depends on them."""
    return [
        parameter for wrapper in trained_whole(model) for parameter in wrapper.original_module.parameters()
    ]
