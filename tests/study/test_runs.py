"""The handle of a run: what it shows, how it is waited for, steered and deleted, and what another version left."""

import json
import shutil
import tarfile
from pathlib import Path

import pandas as pd
import pytest

from lancet_core.acts.correct import Correction
from lancet_core.acts.table import ACTS
from lancet_core.errors import Cancelled, JobError, StoreError
from lancet_core.runs import launcher
from lancet_core.runs.run import Run, list_runs, open_run
from lancet_core.store import database
from lancet_core.store.run_status import CANCELLED, DONE, FAILED, Status
from lancet_core.store.runs import NewRun, RunFilter, register
from lancet_core.study.study import list_studies
from lancet_core.study.subjects import subject_of
from lancet_core.workspace import open_workspace
from tests.browser.written_study import adopt

OLD = Path(__file__).parents[1] / "fixtures" / "workspace-0002.tar.gz"


def entered(study, tmp_path, steps: int, parents: tuple[str, ...] = ()) -> Run:
    from lancet_core.acts.correct import CorrectRequest
    from lancet_core.correction.settings import CorrectionSettings

    results = tmp_path / f"results-{steps}"
    results.mkdir()
    (results / "log.txt").write_text("one\ntwo\nthree\n")
    request = CorrectRequest(CorrectionSettings(steps=steps), pairs=3)
    task = launcher.Task("correct", subject_of(study), request, parents=parents)
    return adopt(study, task, Correction(steps=steps, best_step=steps), results, {})


def test_a_run_shows_what_was_asked_what_was_found_and_what_came_of_it(study, tmp_path):
    parent = entered(study, tmp_path, 1)
    child = entered(study, tmp_path, 2, (parent.id,))
    assert (parent.status.state, parent.result.steps, parent.record.outcome) == (
        "done",
        1,
        "checkpoint of step 1 kept",
    )
    assert parent.order.request["correction"]["steps"] == 1
    assert parent.record.title == "3 pairs, 1 steps"
    assert parent.act is ACTS["correct"]
    assert [run.id for run in parent.children] == [child.id]
    assert parent.log(2) == "two\nthree"
    assert parent.metrics.empty
    assert (
        [run.id for run in study.runs()] == [run.id for run in study.runs("correct")] == [child.id, parent.id]
    )
    assert study.runs("attribute") == []
    assert parent.cancel().state == "done"


def test_a_run_that_others_use_is_deleted_only_on_purpose(study, tmp_path):
    parent = entered(study, tmp_path, 1)
    child = entered(study, tmp_path, 2, (parent.id,))
    with pytest.raises(StoreError, match=f"1 runs use its results \\({child.id}\\)"):
        parent.delete()
    child.delete()
    parent.delete()
    assert list_runs(study.workspace) == []
    assert list(study.workspace.runs.iterdir()) == []


def test_a_run_that_used_one_is_no_obstacle_when_confirmed(study, tmp_path):
    parent = entered(study, tmp_path, 1)
    child = entered(study, tmp_path, 2, (parent.id,))
    parent.delete(even_if_used=True)
    assert [run.id for run in list_runs(study.workspace)] == [child.id]


def test_waiting_gives_the_run_as_it_stands_then(study, started, monkeypatch, tmp_path):
    run = study.cluster()
    seen = []

    def wait(_workspace, run_id, on_status):
        run.folder.write_status(Status(DONE, outcome="2 clusters"))
        on_status(run.status)

    monkeypatch.setattr(launcher, "wait", lambda *given: wait(*given) or run.status)
    done = run.wait(seen.append)
    assert (run.record.state, done.record.state, done.record.outcome) == ("queued", "done", "2 clusters")
    assert [status.state for status in seen] == ["done"]


