"""Waits for a run on the terminal: step, count and time left on stderr."""

import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Event
from typing import TYPE_CHECKING, Self, TypeVar

from lancet_core.acts.results import Result
from lancet_core.runs.run import Run
from lancet_core.store.run_status import Status
from lancet_core.text import visible_line

if TYPE_CHECKING:
    from rich.progress import TaskID

R = TypeVar("R", bound=Result)


class RunBar:
    """A progress bar that follows the status of one run after another; shows nothing where stderr is no terminal."""

    def __init__(self) -> None:
        """Makes the bar; it appears with the first status."""
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

        self._bar = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=30),
            TextColumn("{task.fields[count]}", markup=False),
            TimeElapsedColumn(),
            TextColumn("{task.fields[left]}", markup=False),
            console=Console(stderr=True),
            transient=True,
            disable=not sys.stderr.isatty(),
        )
        self._task: TaskID | None = None

    def __enter__(self) -> Self:
        """Starts drawing."""
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Takes the bar away."""
        self._bar.stop()

    def __call__(self, status: Status) -> None:
        """Shows where a run stands."""
        if self._task is None:
            self._task = self._bar.add_task("", total=None, count="", left="")
        left = "" if status.eta_seconds is None else f"{_duration(status.eta_seconds)} left"
        count = f"{status.done:,} of {status.total:,}" if status.total else ""
        self._bar.update(
            self._task,
            description=visible_line(status.step or status.state),
            completed=status.done,
            total=status.total,
            count=count,
            left=left,
        )


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


def finish(run: Run[R]) -> Run[R]:
    """Waits for a run under a bar; Ctrl-C cancels it.

    Returns:
        The finished run.

    Raises:
        JobError: It failed.
        Cancelled: A person cancelled it.
        KeyboardInterrupt: A person pressed Ctrl-C; it is cancelled by then.
    """
    with _noted_interrupt() as interrupted, RunBar() as bar:

        def look(status: Status) -> None:
            if interrupted.is_set():
                raise KeyboardInterrupt
            bar(status)

        return run.wait(look)


@contextmanager
def _noted_interrupt() -> Iterator[Event]:
    """Notes Ctrl-C instead of raising it anywhere: Python drops an exception that arrives inside an import's callback."""
    interrupted = Event()
    before = signal.signal(signal.SIGINT, lambda *_: interrupted.set())
    try:
        yield interrupted
    finally:
        signal.signal(signal.SIGINT, before)
