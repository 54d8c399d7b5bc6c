"""The index of runs. A run is its folder; the index finds it by study, operation and settings, and knows what came of what."""

import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError

from lancet_core.errors import StoreError
from lancet_core.files import read_json_or_none
from lancet_core.store import run_status, schema
from lancet_core.store.database import reading, writing
from lancet_core.workspace import Workspace


@dataclass(frozen=True)
class NewRun:
    """A run to be entered in the index; its folder is `workspace.runs / id`.

    Attributes:
        id: Name of the run and of its folder.
        operation: What it does (`attribute`, `correct` …).
        key: Fingerprint of its settings: equal keys mean equal results.
        study: Study it belongs to, None where it belongs to none.
        parents: Ids of the runs whose results it uses.
    """

    id: str
    operation: str
    key: str
    study: str | None = None
    parents: tuple[str, ...] = ()


@dataclass(frozen=True)
class RunRecord:
    """A run as the index knows it; fields as in `NewRun`.

    Attributes:
        folder: The run folder.
        state: `queued`, `running`, `done`, `failed` or `cancelled`.
        created_at: When it was asked for (UTC).
        finished_at: When it ended (UTC), None before.
        summary: What its `result.json` says; empty before it is done.
    """

    id: str
    study: str | None
    operation: str
    key: str
    folder: Path
    state: str
    created_at: datetime
    finished_at: datetime | None
    parents: tuple[str, ...] = ()
    summary: dict[str, Any] = field(default_factory=dict)

    @property
    def is_final(self) -> bool:
        """Whether nothing more will happen by itself."""
        return self.state in run_status.FINAL_STATES


def register(workspace: Workspace, run: NewRun) -> RunRecord:
    """Enters a run whose folder is already in place.

    Raises:
        StoreError: The id is taken, or there is no such study.
    """
    row: dict[str, Any] = {
        "id": run.id,
        "study": run.study,
        "operation": run.operation,
        "key": run.key,
        "state": run_status.QUEUED,
        "parents": list(run.parents),
        "summary": {},
        "created_at": run_status.now(),
    }
    try:
        with writing(workspace) as connection:
            connection.execute(sa.insert(schema.runs).values(row))
    except IntegrityError as error:
        raise StoreError(
            f"run {run.id!r} cannot be entered: the id is taken, or there is no study {run.study!r}; "
            "list both with lancet runs list and lancet study list"
        ) from error
    return get_run(workspace, run.id)


def get_run(workspace: Workspace, run_id: str) -> RunRecord:
    """Looks up a run by id, its state fresh from its folder.

    Raises:
        StoreError: There is no such run.
    """
    with reading(workspace) as connection:
        row = connection.execute(sa.select(schema.runs).where(schema.runs.c.id == run_id)).mappings().first()
    if row is None:
        raise StoreError(f"there is no run {run_id!r}; list the runs with: lancet runs list")
    return _refreshed(workspace, _record(workspace, row))


def list_runs(
    workspace: Workspace, study: str | None = None, operation: str | None = None
) -> list[RunRecord]:
    """Lists runs, newest first, their states fresh from their folders.

    Args:
        workspace: Where the runs lie.
        study: Only runs of this study; None lists all.
        operation: Only runs of this operation; None lists all.
    """
    chosen = sa.select(schema.runs)
    if study is not None:
        chosen = chosen.where(schema.runs.c.study == study)
    if operation is not None:
        chosen = chosen.where(schema.runs.c.operation == operation)
    return _fetch(workspace, chosen)


def find_run(workspace: Workspace, study: str | None, operation: str, key: str) -> RunRecord | None:
    """Finds the newest finished run with the same settings, so that nothing is computed twice.

    Args:
        workspace: Where the runs lie.
        study: Study it belongs to.
        operation: What it did.
        key: `config.fingerprint` of its settings.
    """
    table = schema.runs.c
    same = sa.select(schema.runs).where(table.study == study, table.operation == operation, table.key == key)
    return next((run for run in _fetch(workspace, same) if run.state == run_status.DONE), None)


def find_going(workspace: Workspace, study: str | None, operation: str, key: str) -> RunRecord | None:
    """Finds a run with the same settings that is waiting or at work; arguments as in `find_run`."""
    table = schema.runs.c
    same = sa.select(schema.runs).where(table.study == study, table.operation == operation, table.key == key)
    return next((run for run in _fetch(workspace, same) if not run.is_final), None)


def children(workspace: Workspace, run_id: str) -> list[RunRecord]:
    """Lists the runs that use the results of one, newest first."""
    return [run for run in list_runs(workspace) if run_id in run.parents]


def reopen(workspace: Workspace, run_id: str) -> None:
    """Marks a run as going again, before a worker is started on its folder."""
    _update(workspace, run_id, {"state": run_status.QUEUED, "finished_at": None, "summary": {}})


def delete_run(workspace: Workspace, run_id: str) -> None:
    """Deletes a run and its folder.

    Raises:
        StoreError: There is no such run, or it is still going.
    """
    run = get_run(workspace, run_id)
    if not run.is_final:
        raise StoreError(f"run {run_id} is {run.state}; cancel it first: lancet runs cancel {run_id}")
    shutil.rmtree(run.folder, ignore_errors=True)
    with writing(workspace) as connection:
        connection.execute(sa.delete(schema.runs).where(schema.runs.c.id == run_id))


def _fetch(workspace: Workspace, chosen: sa.Select[Any]) -> list[RunRecord]:
    order = (schema.runs.c.created_at.desc(), schema.runs.c.id.desc())
    with reading(workspace) as connection:
        rows: Sequence[sa.RowMapping] = connection.execute(chosen.order_by(*order)).mappings().all()
    return [_refreshed(workspace, _record(workspace, row)) for row in rows]


def _refreshed(workspace: Workspace, run: RunRecord) -> RunRecord:
    """Takes over the state of the folder where the index lags behind it."""
    if run.is_final and run.folder.is_dir():
        return run
    status = run_status.read_status(run.folder)
    if status.state == run.state:
        return run
    summary = (
        read_json_or_none(run.folder / run_status.RESULT_FILE) if status.state == run_status.DONE else {}
    )
    changes = {
        "state": status.state,
        "finished_at": (status.updated_at or run_status.now()) if status.is_final else None,
        "summary": summary if isinstance(summary, dict) else {},
    }
    _update(workspace, run.id, changes)
    return RunRecord(**{**run.__dict__, **changes})


def _record(workspace: Workspace, row: sa.RowMapping) -> RunRecord:
    return RunRecord(**{**row, "parents": tuple(row["parents"])}, folder=workspace.runs / row["id"])


def _update(workspace: Workspace, run_id: str, changes: dict[str, Any]) -> None:
    with writing(workspace) as connection:
        connection.execute(sa.update(schema.runs).where(schema.runs.c.id == run_id).values(changes))
