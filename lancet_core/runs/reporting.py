"""The progress that a run reports to its folder."""

import json
import time
from dataclasses import replace

from lancet_core.errors import Cancelled
from lancet_core.runs.run_folder import METRICS_FILE, RunFolder
from lancet_core.store.run_status import QUEUED, RUNNING, Status, now

WRITE_INTERVAL_SECONDS = 0.25
RATE_SMOOTHING = 0.3


class FolderProgress:
    """Writes where a run stands, at most four times a second, and stops it when somebody asked for that."""

    def __init__(self, folder: RunFolder) -> None:
        self._folder = folder
        self._status = Status(QUEUED)
        self._began = time.monotonic()
        self._written = 0.0
        self._rate: float | None = None
        self._measured: tuple[float, int] = (0.0, 0)
        _end_half_line(folder)

    def __call__(self, step: str, done: int = 0, total: int | None = None, **values: float) -> None:
        """Tells one step; see `lancet_core.progress.Progress`.

        Raises:
            Cancelled: A person asked to stop.
        """
        if self._folder.cancel_requested():
            raise Cancelled
        moment = time.monotonic()
        if values:
            self._append_metrics(step, done, total, values)
        new_step = step != self._status.step
        if new_step:
            self._rate, self._measured = None, (moment, done)
            self.log(step)
        self._status = replace(self._status, step=step, done=done, total=total)
        if new_step or done == total or moment - self._written >= WRITE_INTERVAL_SECONDS:
            self._status = replace(self._status, eta_seconds=self._eta(moment))
            self._write(moment)

    def begin(self) -> None:
        """Tells that work begins."""
        self._status = Status(RUNNING, started_at=now())
        self._write(time.monotonic())

    def finish(self, state: str, error: str = "", *, outcome: str = "") -> Status:
        """Tells how the run ended.

        Args:
            state: `done`, `failed` or `cancelled`.
            error: Why it failed.
            outcome: What it found, in words.

        Raises:
            OSError: The status cannot be written; the lock, once given up, still tells that the run ended.
        """
        self._status = replace(self._status, state=state, error=error, outcome=outcome, eta_seconds=None)
        self._write(time.monotonic())
        return self._status

    def log(self, text: str) -> None:
        """Adds a line to the log."""
        with self._folder.log.open("a", encoding="utf-8") as file:
            file.write(f"{time.strftime('%H:%M:%S')} {text}\n")

    def _append_metrics(self, step: str, done: int, total: int | None, values: dict[str, float]) -> None:
        row: dict[str, object] = {"stage": step, "step": done, "total": total}
        row["seconds"] = round(time.monotonic() - self._began, 3)
        row |= {name: float(value) for name, value in values.items()}
        with (self._folder.path / METRICS_FILE).open("a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")

    def _eta(self, moment: float) -> float | None:
        """Seconds left in this step, from a smoothed rate; None until the first unit is done."""
        since, before = self._measured
        done, total = self._status.done, self._status.total
        if done > before and moment > since:
            rate = (done - before) / (moment - since)
            self._rate = (
                rate if self._rate is None else RATE_SMOOTHING * rate + (1 - RATE_SMOOTHING) * self._rate
            )
            self._measured = (moment, done)
        if total is None or not self._rate:
            return None
        return max(0, total - done) / self._rate

    def _write(self, moment: float) -> None:
        self._status = replace(self._status, updated_at=now())
        self._folder.write_status(self._status)
        self._written = moment


def _end_half_line(folder: RunFolder) -> None:
    """Ends a metrics line that a killed worker left half written, so that the next one stands by itself."""
    path = folder.path / METRICS_FILE
    if path.is_file() and not path.read_bytes().endswith(b"\n"):
        with path.open("a", encoding="utf-8") as file:
            file.write("\n")
