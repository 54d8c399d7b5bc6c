"""The index of runs. A run is its folder; the index finds it by study, act, settings, case and query, and knows what came of what."""

import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError

from lancet_core.errors import StoreError
from lancet_core.store import run_status, schema
from lancet_core.store.database import reading, writing
from lancet_core.workspace import Workspace


@dataclass(frozen=True)
class NewRun:
    """A run to be entered in the index; its folder is `workspace.runs / id`.

    Attributes:
        id: Name of the run and of its folder.
        act: What it does (`attribute`, `correct` …).
        key: Fingerprint, by content, of what was asked and of what it was asked of: equal keys mean equal results.
        study: Study it belongs to, None where it belongs to none.
        case_id: Query at hand when it was started, empty where there was none.
        title: What was asked, in words.
        parents: Ids of the runs whose results it uses.
        queries: Id and group of each query that it works on.
    """

    id: str
    act: str
    key: str
    study: str | None = None
    case_id: str = ""
    title: str = ""
    parents: tuple[str, ...] = ()
    queries: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class RunRecord:
    """A run as the index knows it; fields as in `NewRun`.

    Attributes:
        folder: The run folder.
        state: `queued`, `running`, `done`, `failed` or `cancelled`.
        outcome: How it ended, in words; empty before.
        created_at: When it was asked for (UTC).
        finished_at: When it ended (UTC), None before.
    """

    id: str
    study: str | None
    act: str
    key: str
    case_id: str
    title: str
    folder: Path
    state: str
    outcome: str
    parents: tuple[str, ...]
    created_at: datetime
    finished_at: datetime | None

    @property
    def is_final(self) -> bool:
        """Whether nothing more will happen by itself."""
        return self.state in run_status.FINAL_STATES

    @property
    def is_done(self) -> bool:
        """Whether it has a result."""
        return self.state == run_status.DONE


@dataclass(frozen=True)
class RunFilter:
    """Which runs to list; a field that is None does not matter.

    Attributes:
        study: Name of their study.
        act: What they do.
        key: Fingerprint of their settings.
        case_id: Case that they were started for.
        alone: Id of a query that they attributed by itself, not in a batch.
        within: Id of a query that they worked on, alone or in a batch.
    """

    study: str | None = None
    act: str | None = None
    key: str | None = None
    case_id: str | None = None
    alone: str | None = None
    within: str | None = None


def register(workspace: Workspace, run: NewRun) -> RunRecord:
    """Enters a run whose folder is already in place.

    Raises:
        StoreError: The id is taken, or there is no such study.
    """
    row: dict[str, Any] = {
        "id": run.id,
        "study": run.study,
        "act": run.act,
        "key": run.key,
        "case_id": run.case_id,
        "title": run.title,
        "state": run_status.QUEUED,
        "outcome": "",
        "parents": list(run.parents),
        "created_at": run_status.now(),
    }
    queries = [
        {"run_id": run.id, "position": position, "query_id": query_id, "group": group}
        for position, (query_id, group) in enumerate(run.queries)
    ]
    try:
        with writing(workspace) as connection:
            connection.execute(sa.insert(schema.runs).values(row))
            if queries:
                connection.execute(sa.insert(schema.run_queries), queries)
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
    runs = _fetch(workspace, sa.select(schema.runs).where(schema.runs.c.id == run_id))
    if not runs:
        raise StoreError(f"there is no run {run_id!r}; list the runs with: lancet runs list")
    return runs[0]


def list_runs(workspace: Workspace, where: RunFilter | None = None) -> list[RunRecord]:
    """Lists runs, newest first, their states fresh from their folders."""
    where = where or RunFilter()
    chosen = sa.select(schema.runs)
    for name in ("study", "act", "key", "case_id"):
        value = getattr(where, name)
        if value is not None:
            chosen = chosen.where(schema.runs.c[name] == value)
    queries = schema.run_queries.c
    if where.alone is not None:
        alone = sa.select(queries.run_id).where(queries.query_id == where.alone, queries.group == where.alone)
        chosen = chosen.where(schema.runs.c.id.in_(alone))
    if where.within is not None:
        within = sa.select(queries.run_id).where(queries.query_id == where.within)
        chosen = chosen.where(schema.runs.c.id.in_(within))
    return _fetch(workspace, chosen)


def queries_of(workspace: Workspace, run_id: str) -> list[tuple[str, str]]:
    """Lists id and group of each query that a run worked on, in their order."""
    table = schema.run_queries.c
    chosen = sa.select(table.query_id, table.group).where(table.run_id == run_id).order_by(table.position)
    with reading(workspace) as connection:
        return [(row.query_id, row.group) for row in connection.execute(chosen)]


def children(workspace: Workspace, run_id: str) -> list[RunRecord]:
    """Lists the runs that use the results of one, newest first."""
    return [run for run in list_runs(workspace) if run_id in run.parents]


def reopen(workspace: Workspace, run_id: str) -> None:
    """Marks a run as going again, before a worker is started on its folder."""
    _update(workspace, run_id, {"state": run_status.QUEUED, "finished_at": None, "outcome": ""})


def delete_run(workspace: Workspace, run_id: str) -> None:
    """Deletes a run and its folder.

    Raises:
        StoreError: There is no such run, it is still going, or another study stands on the model that it made.
    """
    run = get_run(workspace, run_id)
    if not run.is_final:
        raise StoreError(f"run {run_id} is {run.state}; cancel it first: lancet runs cancel {run_id}")
    check_unused(workspace, run)
    shutil.rmtree(run.folder, ignore_errors=True)
    with writing(workspace) as connection:
        connection.execute(sa.delete(schema.runs).where(schema.runs.c.id == run_id))


def check_unused(workspace: Workspace, run: RunRecord) -> None:
    """Checks that no other study has its model or a scorer in the folder of a run.

    Raises:
        StoreError: One has; the message names it.
    """
    table = schema.studies.c
    folders = (table.model, table.harmful_scorer, table.helpful_scorer)
    inside = sa.or_(*(column.contains(f"{run.folder.name}/", autoescape=True) for column in folders))
    with reading(workspace) as connection:
        name = connection.execute(
            sa.select(table.name).where(inside, table.name != (run.study or ""))
        ).scalar()
    if name is not None:
        raise StoreError(
            f"the model or a scorer of study {name!r} lies in run {run.id}; delete that study first: lancet study delete {name}"
        )


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
    changes: dict[str, Any] = {
        "state": status.state,
        "finished_at": (status.updated_at or run_status.now()) if status.is_final else None,
        "outcome": status.outcome,
    }
    _update(workspace, run.id, changes)
    return replace(run, **changes)


def _record(workspace: Workspace, row: sa.RowMapping) -> RunRecord:
    return RunRecord(**{**row, "parents": tuple(row["parents"])}, folder=workspace.runs / row["id"])


def _update(workspace: Workspace, run_id: str, changes: dict[str, Any]) -> None:
    with writing(workspace) as connection:
        connection.execute(sa.update(schema.runs).where(schema.runs.c.id == run_id).values(changes))
