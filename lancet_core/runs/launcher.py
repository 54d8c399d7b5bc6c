"""Starts, watches, cancels and resumes runs. Workers are detached: they outlive the screen or shell that started them."""

import os
import secrets
import shutil
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from lancet_core.config import fingerprint, to_dict
from lancet_core.errors import JobError, StoreError
from lancet_core.runs import client
from lancet_core.runs.forward import FORWARD_MODULE
from lancet_core.runs.locks import take_lock
from lancet_core.runs.operations import OPERATIONS, find_operation
from lancet_core.runs.processes import detach
from lancet_core.runs.run_folder import PROTOCOL_FILES, Order, RunFolder
from lancet_core.store import runs
from lancet_core.store.run_status import CANCELLED, DONE, FAILED, QUEUED, Status, now
from lancet_core.workspace import Workspace

WORKER_MODULE = "lancet_core.runs.worker"
CANCEL_GRACE_SECONDS = 3.5
SIGNAL_GRACE_SECONDS = 0.5
KILL_GRACE_SECONDS = 5.0
POLL_SECONDS = 0.1


def start(
    workspace: Workspace,
    operation: str,
    config: Any,
    *,
    study: str | None = None,
    parents: Sequence[str] = (),
    warm: bool = False,
) -> str:
    """Starts a run in a process of its own and returns at once.

    Args:
        workspace: Where the run folder is made.
        operation: Name of the operation.
        config: Its settings (frozen dataclass).
        study: Study it belongs to.
        parents: Ids of the runs whose results it uses.
        warm: Whether it goes to the model host, which has models loaded.

    Returns:
        The run's id.

    Raises:
        JobError: There is no such operation, or the worker cannot be started.
        StoreError: There is no such study.
    """
    if not find_operation(operation, OPERATIONS).warm and warm:
        raise JobError(
            f"{operation} changes its model and cannot run in the model host; start it with warm=False"
        )
    folder = _make_folder(
        workspace, Order(operation, to_dict(config), fingerprint(config), study, tuple(parents))
    )
    with _held(folder) as lock:
        folder.write_status(Status(QUEUED, updated_at=now()))
        _register(workspace, folder)
        _set_to_work(workspace, folder, lock, warm=warm)
    return folder.id


def adopt(
    workspace: Workspace,
    operation: str,
    config: Any,
    *,
    results: Path,
    study: str | None = None,
    parents: Sequence[str] = (),
) -> str:
    """Enters results that were computed elsewhere as a finished run.

    Args:
        workspace: Where the run folder is made.
        operation: Name of the operation.
        config: The settings they were computed with.
        results: Folder with `result.json` and its tables; copied.
        study: Study it belongs to.
        parents: Ids of the runs whose results it uses.

    Returns:
        The run's id.

    Raises:
        JobError: There is no such operation, or the folder holds no result.
        StoreError: There is no such study.
    """
    find_operation(operation, OPERATIONS)
    if not (results / "result.json").is_file():
        raise JobError(f"{results} holds no result.json; give the folder of a finished run")
    folder = _make_folder(
        workspace, Order(operation, to_dict(config), fingerprint(config), study, tuple(parents))
    )
    shutil.copytree(results, folder.path, dirs_exist_ok=True, ignore=shutil.ignore_patterns(*PROTOCOL_FILES))
    moment = now()
    folder.write_status(Status(DONE, started_at=moment, updated_at=moment))
    _register(workspace, folder)
    return folder.id


def resume(workspace: Workspace, run_id: str) -> None:
    """Starts a worker again on a run that failed, died or was cancelled; it goes on from what is finished.

    Raises:
        JobError: The run is done, or still going.
        StoreError: There is no such run.
    """
    run = runs.get_run(workspace, run_id)
    if run.state == DONE:
        raise JobError(f"run {run_id} is done; there is nothing to resume: lancet runs show {run_id}")
    if not run.is_final:
        raise JobError(f"run {run_id} is {run.state} already; watch it with: lancet runs show {run_id}")
    folder = RunFolder(run.folder)
    with _held(folder) as lock:
        folder.clear_cancel()
        folder.write_status(Status(QUEUED, updated_at=now()))
        runs.reopen(workspace, run_id)
        _set_to_work(workspace, folder, lock, warm=False)


