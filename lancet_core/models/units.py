"""Units: the parts of a network that influence treats as one linear map, found from its modules, never from its name."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from itertools import combinations
from typing import Any

import torch
from torch import Tensor, nn

from lancet_core.errors import ModelError
from lancet_core.models.loading import LanguageModel

_PROBE_TOKENS = 6
_TOLERANCE = 1e-4


@dataclass(frozen=True)
class Unit:
    """A sublayer (attention block or MLP block) taken whole.

    Attributes:
        name: Path of the sublayer in the module tree.
        reader: Module whose input is the unit's input a: what enters the sublayer's first projections, after the norm.
        writer: Module whose output is the unit's output s: what the sublayer adds to the residual stream.
        width: Size of both, the hidden size.
    """

    name: str
    reader: nn.Module
    writer: nn.Module
    width: int


@dataclass(frozen=True)
class UnitModel:
    """A language model with its units.

    Attributes:
        lm: The model.
        units: Its units, in the order in which they stand.
    """

    lm: LanguageModel
    units: tuple[Unit, ...]


@dataclass
class _Block:
    """What one block of the network read and wrote in the probing pass, each of shape (tokens, width).

    Attributes:
        norms: The block's norms (children without projections) with what entered and left each.
        streams: What entered and left the block and its norms.
        outputs: Unit names to what their writers gave.
    """

    module: nn.Module
    norms: list[tuple[nn.Module, Tensor, Tensor]]
    streams: list[Tensor]
    outputs: dict[str, Tensor]


def find_sublayers(model: Any) -> list[Unit]:
    """Finds the attention and MLP sublayers of a decoder, in the order in which they stand.

    Blocks are the children of the module list that holds most parameters. A child of a block that holds projections
    (matrices) is one sublayer; projections that stand in the block itself (OPT) make one sublayer together. A short forward pass
    then checks that each output is indeed added to the residual stream, so that an unknown layout is refused and not misread;
    where it passes a norm of its own first (Gemma, OLMo 2), that norm's output is taken.

    Args:
        model: Causal language model of transformers.

    Returns:
        The units, names unique.

    Raises:
        ModelError: The layout is not understood; the modules found are named.
    """
    width = int(model.config.get_text_config().hidden_size)
    path, blocks = _find_blocks(model)
    units = [
        unit
        for number, block in enumerate(blocks)
        for unit in _sublayers_of(f"{path}.{number}", block, width)
    ]
    observed = _observe(model, list(blocks), units)
    unread = {name for block in observed for name in _not_added(block)}
    if unread:
        units = [_behind_own_norm(unit, observed) if unit.name in unread else unit for unit in units]
        unread = {name for block in _observe(model, list(blocks), units) for name in _not_added(block)}
    if unread:
        raise ModelError(
            f"the layout of this model is not understood: what {min(unread)} writes is not added to the residual stream; "
            f"modules found in {path}.0: {_children(blocks[0])}; give a decoder such as Llama, OPT, GPT-2, GPT-NeoX or Qwen2"
        )
    return units


def input_of(arguments: tuple[Any, ...], keywords: dict[str, Any], width: int) -> Tensor:
    """Takes a module's input of the hidden size from the arguments of its call.

    Raises:
        ModelError: There is none.
    """
    for value in (*arguments, *keywords.values()):
        if torch.is_tensor(value) and value.is_floating_point() and value.shape[-1] == width:
            return value
    raise ModelError(
        f"a sublayer was called without an input of the hidden size {width}; its layout is not understood"
    )


def output_of(output: Any) -> Tensor:
    """Takes a module's output, the first where it gives several."""
    first: Tensor = output[0] if isinstance(output, tuple) else output
    return first


def _find_blocks(model: Any) -> tuple[str, nn.ModuleList]:
    lists = [
        (name, module)
        for name, module in model.named_modules()
        if isinstance(module, nn.ModuleList) and len(module) and any(_projections(child) for child in module)
    ]
    if not lists:
        found = ", ".join(sorted({type(module).__name__ for module in model.modules()}))
        raise ModelError(
            f"{type(model).__name__} has no list of blocks with projections, so its sublayers cannot be found; modules found: "
            f"{found}; give a decoder such as Llama, OPT, GPT-2, GPT-NeoX or Qwen2"
        )
    return max(lists, key=lambda item: sum(parameter.numel() for parameter in item[1].parameters()))


