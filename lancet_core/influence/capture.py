"""What each unit reads and how the objective depends on what it writes: a and δ, by a backward pass over activations only."""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from lancet_core.models.encoding import Batch, Encoded
from lancet_core.models.likelihood import (
    full_precision,
    label_log_likelihoods,
    response_logits,
    response_targets,
)
from lancet_core.models.unit_layout import output_of
from lancet_core.models.units import Unit, input_of

Labels = Callable[[Batch, Tensor], Tensor]
"""Chooses, from a batch and the logits of its response tokens, the label of each of them."""


@dataclass(frozen=True)
class UnitGradients:
    """One unit on one batch, in the precision of the model.

    Attributes:
        unit: Name of the unit.
        a: Its input, shape (rows, positions, M), 0 at padding; with a last column of 1 where the unit has a bias. Of the output
            head positions are the counted tokens of a row, one after the other: a and δ stand at the token that is predicted.
        delta: Gradient of log p(labels) with respect to its output, shape (rows, positions, P), 0 at padding.
        mask: Where it acts, shape (rows, positions): at real tokens.
        places: None, or of the output head the places in the text of its positions, shape (rows, positions), -1 at padding.
    """

    unit: str
    a: Tensor
    delta: Tensor
    mask: Tensor
    places: Tensor | None = None


def data_labels(batch: Batch, _logits: Tensor) -> Tensor:
    """The response's own tokens: gradients of samples and queries, and of the empirical Fisher."""
    return response_targets(batch)


def sampled_labels(encoded: Sequence[Encoded], seed: int) -> Labels:
    """Labels drawn from the model at each response position of the data: pseudo-gradients of the Fisher matrix.

    The draw depends on the seed and the sample's tokens alone, so that neither batches nor shards change it.

    Args:
        encoded: The texts that batches point to.
        seed: Seed of the draws.
    """

    def draw(batch: Batch, logits: Tensor) -> Tensor:
        uniforms = [_uniforms(encoded[index], seed) for index in batch.indices]
        levels = torch.from_numpy(np.concatenate(uniforms)).to(logits.device, logits.dtype)
        below = logits.softmax(dim=1).cumsum(dim=1) < levels[:, None]
        return below.sum(dim=1).clamp(max=logits.shape[1] - 1)

    return draw


def unit_gradients(
    model: Any, units: Sequence[Unit], batch: Batch, labels: Labels = data_labels
) -> list[UnitGradients]:
    """Runs one batch forward and backward and takes a and δ of each unit.

    Parameters must not require gradients (`frozen`): then the backward pass costs 2 · parameters · tokens, as much as the
    forward pass, because no weight gradient is formed. It ends at the output of the lowest unit.

    Args:
        model: Causal language model in evaluation mode.
        units: Units of the model.
        batch: Texts on the model's device, padded on either side.
        labels: Whose log-probability is differentiated.

    Returns:
        One record for each unit, in the order of `units`.
    """
    inputs: dict[str, Tensor] = {}
    outputs: dict[str, Tensor] = {}
    with torch.enable_grad(), ExitStack() as hooks:
        for unit in units:
            hooks.enter_context(_hooked(unit, inputs, outputs))
        logits = full_precision(response_logits(model, batch))
        total = label_log_likelihoods(logits, labels(batch, logits.detach())).sum()
        deltas = torch.autograd.grad(total, [outputs[unit.name] for unit in units])
    return [
        _laid_out(unit, inputs[unit.name], delta, batch) for unit, delta in zip(units, deltas, strict=True)
    ]


def finite_rows(captured: Sequence[UnitGradients]) -> Tensor:
    """Marks the rows of a batch whose activations and gradients are finite in every unit, shape (rows,)."""
    sums = [full_precision(values).sum(dim=(1, 2)) for each in captured for values in (each.a, each.delta)]
    return torch.isfinite(torch.stack(sums)).all(dim=0)


