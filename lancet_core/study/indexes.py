"""Gradient indexes of a study: what there is, whether it can be searched, and building one."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import Any

import pandas as pd

from lancet_core.acts.index import IndexBuilt, IndexRequest
from lancet_core.acts.subject import model_content
from lancet_core.config import differences, to_dict
from lancet_core.data.samples import corpus_id
from lancet_core.errors import ConfigError, DataError, JobError
from lancet_core.influence.index_manifest import MANIFEST, Manifest, read_manifest
from lancet_core.influence.presets import preset
from lancet_core.influence.settings import GradientSettings, IndexSettings
from lancet_core.runs import launcher
from lancet_core.runs.launcher import Task
from lancet_core.runs.run import Run, list_runs
from lancet_core.store.run_status import CANCELLED, FAILED
from lancet_core.store.runs import RunFilter
from lancet_core.store.studies import StudyRecord
from lancet_core.study.subjects import computed_as, subject_of

INDEX = "index"
OTHER_SAMPLES = "the training samples have changed since it was built"
OTHER_MODEL = "the model has changed since it was built"
# What stands beside the dimensions of each sample: its scale, its norm and its row.
_BYTES_BESIDE, _BASIS_BYTES = 12, 2
_BYTES_OF_A_DIMENSION = {"int8": 1, "float16": 2}


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

    @property
    def method(self) -> str:
        """Name of the method that it answers."""
        return str(self.manifest.influence["method"])


def list_indexes(study: StudyRecord) -> list[StudyIndex]:
    """Lists the whole indexes of a study, newest first."""
    indexes = [index for folder in _folders(study) if (index := _read(study, folder)) is not None]
    return sorted(indexes, key=lambda index: index.built_at, reverse=True)


def count_unfinished(study: StudyRecord) -> int:
    """Counts the indexes whose build was begun and is not done."""
    return sum(1 for folder in _folders(study) if read_manifest(folder) is None)


def find_index(study: StudyRecord, settings: GradientSettings) -> StudyIndex | None:
    """Finds the index that answers queries with these settings; None where none was built."""
    return _read(study, _folder(study, settings)) if settings.can_be_indexed else None


def usable_index(study: StudyRecord, settings: GradientSettings) -> StudyIndex | None:
    """Finds the index that answers queries with these settings, unless samples or model changed since."""
    index = find_index(study, settings)
    return index if index is not None and not index.outdated else None


def require_index(study: StudyRecord, settings: GradientSettings) -> StudyIndex:
    """Finds the index that recall needs, before any model is loaded.

    Raises:
        ConfigError: The method cannot be answered from an index.
        DataError: There is none for these settings, or samples or model changed since.
    """
    _check_method(settings)
    index = find_index(study, settings)
    build = f"build it with: {build_command(study, settings)}"
    if index is None:
        others = ", ".join(other.method for other in list_indexes(study))
        there = f" with these settings; there is one for {others}" if others else ""
        raise DataError(
            f"study {study.name!r} has no gradient index for {settings.method}{there}; {build}, or set recall to tfidf"
        )
    if index.outdated:
        raise DataError(
            f"the gradient index of study {study.name!r} for {settings.method} is of no use: {index.outdated}; {build}"
        )
    return index


def build_command(study: StudyRecord, settings: GradientSettings) -> str:
    """Writes the command that builds the index for some settings."""
    usual, chosen = preset(settings.method).of_gradients, _of_gradients(settings)
    options = [f"--{name.replace('_', '-')} {value}" for name, value in differences(chosen, usual).items()]
    if settings.method != preset().method:
        options.insert(0, f"--method {settings.method}")
    return " ".join(["lancet index build", study.name, *options])


def build_index(
    study: StudyRecord, influence: GradientSettings | None = None, index: IndexSettings | None = None
) -> Run[IndexBuilt]:
    """Builds an index, goes on with a build that was stopped, or finds the one that is going.

    An index that is whole already is gone through again: shards that are broken are made anew, the others stay.

    Args:
        study: The study.
        influence: Method and curvature that queries will be answered with.
        index: What is kept of each sample.

    Raises:
        ConfigError: The method cannot be answered from an index.
        JobError: Another build of the same index is going, or no worker can be started.
    """
    settings = computed_as(study, influence or preset())
    _check_method(settings)
    task = Task(INDEX, subject_of(study), IndexRequest(_of_gradients(settings), index or IndexSettings()))
    builds = _builds(study, settings)
    going = next((run for run in builds if not run.record.is_final), None)
    if going is not None and going.record.key != task.key:
        raise JobError(
            f"another build of this index is going: {going.id}; wait for it, or cancel it: lancet runs cancel {going.id}"
        )
    if going is not None:
        return going
    last = next((run for run in builds if run.record.key == task.key), None)
    if last is not None and last.record.state in {FAILED, CANCELLED}:
        return last.resume()
    return Run(study.workspace, launcher.start(study.workspace, task))


def last_build(study: StudyRecord, settings: GradientSettings) -> Run[IndexBuilt] | None:
    """Finds the newest run that built, or builds, the index for some settings."""
    return next(iter(_builds(study, settings)), None)


def index_size(study: StudyRecord, index: IndexSettings | None = None) -> int:
    """Reckons the bytes of an index on disk: the dimensions of the samples that the basis is made from are kept beside it too."""
    settings = index or IndexSettings()
    count = study.counts.get("samples") or len(pd.read_parquet(study.samples_file, columns=["id"]))
    basis = min(settings.basis_samples, count)
    dimensions = min(settings.dimensions, basis)
    each = dimensions * _BYTES_OF_A_DIMENSION[settings.precision] + _BYTES_BESIDE
    return (count + basis) * each + settings.sketch_dimensions * dimensions * _BASIS_BYTES


def _check_method(settings: GradientSettings) -> None:
    """Checks that a method can be answered from an index.

    Raises:
        ConfigError: It cannot.
    """
    if settings.can_be_indexed:
        return
    lacking = "has no curvature to whiten them with" if settings.takes_gradients else "takes no gradients"
    raise ConfigError(
        f"a gradient index cannot answer {settings.method}, which {lacking}; choose linfac, linfac-expand, linfac-head or ekfac, or another recall"
    )


def _of_gradients(settings: GradientSettings) -> GradientSettings:
    return settings.of_gradients if hasattr(settings, "of_gradients") else settings


def _folder(study: StudyRecord, settings: GradientSettings) -> Path:
    """Where the index for some settings lies: methods do not push each other out."""
    return study.index_folder / computed_as(study, settings).gradient_key


def _folders(study: StudyRecord) -> Iterator[Path]:
    return (folder for folder in sorted(study.index_folder.glob("*")) if folder.is_dir())


def _read(study: StudyRecord, folder: Path) -> StudyIndex | None:
    manifest = read_manifest(folder)
    if manifest is None:
        return None
    size = sum(file.stat().st_size for file in folder.iterdir())
    built_at = datetime.fromtimestamp((folder / MANIFEST).stat().st_mtime, UTC)
    return StudyIndex(folder, manifest, size, built_at, _why_outdated(study, manifest))


def _why_outdated(study: StudyRecord, manifest: Manifest) -> str:
    samples = study.samples_file
    if not samples.is_file() or _corpus(samples, samples.stat().st_mtime_ns) != manifest.corpus:
        return OTHER_SAMPLES
    if Path(study.model).is_dir() and model_content(study.model) != manifest.model:
        return OTHER_MODEL
    return ""  # a model on the Hub is compared when it is loaded


@lru_cache(maxsize=32)
def _corpus(samples: Path, _written_at: int) -> str:
    return corpus_id(pd.read_parquet(samples, columns=["id"])["id"])


def _builds(study: StudyRecord, settings: GradientSettings) -> list[Run[Any]]:
    """Lists the runs that wrote the index for some settings, newest first."""
    wanted = to_dict(_of_gradients(computed_as(study, settings)))
    runs = list_runs(study.workspace, RunFilter(study=study.name, act=INDEX))
    return [run for run in runs if run.order.request.get("influence") == wanted]
