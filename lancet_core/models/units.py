"""Units: the parts of a network that influence treats as one linear map, found from its modules, never from its name."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby, takewhile
from typing import Any

from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D

from lancet_core.errors import ConfigError, ModelError
from lancet_core.models.adapter_layers import adapter_modules, copies, trained_whole
from lancet_core.models.loading import LanguageModel
from lancet_core.models.unit_layout import (
    PROBE_POSITIONS,
    Part,
    Probe,
    describe_children,
    find_blocks,
    hidden_size,
    parts_of,
    run_probe,
    tensor_of_width,
    with_writers,
)

HEAD = "head"


@dataclass(frozen=True)
class Unit:
    """A part of the network treated as one linear map: a sublayer taken whole, or a linear layer.

    Attributes:
        name: Path in the module tree.
        reader: Module whose input is the unit's input a. Of a sublayer: what enters its first projections, after the norm.
        writer: Module whose output is the unit's output s. Of a sublayer: what it adds to the residual stream.
        inputs: Size M of a, without the constant of a bias.
        outputs: Size P of s.
        kind: `attention` or `mlp`: what the unit is, or what it stands in; `head` is the output head.
        block: Number of the block that it stands in, from 0; of merged MLPs the last, as of the head.
        bias: Whether a constant input of 1 belongs to a (linear layers with a bias).
        covers: Modules whose parameters it stands for; where empty, reader and writer.
    """

    name: str
    reader: nn.Module
    writer: nn.Module
    inputs: int
    outputs: int
    kind: str
    block: int
    bias: bool = False
    covers: tuple[nn.Module, ...] = field(default=(), compare=False, repr=False)

    @property
    def is_head(self) -> bool:
        """Whether it is the output head: it acts where a response token is predicted, and writes logits."""
        return self.kind == HEAD


@dataclass(frozen=True)
class UnitModel:
    """A language model with its units.

    Attributes:
        lm: The model.
        units: Its units, in the order in which they stand.
    """

    lm: LanguageModel
    units: tuple[Unit, ...]


def find_sublayers(model: Any) -> list[Unit]:
    """Finds the attention and MLP sublayers of a decoder, in the order in which they run.

    Blocks are the children of the module list that holds most parameters. A child of a block that holds projections
    (matrices) is one sublayer; projections that stand in the block itself (OPT) make one sublayer together. A short forward pass
    then finds in each the module whose output is added to the residual stream, so that an unknown layout is refused and not
    misread. A sublayer is attention where its output at a position depends on its input at others, else an MLP.

    Args:
        model: Causal language model of transformers, LoRA of PEFT around it or not, in any mode and precision.

    Returns:
        The units, names unique.

    Raises:
        ModelError: The layout is not understood; the modules found are named.
    """
    path, blocks = find_blocks(model)
    parts = parts_of(path, blocks)
    probe = run_probe(model, blocks, parts)
    width = hidden_size(model)
    units = []
    for number, block in enumerate(blocks):
        settled, unread = with_writers(block, [part for part in parts if part.block == number], probe)
        if unread:
            raise ModelError(
                f"the layout of this model is not understood: what {unread[0]} writes is not added to the residual stream; "
                f"modules found in {path}.{number}: {describe_children(block)}; "
                "give a decoder such as Llama, OPT, GPT-2, GPT-NeoX or Qwen2"
            )
        units += [
            Unit(
                name=part.name,
                reader=part.reader,
                writer=part.writer,
                inputs=width,
                outputs=width,
                kind=_kind(part, probe),
                block=number,
                covers=part.modules,
            )
            for part in settled
        ]
    return units


def find_linears(model: Any) -> list[Unit]:
    """Finds the linear layers in the blocks of a decoder, in the order in which they stand.

    A layer counts if the probing pass calls it once, on every position: experts that see some tokens do not. Where LoRA stands
    around the model, its two factors count and the layers that they adapt do not, for these do not learn.

    Args:
        model: Causal language model of transformers, LoRA of PEFT around it or not, in any mode and precision.

    Returns:
        The units, names unique.

    Raises:
        ModelError: There is no such layer.
    """
    path, blocks = find_blocks(model)
    parts = parts_of(path, blocks)
    probe = run_probe(model, blocks, parts)
    names = {module: name for name, module in model.named_modules()}
    candidates = adapter_modules(model) or set(names)
    units = [
        _linear_unit(names[module], module, part, probe)
        for part in parts
        for whole in part.modules
        for module in whole.modules()
        if module in candidates and _is_linear(module) and _sees_each_position(module, probe)
    ]
    if not units:
        raise ModelError(
            f"no linear layer in {path} sees every token once; modules found in {path}.0: {describe_children(blocks[0])}; "
            "take sublayers as units"
        )
    return units


def find_head(model: Any) -> list[Unit]:
    """Finds the output head, the linear map from hidden states to logits.

    Args:
        model: Causal language model of transformers, LoRA of PEFT around it or not.

    Returns:
        The unit; none where an adapter stands around the model that did not train the head whole: the head itself does not learn then.

    Raises:
        ModelError: The model has no linear output head.
    """
    head = model.get_output_embeddings()
    if adapter_modules(model):
        whole = [copy for wrapper in trained_whole(model) if wrapper is head for copy in copies(wrapper)]
        if not whole:
            return []
        (head,) = whole
    if not isinstance(head, nn.Linear):
        raise ModelError(
            f"the output head of this model is no linear layer ({type(head).__name__}); leave it out (head)"
        )
    _path, blocks = find_blocks(model)
    return [
        Unit(
            name=next(name for name, module in model.named_modules() if module is head),
            reader=head,
            writer=head,
            inputs=head.in_features,
            outputs=head.out_features,
            kind=HEAD,
            block=len(blocks) - 1,
            bias=head.bias is not None,
            covers=(head,),
        )
    ]


def select_units(
    units: Sequence[Unit], *, tracked: str = "all", last_blocks: int = 0, merge_blocks: int = 1
) -> list[Unit]:
    """Keeps the units that count, and merges MLP sublayers.

    Args:
        units: Units of one model, in the order in which they stand.
        tracked: `all`, `attention`, `mlp` or `head`.
        last_blocks: Only units of that many last blocks; 0 takes all.
        merge_blocks: So many consecutive MLP sublayers become one unit, with the first one's input; its output is their sum,
            on which log p depends as it does on what the last one writes (paper, section 4.4). The last unit may hold fewer.

    Returns:
        The units, a merged one in the place of its last sublayer.

    Raises:
        ConfigError: No unit is left, or there is no MLP sublayer to merge.
    """
    first = max((unit.block for unit in units), default=0) + 1 - last_blocks if last_blocks else 0
    selected = [unit for unit in units if unit.block >= first and tracked in ("all", unit.kind)]
    if not selected:
        raise ConfigError(
            f"no unit is left of {len(units)}: tracked = {tracked}, last_blocks = {last_blocks}; "
            "track all, attention, mlp or head, in blocks that have them (last_blocks = 0 takes every block)"
        )
    if merge_blocks == 1:
        return selected
    if any(_is_linear(unit.reader) and unit.reader is unit.writer and not unit.is_head for unit in selected):
        raise ConfigError(
            f"merge_blocks = {merge_blocks} merges MLP sublayers, but these units are linear layers; "
            "set merge_blocks = 1, or take sublayers as units"
        )
    return _merged(selected, merge_blocks)


def input_of(arguments: tuple[Any, ...], keywords: dict[str, Any], width: int) -> Tensor:
    """Takes a module's input of a width from the arguments of its call.

    Raises:
        ModelError: There is none.
    """
    value = tensor_of_width(arguments, keywords, width)
    if value is None:
        raise ModelError(
            f"a unit was called without an input of its width {width}; its layout is not understood"
        )
    return value


def _kind(part: Part, probe: Probe) -> str:
    return "attention" if part.name in probe.mixing else "mlp"


def _linear_unit(name: str, module: Any, part: Part, probe: Probe) -> Unit:
    inputs, outputs = module.weight.shape if isinstance(module, Conv1D) else module.weight.shape[::-1]
    return Unit(
        name=name,
        reader=module,
        writer=module,
        inputs=int(inputs),
        outputs=int(outputs),
        kind=_kind(part, probe),
        block=part.block,
        bias=module.bias is not None,
        covers=(module,),
    )


def covered_by(unit: Unit) -> tuple[nn.Module, ...]:
    """Modules whose parameters a unit stands for."""
    return unit.covers or (unit.reader, unit.writer)


def _is_linear(module: nn.Module) -> bool:
    return isinstance(module, (nn.Linear, Conv1D))


def _sees_each_position(module: nn.Module, probe: Probe) -> bool:
    call = probe.only_call(module)
    if call is None or not call.arguments:
        return False
    read = call.arguments[0]
    return bool(read.numel() == PROBE_POSITIONS * read.shape[-1])


def _merged(units: Sequence[Unit], size: int) -> list[Unit]:
    mlps = [unit for unit in units if unit.kind == "mlp"]
    if not mlps:
        raise ConfigError(
            f"merge_blocks = {size} merges MLP sublayers, but none is tracked; set merge_blocks = 1, or track mlp"
        )
    runs = [list(run) for _, run in groupby(mlps, key=lambda unit: (unit.block - mlps[0].block) // size)]
    ends = {run[-1].name: run for run in runs}
    return [
        _joined(ends[unit.name]) if unit.name in ends else unit
        for unit in units
        if unit.kind != "mlp" or unit.name in ends
    ]


def _joined(run: Sequence[Unit]) -> Unit:
    first, last = run[0], run[-1]
    if first is last:
        return last
    steps = zip(first.name.split("."), last.name.split("."), strict=False)
    common = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], steps))
    short = ".".join(last.name.split(".")[common:])
    covers = tuple(module for unit in run for module in covered_by(unit))
    return replace(last, name=f"{first.name}+{short}", reader=first.reader, covers=covers)
