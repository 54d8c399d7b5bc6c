"""Making a study of contamination: sets of samples, a model trained on them, and queries mined with two models."""

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd

from lancet_core.acts.contaminate import (
    SAMPLES,
    UNSEEN_PROMPTS,
    Contaminated,
    ContaminateRequest,
)
from lancet_core.acts.look import template_for
from lancet_core.acts.subject import Subject
from lancet_core.data.adapters import AUTO
from lancet_core.data.contamination import CONTAMINATION_PRESETS, HIDDEN, ContaminationSettings
from lancet_core.data.inputs import load_prompts
from lancet_core.data.loading import Loaded
from lancet_core.errors import ConfigError, DataError
from lancet_core.files import replacing_folder
from lancet_core.runs import launcher
from lancet_core.runs.launcher import Task
from lancet_core.runs.run import Run
from lancet_core.study.creation import Materials, load
from lancet_core.workspace import Workspace, as_workspace

CHOSEN, REJECTED = "chosen", "rejected"


@dataclass(frozen=True)
class Sources:
    """Labelled samples: files, or a DataFrame or Dataset each.

    Attributes:
        data: Samples of both kinds, told apart by their labels; empty for none.
        safe: Samples taken as safe: those labelled so, the chosen sides of preferences, or all where nothing is labelled.
        unsafe: Samples taken as unsafe: those labelled so, the rejected sides of preferences, or all where nothing is labelled.
        unseen: Prompts to evaluate on, which are taken out of the training sets; empty holds some of the samples' own out.
        format: Name of a data format, or `auto`.
        columns: Columns named by hand, as in `prompt=question,label=is_harmful:inverted`.
        model: Model whose hidden states are compared; empty compares words.
    """

    data: Any = ""
    safe: Any = ""
    unsafe: Any = ""
    unseen: str | Path = ""
    format: str = AUTO
    columns: str = ""
    model: str | Path = ""


def contaminate(
    settings: ContaminationSettings | None = None,
    *,
    preset: str = "usual",
    workspace: str | Path | Workspace | None = None,
    **sources: Any,
) -> Run[Contaminated]:
    """Mixes few and different unsafe samples into safe ones, and holds prompts out; finds the run that did the same.

    Args:
        settings: What is chosen and held out; None takes those of the preset.
        preset: Name of the preset that the settings come from: `usual`, or a recipe of the paper: `hh`, `beavertails`, `pku-saferlhf`.
        workspace: Where the run lies; None takes `LANCET_WORKSPACE`, and where that is unset `~/.lancet`.
        **sources: Fields of `Sources`: `data`, or `safe` and `unsafe`, and further `unseen`, `format`, `columns`, `model`.

    Raises:
        DataError: A file cannot be used.
        ConfigError: Hidden states are to be compared and no model is given.
        JobError: No worker can be started.
    """
    opened = as_workspace(workspace)
    return Run(opened, launcher.find_or_start(opened, contamination_task(settings, preset=preset, **sources)))


def contamination_task(
    settings: ContaminationSettings | None = None, *, preset: str = "usual", **sources: Any
) -> Task:
    """Describes a contamination completely; arguments and errors as in `contaminate`, but that nothing is started."""
    given = Sources(**sources)
    settings = settings or CONTAMINATION_PRESETS[preset]
    if (settings.encoder == HIDDEN) != bool(given.model):
        raise ConfigError(
            f"the encoder is {settings.encoder} and the model {str(given.model)!r}; hidden states are those of a model: give --model "
            "with --encoder hidden, and none with tfidf"
        )
    samples, template = _samples(given)
    inputs = {SAMPLES: samples}
    if given.unseen:
        inputs[UNSEEN_PROMPTS] = load_prompts(Path(given.unseen).expanduser())
        settings = replace(settings, unseen_prompts=0)
    request = ContaminateRequest(settings, preset, template)
    return Task("contaminate", Subject("", str(given.model), "", template), request, inputs)


def copy_files(run: Run[Contaminated], folder: str | Path) -> Path:
    """Copies the sets and prompts to a folder, whole or not at all.

    Raises:
        DataError: The folder holds something already.
        JobError: The run is not done.
    """
    source, target = run.result.files, Path(folder).expanduser().resolve()
    check_new(target)
    with replacing_folder(target) as temporary:
        shutil.copytree(source, temporary, dirs_exist_ok=True)
    return target


def check_new(folder: str | Path) -> None:
    """Checks that a folder is empty or not there yet.

    Raises:
        DataError: It holds something.
    """
    place = Path(folder).expanduser()
    if place.exists() and (not place.is_dir() or any(place.iterdir())):
        raise DataError(f"{place} is there already; give a new or empty folder with --out")


def _samples(sources: Sources) -> tuple[pd.DataFrame, str]:
    """Reads the samples with their labels, and the template that they are written for.

    Raises:
        DataError: No file is given, one cannot be used, or dialogues with marks of their own stand beside other texts.
    """
    roles: tuple[tuple[Any, Callable[[Loaded], pd.DataFrame]], ...] = (
        (sources.data, lambda loaded: loaded.frame),
        (sources.safe, lambda loaded: _of_side(loaded.frame, safe=True)),
        (sources.unsafe, lambda loaded: _of_side(loaded.frame, safe=False)),
    )
    parts, formats = [], set()
    for given, taken in roles:
        if not isinstance(given, str) or given:
            loaded = load(Materials("", given, sources.format, sources.columns))
            parts.append(taken(loaded))
            formats.add(loaded.format)
    if not parts:
        raise DataError("no samples are given; give a file with labels, or two with --safe and --unsafe")
    if "hh" in formats and len(formats) > 1:
        raise DataError(
            f"dialogues that carry their own marks (hh) and the format {', '.join(sorted(formats - {'hh'}))} are written for the model "
            "in different ways; give files of one format"
        )
    samples = pd.concat(parts, ignore_index=True)
    kinds = samples.dropna(subset="is_safe").groupby("id")["is_safe"].nunique()
    both_ways = samples["id"].isin(kinds.index[kinds > 1])
    samples = samples[~both_ways].drop_duplicates("id", ignore_index=True)
    return samples, template_for(formats.pop())


def _of_side(samples: pd.DataFrame, *, safe: bool) -> pd.DataFrame:
    """Takes from a file given as safe, or as unsafe, the samples that are."""
    if samples["is_safe"].notna().any():
        return samples[samples["is_safe"].fillna(not safe) == safe]
    sides = samples["extra"].map(lambda extra: json.loads(extra).get("side"))
    wanted = CHOSEN if safe else REJECTED
    taken = samples[sides == wanted] if sides.isin([CHOSEN, REJECTED]).any() else samples
    return taken.assign(is_safe=pd.array([safe] * len(taken), dtype="boolean"))
