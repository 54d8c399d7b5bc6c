"""The handle of a run: where it stands, what it found, and how it is steered."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Generic, TypeVar, cast

from lancet_core.acts.results import Result, read_result
from lancet_core.acts.table import Act, find_act
from lancet_core.errors import Cancelled, JobError, StoreError
from lancet_core.runs import launcher
from lancet_core.runs.run_folder import Order, RunFolder
from lancet_core.store import runs as store
from lancet_core.store.pairs import count_pairs_from, count_reviews_by
from lancet_core.store.run_status import CANCELLED, FAILED, Status
from lancet_core.store.runs import RunFilter, RunRecord
from lancet_core.workspace import Workspace

if TYPE_CHECKING:
    import pandas as pd

R = TypeVar("R", bound=Result)
OnStatus = Callable[[Status], None]


@dataclass(frozen=True)
class Run(Generic[R]):
    """A long operation that outlives the process that started it.

    Attributes:
        workspace: Where it lies.
        record: What the index knew of it when it was looked up.
    """

    workspace: Workspace
    record: RunRecord

    @property
    def id(self) -> str:
        """Its id, and the name of its folder."""
        return self.record.id

    @property
    def act(self) -> Act:
        """What it does.

        Raises:
            JobError: It was made by a version that knew other acts.
        """
        return find_act(self.record.act)

    @property
    def folder(self) -> RunFolder:
        """Its folder."""
        return RunFolder(self.record.folder)

    @property
    def status(self) -> Status:
        """Where it stands now."""
        return self.folder.status()

    @property
    def order(self) -> Order:
        """What it was asked.

        Raises:
            JobError: Its folder is broken.
        """
        return self.folder.order

    @property
    def result(self) -> R:
        """What it found.

        Raises:
            JobError: It is not done, or its result is broken.
        """
        status = self.status
        if status.state != "done":
            why = f": {status.error}" if status.error else ""
            raise JobError(f"run {self.id} has no result: it is {status.state}{why}")
        return cast(R, read_result(self.act.result, self.record.folder))

    @property
    def metrics(self) -> "pd.DataFrame":
        """What it measured so far, one row for each stage and step."""
        return self.folder.metrics()

    @property
    def children(self) -> "list[Run[Any]]":
        """Runs that use its results, newest first."""
        return [Run(self.workspace, record) for record in store.children(self.workspace, self.id)]

    def wait(self, on_status: OnStatus | None = None) -> "Run[R]":
        """Waits until it is done; Ctrl-C cancels it.

        Args:
            on_status: Called whenever it was looked at.

        Returns:
            The run as it stands then.

        Raises:
            JobError: It failed; the message says why and where its log is.
            Cancelled: A person cancelled it.
            KeyboardInterrupt: A person pressed Ctrl-C; it is cancelled by then.
        """
        try:
            status = launcher.wait(self.workspace, self.id, on_status)
        except KeyboardInterrupt:
            self.cancel()
            raise
        if status.state == FAILED:
            raise JobError(f"run {self.id} failed: {status.error}; its log: lancet runs logs {self.id}")
        if status.state == CANCELLED:
            raise Cancelled(f"run {self.id} was cancelled; go on with it: lancet runs resume {self.id}")
        return self.refreshed()

    def refreshed(self) -> "Run[R]":
        """The run with what the index knows of it now."""
        return replace(self, record=store.get_run(self.workspace, self.id))

    def cancel(self) -> Status:
        """Stops it within five seconds; one that is over stays as it is."""
        return launcher.cancel(self.workspace, self.id)

    def resume(self) -> "Run[R]":
        """Goes on with a run that failed, died or was cancelled, from what it finished.

        Raises:
            JobError: It is done, or still going.
        """
        launcher.resume(self.workspace, self.id)
        return self.refreshed()

    def log(self, lines: int = 200) -> str:
        """The last lines of its log."""
        return self.folder.log_tail(lines)

    def dependents(self) -> str:
        """Says in words what would lose its source if it were deleted; empty where nothing would."""
        children = store.children(self.workspace, self.id)
        if children:
            return f"{len(children)} runs use its results ({', '.join(child.id for child in children[:3])})"
        pairs = count_pairs_from(self.workspace, self.id)
        if pairs:
            return f"{pairs} pairs under review were proposed from it"
        reviews = count_reviews_by(self.workspace, self.id)
        return f"the retain sets of {reviews} reviewed cases are chosen by it" if reviews else ""

    def delete(self, *, even_if_used: bool = False) -> None:
        """Deletes it with its folder.

        Args:
            even_if_used: Delete it although other runs or pairs come from it.

        Raises:
            StoreError: It is still going, or something comes from it.
        """
        used = "" if even_if_used else self.dependents()
        if used:
            raise StoreError(
                f"run {self.id} is not deleted: {used}; delete those first, or confirm that it may go"
            )
        store.delete_run(self.workspace, self.id)


def open_run(workspace: Workspace, run_id: str, act: str | None = None) -> Run[Any]:
    """Looks up a run.

    Args:
        workspace: Where it lies.
        run_id: Its id.
        act: Name of the act that it must be of; None takes any.

    Raises:
        StoreError: There is no such run, or it is of another act.
    """
    record = store.get_run(workspace, run_id)
    if act is not None and record.act != act:
        raise StoreError(f"run {run_id} is no {act} run but {record.act}; list them: lancet runs list")
    return Run(workspace, record)


def list_runs(workspace: Workspace, where: RunFilter | None = None) -> list[Run[Any]]:
    """Lists runs, newest first, dead ones marked as failed."""
    return [Run(workspace, record) for record in store.list_runs(workspace, where)]
