"""Kronfluence's EK-FAC on texts and units of ours; importing this needs kronfluence.

It is told of the same units, loss (−log p summed over response tokens) and damping (None is 0.1 × the mean eigenvalue). It changes the
model that it is given, and rereads everything that it writes, so it gets a deep copy and a folder of its own.
"""

import copy
from collections.abc import Sequence
from typing import Any

import torch
from kronfluence.analyzer import Analyzer, prepare_model
from kronfluence.arguments import FactorArguments, ScoreArguments
from kronfluence.task import Task
from kronfluence.utils.dataset import DataLoaderKwargs
from torch import Tensor

from lancet_core.lab.performance.alone import timed_stage
from lancet_core.models.encoding import Encoded, pack
from lancet_core.models.units import Unit


class ResponseTask(Task):  # type: ignore[misc]  # kronfluence is no dependency, mypy does not follow it
    """−log p of the response, summed over its tokens."""

    def __init__(self, units: Sequence[Unit]) -> None:
        """Names the units."""
        self.units = [unit.name for unit in units]

    def compute_train_loss(self, batch: dict[str, Tensor], model: Any, sample: bool = False) -> Tensor:
        """Sums −log p of the response tokens, or of tokens that the model draws."""
        logits = model(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"]).logits
        logits = logits[:, :-1][batch["response_mask"][:, 1:]]
        targets = batch["input_ids"][:, 1:][batch["response_mask"][:, 1:]]
        if sample:
            with torch.no_grad():
                targets = torch.multinomial(logits.softmax(dim=1), 1).squeeze(1)
        return torch.nn.functional.cross_entropy(logits, targets, reduction="sum")

    def compute_measurement(self, batch: dict[str, Tensor], model: Any) -> Tensor:
        """Takes the loss itself."""
        return self.compute_train_loss(batch, model)

    def get_influence_tracked_modules(self) -> list[str]:
        """Names the units that are tracked."""
        return self.units

    def get_attention_mask(self, batch: dict[str, Tensor]) -> Tensor:
        """Gives the plain mask of 0 and 1."""
        return batch["attention_mask"]


def attribute(
    tracked: tuple[Any, Sequence[Unit]],
    samples: Sequence[Encoded],
    queries: Sequence[Encoded],
    *,
    folder: str,
    batch_size: int,
    empirical: bool,
) -> Tensor:
    """Runs full-rank EK-FAC in the precision of the model, one pass over the samples for all queries, and says the stages.

    Args:
        tracked: A model and its units.
        samples: Training samples.
        queries: Queries.
        folder: Where it may write.
        batch_size: Samples at once.
        empirical: Whether labels are those of the data, else drawn from the model.

    Returns:
        Scores, shape (queries, samples).
    """
    model, units = tracked
    task, kind = ResponseTask(units), next(model.parameters()).dtype
    prepared, on_cpu = prepare_model(copy.deepcopy(model), task), model.device.type == "cpu"
    analyzer = Analyzer("peer", prepared, task, cpu=on_cpu, output_dir=folder, disable_tqdm=True)
    analyzer.set_dataloader_kwargs(DataLoaderKwargs(num_workers=0))
    fitting = FactorArguments(
        strategy="ekfac",
        use_empirical_fisher=empirical,
        activation_covariance_dtype=kind,
        gradient_covariance_dtype=kind,
        per_sample_gradient_dtype=kind,
        lambda_dtype=kind,
    )
    precise = {"per_sample_gradient_dtype": kind, "precondition_dtype": kind, "score_dtype": kind}
    fit = {"factors_name": "ekfac", "factor_args": fitting, "overwrite_output_dir": True}
    train = padded(samples)
    data = {**fit, "dataset": train, "per_device_batch_size": batch_size}
    timed_stage("factors", lambda: analyzer.fit_covariance_matrices(**data))
    timed_stage("eigendecomposition", lambda: analyzer.perform_eigendecomposition(**fit))
    timed_stage("corrected eigenvalues", lambda: analyzer.fit_lambda_matrices(**data))
    timed_stage(
        "queries and scores",
        lambda: analyzer.compute_pairwise_scores(
            scores_name="scores",
            factors_name="ekfac",
            query_dataset=padded(queries),
            train_dataset=train,
            per_device_query_batch_size=len(queries),
            per_device_train_batch_size=batch_size,
            score_args=ScoreArguments(damping_factor=None, **precise),
            overwrite_output_dir=True,
        ),
    )
    scores: Tensor = analyzer.load_pairwise_scores("scores")["all_modules"]
    return scores


def padded(encoded: Sequence[Encoded]) -> list[dict[str, Tensor]]:
    """Gives rows of one length, in the order given; the attention mask is the plain one of 0 and 1."""
    (batch,) = pack(encoded, 10**9)
    parts = zip(batch.indices, batch.input_ids, batch.attention_mask, batch.response_mask, strict=True)
    rows = {
        place: {"input_ids": ids, "attention_mask": real.long(), "response_mask": response}
        for place, ids, real, response in parts
    }
    return [rows[place] for place in range(len(encoded))]