@pytest.mark.parametrize(
    ("status", "error", "words"),
    [
        (
            Status(FAILED, error="the disk is full"),
            JobError,
            "failed: the disk is full; its log: lancet runs logs {id}",
        ),
        (Status(CANCELLED), Cancelled, "was cancelled; go on with it: lancet runs resume {id}"),
    ],
)
def test_waiting_for_what_came_to_nothing_says_why(study, started, status, error, words):
    run = study.cluster()
    run.folder.write_status(status)
    with pytest.raises(error, match=words.format(id=run.id)):
        run.wait()


def test_ctrl_c_cancels_the_run_that_is_waited_for(study, started, monkeypatch):
    run = study.cluster()
    cancelled = []

    def interrupt(*_given):
        raise KeyboardInterrupt

    monkeypatch.setattr(launcher, "wait", interrupt)
    monkeypatch.setattr(launcher, "cancel", lambda workspace, run_id: cancelled.append((workspace, run_id)))
    with pytest.raises(KeyboardInterrupt):
        run.wait()
    assert cancelled == [(study.workspace, run.id)]


@pytest.fixture
def old(tmp_path):
    """A workspace as the version of schema 0002 left it."""
    with tarfile.open(OLD) as archive:
        archive.extractall(tmp_path, filter="data")
    opened = open_workspace(tmp_path / "workspace")
    yield opened
    database.close(opened)


@pytest.mark.parametrize(
    ("act", "look"),
    [
        ("attribute", lambda result: (result.candidates > 0, not result.table.empty)),
        ("cluster", lambda result: (result.k == 3, not result.assignments.empty)),
        ("correct", lambda result: (result.steps > 0, result.model.is_dir())),
        ("compare", lambda result: (result.verdict.headline != "", not result.changes.empty, not result.answers.empty)),
    ],
)  # fmt: skip
def test_results_of_an_older_version_are_read(old, act, look):
    runs = list_runs(old, RunFilter(act=act))
    assert runs
    for run in runs:
        assert all(look(run.result))
        assert run.result.outcome
        assert run.order.act == act
        assert run.order.request


def test_every_kind_of_run_of_the_older_version_is_looked_at(old):
    assert {run.record.act for run in list_runs(old)} == {"attribute", "cluster", "correct", "compare"}


@pytest.mark.parametrize("act", ["attribute", "cluster", "correct", "compare"])
def test_a_run_that_an_older_version_was_asked_is_not_resumed(old, act):
    run = list_runs(old, RunFilter(act=act))[0]
    run.folder.write_status(Status(FAILED, error="the worker died"))
    with database.writing(old) as connection:
        connection.exec_driver_sql("UPDATE runs SET state = 'failed'")
    with pytest.raises(JobError, match="another version of LANCET") as caught:
        run.resume()
    assert "\n" not in str(caught.value)
    assert run.status.error == "the worker died"


@pytest.fixture
def foreign(old):
    """A finished run of an act that this version does not know."""
    folder = old.runs / "score-1"
    shutil.copytree(next(run.record.folder for run in list_runs(old)), folder)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"operation": "score"}))
    register(old, NewRun("score-1", "score", key="k", study="written"))
    return open_run(old, "score-1")


def test_a_run_of_an_act_that_is_not_known_is_shown_and_says_so(foreign):
    assert (foreign.status.state, foreign.order.act) == ("done", "score")
    assert foreign.log() is not None
    assert isinstance(foreign.metrics, pd.DataFrame)
    with pytest.raises(JobError, match="there is no act 'score'"):
        _ = foreign.result
    foreign.folder.write_status(Status(FAILED, error="x"))
    with database.writing(foreign.workspace) as connection:
        connection.exec_driver_sql("UPDATE runs SET state = 'failed' WHERE id = 'score-1'")
    with pytest.raises(JobError, match="another version of LANCET"):
        foreign.resume()


def test_the_study_of_an_older_version_is_worked_on(old):
    (study,) = list_studies(workspace=old)
    assert len(study.pairs().approved()) == 2
    assert study.runs("correct")[0].result.model.is_dir()
