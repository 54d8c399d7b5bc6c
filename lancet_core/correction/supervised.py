"""Supervised fine-tuning on transformers' Trainer: the loss is that of the tokens that count, by the functions that attribution uses.

What is trained is so token for token what is attributed: ids and counted spans of `models.encoding`, log-probabilities of
`models.likelihood`.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor
from transformers import TrainerCallback, set_seed

from lancet_core.correction.run import CHECKPOINTS, last_checkpoint, step_of, with_adapter
from lancet_core.correction.settings import TrainSettings
from lancet_core.correction.training import QuietTrainer, trainer_arguments
from lancet_core.errors import NumericalError
from lancet_core.models.encoding import Encoded, pack
from lancet_core.models.likelihood import token_log_likelihoods
from lancet_core.progress import Progress

STAGE = "Training"


@dataclass(frozen=True)
class Course:
    """How a training went.

    Attributes:
        model: The trained model; with an adapter the PEFT model around it.
        losses: Mean loss of each step in nats per token, those before it was resumed included.
        resumed_from: Step that it was resumed from, 0 where it ran through.
    """

    model: Any
    losses: tuple[float, ...]
    resumed_from: int


def train_model(
    model: Any, texts: Sequence[Encoded], settings: TrainSettings, *, folder: Path, progress: Progress
) -> Course:
    """Trains a model in place, from its last whole checkpoint where the folder holds one.

    Args:
        model: The model, on its device.
        texts: Samples as tokens.
        settings: Length, rate, adapter and seed.
        folder: Folder of the run; checkpoints go to its folder `checkpoints`.
        progress: Told at each step.

    Raises:
        NumericalError: The loss is not finite; the checkpoints stay.
        Cancelled: A person asked to stop; the run can be resumed.
    """
    set_seed(settings.seed)
    if settings.adapter == "lora":
        model = with_adapter(model, settings.adapter_rank)
    checkpoint = last_checkpoint(folder / CHECKPOINTS)
    arguments = trainer_arguments(
        str(folder / CHECKPOINTS),
        settings,
        on_cpu=next(model.parameters()).device.type == "cpu",
        num_train_epochs=settings.epochs,
        per_device_train_batch_size=settings.rows,
        gradient_accumulation_steps=settings.batch // settings.rows,
        learning_rate=settings.rate,
        save_total_limit=1,
        logging_strategy="steps",
        logging_steps=1,
    )
    trainer = SupervisedTrainer(
        model=model,
        args=arguments,
        train_dataset=list(texts),
        data_collator=_batch,
        callbacks=[_Reporter(progress)],
    )
    trainer.train(resume_from_checkpoint=None if checkpoint is None else str(checkpoint))
    trainer.model.eval()
    losses = tuple(float(entry["loss"]) for entry in trainer.state.log_history if "loss" in entry)
    return Course(trainer.model, losses, 0 if checkpoint is None else step_of(checkpoint))


class SupervisedTrainer(QuietTrainer):
    """Minimises the mean negative log-probability of the tokens that count in each optimizer step."""

    def __init__(self, **arguments: Any) -> None:
        super().__init__(**arguments)
        # It counts the labels of a whole step and hands the number over, so that every token weighs the same however a step is cut.
        self.model_accepts_loss_kwargs = True

    def compute_loss(
        self,
        model: Any,
        inputs: dict[str, Any],
        return_outputs: bool = False,
        num_items_in_batch: Tensor | None = None,
    ) -> Tensor:
        """Takes the loss of some samples of a step: their share of the mean over all of its tokens.

        Raises:
            NumericalError: It is not finite.
        """
        del return_outputs
        batch = inputs["batch"]
        tokens = batch.response_mask.sum() if num_items_in_batch is None else num_items_in_batch
        loss = -token_log_likelihoods(model, batch).sum() / tokens
        if not math.isfinite(loss.item()):
            raise NumericalError(
                f"the loss is {loss.item()} at step {self.state.global_step + 1}; the checkpoints before it stay. {self._way_out}"
            )
        return loss

    @property
    def _way_out(self) -> str:
        """What may help: before the first step it is not the learning rate."""
        if self.state.global_step:
            return "Lower the learning rate"
        return "Nothing was learnt yet: the model overflows at one of these samples; train in float32, or start from another model"


class _Reporter(TrainerCallback):  # type: ignore[misc]  # transformers carries no types that mypy follows here
    """Tells the loss of each step."""

    def __init__(self, progress: Progress) -> None:
        self.progress = progress

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, float], **kwargs: Any) -> None:
        """Tells a step; the summary at the end has no loss of a step."""
        if "loss" in logs:
            values = {name: float(logs[name]) for name in ("loss", "learning_rate") if name in logs}
            self.progress(STAGE, state.global_step, state.max_steps, **values)


def _batch(texts: list[Encoded]) -> dict[str, Any]:
    """Pads samples to one batch; `labels` are there for the Trainer to count."""
    (batch,) = pack(texts, max(len(text.input_ids) for text in texts) * len(texts))
    return {"labels": batch.input_ids.masked_fill(~batch.response_mask, -100), "batch": batch}
