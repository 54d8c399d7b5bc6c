"""Studies: one model, its training samples, its scorers, and the folder that holds their tables."""

import re
import shutil
from dataclasses import asdict, dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError

from lancet_core.errors import StoreError
from lancet_core.store import schema
from lancet_core.store.database import reading, writing
from lancet_core.store.run_status import now
from lancet_core.store.runs import delete_run, list_runs
from lancet_core.workspace import Workspace

NAME_PATTERN = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")


@dataclass(frozen=True)
class NewStudy:
    """What a study is made of.

    Attributes:
        name: Letters, digits, `-`, `_` and `.`, at most 64; also the name of its folder.
        model: Folder or hub id of the causal language model.
        template: How a prompt is formatted (`auto`, `raw` or a text with `{prompt}`).
        harmful_scorer: Folder of the scorer, empty where there is none.
        helpful_scorer: Folder of the scorer, empty where there is none.
        counts: Numbers told about it (samples kept, rejected, cut …).
    """

    name: str
    model: str
    template: str = "auto"
    harmful_scorer: str = ""
    helpful_scorer: str = ""
    counts: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Study:
    """A study and where its files lie; fields as in `NewStudy`.

    Attributes:
        folder: Its folder in the workspace.
        created_at: When it was made (UTC).
    """

    name: str
    model: str
    template: str
    harmful_scorer: str
    helpful_scorer: str
    counts: dict[str, int]
    created_at: datetime
    folder: Path

    @property
    def samples(self) -> Path:
        """The table of training samples."""
        return self.folder / "samples.parquet"

    @property
    def rejected(self) -> Path:
        """Rows of the training file that were left out, with number and reason."""
        return self.folder / "rejected.jsonl"

    @property
    def factors(self) -> Path:
        """The folder that keeps covariance factors between runs."""
        return self.folder / "factors"

    @property
    def index(self) -> Path:
        """The folder that keeps gradient indexes, each in a folder of its own."""
        return self.folder / "index"

    @property
    def prompts(self) -> Path | None:
        """The table of evaluation prompts, None where the study has none."""
        return _existing(self.folder / "prompts.parquet")

    @property
    def scores(self) -> Path | None:
        """Harmful and helpful scores of the training samples, None where they were not scored."""
        return _existing(self.folder / "scores.parquet")


def add_study(workspace: Workspace, study: NewStudy) -> Study:
    """Adds a study and makes its folder; files that already lie in the folder stay.

    Raises:
        StoreError: The name is taken, or is no name.
    """
    check_name(study.name)
    row = {**asdict(study), "created_at": now()}
    try:
        with writing(workspace) as connection:
            connection.execute(sa.insert(schema.studies).values(row))
    except IntegrityError as error:
        raise StoreError(
            f"there is already a study {study.name!r}; choose another name, or delete it: lancet study delete {study.name}"
        ) from error
    added = get_study(workspace, study.name)
    added.folder.mkdir(parents=True, exist_ok=True)
    return added


def check_name(name: str) -> None:
    """Checks that a text can name a study.

    Raises:
        StoreError: It cannot.
    """
    if not NAME_PATTERN.fullmatch(name):
        raise StoreError(
            f"{name!r} cannot name a study; use 1 to 64 letters, digits, '-', '_' and '.', the first a letter or digit"
        )


def get_study(workspace: Workspace, name: str) -> Study:
    """Looks up a study by name.

    Raises:
        StoreError: There is none of this name; the message lists those there are.
    """
    found = {study.name: study for study in list_studies(workspace)}
    if name in found:
        return found[name]
    known = (
        f"studies here: {', '.join(sorted(found))}"
        if found
        else "this workspace has none yet: lancet demo, or lancet study create"
    )
    raise StoreError(f"there is no study {name!r}; {known}")


def list_studies(workspace: Workspace) -> list[Study]:
    """Lists all studies, oldest first."""
    order = (schema.studies.c.created_at, schema.studies.c.name)
    with reading(workspace) as connection:
        rows = connection.execute(sa.select(schema.studies).order_by(*order)).mappings().all()
    return [Study(**row, folder=workspace.studies / row["name"]) for row in rows]


def set_counts(workspace: Workspace, name: str, counts: dict[str, int]) -> Study:
    """Adds numbers to those told about a study; equal names are replaced.

    Raises:
        StoreError: There is no such study.
    """
    merged = {**get_study(workspace, name).counts, **counts}
    _update(workspace, name, {"counts": merged})
    return get_study(workspace, name)


def set_scorers(workspace: Workspace, name: str, *, harmful: str = "", helpful: str = "") -> Study:
    """Names the scorer folders of a study; an empty name leaves that scorer as it is.

    Raises:
        StoreError: There is no such study.
    """
    study = get_study(workspace, name)
    chosen = {
        "harmful_scorer": harmful or study.harmful_scorer,
        "helpful_scorer": helpful or study.helpful_scorer,
    }
    _update(workspace, name, chosen)
    return get_study(workspace, name)


def delete_study(workspace: Workspace, name: str) -> None:
    """Deletes a study with its queries, pairs, decisions, runs and folder.

    Raises:
        StoreError: There is no such study, or a run of it is still going.
    """
    study = get_study(workspace, name)
    runs = list_runs(workspace, study=name)
    going = [run.id for run in runs if not run.is_final]
    if going:
        raise StoreError(
            f"study {name!r} has a run going: {going[0]}; cancel it first: lancet runs cancel {going[0]}"
        )
    for run in runs:
        delete_run(workspace, run.id)
    with writing(workspace) as connection:
        connection.execute(sa.delete(schema.studies).where(schema.studies.c.name == name))
    shutil.rmtree(study.folder, ignore_errors=True)


def _update(workspace: Workspace, name: str, values: dict[str, Any]) -> None:
    with writing(workspace) as connection:
        connection.execute(sa.update(schema.studies).where(schema.studies.c.name == name).values(values))


def _existing(path: Path) -> Path | None:
    return path if path.is_file() else None
