"""How a decoder is laid out: its blocks, their parts, and what each read and wrote in a probing pass; nothing is asked of names."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import combinations
from typing import Any

import torch
from torch import Tensor, nn

from lancet_core.errors import ModelError

_PROBE_ROWS, _PROBE_TOKENS = 2, 6
PROBE_POSITIONS = _PROBE_ROWS * _PROBE_TOKENS
# A sum of three terms is rounded twice and a constant factor once more, each by half a unit in the last place.
_ROUNDINGS = 4
_FINEST = 1e-10
# What the last position may change by, relative to its largest value, when all others change: experts sum in another order.
_MIXING_ROUNDINGS, _MIXING_CEILING = 1000, 0.03
# A power of two, which is exact; large, because biases may outweigh an input.
_CHANGE = -8.0


@dataclass(frozen=True)
class Part:
    """A part of a block that holds projections: a child taken whole, or the projections that stand in the block itself.

    Attributes:
        name: Path in the module tree.
        reader: Module whose input is the part's input.
        writer: Module whose output is added to the residual stream, as far as is known.
        block: Number of the block, from 0.
        modules: All that belongs to it.
    """

    name: str
    reader: nn.Module
    writer: nn.Module
    block: int
    modules: tuple[nn.Module, ...]


@dataclass(frozen=True)
class Call:
    """One call of a module in the probing pass.

    Attributes:
        arguments: What it was called with, by position.
        keywords: What it was called with, by name.
        entered: Its input of the hidden size, shape (positions, width) in float64 on the CPU; None where there is none.
        left: Its output of the hidden size, likewise.
    """

    arguments: tuple[Any, ...]
    keywords: dict[str, Any]
    entered: Tensor | None
    left: Tensor | None


@dataclass
class Probe:
    """What the modules of all blocks read and wrote on a few tokens.

    Attributes:
        calls: The calls of each module, in the order in which modules first returned.
        mixing: Parts whose output at one position depends on their input at others: attention, or what stands for it.
        rounding: Relative error that each sum of two streams may carry, from the coarsest type of the parameters.
    """

    calls: dict[nn.Module, list[Call]] = field(default_factory=dict)
    mixing: set[str] = field(default_factory=set)
    rounding: float = _FINEST

    def only_call(self, module: nn.Module) -> Call | None:
        """The call of a module that was called exactly once."""
        calls = self.calls.get(module, [])
        return calls[0] if len(calls) == 1 else None

    def left_by(self, module: nn.Module) -> Tensor | None:
        """What a module that was called exactly once wrote, where it is of the hidden size."""
        call = self.only_call(module)
        return call.left if call else None


def tensor_of_width(arguments: tuple[Any, ...], keywords: dict[str, Any], width: int) -> Tensor | None:
    """The first floating-point tensor of a width among the arguments of a call."""
    for value in (*arguments, *keywords.values()):
        if torch.is_tensor(value) and value.is_floating_point() and value.dim() and value.shape[-1] == width:
            return value
    return None


def output_of(output: Any) -> Tensor:
    """Takes a module's output, the first where it gives several."""
    first: Tensor = output[0] if isinstance(output, tuple) else output
    return first


def find_blocks(model: Any) -> tuple[str, list[nn.Module]]:
    """Finds the blocks of a network: the children of the module list that holds most parameters.

    Returns:
        The list's path, and the blocks in order.

    Raises:
        ModelError: No module list holds projections; the modules found are named.
    """
    lists = [
        (name, module)
        for name, module in model.named_modules()
        if isinstance(module, nn.ModuleList) and any(_projections(child) for child in module)
    ]
    if not lists:
        classes = ", ".join(sorted({type(module).__name__ for module in model.modules()}))
        raise ModelError(
            f"{type(model).__name__} has no list of blocks with projections, so its sublayers cannot be found; modules found: "
            f"{classes}; give a decoder such as Llama, OPT, GPT-2, GPT-NeoX or Qwen2"
        )
    path, blocks = max(lists, key=lambda item: sum(parameter.numel() for parameter in item[1].parameters()))
    return path, list(blocks)


