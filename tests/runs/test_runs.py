"""Runs in real processes: started, watched, cancelled, killed, resumed."""

import json
import os
import signal
import time

import pytest

from lancet_core.errors import JobError, StoreError
from lancet_core.runs import launcher
from lancet_core.runs.run_folder import RunFolder
from lancet_core.store import runs
from lancet_core.workspace import Workspace
from tests.runs.fake_operation import FakeConfig


def started(workspace: Workspace, **settings) -> RunFolder:
    return RunFolder(workspace.runs / launcher.start(workspace, "count", FakeConfig(**settings)))


def until(condition, patience_seconds=30.0):
    deadline = time.monotonic() + patience_seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)


def test_a_run_ends_with_result_metrics_and_log(workspace):
    folder = started(workspace)
    seen = []
    status = launcher.wait(workspace, folder.id, seen.append)
    assert (status.state, status.step, status.done, status.total, status.error) == (
        "done",
        "Counting",
        3,
        3,
        "",
    )
    assert folder.result()["steps"] == 3
    assert folder.result()["pid"] != os.getpid()
    assert folder.metrics()["square"].tolist() == [1, 4, 9]
    assert "Counting" in folder.log_tail()
    assert folder.config == {"steps": 3, "pause_seconds": 0.0, "trouble": "", "model": ""}
    assert {"python", "torch", "source"} <= set(folder.versions)
    record = runs.get_run(workspace, folder.id)
    assert record.state == "done"
    assert record.summary["steps"] == 3
    assert record.finished_at is not None
    assert seen[0].state in {"queued", "running", "done"}


def test_an_equal_run_is_found_by_its_settings(workspace):
    folder = started(workspace, steps=2)
    key = folder.order.key
    launcher.wait(workspace, folder.id)
    assert runs.find_run(workspace, None, "count", key).id == folder.id
    other = started(workspace, steps=4)
    assert other.order.key != key
    launcher.wait(workspace, other.id)


@pytest.mark.parametrize(
    ("trouble", "message"),
    [
        ("data", "row 7 has no prompt; give it one"),
        ("bug", "internal error: ZeroDivisionError: division by zero; the log has the trace"),
        ("full", "the disk is full"),
    ],
)
def test_a_failed_run_says_why(workspace, trouble, message):
    folder = started(workspace, trouble=trouble)
    status = launcher.wait(workspace, folder.id)
    assert status.state == "failed"
    assert message in status.error
    assert "Traceback" not in status.error
    assert ("Traceback" in folder.log_tail()) == (trouble != "data")
    with pytest.raises(JobError, match="it is failed"):
        folder.result()


@pytest.mark.parametrize("trouble", ["", "deaf", "stubborn"])
def test_cancel_ends_a_run_that_listens_and_one_that_does_not(workspace, trouble):
    folder = started(workspace, steps=10_000, pause_seconds=0.02, trouble=trouble)
    until((folder.path / ("trouble" if trouble else "checkpoint.json")).exists)
    assert launcher.cancel(workspace, folder.id).state == "cancelled"
    assert not folder.is_alive()
    assert runs.get_run(workspace, folder.id).state == "cancelled"


def test_a_killed_run_is_failed_and_resumes_where_it_was(workspace):
    folder = started(workspace, steps=30, pause_seconds=0.05)
    until(lambda: folder.status().done >= 4)
    os.killpg(folder.worker_pid(), signal.SIGKILL)
    until(lambda: not folder.is_alive())
    assert folder.status().error == "the worker died; resume it"
    assert launcher.sweep(workspace) == [folder.id]
    assert launcher.sweep(workspace) == []
    assert runs.get_run(workspace, folder.id).state == "failed"
    with (folder.path / "metrics.jsonl").open("a") as file:
        file.write('{"stage": "Counting", "st')
    launcher.resume(workspace, folder.id)
    assert launcher.wait(workspace, folder.id).state == "done"
    assert folder.result()["counted_from"] >= 3
    assert folder.metrics()["square"].tolist() == [n**2 for n in range(1, 31)]


def test_a_cancelled_run_resumes(workspace):
    folder = started(workspace, steps=40, pause_seconds=0.02)
    until(lambda: folder.status().done >= 2)
    launcher.cancel(workspace, folder.id)
    launcher.resume(workspace, folder.id)
    assert launcher.wait(workspace, folder.id).state == "done"


def test_what_cannot_be_resumed_says_why(workspace):
    folder = started(workspace, steps=1000, pause_seconds=0.02)
    with pytest.raises(JobError, match="already"):
        launcher.resume(workspace, folder.id)
    launcher.cancel(workspace, folder.id)
    done = started(workspace)
    launcher.wait(workspace, done.id)
    with pytest.raises(JobError, match="nothing to resume"):
        launcher.resume(workspace, done.id)


def test_a_run_that_is_going_is_not_deleted(workspace):
    folder = started(workspace, steps=1000, pause_seconds=0.02)
    with pytest.raises(StoreError, match="cancel it first"):
        runs.delete_run(workspace, folder.id)
    launcher.cancel(workspace, folder.id)
    runs.delete_run(workspace, folder.id)
    assert not folder.path.exists()
    assert runs.list_runs(workspace) == []


@pytest.mark.parametrize(
    "garbage", ["", "{", "[]", '{"state": "odd"}', '{"state": "running", "done": "x"}', "\x00\xff"]
)
def test_garbage_in_the_status_is_no_crash(workspace, garbage):
    folder = started(workspace)
    launcher.wait(workspace, folder.id)
    until(lambda: not folder.is_alive())
    (folder.path / "status.json").write_text(garbage)
    assert folder.status().state == "failed"
    assert "resume" in folder.status().error


def test_a_run_of_no_study_leaves_nothing_behind(workspace):
    with pytest.raises(StoreError, match="no study 'nowhere'"):
        launcher.start(workspace, "count", FakeConfig(), study="nowhere")
    assert list(workspace.runs.iterdir()) == []


def test_an_unknown_operation_is_named(workspace):
    with pytest.raises(JobError, match="known operations: count, train"):
        launcher.start(workspace, "dance", FakeConfig())


def test_results_from_elsewhere_become_a_run(workspace, tmp_path):
    (tmp_path / "shipped").mkdir()
    (tmp_path / "shipped" / "result.json").write_text(json.dumps({"steps": 9}))
    (tmp_path / "shipped" / "config.json").write_text("{}")
    run_id = launcher.adopt(workspace, "count", FakeConfig(steps=9), results=tmp_path / "shipped")
    record = runs.get_run(workspace, run_id)
    assert (record.state, record.summary) == ("done", {"steps": 9})
    assert RunFolder(record.folder).config["steps"] == 9
