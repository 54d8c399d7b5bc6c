"""Runs as the screens and the command line show and steer them."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from lancet_core.errors import StoreError
from lancet_core.runs import launcher
from lancet_core.runs.run_folder import RunFolder
from lancet_core.store import runs as store
from lancet_core.store.pairs import list_pairs
from lancet_core.store.run_status import Status
from lancet_core.store.runs import RunRecord
from lancet_core.workspace import Workspace


@dataclass(frozen=True)
class RunDetails:
    """All that is known of a run.

    Attributes:
        record: Its entry in the index.
        status: Where it stands.
        config: Its complete settings.
        versions: The software it was started with.
        metrics: What it measured.
        children: Runs that use its results, newest first.
    """

    record: RunRecord
    status: Status
    config: dict[str, Any]
    versions: dict[str, str]
    metrics: pd.DataFrame
    children: tuple[RunRecord, ...]

    @property
    def folder(self) -> Path:
        """The run folder."""
        return self.record.folder


def list_runs(
    workspace: Workspace, study: str | None = None, operation: str | None = None
) -> list[RunRecord]:
    """Lists runs, newest first, dead ones marked as failed.

    Args:
        workspace: Where the runs lie.
        study: Only runs of this study; None lists all.
        operation: Only runs of this operation; None lists all.
    """
    launcher.sweep(workspace)
    return store.list_runs(workspace, study, operation)


def show(workspace: Workspace, run_id: str) -> RunDetails:
    """Tells all that is known of a run.

    Raises:
        StoreError: There is no such run.
        JobError: Its folder is broken.
    """
    record = store.get_run(workspace, run_id)
    folder = RunFolder(record.folder)
    return RunDetails(
        record=record,
        status=folder.status(),
        config=folder.config,
        versions=folder.versions,
        metrics=folder.metrics(),
        children=tuple(store.children(workspace, run_id)),
    )


def logs(workspace: Workspace, run_id: str, lines: int = 200) -> str:
    """Reads the last lines of a run's log.

    Raises:
        StoreError: There is no such run.
    """
    return RunFolder(store.get_run(workspace, run_id).folder).log_tail(lines)


def cancel(workspace: Workspace, run_id: str) -> Status:
    """Stops a run within five seconds; a finished one stays as it is.

    Raises:
        StoreError: There is no such run.
    """
    return launcher.cancel(workspace, run_id)


def resume(workspace: Workspace, run_id: str) -> None:
    """Goes on with a run that failed, died or was cancelled.

    Raises:
        StoreError: There is no such run.
        JobError: It is done, or still going.
    """
    launcher.resume(workspace, run_id)


def dependents(workspace: Workspace, run_id: str) -> str:
    """Says in words what would lose its source if a run were deleted; empty where nothing would."""
    run = store.get_run(workspace, run_id)
    children = store.children(workspace, run_id)
    if children:
        return f"{len(children)} runs use its results ({', '.join(child.id for child in children[:3])})"
    pairs = 0 if run.study is None else int((list_pairs(workspace, run.study)["run_id"] == run_id).sum())
    return f"{pairs} pairs under review were proposed from it" if pairs else ""


def delete(workspace: Workspace, run_id: str, *, even_if_used: bool = False) -> None:
    """Deletes a run and its folder.

    Args:
        workspace: Where the run lies.
        run_id: Its id.
        even_if_used: Delete it although other runs or pairs come from it.

    Raises:
        StoreError: There is no such run, it is still going, or something comes from it.
    """
    used = dependents(workspace, run_id)
    if used and not even_if_used:
        raise StoreError(
            f"run {run_id} is not deleted: {used}; delete those first, or confirm that it may go"
        )
    store.delete_run(workspace, run_id)
