"""Showing and deleting runs, with the guard for what comes from them."""

from pathlib import Path

import pytest

from lancet_core.correction.settings import CorrectionSettings
from lancet_core.errors import StoreError
from lancet_core.operations.configs import CorrectConfig
from lancet_core.runs import launcher
from lancet_core.store import database
from lancet_core.store.studies import NewStudy, add_study
from lancet_core.workbench import runs
from lancet_core.workspace import Workspace, open_workspace


@pytest.fixture
def workspace(tmp_path: Path):
    opened = open_workspace(tmp_path / "ws")
    add_study(opened, NewStudy("s", "m"))
    yield opened
    database.close(opened)


def entered(workspace: Workspace, tmp_path: Path, steps: int, parents: tuple[str, ...] = ()) -> str:
    results = tmp_path / f"results-{steps}"
    results.mkdir()
    (results / "result.json").write_text(f'{{"steps": {steps}}}')
    (results / "log.txt").write_text("one\ntwo\nthree\n")
    config = CorrectConfig(
        study="s", model="m", samples="x", template="auto", pairs="p", retain="r",
        correction=CorrectionSettings(steps=steps), queries=(), prompts="", harmful_scorer="", helpful_scorer="",
    )  # fmt: skip
    return launcher.adopt(workspace, "correct", config, results=results, study="s", parents=parents)


def test_a_run_is_shown_with_what_came_of_it(workspace, tmp_path):
    parent = entered(workspace, tmp_path, 1)
    child = entered(workspace, tmp_path, 2, (parent,))
    shown = runs.show(workspace, parent)
    assert (shown.status.state, shown.record.summary) == ("done", {"steps": 1})
    assert shown.config["correction"]["steps"] == 1
    assert [run.id for run in shown.children] == [child]
    assert runs.logs(workspace, parent, 2) == "two\nthree"
    assert [run.id for run in runs.list_runs(workspace, "s")] == [child, parent]
    assert runs.cancel(workspace, parent).state == "done"


def test_a_run_that_others_use_is_deleted_only_on_purpose(workspace, tmp_path):
    parent = entered(workspace, tmp_path, 1)
    child = entered(workspace, tmp_path, 2, (parent,))
    with pytest.raises(StoreError, match=f"1 runs use its results \\({child}\\)"):
        runs.delete(workspace, parent)
    runs.delete(workspace, child)
    runs.delete(workspace, parent)
    assert runs.list_runs(workspace) == []
    assert list(workspace.runs.iterdir()) == []


def test_a_run_that_used_one_is_no_obstacle_when_confirmed(workspace, tmp_path):
    parent = entered(workspace, tmp_path, 1)
    child = entered(workspace, tmp_path, 2, (parent,))
    runs.delete(workspace, parent, even_if_used=True)
    assert [run.id for run in runs.list_runs(workspace)] == [child]