def wait(workspace: Workspace, run_id: str, on_status: Callable[[Status], None] | None = None) -> Status:
    """Waits until a run has ended, however it ended.

    Args:
        workspace: Where the run lies.
        run_id: Its id.
        on_status: Called with the status each time it was looked at.

    Raises:
        StoreError: There is no such run.
    """
    folder = RunFolder(runs.get_run(workspace, run_id).folder)
    while True:
        status = folder.status()
        if on_status is not None:
            on_status(status)
        if status.is_final:
            runs.get_run(workspace, run_id)
            return status
        time.sleep(POLL_SECONDS)


def cancel(workspace: Workspace, run_id: str) -> Status:
    """Stops a run within five seconds: asks it, then ends its process group.

    Returns:
        How it ended; a run that was over before stays as it was.

    Raises:
        StoreError: There is no such run.
    """
    run = runs.get_run(workspace, run_id)
    folder = RunFolder(run.folder)
    if run.is_final:
        return folder.status()
    folder.request_cancel()
    for ending, patience_seconds in (
        (None, CANCEL_GRACE_SECONDS),
        (signal.SIGTERM, SIGNAL_GRACE_SECONDS),
        (signal.SIGKILL, KILL_GRACE_SECONDS),
    ):
        if ending is not None:
            _end_group(folder, ending)
        if _wait_until_free(folder, patience_seconds):
            break
    status = folder.status()
    if status.state not in (DONE, CANCELLED):
        status = Status(CANCELLED, status.step, status.done, status.total, status.started_at, now())
        folder.write_status(status)
    runs.get_run(workspace, run_id)
    return status


def sweep(workspace: Workspace) -> list[str]:
    """Marks runs whose worker died as failed.

    Returns:
        Their ids.
    """
    died = []
    for run in runs.list_runs(workspace):
        folder = RunFolder(run.folder)
        if run.state == FAILED and folder.path.is_dir() and folder.settle():
            died.append(run.id)
    return died


def _make_folder(workspace: Workspace, order: Order) -> RunFolder:
    run_id = f"{order.operation}-{now():%Y%m%d-%H%M%S}-{secrets.token_hex(3)}"
    folder = RunFolder(workspace.runs / run_id)
    folder.path.mkdir(parents=True)
    folder.write_order(order)
    return folder


def _register(workspace: Workspace, folder: RunFolder) -> None:
    """Enters a new run in the index; a run that cannot be entered leaves no folder behind.

    Raises:
        StoreError: There is no such study.
    """
    order = folder.order
    try:
        runs.register(
            workspace, runs.NewRun(folder.id, order.operation, order.key, order.study, order.parents)
        )
    except StoreError:
        shutil.rmtree(folder.path, ignore_errors=True)
        raise


@contextmanager
def _held(folder: RunFolder) -> Iterator[int]:
    """Holds a run's lock until a worker has it, so that nobody takes the run for dead meanwhile.

    Raises:
        JobError: Another worker has it, or the run cannot be started.
    """
    lock = take_lock(folder.lock)
    if lock is None:
        raise JobError(
            f"run {folder.id} is being worked on already; watch it with: lancet runs show {folder.id}"
        )
    try:
        yield lock
    except OSError as error:
        raise JobError(
            f"run {folder.id} cannot be started: {error}; resume it when that is mended"
        ) from error
    finally:
        os.close(lock)


def _set_to_work(workspace: Workspace, folder: RunFolder, lock: int, *, warm: bool) -> None:
    """Gives a run and its lock to a worker, or to the model host."""
    if warm and client.hand_over(workspace, folder.path, lock):
        return
    module = FORWARD_MODULE if warm else WORKER_MODULE
    arguments = [str(folder.path), "--lock", str(lock)]
    process = detach(module, arguments, log=folder.log, folder=workspace.folder, inherited=(lock,))
    folder.write_worker(process.pid)


def _end_group(folder: RunFolder, ending: signal.Signals) -> None:
    pid = folder.worker_pid()
    if pid is None or not folder.is_alive():
        return
    try:
        if os.getpgid(pid) == pid:
            os.killpg(pid, ending)
    except ProcessLookupError:
        return


def _wait_until_free(folder: RunFolder, patience_seconds: float) -> bool:
    deadline = time.monotonic() + patience_seconds
    while folder.is_alive():
        if time.monotonic() >= deadline:
            return False
        time.sleep(0.02)
    return True
