"""The index file: made, migrated from older versions, refused when newer or broken, safe under two writers."""

import sqlite3
import subprocess
import sys
import tarfile
import threading
from pathlib import Path

import pandas as pd
import pytest
import sqlalchemy as sa

from lancet_core.errors import StoreError
from lancet_core.store import database, decisions, migration, schema
from lancet_core.store.pairs import list_pairs, review_source
from lancet_core.store.queries import list_queries
from lancet_core.store.runs import RunFilter, list_runs, queries_of
from lancet_core.store.studies import NewStudy, add_study, list_studies
from lancet_core.workspace import open_workspace

ROOT = Path(__file__).parents[2]
OLD = {version: ROOT / "tests" / "fixtures" / f"workspace-{version}.tar.gz" for version in ("0002", "0003")}


@pytest.fixture
def workspace(tmp_path: Path):
    opened = open_workspace(tmp_path / "with % and space")
    yield opened
    database.close(opened)


@pytest.fixture(params=OLD)
def old(request, tmp_path: Path):
    """A workspace as an older version left it: a study with queries, runs of five kinds, pairs and decisions."""
    with tarfile.open(OLD[request.param]) as archive:
        archive.extractall(tmp_path, filter="data")
    opened = open_workspace(tmp_path / "workspace")
    yield opened
    database.close(opened)


def rows(path: Path, question: str) -> list[tuple]:
    with sqlite3.connect(path) as connection:
        return connection.execute(question).fetchall()


def test_a_new_file_has_the_tables_of_the_schema(workspace):
    assert list_studies(workspace) == []
    engine = database.open_engine(workspace.database)
    inspector = sa.inspect(engine)
    for table in schema.metadata.sorted_tables:
        found = {column["name"]: column["nullable"] for column in inspector.get_columns(table.name)}
        assert found == {column.name: bool(column.nullable) for column in table.columns}
        assert {index["name"] for index in inspector.get_indexes(table.name)} == {
            index.name for index in table.indexes
        }
    with engine.connect() as connection:
        assert connection.exec_driver_sql("PRAGMA journal_mode").scalar() == "wal"
        assert connection.exec_driver_sql("PRAGMA foreign_keys").scalar() == 1
    engine.dispose()


def test_an_old_workspace_opens_with_all_that_was_in_it(old):
    before = rows(old.database, "SELECT pair_id, verdict, reviewer FROM decisions ORDER BY id")
    (study,) = list_studies(old)
    assert (study.dtype, study.device) == ("float32", "auto")
    assert rows(old.database, "SELECT pair_id, verdict, reviewer FROM decisions ORDER BY id") == before
    assert len(list_queries(study)) == 10
    pairs = list_pairs(study)
    assert (len(pairs), set(pairs["case_id"]), set(pairs["origin"])) == (17, {""}, {"cluster"})
    assert pairs["verdict"].value_counts().to_dict() == {
        "": 12,
        "approve": 2,
        "reject": 1,
        "skip": 1,
        "flag": 1,
    }
    assert sorted(run.act for run in list_runs(old)) == [
        "attribute",
        "attribute",
        "cluster",
        "compare",
        "correct",
    ]
    assert all(run.state == "done" for run in list_runs(old))


def test_an_old_workspace_knows_afterwards_which_queries_each_run_attributed(old):
    (study,) = list_studies(old)
    case = list_queries(study).iloc[-1]
    (alone,) = list_runs(old, RunFilter(act="attribute", alone=case["id"]))
    assert alone.title == case["prompt"]
    (batch,) = [run for run in list_runs(old, RunFilter(act="attribute")) if run.id != alone.id]
    assert sorted({group for _, group in queries_of(old, batch.id)}) == ["0", "1", "2"]
    assert review_source(study, "").run_id == batch.id
    (comparison,) = list_runs(old, RunFilter(act="compare"))
    assert comparison.case_id in set(list_queries(study)["id"])


