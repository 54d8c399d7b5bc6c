"""Starts, finds, cancels and resumes runs. Workers are detached: they outlive the screen or shell that started them."""

import os
import secrets
import shutil
import signal
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd

from lancet_core.acts.results import read_result
from lancet_core.acts.subject import Subject
from lancet_core.acts.table import find_act, run_key
from lancet_core.config import fingerprint, from_dict, to_dict
from lancet_core.errors import ConfigError, JobError, StoreError
from lancet_core.files import write_json_lines, write_table
from lancet_core.runs import client
from lancet_core.runs.forward import FORWARD_MODULE
from lancet_core.runs.locks import take_lock
from lancet_core.runs.processes import detach
from lancet_core.runs.run_folder import PROTOCOL_FILES, Order, RunFolder
from lancet_core.store import runs
from lancet_core.store.run_status import CANCELLED, DONE, QUEUED, Status, now
from lancet_core.store.runs import RunFilter, RunRecord
from lancet_core.workspace import Workspace

WORKER_MODULE = "lancet_core.runs.worker"
CANCEL_GRACE_SECONDS = 3.5
SIGNAL_GRACE_SECONDS = 0.5
KILL_GRACE_SECONDS = 5.0
POLL_SECONDS = 0.1
Rows = list[dict[str, Any]]


@dataclass(frozen=True)
class Task:
    """An act, what it is asked of, and what it is given.

    Attributes:
        act: Name of the act.
        subject: Model, samples and scorers.
        request: What is asked: an instance of the act's request.
        inputs: File names to tables (`.parquet`) or rows (`.jsonl`), kept in the run folder.
        case_id: Query at hand, empty where there is none.
        parents: Ids of the runs whose results it uses.
    """

    act: str
    subject: Subject
    request: Any
    inputs: Mapping[str, pd.DataFrame | Rows] = field(default_factory=dict)
    case_id: str = ""
    parents: tuple[str, ...] = ()

    @property
    def key(self) -> str:
        """Fingerprint by content.

        Raises:
            JobError: There is no such act.
            ModelError: A model folder cannot be used.
        """
        inputs = {name: _content(table) for name, table in self.inputs.items()}
        return run_key(self.act, find_act(self.act), self.subject, request=self.request, inputs=inputs)


def start(workspace: Workspace, task: Task) -> RunRecord:
    """Starts a run in a process of its own, or in the model host, and returns at once.

    Args:
        workspace: Where the run folder is made.
        task: What to do.

    Returns:
        The run.

    Raises:
        JobError: There is no such act, or the worker cannot be started.
        StoreError: There is no such study.
        ModelError: A model folder cannot be used.
    """
    act = find_act(task.act)
    folder = _make_folder(workspace, task)
    with _held(folder) as lock:
        folder.write_status(Status(QUEUED, updated_at=now()))
        _register(workspace, folder, task)
        _set_to_work(workspace, folder, lock, warm=act.warm)
    return runs.get_run(workspace, folder.id)


def find(workspace: Workspace, task: Task) -> RunRecord | None:
    """Finds the newest run that was asked the same of the same content, whatever became of it.

    Raises:
        JobError: There is no such act.
        ModelError: A model folder cannot be used.
    """
    where = RunFilter(study=task.subject.study or None, act=task.act, key=task.key)
    found = runs.list_runs(workspace, where)
    return next((run for run in found if run.is_done or not run.is_final), next(iter(found), None))


def find_or_start(workspace: Workspace, task: Task) -> RunRecord:
    """Finds the run that did the same, or is doing it, and starts one where there is none.

    Args:
        workspace: Where runs lie.
        task: What to do.

    Raises:
        JobError: There is no such act, or the worker cannot be started.
        StoreError: There is no such study.
        ModelError: A model folder cannot be used.
    """
    found = find(workspace, task)
    if found is not None and (found.is_done or not found.is_final):
        return found
    return start(workspace, task)


def adopt(workspace: Workspace, task: Task, *, results: Path) -> RunRecord:
    """Enters results that were computed elsewhere as a finished run.

    Args:
        workspace: Where the run folder is made.
        task: What they are the results of.
        results: Folder with `result.json` and its tables; copied.

    Returns:
        The run.

    Raises:
        JobError: There is no such act, or the folder holds no result of it.
        StoreError: There is no such study.
    """
    outcome = read_result(find_act(task.act).result, results).outcome
    folder = _make_folder(workspace, task)
    shutil.copytree(results, folder.path, dirs_exist_ok=True, ignore=partial(_protocol_files, results))
    moment = now()
    outcome = read_result(find_act(task.act).result, folder.path).outcome
    folder.write_status(Status(DONE, started_at=moment, updated_at=moment, outcome=outcome))
    _register(workspace, folder, task)
    return runs.get_run(workspace, folder.id)


def resume(workspace: Workspace, run_id: str) -> None:
    """Starts a worker again on a run that failed, died or was cancelled; it goes on from what is finished.

    Raises:
        JobError: The run is done, or still going, or was asked by another version, whose settings this one does not read.
        StoreError: There is no such run.
    """
    run = runs.get_run(workspace, run_id)
    if run.state == DONE:
        raise JobError(f"run {run_id} is done; there is nothing to resume: lancet runs show {run_id}")
    if not run.is_final:
        raise JobError(f"run {run_id} is {run.state} already; watch it with: lancet runs show {run_id}")
    folder = RunFolder(run.folder)
    _check_order(folder)
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


def _make_folder(workspace: Workspace, task: Task) -> RunFolder:
    """Makes the folder of a run with its settings and inputs."""
    order = Order(
        act=task.act,
        subject=to_dict(task.subject),
        request=to_dict(task.request),
        key=task.key,
        study=task.subject.study or None,
        case_id=task.case_id,
        parents=task.parents,
    )
    folder = RunFolder(workspace.runs / f"{task.act}-{now():%Y%m%d-%H%M%S}-{secrets.token_hex(3)}")
    folder.path.mkdir(parents=True)
    for name, table in task.inputs.items():
        write = write_table if isinstance(table, pd.DataFrame) else write_json_lines
        write(folder.inputs / name, table)  # type: ignore[arg-type]
    folder.write_order(order)
    return folder


def _check_order(folder: RunFolder) -> None:
    """Checks that a worker would understand what a run was asked.

    Raises:
        JobError: It would not.
    """
    order = folder.order
    try:
        from_dict(find_act(order.act).request, order.request)
        from_dict(Subject, order.subject)
    except (JobError, ConfigError) as error:
        raise JobError(
            f"run {folder.id} cannot be resumed: another version of LANCET was asked for it ({error}); start it anew"
        ) from error


def _protocol_files(results: Path, folder: str, names: list[str]) -> set[str]:
    """Names the files that every run has of its own; a model below them has a `config.json` too."""
    return set(PROTOCOL_FILES) & set(names) if Path(folder) == results else set()


def _content(table: pd.DataFrame | Rows) -> str:
    if isinstance(table, pd.DataFrame):
        return fingerprint(table.astype("object").where(table.notna(), None).to_dict("split"))
    return fingerprint(table)


def _register(workspace: Workspace, folder: RunFolder, task: Task) -> None:
    """Enters a new run in the index; a run that cannot be entered leaves no folder behind.

    Raises:
        StoreError: There is no such study.
    """
    order = folder.order
    new = runs.NewRun(
        id=folder.id,
        act=order.act,
        key=order.key,
        study=order.study,
        case_id=order.case_id,
        title=task.request.title,
        parents=order.parents,
        queries=getattr(task.request, "grouped_queries", ()),
    )
    try:
        runs.register(workspace, new)
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
