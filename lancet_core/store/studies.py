"""Studies: one model, its training samples, its scorers, and the folder that holds their tables."""

import re
import shutil
from dataclasses import asdict, dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import pandas as pd
import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError

from lancet_core.data.samples import read_samples
from lancet_core.errors import StoreError
from lancet_core.store import schema
from lancet_core.store.database import reading, writing
from lancet_core.store.run_status import now
from lancet_core.store.runs import RunFilter, check_unused, delete_run, list_runs
from lancet_core.workspace import Workspace

TEMPLATE_FITS = "templates.json"
NAME_PATTERN = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")


@dataclass(frozen=True)
class NewStudy:
    """What a study is made of.

    Attributes:
        name: Letters, digits, `-`, `_` and `.`, at most 64; also the name of its folder.
        model: Folder or hub id of the causal language model.
        template: How a prompt is formatted (`auto`, `raw` or a text with `{prompt}`).
        harmful_scorer: Text of the scorer's card, or its folder; empty where there is none.
        helpful_scorer: Text of the scorer's card, or its folder; empty where there is none.
        dtype: Type of number that the model is loaded with.
        device: Where the model runs: `auto`, `cpu` or `cuda`.
        counts: Numbers of rows read, samples kept, rejected, cut …
    """

    name: str
    model: str
    template: str = "auto"
    harmful_scorer: str = ""
    helpful_scorer: str = ""
    dtype: str = "float32"
    device: str = "auto"
    counts: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class StudyRecord:
    """A study as the index knows it, and where its files lie; fields as in `NewStudy`.

    Attributes:
        workspace: Where it lies.
        created_at: When it was made (UTC).
    """

    workspace: Workspace
    name: str
    model: str
    template: str
    harmful_scorer: str
    helpful_scorer: str
    dtype: str
    device: str
    counts: dict[str, int]
    created_at: datetime

    @property
    def folder(self) -> Path:
        """Its folder in the workspace."""
        return self.workspace.studies / self.name

    @property
    def samples_file(self) -> Path:
        """The table of training samples with their scores."""
        return self.folder / "samples.parquet"

    @property
    def rejected_file(self) -> Path:
        """Rows of the training file that were left out, with number and reason."""
        return self.folder / "rejected.jsonl"

    @property
    def prompts_file(self) -> Path | None:
        """The table of evaluation prompts, None where the study has none."""
        path = self.folder / "prompts.parquet"
        return path if path.is_file() else None

    @property
    def templates_file(self) -> Path:
        """How likely the samples are under each known template; studies of older versions have none."""
        return self.folder / TEMPLATE_FITS

    @property
    def factors_folder(self) -> Path:
        """The folder that keeps covariance factors between runs."""
        return self.folder / "factors"

    @property
    def index_folder(self) -> Path:
        """The folder that keeps gradient indexes, each in a folder of its own."""
        return self.folder / "index"

    def samples(self) -> pd.DataFrame:
        """Reads the training samples: id, texts, label, categories, and `harmful` and `helpful` in (0, 1), NaN where unknown.

        Raises:
            DataError: The table is missing.
        """
        return read_samples(self.samples_file)


def add_study(workspace: Workspace, new: NewStudy) -> StudyRecord:
    """Adds a study and makes its folder; files that already lie in the folder stay.

    Raises:
        StoreError: The name is taken, or is no name.
    """
    check_name(new.name)
    try:
        with writing(workspace) as connection:
            connection.execute(sa.insert(schema.studies).values({**asdict(new), "created_at": now()}))
    except IntegrityError as error:
        raise StoreError(name_taken(new.name)) from error
    added = get_study(workspace, new.name)
    added.folder.mkdir(parents=True, exist_ok=True)
    return added


def name_taken(name: str) -> str:
    """Says that a study of this name exists, and what to do."""
    return f"there is already a study {name!r}; choose another name, or delete it: lancet study delete {name}"


def check_name(name: str) -> None:
    """Checks that a text can name a study.

    Raises:
        StoreError: It cannot.
    """
    if not NAME_PATTERN.fullmatch(name):
        raise StoreError(
            f"{name!r} cannot name a study; use 1 to 64 letters, digits, '-', '_' and '.', the first a letter or digit"
        )


def get_study(workspace: Workspace, name: str) -> StudyRecord:
    """Looks up a study by name.

    Raises:
        StoreError: There is none of this name; the message lists those there are.
    """
    studies = {study.name: study for study in list_studies(workspace)}
    if name in studies:
        return studies[name]
    known = (
        f"studies here: {', '.join(sorted(studies))}"
        if studies
        else "this workspace has none yet: lancet demo, or lancet study create"
    )
    raise StoreError(f"there is no study {name!r}; {known}")


def list_studies(workspace: Workspace) -> list[StudyRecord]:
    """Lists all studies, oldest first."""
    order = (schema.studies.c.created_at, schema.studies.c.name)
    with reading(workspace) as connection:
        rows = connection.execute(sa.select(schema.studies).order_by(*order)).mappings().all()
    return [StudyRecord(workspace, **row) for row in rows]


def update_study(study: StudyRecord, **values: Any) -> StudyRecord:
    """Changes what a study is made of.

    Args:
        study: The study.
        **values: Fields of `NewStudy` and their new values.

    Raises:
        StoreError: There is no such study any more.
    """
    named = schema.studies.c.name == study.name
    with writing(study.workspace) as connection:
        connection.execute(sa.update(schema.studies).where(named).values(values))
    return get_study(study.workspace, study.name)


def check_idle(study: StudyRecord) -> None:
    """Checks that no run of a study is going.

    Raises:
        StoreError: One is; the message names it.
    """
    runs = list_runs(study.workspace, RunFilter(study=study.name))
    going = next((run for run in runs if not run.is_final), None)
    if going is not None:
        raise StoreError(
            f"study {study.name!r} has a run going: {going.id}; cancel it first: lancet runs cancel {going.id}"
        )


def delete_study(study: StudyRecord) -> None:
    """Deletes a study with its queries, pairs, decisions, runs and folder.

    Raises:
        StoreError: A run of it is still going, or another study stands on a model that one made.
    """
    check_idle(study)
    runs = list_runs(study.workspace, RunFilter(study=study.name))
    for run in runs:
        check_unused(study.workspace, run)
    for run in runs:
        delete_run(study.workspace, run.id)
    with writing(study.workspace) as connection:
        connection.execute(sa.delete(schema.studies).where(schema.studies.c.name == study.name))
    shutil.rmtree(study.folder, ignore_errors=True)
