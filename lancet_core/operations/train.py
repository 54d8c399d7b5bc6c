"""Fine-tunes a model on samples and saves it, or an adapter of it, with tokenizer, chat template and card."""

import time
from collections.abc import Sequence
from dataclasses import replace
from datetime import date
from pathlib import Path

import numpy as np
import torch

from lancet_core.acts.results import INPUTS
from lancet_core.acts.subject import Subject
from lancet_core.acts.train import MODEL, SAMPLES, Trained, TrainRequest
from lancet_core.config import to_dict
from lancet_core.correction.needs import TRAINING_WAYS_OUT, training_need
from lancet_core.correction.settings import TrainSettings
from lancet_core.correction.supervised import train_model
from lancet_core.correction.training import save_trained
from lancet_core.correction.training_card import training_card
from lancet_core.data.samples import conversations_of, count_characters, read_samples
from lancet_core.errors import ConfigError, DataError
from lancet_core.models.encoding import Encoded, encode_all, usable
from lancet_core.models.gguf_loading import unpack_gguf
from lancet_core.models.loading import (
    LanguageModel,
    Loader,
    choose_device,
    load_language_model,
    without_adapter,
)
from lancet_core.models.needs import free_for_this_process, model_size, require
from lancet_core.models.templates import with_day
from lancet_core.progress import Progress, silent


def run(
    subject: Subject,
    request: TrainRequest,
    *,
    folder: Path,
    progress: Progress = silent,
    load: Loader = load_language_model,
) -> Trained:
    """Trains from the last whole checkpoint in the folder, or from the start, and writes `model/`.

    Raises:
        DataError: The samples cannot be read, or none of them can be used.
        ConfigError: An adapter of an adapter is to be saved apart, the template is unknown, or the memory is not there.
        ModelError: The model cannot be loaded.
        NumericalError: The loss is not finite; the checkpoints stay.
        Cancelled: A person asked to stop; the run can be resumed.
    """
    started, settings = time.monotonic(), request.train
    base = request.unpacked or subject.model
    if request.unpacked:
        unpack_gguf(Path(subject.model), Path(base), progress)
    size = model_size(base)
    if size is not None and choose_device(settings.device).type == "cpu":
        need = training_need(size, settings)
        require("fine-tuning this model", need, free_for_this_process(), TRAINING_WAYS_OUT)
    progress("Loading the model")
    lm = _prepared(load(base), settings)
    template = subject.template
    if request.day:
        template = with_day(lm.tokenizer, template, date.fromisoformat(request.day))
    progress("Reading the samples")
    samples = read_samples(folder / INPUTS / SAMPLES)
    encoded = encode_all(lm, conversations_of(samples), template)
    texts = usable(encoded)
    if not texts:
        raise DataError(
            f"none of the {len(encoded):,} samples can be written by the template {template!r}; give another with --template"
        )
    course = train_model(lm.model, texts, settings, folder=folder, progress=progress)
    is_adapter = settings.adapter == "lora" and not settings.merge
    result = _summary(texts, course.losses, unusable=len(encoded) - len(texts))
    result = replace(
        result,
        characters=count_characters(samples),
        is_adapter=is_adapter,
        template=template,
        resumed_from=course.resumed_from,
    )
    progress("Saving the model")
    model = course.model if is_adapter else without_adapter(course.model)
    if is_adapter:
        model.peft_config["default"].base_model_name_or_path = base
    save_trained(model, lm.tokenizer, folder / MODEL, card=_card(Path(subject.model).name, result, settings))
    return replace(result, seconds=time.monotonic() - started)


def _prepared(lm: LanguageModel, settings: TrainSettings) -> LanguageModel:
    """Puts a model where it is trained, as one whole; its texts may be kept shorter.

    Raises:
        ConfigError: The model is an adapter, and another is to be saved apart, whose base would be nowhere.
    """
    whole = without_adapter(lm.model)
    if whole is not lm.model and settings.adapter == "lora" and not settings.merge:
        raise ConfigError(
            f"{lm.folder} is an adapter, and an adapter of an adapter has no base in a folder; add --merge, or train the whole model"
        )
    place = choose_device(settings.device)
    whole.to(device=place, dtype=getattr(torch, settings.dtype))
    context = min(lm.context, settings.max_length or lm.context)
    if settings.max_length:
        lm.tokenizer.model_max_length = context
    return replace(lm, model=whole, device=place, context=context)


def _summary(texts: Sequence[Encoded], losses: Sequence[float], *, unusable: int) -> Trained:
    tenth = max(1, len(losses) // 10)
    return Trained(
        steps=len(losses),
        first_loss=float(np.mean(losses[:tenth])),
        last_loss=float(np.mean(losses[-tenth:])),
        samples=len(texts),
        tokens=sum(text.count for text in texts),
        cut=sum(text.cut_tokens > 0 for text in texts),
        shortened=sum(text.lost_tokens > 0 for text in texts),
        unusable=unusable,
    )


def _card(base: str, result: Trained, settings: TrainSettings) -> str:
    names = ("samples", "tokens", "cut", "shortened", "unusable", "steps", "first_loss", "last_loss")
    facts = {name.replace("_", " "): getattr(result, name) for name in names}
    return training_card(
        base,
        facts={"template": f"`{result.template!r}`", **facts},
        settings=to_dict(settings),
    )
