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
from transformers import PrinterCallback, Trainer, TrainerCallback, TrainingArguments, set_seed

from lancet_core.correction.run import CHECKPOINTS, last_checkpoint, step_of, with_adapter
from lancet_core.correction.settings import TrainSettings
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
    on_cpu = next(model.parameters()).device.type == "cpu"
    trainer = SupervisedTrainer(
        model=model,
        args=_arguments(str(folder / CHECKPOINTS), settings, on_cpu=on_cpu),
        train_dataset=list(texts),
        data_collator=_batch,
        callbacks=[_Reporter(progress)],
    )
    trainer.remove_callback(PrinterCallback)
    trainer.train(resume_from_checkpoint=None if checkpoint is None else str(checkpoint))
    trainer.model.eval()
    losses = tuple(float(entry["loss"]) for entry in trainer.state.log_history if "loss" in entry)
    return Course(trainer.model, losses, 0 if checkpoint is None else step_of(checkpoint))


class SupervisedTrainer(Trainer):  # type: ignore[misc]  # transformers carries no types that mypy follows here
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
                f"the loss is {loss.item()} at step {self.state.global_step + 1}; the checkpoints before it stay. Lower the learning rate"
            )
        return loss

    def _save(self, output_dir: str | None = None, state_dict: dict[str, Tensor] | None = None) -> None:
        """Saves the parameters as safetensors only: the Trainer would also pickle its arguments, which nothing reads."""
        self.model.save_pretrained(output_dir or self.args.output_dir, state_dict=state_dict)


class _Reporter(TrainerCallback):  # type: ignore[misc]  # as above
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


def _arguments(folder: str, settings: TrainSettings, *, on_cpu: bool) -> TrainingArguments:
    arguments = TrainingArguments(
        output_dir=folder,
        num_train_epochs=settings.epochs,
        per_device_train_batch_size=settings.rows,
        gradient_accumulation_steps=settings.batch // settings.rows,
        learning_rate=settings.rate,
        lr_scheduler_type="constant_with_warmup",
        warmup_steps=settings.warmup_steps,
        weight_decay=0.0,
        max_grad_norm=settings.max_gradient_norm,
        save_strategy="steps",
        save_steps=settings.checkpoint_every,
        save_total_limit=1,
        logging_strategy="steps",
        logging_steps=1,
        disable_tqdm=True,
        report_to="none",
        remove_unused_columns=False,
        dataloader_pin_memory=False,
        use_cpu=on_cpu,
        seed=settings.seed,
    )
    arguments._n_gpu = min(1, arguments.n_gpu)  # DataParallel would split a batch that is packed already
    return arguments
