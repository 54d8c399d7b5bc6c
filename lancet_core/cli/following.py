"""Waits for a run on the terminal: step, count and time left on stderr."""

import sys
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from lancet_core.store.run_status import Status


class RunBar:
    """A progress bar that follows the status of one run after another; shows nothing where stderr is no terminal."""

    def __init__(self) -> None:
        """Makes the bar; it appears with the first status."""
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

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
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
            description=status.step or status.state,
            completed=status.done,
            total=status.total,
            count=count,
            left=left,
        )


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
