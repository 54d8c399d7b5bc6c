"""Kronfluence's EK-FAC on texts and units of ours; importing this needs kronfluence.

It is told of the same units, loss (−log p summed over response tokens) and damping (None is 0.1 × the mean eigenvalue). It changes the
model that it is given, and rereads everything that it writes, so it gets a deep copy and a folder of its own.
"""

import copy
import time
from dataclasses import dataclass

import torch
from kronfluence.analyzer import Analyzer, prepare_model
from kronfluence.arguments import FactorArguments, ScoreArguments
from kronfluence.task import Task
from kronfluence.utils.dataset import DataLoaderKwargs

from lancet_core.models.encoding import pack


class ResponseTask(Task):
    """−log p of the response, summed over its tokens."""

    def __init__(self, units):
        self.units = [unit.name for unit in units]

    def compute_train_loss(self, batch, model, sample=False):
        logits = model(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"]).logits
        logits = logits[:, :-1][batch["response_mask"][:, 1:]]
        targets = batch["input_ids"][:, 1:][batch["response_mask"][:, 1:]]
        if sample:
            with torch.no_grad():
                targets = torch.multinomial(logits.softmax(dim=1), 1).squeeze(1)
        return torch.nn.functional.cross_entropy(logits, targets, reduction="sum")

    def compute_measurement(self, batch, model):
        return self.compute_train_loss(batch, model)

    def get_influence_tracked_modules(self):
        return self.units

    def get_attention_mask(self, batch):
        return batch["attention_mask"]


@dataclass(frozen=True)
class Outcome:
    """What kronfluence gave: scores of shape (queries, samples), and seconds of each stage."""

    scores: torch.Tensor
    seconds: dict


def attribute(
    model, units, samples, queries, *, folder, batch_size, empirical, tell=lambda stage, seconds: None
):
    """Full-rank EK-FAC in the precision of the model, one pass over the samples for all queries.

    `tell` hears the name of each finished stage and its seconds.
    """
    task = ResponseTask(units)
    own = prepare_model(copy.deepcopy(model), task)
    kind = next(model.parameters()).dtype
    analyzer = Analyzer(
        "peer", own, task, cpu=model.device.type == "cpu", output_dir=str(folder), disable_tqdm=True
    )
    analyzer.set_dataloader_kwargs(DataLoaderKwargs(num_workers=0))
    fitting = FactorArguments(
        strategy="ekfac",
        use_empirical_fisher=empirical,
        activation_covariance_dtype=kind,
        gradient_covariance_dtype=kind,
        per_sample_gradient_dtype=kind,
        lambda_dtype=kind,
    )
    scoring = ScoreArguments(
        damping_factor=None,
        per_sample_gradient_dtype=kind,
        precondition_dtype=kind,
        score_dtype=kind,
    )
    train, asked = padded(samples), padded(queries)
    seconds = {}

    def stage(name, act):
        started = time.perf_counter()
        act()
        seconds[name] = time.perf_counter() - started
        tell(name, seconds[name])

    fit = {"factors_name": "ekfac", "factor_args": fitting, "overwrite_output_dir": True}
    data = {"dataset": train, "per_device_batch_size": batch_size}
    stage("factors", lambda: analyzer.fit_covariance_matrices(**fit, **data))
    stage("eigendecomposition", lambda: analyzer.perform_eigendecomposition(**fit))
    stage("eigenvalues", lambda: analyzer.fit_lambda_matrices(**fit, **data))
    stage(
        "queries and scores",
        lambda: analyzer.compute_pairwise_scores(
            scores_name="scores",
            factors_name="ekfac",
            query_dataset=asked,
            train_dataset=train,
            per_device_query_batch_size=len(queries),
            per_device_train_batch_size=batch_size,
            score_args=scoring,
            overwrite_output_dir=True,
        ),
    )
    return Outcome(analyzer.load_pairwise_scores("scores")["all_modules"], seconds)


def padded(encoded):
    """Rows of one length, in the order given; the attention mask is the plain one of 0 and 1."""
    (batch,) = pack(encoded, 10**9)
    rows = [
        {"input_ids": ids, "attention_mask": real.long(), "response_mask": response}
        for ids, real, response in zip(
            batch.input_ids, batch.attention_mask, batch.response_mask, strict=True
        )
    ]
    places = {index: row for row, index in enumerate(batch.indices)}
    return [rows[places[index]] for index in range(len(encoded))]