def parts_of(path: str, blocks: Sequence[nn.Module]) -> list[Part]:
    """Lists the parts of all blocks, in the order of their modules; projections that stand loose in a block are one part."""
    parts = []
    for number, block in enumerate(blocks):
        loose: list[tuple[str, nn.Module]] = []
        for name, child in block.named_children():
            if _is_projection(child) and (hasattr(child, "base_layer") or len(_projections(child)) == 1):
                loose.append((name, child))
            elif _projections(child):
                parts.append(Part(f"{path}.{number}.{name}", child, child, number, (child,)))
        if loose:
            names, modules = zip(*loose, strict=True)
            name = f"{path}.{number}.{'+'.join(dict.fromkeys((names[0], names[-1])))}"
            parts.append(Part(name, modules[0], modules[-1], number, modules))
    return parts


def run_probe(model: Any, blocks: Sequence[nn.Module], parts: Sequence[Part]) -> Probe:
    """Runs a few tokens and keeps what the modules of all blocks read and wrote. The model stays as it is.

    Args:
        model: Causal language model of transformers.
        blocks: Its blocks.
        parts: Their parts; of those that are one module it is tried whether they mix positions.
    """
    width = hidden_size(model)
    probe = Probe(rounding=_rounding(model))
    hooked = {inner for block in blocks for inner in block.modules()}
    device = model.get_input_embeddings().weight.device
    tokens = torch.arange(PROBE_POSITIONS, device=device).reshape(_PROBE_ROWS, _PROBE_TOKENS)
    with _at_rest(model, device):
        with _recording(probe, hooked, width):
            model(input_ids=tokens, attention_mask=torch.ones_like(tokens), use_cache=False)
        probe.mixing |= {part.name for part in parts if _mixes_positions(part, probe, width)}
    return probe


def hidden_size(model: Any) -> int:
    """Width of the residual stream."""
    return int(model.config.get_text_config().hidden_size)


def with_writers(block: nn.Module, parts: Sequence[Part], probe: Probe) -> tuple[list[Part], list[str]]:
    """Finds the module of each part of a block whose output is added to the residual stream.

    It is the part itself (or, of loose projections, the last), alone or in sum with another where both run side by side; else
    the norm that reads its output (Gemma 2, OLMo 2); else the last projection inside (BLOOM, which adds the stream itself).
    Only where none of these is added as it is, constant factors are allowed (Granite).

    Returns:
        The parts with their writers in the order in which they ran, and the names of those of which none was found.
    """
    streams, norms = _streams(block, probe)
    writers: dict[str, nn.Module] = {}
    for fit in (_as_they_are, _scaled):
        added = partial(_is_difference, streams=streams, rounding=probe.rounding, fit=fit)
        remaining = [part for part in parts if part.name not in writers]
        writers |= {part.name: part.writer for part in _added(remaining, probe, added)}
        for part in [part for part in remaining if part.name not in writers]:
            candidates = _other_writers(part, norms, probe)
            writer = next((module for module, output in candidates if added([output])), None)
            if writer is not None:
                writers[part.name] = writer
    order = {module: place for place, module in enumerate(probe.calls)}
    settled = [
        replace(
            part,
            writer=writers[part.name],
            modules=tuple(dict.fromkeys((*part.modules, writers[part.name]))),
        )
        for part in parts
        if part.name in writers
    ]
    unread = [part.name for part in parts if part.name not in writers]
    return sorted(settled, key=lambda part: order[part.writer]), unread


def describe_children(block: nn.Module) -> str:
    """The children of a block with their classes, for messages."""
    return ", ".join(f"{name} ({type(child).__name__})" for name, child in block.named_children())


