"""Studies, queries and runs in the index."""

from pathlib import Path

import pytest

from lancet_core.data.samples import DESIRABLE, Query
from lancet_core.errors import StoreError
from lancet_core.store import database, queries, run_status, runs, studies
from lancet_core.store.run_status import Status, write_status
from lancet_core.workspace import Workspace, open_workspace


@pytest.fixture
def workspace(tmp_path: Path):
    opened = open_workspace(tmp_path)
    studies.add_study(opened, studies.NewStudy("a", "m", counts={"samples": 3}))
    yield opened
    database.close(opened)


def entered(workspace: Workspace, run_id: str, state: str = "done", **more) -> runs.RunRecord:
    (workspace.runs / run_id).mkdir()
    write_status(workspace.runs / run_id, Status(state))
    return runs.register(workspace, runs.NewRun(run_id, "attribute", "k1", "a", **more))


def test_a_study_is_found_again_and_knows_its_files(workspace):
    study = studies.get_study(workspace, "a")
    assert (study.model, study.template, study.counts) == ("m", "auto", {"samples": 3})
    assert study.folder.is_dir()
    assert (study.prompts, study.scores) == (None, None)
    (study.folder / "prompts.parquet").touch()
    assert studies.get_study(workspace, "a").prompts == study.folder / "prompts.parquet"
    assert studies.set_counts(workspace, "a", {"cut": 1}).counts == {"samples": 3, "cut": 1}
    assert studies.set_scorers(workspace, "a", harmful="h").harmful_scorer == "h"


def test_an_unknown_study_lists_those_there_are(workspace):
    with pytest.raises(StoreError, match="no study 'b'; studies here: a"):
        studies.get_study(workspace, "b")


@pytest.mark.parametrize("name", ["a", "", "../b", ".b", "b/c", "x" * 65, "ä"])
def test_a_name_that_is_taken_or_none_is_refused(workspace, name):
    with pytest.raises(StoreError, match=r"already a study|cannot name a study"):
        studies.add_study(workspace, studies.NewStudy(name, "m"))


def test_queries_are_kept_once_in_their_order(workspace):
    asked = [Query("p2", "r"), Query("p1", "r", group="g"), Query("p2", "r")]
    named = {asked[0].id: "legal"}
    assert queries.add_queries(workspace, "a", asked, "mined", categories=named) == 2
    assert queries.add_queries(workspace, "a", [Query("p2", "r", DESIRABLE)], "case") == 0
    frame = queries.list_queries(workspace, "a")
    assert frame["prompt"].tolist() == ["p2", "p1"]
    assert frame.loc[0, ["source", "category", "polarity"]].tolist() == ["mined", "legal", DESIRABLE]
    assert queries.get_query(workspace, "a", asked[1].id) == asked[1]
    queries.delete_query(workspace, "a", asked[1].id)
    with pytest.raises(StoreError, match="no query"):
        queries.get_query(workspace, "a", asked[1].id)


def test_runs_are_found_by_settings_when_done(workspace):
    entered(workspace, "failed", "failed")
    assert runs.find_run(workspace, "a", "attribute", "k1") is None
    entered(workspace, "old")
    entered(workspace, "new")
    assert runs.find_run(workspace, "a", "attribute", "k1").id == "new"
    assert runs.find_run(workspace, "a", "attribute", "k2") is None
    assert [run.id for run in runs.list_runs(workspace, study="a")] == ["new", "old", "failed"]
    assert runs.list_runs(workspace, operation="correct") == []


def test_lineage_is_kept(workspace):
    parent = entered(workspace, "parent")
    child = entered(workspace, "child", parents=("parent",))
    assert child.parents == ("parent",)
    assert [run.id for run in runs.children(workspace, parent.id)] == ["child"]


def test_a_run_whose_folder_is_gone_is_not_reused(workspace):
    run = entered(workspace, "gone")
    (run.folder / run_status.STATUS_FILE).unlink()
    run.folder.rmdir()
    assert runs.get_run(workspace, "gone").state == "failed"
    assert runs.find_run(workspace, "a", "attribute", "k1") is None


def test_a_deleted_study_takes_everything_along(workspace):
    queries.add_queries(workspace, "a", [Query("p", "r")], "case")
    run = entered(workspace, "run")
    folder = studies.get_study(workspace, "a").folder
    studies.delete_study(workspace, "a")
    assert not folder.exists()
    assert not run.folder.exists()
    studies.add_study(workspace, studies.NewStudy("a", "m"))
    assert queries.list_queries(workspace, "a").empty
    assert runs.list_runs(workspace) == []
