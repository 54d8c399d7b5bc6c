"""Log-probabilities of responses."""

import inspect
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from lancet_core.models.encoding import Batch, Encoded, pack
from lancet_core.models.loading import LanguageModel
from lancet_core.models.needs import tokens_of_a_pass

TOKENS_AT_ONCE = 4096


def response_logits(model: Any, batch: Batch) -> Tensor:
    """Runs a model and takes the logits that predict response tokens, and computes no others: the vocabulary is wide.

    Args:
        model: Causal language model.
        batch: Texts padded on either side, on the model's device.

    Returns:
        Logits of shape (response tokens of the batch in reading order, vocabulary).
    """
    inputs: dict[str, Any] = {
        "input_ids": batch.input_ids,
        "attention_mask": batch.attention_mask.long(),
        "use_cache": False,
    }
    accepted = inspect.signature(type(_unwrapped(model)).forward).parameters
    if "position_ids" in accepted:
        inputs["position_ids"] = (batch.attention_mask.long().cumsum(dim=1) - 1).clamp(min=0)
    with head_at(model.get_output_embeddings(), batch.places):
        logits: Tensor = model(**inputs).logits
    # The backward pass of indexing with a tensor takes five times as long on a CPU.
    flat = logits.flatten(0, 1)
    return flat if len(flat) == len(batch.places) else flat.index_select(0, batch.places)


def response_targets(batch: Batch) -> Tensor:
    """Token ids that `response_logits` predicts, in the same order."""
    return batch.input_ids.flatten()[batch.places + 1]


@contextmanager
def head_at(head: Any, places: Tensor) -> Iterator[None]:
    """Lets the output head read some places of the flattened (rows, positions) alone; where there is none, nothing is changed.

    Models that take `logits_to_keep` compute whole columns, two in five of them for nothing where prompts differ in length.
    """
    if head is None:
        yield
        return

    def narrow(_module: Any, arguments: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        (hidden, *others) = arguments
        return (hidden.flatten(0, -2).index_select(0, places)[None], *others)

    handle = head.register_forward_pre_hook(narrow, prepend=True)
    try:
        yield
    finally:
        handle.remove()


def label_log_likelihoods(logits: Tensor, labels: Tensor) -> Tensor:
    """Computes the log-probability of each label, in float32 at least: (tokens,) of logits (tokens, vocabulary)."""
    return -functional.cross_entropy(full_precision(logits), labels, reduction="none")


def token_log_likelihoods(model: Any, batch: Batch) -> Tensor:
    """Computes the log-probability of each response token, differentiable in the model's parameters.

    Args:
        model: Causal language model.
        batch: Texts on the model's device.

    Returns:
        Shape (rows, positions): at a response token log p(token | everything before it), 0 elsewhere.
    """
    chosen = label_log_likelihoods(response_logits(model, batch), response_targets(batch))
    spread = torch.zeros(batch.input_ids.shape, dtype=chosen.dtype, device=chosen.device)
    predicted = batch.response_mask.clone()
    predicted[:, 0] = False
    return spread.masked_scatter(predicted, chosen)


def tokens_at_once(model: Any) -> int:
    """Tokens of one forward pass: fewer where the vocabulary is wide, so that logits do not take more memory than the model."""
    embedding = model.get_input_embeddings().weight
    if embedding.device.type != "cpu":
        return TOKENS_AT_ONCE
    return tokens_of_a_pass(len(embedding), TOKENS_AT_ONCE)


def full_precision(values: Tensor) -> Tensor:
    """Widens half precision to float32: sums over many tokens are taken of it."""
    return values if values.dtype in {torch.float32, torch.float64} else values.float()


def response_log_likelihoods(lm: LanguageModel, encoded: Sequence[Encoded]) -> list[float]:
    """Computes log p(response | prompt), summed over response tokens, in nats, in the order given."""
    totals = [0.0] * len(encoded)
    with torch.no_grad():
        for batch in pack(encoded, tokens_at_once(lm.model)):
            sums = token_log_likelihoods(lm.model, batch.to(lm.device)).sum(dim=1).tolist()
            for index, total in zip(batch.indices, sums, strict=True):
                totals[index] = total
    return totals


def _unwrapped(model: Any) -> Any:
    """The model inside an adapter, whose own signature hides what it accepts."""
    return model.get_base_model() if hasattr(model, "get_base_model") else model
