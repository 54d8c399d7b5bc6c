"""Studies, queries and runs in the index."""

from pathlib import Path

import pytest

from lancet_core.data.samples import DESIRABLE, Query
from lancet_core.errors import StoreError
from lancet_core.store import database, queries, run_status, runs, studies
from lancet_core.store.run_status import Status, write_status
from lancet_core.store.runs import RunFilter
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
    assert study.prompts_file is None
    (study.folder / "prompts.parquet").touch()
    assert study.prompts_file == study.folder / "prompts.parquet"


def test_an_unknown_study_lists_those_there_are(workspace):
    with pytest.raises(StoreError, match="no study 'b'; studies here: a"):
        studies.get_study(workspace, "b")


@pytest.mark.parametrize("name", ["a", "", "../b", ".b", "b/c", "x" * 65, "ä"])
def test_a_name_that_is_taken_or_none_is_refused(workspace, name):
    with pytest.raises(StoreError, match=r"already a study|cannot name a study"):
        studies.add_study(workspace, studies.NewStudy(name, "m"))


def test_queries_are_kept_once_in_their_order(workspace):
    asked = [Query("p2", "r", category="legal"), Query("p1", "r", group="g"), Query("p2", "r")]
    study = studies.get_study(workspace, "a")
    assert queries.add_queries(study, asked, "mined") == 2
    assert queries.add_queries(study, [Query("p2", "r", DESIRABLE)], "case") == 0
    frame = queries.list_queries(study)
    assert frame["prompt"].tolist() == ["p2", "p1"]
    assert frame.loc[0, ["source", "category", "polarity"]].tolist() == ["mined", "legal", DESIRABLE]
    assert queries.get_query(study, asked[1].id) == asked[1]
    assert queries.read_queries(study) == [
        Query("p2", "r", DESIRABLE, category="legal"),
        Query("p1", "r"),
    ]
    with pytest.raises(StoreError, match="no query"):
        queries.get_query(study, "nothing")


def test_runs_are_listed_by_what_they_did(workspace):
    for run_id in ("old", "new"):
        entered(workspace, run_id)
    entered(workspace, "other", case_id="q")

    def ids(**where):
        return [run.id for run in runs.list_runs(workspace, RunFilter(**where))]

    assert ids(study="a") == ["other", "new", "old"]
    assert ids(key="k1", case_id="") == ["new", "old"]
    assert ids(case_id="q") == ["other"]
    assert ids(key="k2") == ids(act="correct") == ids(study="b") == []


def test_runs_are_found_by_the_queries_that_they_attributed(workspace):
    entered(workspace, "alone", queries=(("q1", "q1"),))
    entered(workspace, "batch", queries=(("q1", "g"), ("q2", "g")))

    def ids(**where):
        return [run.id for run in runs.list_runs(workspace, RunFilter(**where))]

    assert (ids(alone="q1"), ids(within="q1"), ids(alone="q2")) == (["alone"], ["batch", "alone"], [])
    assert runs.queries_of(workspace, "batch") == [("q1", "g"), ("q2", "g")]
    runs.delete_run(workspace, "batch")
    assert ids(within="q1") == ["alone"]


def test_how_a_run_ended_is_read_from_its_folder(workspace):
    (workspace.runs / "run").mkdir()
    write_status(workspace.runs / "run", Status("done", outcome="corrected"))
    run = runs.register(workspace, runs.NewRun("run", "compare", "k1", "a"))
    assert (run.state, run.outcome) == ("done", "corrected")


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


def test_a_deleted_study_takes_everything_along(workspace):
    study = studies.get_study(workspace, "a")
    queries.add_queries(study, [Query("p", "r")], "case")
    run = entered(workspace, "run")
    studies.delete_study(study)
    assert not study.folder.exists()
    assert not run.folder.exists()
    assert queries.list_queries(studies.add_study(workspace, studies.NewStudy("a", "m"))).empty
    assert runs.list_runs(workspace) == []
