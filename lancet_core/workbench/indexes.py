"""Gradient indexes of a study: what there is, whether it can be searched, and building one."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path

import pandas as pd

from lancet_core.config import fingerprint
from lancet_core.data.samples import corpus_id
from lancet_core.errors import ConfigError, DataError, JobError
from lancet_core.files import read_json_or_none
from lancet_core.influence.index_manifest import (
    MANIFEST,
    Manifest,
    can_be_indexed,
    gradient_key,
    read_manifest,
)
from lancet_core.influence.methods import CURVATURES
from lancet_core.influence.settings import IndexSettings, InfluenceSettings
from lancet_core.operations.configs import IndexConfig
from lancet_core.runs import launcher
from lancet_core.store.run_status import CANCELLED, DONE, FAILED
from lancet_core.store.runs import RunRecord, list_runs
from lancet_core.store.studies import Study
from lancet_core.workspace import Workspace

OPERATION = "index"
OTHER_SAMPLES = "the training samples have changed since it was built"
OTHER_MODEL = "the model has changed since it was built"
# What stands beside the numbers of each sample: its scale, its length and its row.
_BYTES_BESIDE, _BASIS_BYTES = 12, 2
_NUMBER_BYTES = {"int8": 1, "float16": 2}


@dataclass(frozen=True)
class StudyIndex:
    """A whole index of a study.

    Attributes:
        folder: Where it lies.
        manifest: What it holds.
        size: Bytes on disk.
        built_at: When it was finished (UTC).
        outdated: Why it cannot be searched any more; empty where it can.
    """

    folder: Path
    manifest: Manifest
    size: int
    built_at: datetime
    outdated: str


@dataclass(frozen=True)
class Estimate:
    """What an index would take.

    Attributes:
        size: Bytes on disk.
        seconds: How long building it takes, judged by an earlier run here; None where there is none to judge by.
    """

    size: int
    seconds: float | None


def list_indexes(study: Study) -> list[StudyIndex]:
    """Lists the whole indexes of a study, newest first."""
    found = [index for folder in _folders(study) if (index := _read(study, folder)) is not None]
    return sorted(found, key=lambda index: index.built_at, reverse=True)


def unfinished(study: Study) -> int:
    """Counts the indexes whose build was begun and is not done."""
    return sum(1 for folder in _folders(study) if read_manifest(folder) is None)


def find_index(study: Study, settings: InfluenceSettings) -> StudyIndex | None:
    """Finds the index that answers queries with these settings; None where none was built."""
    return _read(study, _folder(study, settings)) if can_be_indexed(settings) else None


def usable_index(study: Study, settings: InfluenceSettings) -> StudyIndex | None:
    """Finds the index that answers queries with these settings, unless samples or model changed since."""
    found = find_index(study, settings)
    return found if found is not None and not found.outdated else None


def require_index(study: Study, settings: InfluenceSettings) -> StudyIndex:
    """Finds the index that recall needs, before any model is loaded.

    Raises:
        ConfigError: The method cannot be answered from an index.
        DataError: There is none for these settings, or samples or model changed since.
    """
    _check_method(settings)
    found = find_index(study, settings)
    build = f"build it with: {build_command(study, settings)}"
    if found is None:
        others = ", ".join(index.manifest.influence["method"] for index in list_indexes(study))
        there = f" with these settings; there is one for {others}" if others else ""
        raise DataError(
            f"study {study.name!r} has no gradient index for {settings.method}{there}; {build}, or set recall to tfidf"
        )
    if found.outdated:
        raise DataError(
            f"the gradient index of study {study.name!r} for {settings.method} is of no use: {found.outdated}; {build}"
        )
    return found


def build_command(study: Study, settings: InfluenceSettings) -> str:
    """Writes the command that builds the index for some settings."""
    usual = InfluenceSettings()
    chosen = _relevant(settings)
    options = [
        f"--{name.replace('_', '-')} {value}"
        for name, value in vars(chosen).items()
        if value != getattr(usual, name)
    ]
    return " ".join(["lancet index build", study.name, *options])


def start_index(
    workspace: Workspace,
    study: Study,
    *,
    influence: InfluenceSettings | None = None,
    index: IndexSettings | None = None,
) -> str:
    """Starts building an index, goes on with a build that was stopped, or finds the one that is going.

    An index that is whole already is gone through again: shards that are broken are made anew, the others stay.

    Args:
        workspace: Where the study lies.
        study: The study.
        influence: Method and curvature that queries will be answered with; recall and its like do not matter.
        index: What is kept of each sample.

    Returns:
        Id of the run.

    Raises:
        ConfigError: The method cannot be answered from an index.
        JobError: Another build of the same index is going, or no worker can be started.
    """
    settings = influence or InfluenceSettings()
    _check_method(settings)
    config = _config(study, settings, index or IndexSettings())
    key = fingerprint(config)
    builds = _builds(workspace, study, Path(config.to))
    going = next((run for run in builds if not run.is_final), None)
    if going is not None and going.key != key:
        raise JobError(
            f"another build of this index is going: {going.id}; wait for it, or cancel it: lancet runs cancel {going.id}"
        )
    if going is not None:
        return going.id
    last = next((run for run in builds if run.key == key), None)
    if last is not None and last.state in (FAILED, CANCELLED):
        launcher.resume(workspace, last.id)
        return last.id
    return launcher.start(workspace, OPERATION, config, study=study.name)


def last_build(workspace: Workspace, study: Study, settings: InfluenceSettings) -> RunRecord | None:
    """Finds the newest run that built, or builds, the index for some settings."""
    return next(iter(_builds(workspace, study, _folder(study, settings))), None)


def estimate(workspace: Workspace, study: Study, index: IndexSettings | None = None) -> Estimate:
    """Judges what an index of a study would take, by its settings and by earlier runs over all samples.

    A build computes the gradient of each sample once, and keeps the numbers of those that the basis was found from beside it too.

    Args:
        workspace: Where earlier runs lie.
        study: The study.
        index: What is kept of each sample.
    """
    settings = index or IndexSettings()
    count = _count(study)
    basis = min(settings.basis_samples, count)
    numbers = min(settings.numbers_per_sample, basis)
    each = numbers * _NUMBER_BYTES[settings.precision] + _BYTES_BESIDE
    earlier = list_runs(workspace, study=study.name, operation="attribute")
    rates = [rate for run in earlier if (rate := _seconds_per_sample(run, at_least=count // 2))]
    seconds = rates[0] * count if rates else None
    return Estimate((count + basis) * each + settings.buckets * numbers * _BASIS_BYTES, seconds)


def _check_method(settings: InfluenceSettings) -> None:
    """Checks that a method can be answered from an index.

    Raises:
        ConfigError: It cannot.
    """
    if can_be_indexed(settings):
        return
    lacking = "has no curvature to whiten them with" if settings.takes_gradients else "takes no gradients"
    raise ConfigError(
        f"a gradient index cannot answer {settings.method}, which {lacking}; choose linfac, linfac-expand, linfac-head or ekfac, or another recall"
    )


def _relevant(settings: InfluenceSettings) -> InfluenceSettings:
    """The settings with everything back at its default that an index does not depend on."""
    usual = InfluenceSettings()
    beside = ("recall", "candidates", "recall_text", "refine_steps", "normalise")
    return replace(settings, **{name: getattr(usual, name) for name in beside})


def _config(study: Study, settings: InfluenceSettings, index: IndexSettings) -> IndexConfig:
    return IndexConfig(
        study=study.name,
        model=study.model,
        samples=str(study.samples),
        template=study.template,
        to=str(_folder(study, settings)),
        influence=_relevant(settings),
        index=index,
        factors=str(study.factors),
    )


def _folder(study: Study, settings: InfluenceSettings) -> Path:
    """Where the index for some settings lies: methods do not push each other out."""
    return study.index / gradient_key(settings)


def _folders(study: Study) -> Iterator[Path]:
    return (folder for folder in sorted(study.index.glob("*")) if folder.is_dir())


def _read(study: Study, folder: Path) -> StudyIndex | None:
    manifest = read_manifest(folder)
    if manifest is None:
        return None
    size = sum(file.stat().st_size for file in folder.iterdir())
    built_at = datetime.fromtimestamp((folder / MANIFEST).stat().st_mtime, UTC)
    return StudyIndex(folder, manifest, size, built_at, _why_outdated(study, manifest))


def _why_outdated(study: Study, manifest: Manifest) -> str:
    if not study.samples.is_file() or _corpus(study.samples, _stamp(study.samples)) != manifest.corpus:
        return OTHER_SAMPLES
    model = Path(study.model)
    if model.is_dir() and _model(model, tuple(map(_stamp, sorted(model.iterdir())))) != manifest.model:
        return OTHER_MODEL
    return ""  # a model on the Hub is compared when it is loaded


def _stamp(file: Path) -> tuple[str, int, int]:
    """What changes when a file is written: cheap enough for every look at a screen."""
    found = file.stat()
    return file.name, found.st_size, found.st_mtime_ns


@lru_cache(maxsize=32)
def _corpus(samples: Path, stamp: tuple[str, int, int]) -> str:
    del stamp  # names the entry of the cache
    return corpus_id(pd.read_parquet(samples, columns=["id"])["id"])


@lru_cache(maxsize=32)
def _model(folder: Path, stamps: tuple[tuple[str, int, int], ...]) -> str:
    from lancet_core.models.fingerprints import fingerprint_model

    del stamps
    return fingerprint_model(folder)


def _builds(workspace: Workspace, study: Study, folder: Path) -> list[RunRecord]:
    """Lists the runs that wrote an index, newest first."""
    runs = list_runs(workspace, study=study.name, operation=OPERATION)
    return [run for run in runs if _target(run) == str(folder)]


def _target(run: RunRecord) -> str:
    order = read_json_or_none(run.folder / "config.json")
    return str(order["config"].get("to", "")) if isinstance(order, dict) and "config" in order else ""


def _count(study: Study) -> int:
    return study.counts.get("samples") or len(pd.read_parquet(study.samples, columns=["id"]))


def _seconds_per_sample(run: RunRecord, *, at_least: int) -> float | None:
    """How long a gradient took in an attribution of so many samples that starting up hardly counts; None for others."""
    told = run.summary
    if run.state != DONE or told.get("candidates", 0) < max(1, at_least):
        return None
    return float(told["seconds"]) / int(told["candidates"]) if told.get("method") in CURVATURES else None
