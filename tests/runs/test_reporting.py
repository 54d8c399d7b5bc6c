"""What a run reports to its folder, also when the disk is full."""

import errno
import json
import os
from pathlib import Path

import pytest

from lancet_core.errors import Cancelled
from lancet_core.runs import reporting
from lancet_core.runs.execution import execute, explain
from lancet_core.runs.reporting import FolderProgress
from lancet_core.runs.run_folder import Order, RunFolder
from lancet_core.store import run_status
from lancet_core.store.run_status import Status
from tests.runs.fake_worker import FAKE_ACTS


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    made = RunFolder(tmp_path / "run")
    made.path.mkdir()
    made.write_order(Order("count", {"study": "", "model": "", "samples": ""}, {"steps": 3}, "k"))
    return made


@pytest.fixture
def writes(monkeypatch):
    """Counts how often the status is written."""
    counted = []
    real = run_status.write_status
    monkeypatch.setattr(run_status, "write_status", lambda *args: counted.append(args) or real(*args))
    return counted


def full_disk(*_args, **_more):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def written(folder: RunFolder) -> dict:
    return json.loads((folder.path / "status.json").read_text())


def test_a_fast_loop_writes_seldom_but_keeps_every_measurement(folder, writes):
    progress = FolderProgress(folder)
    for step in range(500):
        progress("Training", step + 1, 1000, loss=1 / (step + 1))
    assert len(writes) < 50
    assert folder.metrics()["loss"].tolist() == [1 / (step + 1) for step in range(500)]
    assert folder.metrics()["step"].tolist() == list(range(1, 501))


def test_the_time_left_follows_the_rate(folder, monkeypatch):
    clock = [0.0]
    monkeypatch.setattr(reporting.time, "monotonic", lambda: clock[0])
    progress = FolderProgress(folder)
    progress("Scoring", 0, 100)
    assert written(folder)["eta_seconds"] is None
    for done in range(10, 60, 10):
        clock[0] += 5.0
        progress("Scoring", done, 100)
    assert written(folder)["eta_seconds"] == pytest.approx(25.0)
    progress("Merging", 1, None)
    assert written(folder)["eta_seconds"] is None


def test_the_wish_to_stop_is_heard_at_the_next_step(folder):
    progress = FolderProgress(folder)
    progress("Scoring", 1, 9)
    folder.request_cancel()
    with pytest.raises(Cancelled):
        progress("Scoring", 2, 9)


def test_measurements_of_one_step_are_joined_and_later_ones_stand(folder):
    progress = FolderProgress(folder)
    progress("Training", 1, 2, loss=3.0)
    progress("Training", 1, 2, harmful=0.5)
    progress("Training", 2, 2, loss=2.0)
    progress("Training", 1, 2, loss=1.0)
    frame = folder.metrics()
    assert frame["loss"].tolist() == [1.0, 2.0]
    assert frame["harmful"].iloc[0] == 0.5


def test_a_full_disk_fails_the_run_and_keeps_the_status_whole(folder, monkeypatch):
    folder.write_status(Status("queued"))
    monkeypatch.setattr(reporting, "METRICS_FILE", "/dev/full")
    status = execute(folder, FAKE_ACTS)
    assert status.state == "failed"
    assert status.error.startswith("the disk is full")
    assert written(folder)["error"] == status.error


def test_where_not_even_the_status_can_be_written_the_old_one_stays_and_the_lock_tells(folder, monkeypatch):
    folder.write_status(Status("running", step="Scoring", done=3))
    before = (folder.path / "status.json").read_bytes()
    monkeypatch.setattr(Path, "write_text", full_disk)
    with pytest.raises(OSError, match="No space left"):
        execute(folder, FAKE_ACTS)
    assert (folder.path / "status.json").read_bytes() == before
    assert [path.name for path in folder.path.glob(".status*")] == []
    assert folder.status() == Status("failed", step="Scoring", done=3, error="the worker died; resume it")


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (OSError(errno.ENOSPC, "x"), "the disk is full"),
        (RuntimeError("[enforce fail] write: No space left on device"), "the disk is full"),
        (MemoryError(), "out of memory"),
        (RuntimeError("CUDA out of memory. Tried to allocate"), "out of memory"),
        (KeyError("x"), "internal error: KeyError: 'x'"),
    ],
)
def test_what_nobody_foresaw_is_told_in_words(error, words):
    assert explain(error).startswith(words)
