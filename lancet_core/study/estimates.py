"""What long work would take, told before it starts: seconds from a rate that was measured here, memory from the model's sizes."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pandas as pd

from lancet_core.acts.contaminate import SAMPLES as LABELLED
from lancet_core.acts.contaminate import ContaminateRequest
from lancet_core.acts.train import SAMPLES, Trained, TrainRequest
from lancet_core.config import from_dict
from lancet_core.correction.needs import training_need
from lancet_core.correction.settings import CorrectionSettings
from lancet_core.data.samples import count_characters
from lancet_core.errors import ConfigError, JobError
from lancet_core.influence.methods import BM25, EMBEDDING, IDENTITY, INDEX, TFIDF
from lancet_core.influence.needs import attribution_need
from lancet_core.influence.presets import preset
from lancet_core.influence.settings import InfluenceSettings
from lancet_core.models.needs import loading_need, model_size
from lancet_core.models.settings import DTYPES
from lancet_core.runs.launcher import Task
from lancet_core.runs.run import Run, list_runs
from lancet_core.store.runs import RunFilter
from lancet_core.store.studies import StudyRecord
from lancet_core.study.attributions import finished_attributions
from lancet_core.study.corrections import SPEED, preflight
from lancet_core.workspace import Workspace

# Forward passes that one token costs, measured with linfac-head and graddot on models of .26, 1 and 135 million parameters.
FITTING, SCORING = 2.4, 2.0
EARLIER = "as an earlier attribution here took"
UNMEASURED = "the time left is shown after the first steps"
FEWEST = 50
# Settings of a training that its speed hangs on.
TRAINED_ALIKE = ("adapter", "dtype", "device", "max_length")


@dataclass(frozen=True)
class Estimate:
    """What long work would take.

    Attributes:
        seconds: How long it would take; None where there is nothing to judge by.
        basis: What the seconds are judged by, in words; without seconds, when they will be known.
        memory_bytes: Memory of the process at its height; 0 where the model's sizes are not known.
    """

    seconds: float | None
    basis: str = ""
    memory_bytes: int = 0


@dataclass(frozen=True)
class AttributionEstimate(Estimate):
    """What an attribution would take.

    Attributes:
        scored: Samples that are scored.
        samples: Samples that there are.
    """

    scored: int = 0
    samples: int = 0

    @property
    def portion(self) -> str:
        """How many of the samples are scored, in words."""
        return f"{self.scored:,} of {self.samples:,} samples"


def estimate_attribution(
    study: StudyRecord, settings: InfluenceSettings | None = None, *, queries: int = 1
) -> AttributionEstimate:
    """Judges what an attribution would take; reads no table of samples.

    Args:
        study: The study.
        settings: Method, recall and their like; None takes the default.
        queries: Queries, or groups of them.
    """
    settings = settings or preset()
    samples = study.counts.get("samples") or len(study.samples())
    searched = settings.recall.kind in {TFIDF, BM25, INDEX}
    scored = min(samples, settings.recall.count * queries) if searched else samples
    seconds, basis = _seconds(study, settings, scored=scored, samples=samples)
    size = model_size(study.model) if settings.takes_gradients else None
    memory = 0 if size is None else attribution_need(size, settings, queries=queries).total
    return AttributionEstimate(seconds, basis, memory, scored, samples)


def estimate_correction(study: StudyRecord, settings: CorrectionSettings) -> Estimate:
    """Judges what a correction would take, as its screen does."""
    ahead = preflight(study, settings)
    return Estimate(ahead.seconds, ahead.basis, ahead.memory_bytes)


def estimate_training(workspace: Workspace, task: Task) -> Estimate:
    """Judges what a training would take, by the steps of an earlier one of the same model and the characters that they read."""
    settings = task.request.train
    size = model_size(task.request.unpacked or task.subject.model)
    memory = 0 if size is None else training_need(size, settings).total
    read = count_characters(pd.DataFrame(task.inputs[SAMPLES])) / task.request.samples * settings.batch
    for run, order in _finished(workspace, task, TrainRequest):
        alike = all(getattr(order.train, name) == getattr(settings, name) for name in TRAINED_ALIKE)
        step = _seconds_of_a_step(run) if alike and run.result.characters else 0.0
        if step:
            read_then = run.result.characters / order.samples * order.train.batch
            seconds = task.request.steps * step * read / read_then
            return Estimate(seconds, "as an earlier training of this model took", memory)
    return Estimate(None, UNMEASURED, memory)


def estimate_contamination(workspace: Workspace, task: Task) -> Estimate:
    """Judges what contaminating would take, by an earlier run that compared samples by the same."""
    model, encoder = task.subject.model, task.request.contamination.encoder
    size = model_size(model) if model else None
    memory = 0 if size is None else loading_need(size, DTYPES[0]).total
    for run, order in _finished(workspace, task, ContaminateRequest):
        if order.contamination.encoder == encoder and run.result.seconds:
            seconds = run.result.seconds / run.result.samples * len(task.inputs[LABELLED])
            return Estimate(seconds, "as an earlier run here took", memory)
    return Estimate(None, UNMEASURED if model else "", memory)


def _seconds_of_a_step(run: Run[Trained]) -> float:
    """What a training took from its first step to its last, for each between; 0 where there are none. Loading does not count."""
    told = run.metrics
    if run.result.resumed_from or len(told) < 2:
        return 0.0
    first, last = told.iloc[0], told.iloc[-1]
    return float((last["seconds"] - first["seconds"]) / (last["step"] - first["step"]))


def _finished(workspace: Workspace, task: Task, request: type[Any]) -> Iterator[tuple[Run[Any], Any]]:
    """Gives finished runs of the same act and model with what they were asked, newest first."""
    for run in list_runs(workspace, RunFilter(act=task.act)):
        if not run.record.is_done:
            continue
        try:
            order, _result = run.order, run.result
            asked = from_dict(request, order.request)
        except (JobError, ConfigError):  # a run whose folder is broken tells nothing
            continue
        if order.subject.get("model") == task.subject.model:
            yield run, asked


def _seconds(
    study: StudyRecord, settings: InfluenceSettings, *, scored: int, samples: int
) -> tuple[float | None, str]:
    rate = study.counts.get("tokens_per_second", 0)
    length = study.counts.get("mean_tokens", 0)
    if not settings.takes_gradients:
        return (scored * length / rate, SPEED) if settings.method == EMBEDDING and rate else (None, "")
    for _, result in finished_attributions(study):
        if result.takes_gradients and result.candidates >= min(FEWEST, scored):
            return result.seconds / max(1, result.candidates) * scored, EARLIER
    if not rate:
        return None, UNMEASURED
    curved = settings.curvature.eigenvalues != IDENTITY
    fitted = min(settings.curvature.factor_samples or samples, samples) if curved else 0
    return (FITTING * fitted + SCORING * scored) * length / rate, SPEED