def test_the_scores_of_an_old_study_lie_in_its_table_of_samples(old):
    scores = pd.read_parquet(old.studies / "written" / "scores.parquet").set_index("sample_id")
    samples = list_studies(old)[0].samples()
    assert samples["harmful"].tolist() == scores.loc[samples["id"], "harmful"].tolist()


def test_decisions_on_old_pairs_go_on(old):
    (study,) = list_studies(old)
    pair = list_pairs(study).query("verdict == ''").iloc[0]
    decided = decisions.add_decision(old, decisions.Draft(pair["pair_id"], "approve", "bo"))
    assert decided.id > max(
        number for (number,) in rows(old.database, "SELECT id FROM decisions WHERE reviewer = 'ada'")
    )
    assert [undone.pair_id for undone in decisions.undo_last(study, "bo")] == [pair["pair_id"]]


@pytest.mark.parametrize("old", ["0002"], indirect=True)
def test_a_migration_that_fails_leaves_the_file_as_it_was(old, monkeypatch):
    before = rows(old.database, "SELECT name FROM sqlite_master ORDER BY name")

    def break_off(_samples):
        raise sa.exc.OperationalError("", {}, sqlite3.OperationalError("database or disk is full"))

    monkeypatch.setattr(migration, "_join_scores", break_off)
    with pytest.raises(StoreError, match="the disk is full"):
        list_studies(old)
    assert rows(old.database, "SELECT name FROM sqlite_master ORDER BY name") == before
    monkeypatch.undo()
    database.close(old)
    assert [study.name for study in list_studies(old)] == ["written"]


def test_a_newer_file_is_refused(workspace):
    list_studies(workspace)
    database.close(workspace)
    with sqlite3.connect(workspace.database) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(StoreError, match="has schema 9999"):
        list_studies(workspace)


def test_a_file_that_is_no_database_is_told(workspace):
    workspace.database.write_bytes(b"not a database at all" * 100)
    with pytest.raises(StoreError, match="is damaged"):
        list_studies(workspace)


def test_a_file_deleted_meanwhile_is_made_again(workspace):
    add_study(workspace, NewStudy("a", "m"))
    for path in workspace.folder.glob("lancet.db*"):
        path.unlink()
    assert list_studies(workspace) == []


def test_the_log_of_decisions_cannot_be_changed(workspace):
    add_study(workspace, NewStudy("a", "m"))
    with database.writing(workspace) as connection:
        connection.exec_driver_sql("INSERT INTO pairs VALUES ('p','a','x','y',1,NULL)")
        connection.exec_driver_sql(
            "INSERT INTO decisions (study,pair_id,revision,verdict,reviewer,reason,bulk,decided_at) "
            "VALUES ('a','p',1,'approve','ann','','','2026-01-02T03:04:05+00:00')"
        )
    with (
        pytest.raises((StoreError, sa.exc.IntegrityError), match="append-only"),
        database.writing(workspace) as connection,
    ):
        connection.exec_driver_sql("UPDATE decisions SET verdict = 'reject'")


def test_two_processes_open_and_write_a_new_workspace(workspace):
    script = (
        "import sys; from lancet_core.workspace import open_workspace; from lancet_core.store.studies import *\n"
        "ws = open_workspace(sys.argv[1])\n"
        "for i in range(20): add_study(ws, NewStudy(f'{sys.argv[2]}{i}', 'm'))"
    )
    command = [sys.executable, "-c", script, str(workspace.folder)]
    both = [subprocess.Popen([*command, name], cwd=ROOT) for name in "ab"]
    assert [process.wait(60) for process in both] == [0, 0]
    assert len(list_studies(workspace)) == 40


def test_a_file_that_another_process_writes_while_it_is_new_is_waited_for(workspace):
    writer = sqlite3.connect(workspace.database, isolation_level=None, check_same_thread=False)
    writer.execute("CREATE TABLE elsewhere (name)")
    writer.execute("BEGIN IMMEDIATE")
    threading.Timer(0.5, writer.execute, ["COMMIT"]).start()
    assert list_studies(workspace) == []
    writer.close()