def _projections(module: nn.Module) -> list[nn.Module]:
    return [inner for inner in module.modules() if _is_projection(inner)]


def _is_projection(module: nn.Module) -> bool:
    """Whether a module is a matrix (linear layer, Conv1D, adapted layer, stacked experts) and no table of embeddings."""
    if isinstance(module, nn.Embedding):
        return False
    return any(parameter.dim() >= 2 for parameter in module.parameters(recurse=False)) or hasattr(
        module, "base_layer"
    )


def _rounding(model: Any) -> float:
    steps = [
        torch.finfo(parameter.dtype).eps
        for parameter in model.parameters()
        if parameter.dtype.is_floating_point and parameter.dtype.itemsize > 1
    ]
    return max(_FINEST, *steps)


@contextmanager
def _at_rest(model: nn.Module, device: torch.device) -> Iterator[None]:
    """Without dropout and gradients; training modes and random numbers are as before at the end."""
    training = [module for module in model.modules() if module.training]
    with torch.no_grad(), torch.random.fork_rng([device] if device.type == "cuda" else []):
        model.eval()
        try:
            yield
        finally:
            for module in training:
                module.training = True


@contextmanager
def _recording(probe: Probe, modules: Iterable[nn.Module], width: int) -> Iterator[None]:
    hook = partial(_keep_call, probe, width)
    handles = [module.register_forward_hook(hook, with_kwargs=True) for module in modules]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _keep_call(  # noqa: PLR0917  # torch calls hooks by position
    probe: Probe, width: int, module: nn.Module, arguments: Any, keywords: dict[str, Any], output: Any
) -> None:
    entered = tensor_of_width(arguments, keywords, width)
    left = tensor_of_width((output_of(output),), {}, width)
    call = Call(
        arguments,
        keywords,
        None if entered is None else _flat(entered, width),
        None if left is None else _flat(left, width),
    )
    probe.calls.setdefault(module, []).append(call)


def _flat(values: Tensor, width: int) -> Tensor:
    """A copy: Falcon adds to what its MLP wrote in place."""
    return values.detach().reshape(-1, width).to("cpu", torch.float64, copy=True)


def _mixes_positions(part: Part, probe: Probe, width: int) -> bool:
    """Calls a part again with all positions changed but the last, and sees whether anything in it changes there.

    What it writes itself is not enough to look at: in BLOOM that is the stream, in which the change may be lost.
    """
    call = probe.only_call(part.reader)
    entered = tensor_of_width(call.arguments, call.keywords, width) if call else None
    if call is None or entered is None or part.reader is not part.writer:
        return False
    changed = _CHANGE * entered.reshape(-1, width)
    changed[-1] /= _CHANGE
    changed = changed.reshape(entered.shape)
    again = Probe(rounding=probe.rounding)
    with _recording(again, part.reader.modules(), width):
        part.reader(
            *(changed if value is entered else value for value in call.arguments),
            **{name: changed if value is entered else value for name, value in call.keywords.items()},
        )
    pairs = ((probe.left_by(module), again.left_by(module)) for module in again.calls)
    return any(_changes_at_the_end(before, after, probe.rounding) for before, after in pairs)


def _changes_at_the_end(before: Tensor | None, after: Tensor | None, rounding: float) -> bool:
    """Whether two outputs differ at the last position; experts that see some tokens have no such position."""
    if before is None or after is None or not len(before) == len(after) == PROBE_POSITIONS:
        return False
    bound = min(_MIXING_CEILING, _MIXING_ROUNDINGS * rounding) * before[-1].abs().max()
    return bool((after[-1] - before[-1]).abs().max() > bound)