def only_rows(captured: UnitGradients, rows: Tensor) -> UnitGradients:
    """One unit on some rows of a batch, given by a mask of shape (rows,)."""
    places = None if captured.places is None else captured.places[rows]
    return UnitGradients(captured.unit, captured.a[rows], captured.delta[rows], captured.mask[rows], places)


def explain_broken(model: Any, units: Sequence[Unit], batch: Batch) -> str:
    """Says what of one text is not finite, and in which unit first; empty where all is finite.

    Args:
        model: Causal language model in evaluation mode, its parameters frozen.
        units: Units of the model.
        batch: The text, on the model's device.
    """
    for captured in unit_gradients(model, units, batch):
        for what, values in (("activations", captured.a), ("gradients", captured.delta)):
            if not bool(torch.isfinite(values).all()):
                return f"its {what} in unit {captured.unit} are not finite"
    return ""


@contextmanager
def frozen(model: nn.Module) -> Iterator[None]:
    """Takes gradients off all parameters, and gives them back at the end."""
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    for parameter in trained:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in trained:
            parameter.requires_grad_(True)


@contextmanager
def _hooked(unit: Unit, inputs: dict[str, Tensor], outputs: dict[str, Tensor]) -> Iterator[None]:
    handles = (
        unit.reader.register_forward_pre_hook(partial(_keep_input, unit, inputs), with_kwargs=True),
        unit.writer.register_forward_hook(partial(_keep_output, unit, outputs)),
    )
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _keep_input(  # torch calls hooks by position
    unit: Unit, inputs: dict[str, Tensor], _module: nn.Module, arguments: Any, keywords: dict[str, Any]
) -> None:
    inputs[unit.name] = input_of(arguments, keywords, unit.inputs).detach()


def _keep_output(  # torch calls hooks by position
    unit: Unit, outputs: dict[str, Tensor], _module: nn.Module, _arguments: Any, output: Any
) -> Any:
    """Keeps a unit's output; where nothing below it requires a gradient, the graph begins here.

    Of a block's unit a copy is handed on: some blocks add to what they are given in place (Falcon).
    """
    value = output_of(output)
    if not value.requires_grad:
        value = value.detach().requires_grad_(True)
    outputs[unit.name] = value
    handed = value if unit.is_head else value.clone()
    return (handed, *output[1:]) if isinstance(output, tuple) else handed


def _laid_out(unit: Unit, read: Tensor, delta: Tensor, batch: Batch) -> UnitGradients:
    """Shapes a and δ to (rows, positions, …), 0 where the unit does not act, with the constant of its bias."""
    if unit.is_head:
        mask, places = batch.counted >= 0, batch.counted
        a, delta = (_by_row(values, batch) for values in (read, delta))
    else:
        mask, places = batch.attention_mask, None
        a, delta = (_without(values, batch.padding, mask) for values in (read, delta))
    a = torch.cat([a, mask[:, :, None].to(a.dtype)], dim=2) if unit.bias else a
    return UnitGradients(unit.name, a, delta, mask, places)


def _without(values: Tensor, places: Tensor, mask: Tensor) -> Tensor:
    """Values as (rows, positions, …) with 0 at some places; some modules flatten rows and positions.

    In place, which takes no time where little is padded: nobody reads them after the backward pass.
    """
    return values.reshape(mask.numel(), -1).index_fill_(0, places, 0.0).reshape(*mask.shape, -1)


def _by_row(values: Tensor, batch: Batch) -> Tensor:
    """What the head read or wrote at the response tokens of a batch, as (rows, most of a row, …), 0 where a row has fewer."""
    values = values.flatten(0, -2)
    if len(values) < batch.counted.numel():
        values = values.new_zeros(batch.counted.numel(), values.shape[1]).index_copy_(0, batch.slots, values)
    return values.view(*batch.counted.shape, -1)


def _uniforms(text: Encoded, seed: int) -> np.ndarray[Any, np.dtype[np.float64]]:
    content = hashlib.sha256(
        np.asarray([seed, text.response_start, *text.input_ids], dtype=np.int64).tobytes()
    )
    generator = np.random.default_rng(int.from_bytes(content.digest()[:8], "little"))
    return generator.random(text.count)
