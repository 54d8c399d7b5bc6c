"""Starts a run, or finds the one that already did the same, and waits for it."""

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

from lancet_core.config import fingerprint
from lancet_core.errors import Cancelled, JobError
from lancet_core.runs import launcher
from lancet_core.store import run_status
from lancet_core.store.run_status import Status
from lancet_core.store.runs import RunRecord, find_going, find_run, get_run
from lancet_core.workspace import Workspace

OnStatus = Callable[[Status], None]


def reuse_or_start(
    workspace: Workspace,
    operation: str,
    config: Any,
    *,
    study: str | None = None,
    parents: Sequence[str] = (),
    warm: bool = False,
) -> str:
    """Starts a run unless one with equal settings is done or going.

    Args:
        workspace: Where runs lie.
        operation: What to do (`attribute`, `correct` …).
        config: The operation's settings.
        study: Study it belongs to.
        parents: Ids of the runs whose results it uses.
        warm: Whether the model host does it, which keeps the model loaded.

    Returns:
        Id of the run.

    Raises:
        JobError: No worker can be started.
    """
    found = find_same(workspace, operation, config, study=study)
    if found is not None:
        return found.id
    return launcher.start(workspace, operation, config, study=study, parents=parents, warm=warm)


def find_same(
    workspace: Workspace,
    operation: str,
    config: Any,
    *,
    study: str | None = None,
    since: datetime | None = None,
) -> RunRecord | None:
    """Finds a run with equal settings that is done or going.

    Args:
        workspace: Where runs lie.
        operation: What it does.
        config: The operation's settings.
        study: Study it belongs to.
        since: When what it reads was made: a run that was started before does not count. None takes any.
    """
    key = fingerprint(config)
    both = (find_run(workspace, study, operation, key), find_going(workspace, study, operation, key))
    return next((run for run in both if run is not None and (since is None or run.created_at >= since)), None)


def finish(workspace: Workspace, run_id: str, on_status: OnStatus | None = None) -> RunRecord:
    """Waits until a run is done; Ctrl-C cancels it.

    Args:
        workspace: Where runs lie.
        run_id: The run.
        on_status: Called whenever it moved on.

    Returns:
        The finished run.

    Raises:
        JobError: The run failed; the message says why and where its log is.
        Cancelled: A person cancelled it.
        KeyboardInterrupt: A person pressed Ctrl-C; the run is cancelled by then.
    """
    try:
        status = launcher.wait(workspace, run_id, on_status)
    except KeyboardInterrupt:
        launcher.cancel(workspace, run_id)
        launcher.wait(workspace, run_id, on_status)
        raise
    if status.state == run_status.FAILED:
        raise JobError(f"run {run_id} failed: {status.error}; its log: lancet runs logs {run_id}")
    if status.state == run_status.CANCELLED:
        raise Cancelled(f"run {run_id} was cancelled; go on with it: lancet runs resume {run_id}")
    return get_run(workspace, run_id)


def newest_done(runs: Sequence[RunRecord]) -> RunRecord | None:
    """Finds the newest finished one among runs that are listed newest first."""
    return next((run for run in runs if run.state == run_status.DONE), None)