def _streams(block: nn.Module, probe: Probe) -> tuple[list[Tensor], list[tuple[nn.Module, Tensor]]]:
    """What entered and left a block, in time, and its children without projections with what entered them.

    Of its sublayers only what entered counts (the stream itself in OLMo 2), for what they write is in question.
    """
    whole = probe.only_call(block)
    if whole is None or whole.entered is None or whole.left is None:
        return [], []
    streams, norms = [whole.entered], []
    children = {child: bool(_projections(child)) for child in block.children()}
    for module in [module for module in probe.calls if module in children]:
        for call in probe.calls[module]:
            if call.entered is not None and call.left is not None:
                streams += [call.entered] if children[module] else [call.entered, call.left]
                norms += [] if children[module] else [(module, call.entered)]
    return [*streams, whole.left], norms


def _added(parts: Sequence[Part], probe: Probe, added: Callable[[list[Tensor]], bool]) -> list[Part]:
    """The parts whose outputs, alone or two together, are added to the stream."""
    outputs = [(part, output) for part in parts if (output := probe.left_by(part.writer)) is not None]
    settled: list[Part] = []
    for size in (1, 2):
        remaining = [(part, output) for part, output in outputs if part not in settled]
        for group in combinations(remaining, size):
            if not any(part in settled for part, _ in group) and added([output for _, output in group]):
                settled += [part for part, _ in group]
    return settled


def _other_writers(
    part: Part, norms: Sequence[tuple[nn.Module, Tensor]], probe: Probe
) -> list[tuple[nn.Module, Tensor]]:
    """Modules that may write for a part, with what they wrote: the norms that read its output, its projections from the last."""
    output = probe.left_by(part.writer)
    readers = [norm for norm, entered in norms if output is not None and torch.equal(entered, output)]
    inside = {inner for module in part.modules for inner in _projections(module)}
    last_first = [module for module in reversed(probe.calls) if module in inside]
    written = ((module, probe.left_by(module)) for module in (*readers, *last_first))
    return [(module, output) for module, output in written if output is not None]


def _as_they_are(columns: Tensor, _change: Tensor) -> tuple[Tensor, float]:
    """Factors of 1, which nothing puts off."""
    return torch.ones(1, columns.shape[1], dtype=columns.dtype), 0.0


def _scaled(columns: Tensor, change: Tensor) -> tuple[Tensor, float]:
    """Positive factors by least squares; negative ones would let in BLOOM's outputs, which are streams and differ by what is added.

    Returns:
        The factors, and how far rounding of the streams puts them off, relative to its size: its mean over so many values.
    """
    factors: Tensor = torch.linalg.lstsq(columns, change[:, None]).solution
    return factors.T.clamp(min=0.0), len(columns) ** -0.5


def _is_difference(
    outputs: Sequence[Tensor],
    *,
    streams: Sequence[Tensor],
    rounding: float,
    fit: Callable[[Tensor, Tensor], tuple[Tensor, float]],
) -> bool:
    """Whether outputs sum to a difference of two streams but for rounding, and none of them is lost in it.

    Args:
        outputs: What modules wrote, each of shape (positions, width).
        streams: States of the residual stream, the earlier first.
        rounding: Relative error of each sum.
        fit: Gives, from outputs as columns and the difference, the factor of each output, shape (1, outputs), and its error.
    """
    if not any(output.any() for output in outputs):
        return True
    columns = torch.stack([output.reshape(-1) for output in outputs], dim=1)
    for before, after in combinations(streams, 2):
        if before.shape != after.shape or after.numel() != len(columns):
            continue
        change = (after - before).reshape(-1)
        factors, error = fit(columns, change)
        terms = columns * factors
        size = after.abs().reshape(-1) + before.abs().reshape(-1) + terms.abs().sum(dim=1)
        off = error * size.norm() / terms.norm(dim=0).clamp(min=_FINEST)
        bound = _ROUNDINGS * rounding * (size + (terms.abs() * off).sum(dim=1))
        exact = bool(((change - terms.sum(dim=1)).abs() <= bound).all())
        if exact and bool((terms.abs() > bound[:, None]).any(dim=0).all()):
            return True
    return False