def _sublayers_of(path: str, block: nn.Module, width: int) -> Iterator[Unit]:
    """Yields the sublayers of one block in the order of its children."""
    loose: list[tuple[str, nn.Module]] = []
    for name, child in block.named_children():
        if _is_projection(child):
            loose.append((name, child))
        elif _projections(child):
            yield Unit(f"{path}.{name}", child, child, width)
    if loose:
        (first, reader), (last, writer) = loose[0], loose[-1]
        yield Unit(f"{path}.{first}+{last}", reader, writer, width)


def _projections(module: nn.Module) -> list[nn.Module]:
    return [inner for inner in module.modules() if _is_projection(inner)]


def _is_projection(module: nn.Module) -> bool:
    """Whether a module is a matrix (linear layer, Conv1D, adapted layer, stacked experts) and no table of embeddings."""
    if isinstance(module, nn.Embedding):
        return False
    return any(parameter.dim() >= 2 for parameter in module.parameters(recurse=False)) or hasattr(
        module, "base_layer"
    )


def _not_added(block: _Block) -> list[str]:
    """Names the units whose output is no difference of two streams of their block.

    Where attention and MLP run side by side only the sum of both is a difference of streams.
    """
    outputs = block.outputs
    sums = [
        (names, sum(outputs[name] for name in names))
        for size in (1, 2)
        for names in combinations(outputs, size)
    ]
    added = {name for names, total in sums if _is_difference(total, block.streams) for name in names}
    return [name for name in outputs if name not in added]


def _behind_own_norm(unit: Unit, observed: list[_Block]) -> Unit:
    """Moves a unit's output behind the norm that reads it, where there is one."""
    for block in observed:
        output = block.outputs.get(unit.name)
        if output is None:
            continue
        for norm, entered, _left in block.norms:
            if torch.equal(entered, output):
                return replace(unit, writer=norm)
    return unit


def _observe(model: Any, blocks: list[nn.Module], units: list[Unit]) -> list[_Block]:
    """Runs a few tokens and keeps what each block, its norms and its units read and wrote."""
    observed = [_Block(block, [], [], {}) for block in blocks]
    handles = []
    for block in observed:
        inner = {id(module) for module in block.module.modules()}
        norms = {id(child) for child in block.module.children() if not _projections(child)}
        for child in (block.module, *block.module.children()):
            if child is block.module or id(child) in norms:
                handles.append(
                    child.register_forward_hook(
                        partial(_keep_streams, block, units[0].width), with_kwargs=True
                    )
                )
        for unit in units:
            if id(unit.writer) in inner:
                handles.append(unit.writer.register_forward_hook(partial(_keep_output, block, unit)))
    try:
        tokens = torch.arange(_PROBE_TOKENS, device=next(model.parameters()).device)[None]
        with torch.no_grad():
            model(input_ids=tokens, attention_mask=torch.ones_like(tokens), use_cache=False)
    finally:
        for handle in handles:
            handle.remove()
    return observed


def _keep_streams(  # noqa: PLR0917  # torch calls hooks by position
    block: _Block, width: int, module: nn.Module, arguments: Any, keywords: dict[str, Any], output: Any
) -> None:
    """Hook of blocks and norms."""
    left = output_of(output)
    given = [
        value
        for value in (*arguments, *keywords.values())
        if torch.is_tensor(value) and value.is_floating_point()
    ]
    read = [_flat(value, width) for value in given if value.shape[-1] == width]
    if not read or left.shape[-1] != width:
        return
    block.streams += [read[0], _flat(left, width)]
    if module is not block.module:
        block.norms.append((module, read[0], _flat(left, width)))


def _keep_output(block: _Block, unit: Unit, _module: nn.Module, _arguments: Any, output: Any) -> None:
    """Hook of writers."""
    block.outputs[unit.name] = _flat(output_of(output), unit.width)


def _flat(values: Tensor, width: int) -> Tensor:
    return values.detach().reshape(-1, width).double()


def _is_difference(added: Any, streams: list[Tensor]) -> bool:
    scale = float(added.abs().max())
    return any(
        float((after - before - added).abs().max()) <= _TOLERANCE * max(scale, float(after.abs().max()))
        for before in streams
        for after in streams
        if after is not before and after.shape == added.shape == before.shape
    )


def _children(block: nn.Module) -> str:
    return ", ".join(f"{name} ({type(child).__name__})" for name, child in block.named_children())
