"""What corrections and fine-tuning have in common on transformers' Trainer: its arguments, what it prints, and what is saved."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor
from transformers import PrinterCallback, Trainer, TrainingArguments

from lancet_core.correction.settings import CorrectionSettings, TrainSettings
from lancet_core.files import replacing_folder, write_json, write_text

TRAINING_FILE = "correction.json"


class QuietTrainer(Trainer):  # type: ignore[misc]  # transformers carries no types that mypy follows here
    """A Trainer that prints nothing, and pickles nothing."""

    def __init__(self, **arguments: Any) -> None:
        super().__init__(**arguments)
        self.remove_callback(PrinterCallback)  # steps are reported as progress

    def _save(self, output_dir: str | None = None, state_dict: dict[str, Tensor] | None = None) -> None:
        """Saves the parameters as safetensors only: the Trainer would also pickle its arguments, which nothing reads."""
        self.model.save_pretrained(output_dir or self.args.output_dir, state_dict=state_dict)


def trainer_arguments(
    folder: str, settings: CorrectionSettings | TrainSettings, *, on_cpu: bool, **others: Any
) -> TrainingArguments:
    """Translates settings for transformers' Trainer.

    Args:
        folder: Where checkpoints go.
        settings: Warm-up, clipping, checkpoints, seed.
        on_cpu: Whether to keep off the accelerators that there may be.
        **others: Further arguments of the Trainer.
    """
    arguments = TrainingArguments(
        output_dir=folder,
        lr_scheduler_type="constant_with_warmup",
        warmup_steps=settings.warmup_steps,
        weight_decay=0.0,
        max_grad_norm=settings.max_gradient_norm,
        save_strategy="steps",
        save_steps=settings.checkpoint_every,
        disable_tqdm=True,
        report_to="none",
        remove_unused_columns=False,
        dataloader_pin_memory=False,
        use_cpu=on_cpu,
        seed=settings.seed,
        **others,
    )
    arguments._n_gpu = min(1, arguments.n_gpu)  # DataParallel would split what is packed into one item
    return arguments


def save_trained(
    model: Any, tokenizer: Any, folder: Path, *, card: str, training: Mapping[str, Any] | None = None
) -> None:
    """Saves model or adapter, tokenizer with its chat template, and model card, whole or not at all.

    Args:
        model: The model, or the PEFT model around it, of which the adapter is saved.
        tokenizer: Its tokenizer.
        folder: Folder that is made or replaced.
        card: Text of its `README.md`.
        training: JSON values of its `correction.json`, of a corrected model.
    """
    with replacing_folder(folder) as temporary:
        model.save_pretrained(temporary)
        tokenizer.save_pretrained(temporary)
        write_text(temporary / "README.md", card)
        if training is not None:
            write_json(temporary / TRAINING_FILE, dict(training))
