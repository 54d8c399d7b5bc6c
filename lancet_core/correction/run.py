"""A correction run: measures the start model, trains with checkpoints, resumes, chooses the best checkpoint."""

import dataclasses
import re
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from transformers import set_seed

from lancet_core.correction.settings import CorrectionSettings
from lancet_core.correction.start import measure_start
from lancet_core.correction.steps import CorrectionSteps, TrainingTexts
from lancet_core.correction.trainer import CorrectionTrainer, Validate, Watch, training_arguments
from lancet_core.files import read_json_or_none
from lancet_core.models.encoding import Encoded, pack
from lancet_core.models.likelihood import TOKENS_AT_ONCE
from lancet_core.models.loading import LanguageModel
from lancet_core.progress import Progress

CHECKPOINTS = "checkpoints"
STATE_FILE = "trainer_state.json"
_CHECKPOINT_NAME = re.compile(r"checkpoint-(\d+)")


@dataclass(frozen=True)
class Corrected:
    """A corrected model and how it was reached.

    Attributes:
        lm: The model of the best checkpoint, its adapter merged.
        steps: Steps trained.
        best_step: Step of the checkpoint that was chosen; the last where nothing was validated.
        best_score: Its score on the validation prompts, None where nothing was validated.
        resumed_from: Step the run was resumed from, 0 where it ran through.
        terms: Terms of the last step.
        broken: Places of texts that were left out, since their log-probability is not finite, by role as in `steps`.
    """

    lm: LanguageModel
    steps: int
    best_step: int
    best_score: float | None
    resumed_from: int
    terms: dict[str, float]
    broken: Mapping[int, tuple[int, ...]]


def correct_model(
    lm: LanguageModel,
    texts: TrainingTexts,
    queries: Sequence[Encoded],
    *,
    settings: CorrectionSettings,
    folder: Path,
    watch: tuple[Progress, Validate | None],
) -> Corrected:
    """Trains a model by IBO, from its last whole checkpoint where the folder holds one.

    Args:
        lm: The study's model; its parameters are changed in place.
        texts: Pairs and retain samples as tokens.
        queries: Queries whose probability is watched.
        settings: Objective and training settings, polarity decided.
        folder: Folder of the run; checkpoints go to its folder `checkpoints`.
        watch: Progress, and what scores the model on validation prompts, None to take the last step.

    Returns:
        The corrected model.

    Raises:
        NumericalError: No text has a finite log-probability, the loss is not finite or the retain NLL passed the guard; the checkpoints stay.
        Cancelled: A person asked to stop; the run can be resumed.
    """
    progress, validate = watch
    set_seed(settings.seed)
    model = lm.model
    start = measure_start(model, texts, settings, progress)
    if settings.adapter == "lora":
        model = with_adapter(model, settings.adapter_rank)
    checkpoints = folder / CHECKPOINTS
    checkpoint = last_checkpoint(checkpoints)
    arguments = training_arguments(
        str(checkpoints),
        settings,
        on_cpu=lm.device.type == "cpu",
        choose_best=validate is not None,
    )
    trainer = CorrectionTrainer(
        model,
        arguments,
        steps=CorrectionSteps(start.texts, start.references, settings),
        settings=settings,
        watch=Watch(progress, tuple(pack(queries, TOKENS_AT_ONCE)), validate),
    )
    trainer.train(resume_from_checkpoint=None if checkpoint is None else str(checkpoint))
    state = trainer.state
    best = trainer.model.merge_and_unload() if settings.adapter == "lora" else trainer.model
    best.eval()
    return Corrected(
        lm=dataclasses.replace(lm, model=best),
        steps=state.global_step,
        best_step=state.best_global_step or state.global_step,
        best_score=state.best_metric,
        resumed_from=0 if checkpoint is None else step_of(checkpoint),
        terms=trainer.terms,
        broken=start.broken,
    )


def last_checkpoint(checkpoints: Path) -> Path | None:
    """Returns the newest whole checkpoint and removes those that a kill left half written."""
    folders = checkpoints.iterdir() if checkpoints.is_dir() else ()
    whole = []
    for path in filter(lambda path: _CHECKPOINT_NAME.fullmatch(path.name), folders):
        # The Trainer writes its state last: where that can be read, everything before it is there.
        if read_json_or_none(path / STATE_FILE) is None:
            shutil.rmtree(path)
        else:
            whole.append(path)
    return max(whole, key=step_of, default=None)


def with_adapter(model: Any, rank: int) -> Any:
    """Adds a low-rank adapter to every linear layer of the blocks, of whatever architecture."""
    from peft import LoraConfig, get_peft_model

    config = LoraConfig(
        r=rank,
        lora_alpha=2 * rank,
        lora_dropout=0.0,
        target_modules="all-linear",
        task_type="CAUSAL_LM",
    )
    return get_peft_model(model, config)


def step_of(checkpoint: Path) -> int:
    """The optimizer step that a checkpoint was written after."""
    return int(checkpoint.name.rsplit("-", 1)[1])
