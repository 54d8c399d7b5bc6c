"""Training a model on samples, so that a study can be made of it."""

from pathlib import Path
from typing import Any

from lancet_core.acts.look import template_for
from lancet_core.acts.subject import Subject
from lancet_core.acts.train import SAMPLES, Trained, TrainRequest
from lancet_core.correction.settings import TrainSettings
from lancet_core.errors import ModelError
from lancet_core.models.gguf_files import find_gguf, unpacked_folder
from lancet_core.models.template_names import check_template
from lancet_core.runs import launcher
from lancet_core.runs.launcher import Task
from lancet_core.runs.run import Run
from lancet_core.store.run_status import now
from lancet_core.study.creation import Materials, check_choices, load, model_source
from lancet_core.workspace import Workspace, as_workspace


def train(
    settings: TrainSettings | None = None,
    *,
    workspace: str | Path | Workspace | None = None,
    **materials: Any,
) -> Run[Trained]:
    """Fine-tunes a model on samples, or finds the run that did; its `result.model` is the folder that a study is made of.

    Args:
        settings: Length, rate, adapter; None takes the defaults.
        workspace: Where the run lies; None takes `LANCET_WORKSPACE`, and where that is unset `~/.lancet`.
        **materials: Fields of `creation.Materials`: `model` (a folder, GGUF file or hub id) and `train` (a file, a DataFrame or a Dataset), and
            further `format`, `columns`, `turns`, `template`.

    Raises:
        DataError: The samples cannot be used.
        ModelError: The model cannot be used.
        ConfigError: A choice, the template or a mapping of columns is none.
        JobError: No worker can be started.
    """
    opened = as_workspace(workspace)
    return Run(opened, launcher.find_or_start(opened, training_task(opened, settings, **materials)))


def training_task(workspace: Workspace, settings: TrainSettings | None = None, **materials: Any) -> Task:
    """Describes a training completely; arguments and errors as in `train`, but that nothing is started."""
    given, settings = Materials(**materials), settings or TrainSettings()
    check_choices(given)
    model = model_source(given.model)
    if model is None or given.base:
        raise ModelError(
            "training starts from a model that lies in a folder; save the model and its tokenizer, an adapter beside its base, and give "
            "the folder"
        )
    check_template(model, given.template)
    loaded = load(given)
    samples = loaded.frame.assign(turns=given.turns)
    template = given.template or template_for(loaded.format)
    gguf = find_gguf(model)
    unpacked = "" if gguf is None else str(unpacked_folder(workspace.models, gguf))
    request = TrainRequest(settings, len(samples), unpacked, now().date().isoformat())
    return Task("train", Subject("", model, "", template), request, {SAMPLES: samples})
