"""Runs in real processes: started, watched, cancelled, killed, resumed."""

import json
import os
import signal
import time

import pandas as pd
import pytest

from lancet_core.acts.subject import Subject
from lancet_core.errors import JobError, StoreError
from lancet_core.runs import launcher
from lancet_core.runs.launcher import Task
from lancet_core.runs.run import open_run
from lancet_core.runs.run_folder import RunFolder
from lancet_core.store import runs
from lancet_core.store.studies import NewStudy, add_study, delete_study, get_study
from lancet_core.workspace import Workspace
from tests.runs.fake_operation import FakeRequest


def task(act: str = "train", *, study: str = "", model: str = "", **settings) -> Task:
    return Task(act, Subject(study, model, ""), FakeRequest(**settings))


def started(workspace: Workspace, **settings) -> RunFolder:
    return RunFolder(launcher.start(workspace, task(**settings)).folder)


def result(workspace: Workspace, run_id: str):
    return open_run(workspace, run_id).result


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
    found = result(workspace, folder.id)
    assert (found.steps, found.folder) == (3, folder.path)
    assert found.pid != os.getpid()
    assert folder.metrics()["square"].tolist() == [1, 4, 9]
    assert "Counting" in folder.log_tail()
    assert folder.order.request == {"steps": 3, "pause_seconds": 0.0, "trouble": ""}
    assert {"python", "torch", "source"} <= set(folder.versions)
    record = runs.get_run(workspace, folder.id)
    assert (record.state, record.title, record.outcome) == ("done", "Count to 3", "counted to 3")
    assert record.finished_at is not None
    assert seen[0].state in {"queued", "running", "done"}


def test_an_equal_run_is_found_while_it_goes_and_when_it_is_done(workspace):
    folder = started(workspace, steps=2)
    assert launcher.find_or_start(workspace, task(steps=2)).id == folder.id
    launcher.wait(workspace, folder.id)
    assert launcher.find_or_start(workspace, task(steps=2)).id == folder.id
    assert launcher.find(workspace, task(steps=4)) is None
    other = launcher.find_or_start(workspace, task(steps=4))
    assert other.id != folder.id
    launcher.wait(workspace, other.id)


def test_tables_that_a_run_is_given_lie_in_its_folder_and_name_it(workspace):
    rows, table = [{"a": 1}], pd.DataFrame({"b": [1.0, None]})
    given = [
        Task("train", Subject("", "", ""), FakeRequest(steps=1), inputs)
        for inputs in ({"r.jsonl": rows, "t.parquet": table}, {"r.jsonl": rows}, {"r.jsonl": [{"a": 2}]})
    ]
    assert len({each.key for each in given}) == 3
    folder = RunFolder(launcher.start(workspace, given[0]).folder)
    launcher.wait(workspace, folder.id)
    assert json.loads((folder.inputs / "r.jsonl").read_text()) == rows[0]
    pd.testing.assert_frame_equal(pd.read_parquet(folder.inputs / "t.parquet"), table)


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
        result(workspace, folder.id)
    assert launcher.find(workspace, task(trouble=trouble)).id == folder.id


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
    assert runs.get_run(workspace, folder.id).state == "failed"
    with (folder.path / "metrics.jsonl").open("a") as file:
        file.write('{"stage": "Counting", "st')
    launcher.resume(workspace, folder.id)
    assert launcher.wait(workspace, folder.id).state == "done"
    assert result(workspace, folder.id).counted_from >= 3
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
        launcher.start(workspace, task(study="nowhere"))
    assert list(workspace.runs.iterdir()) == []


def test_an_unknown_act_is_named(workspace):
    with pytest.raises(JobError, match=r"there is no act 'dance'; known acts: .*count"):
        launcher.start(workspace, task("dance"))
    assert list(workspace.runs.iterdir()) == []


@pytest.fixture
def shipped(tmp_path):
    """Results from elsewhere, with files of the run that they come from, and a model below them."""
    folder = tmp_path / "shipped"
    (folder / "model").mkdir(parents=True)
    for path in ("config.json", "status.json", "lock", "model/config.json", "model/lock"):
        (folder / path).write_text("{}")
    (folder / "result.json").write_text(json.dumps({"steps": 9}))
    return folder


def test_results_from_elsewhere_become_a_run(workspace, shipped):
    record = launcher.adopt(workspace, task(steps=9), results=shipped)
    assert (record.state, record.outcome, result(workspace, record.id).steps) == ("done", "counted to 9", 9)
    assert RunFolder(record.folder).order.request["steps"] == 9
    assert {path.name for path in (record.folder / "model").iterdir()} == {"config.json", "lock"}
    assert launcher.find(workspace, task(steps=9)).id == record.id


def test_a_folder_without_a_result_is_not_entered(workspace, shipped):
    (shipped / "result.json").unlink()
    with pytest.raises(JobError, match="is missing or broken"):
        launcher.adopt(workspace, task(steps=9), results=shipped)
    assert list(workspace.runs.iterdir()) == []


def test_a_run_that_another_study_stands_on_is_not_deleted(workspace):
    run = started(workspace)
    launcher.wait(workspace, run.id)
    model = run.path / "model"
    add_study(workspace, NewStudy("elsewhere", str(model)))
    with pytest.raises(StoreError, match=f"study 'elsewhere' lies in run {run.id}"):
        runs.delete_run(workspace, run.id)
    assert run.path.is_dir()
    delete_study(get_study(workspace, "elsewhere"))
    runs.delete_run(workspace, run.id)
    assert not run.path.exists()
