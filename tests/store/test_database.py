"""The index file: made, migrated from older versions, refused when newer or broken, safe under two writers."""

import sqlite3
import subprocess
import sys
import threading
from pathlib import Path

import pytest
import sqlalchemy as sa

from lancet_core.errors import StoreError
from lancet_core.store import database, schema
from lancet_core.store.studies import NewStudy, add_study, list_studies
from lancet_core.workspace import open_workspace

ROOT = Path(__file__).parents[2]


@pytest.fixture
def workspace(tmp_path: Path):
    opened = open_workspace(tmp_path / "with % and space")
    yield opened
    database.close(opened)


def old_file(path: Path) -> None:
    """A file as the first version made it, with one study."""
    engine = database.open_engine(path)
    with engine.execution_options(writes=True).connect() as connection, connection.begin():
        database._run_migrations(connection, "0001")
        connection.exec_driver_sql(
            "INSERT INTO studies VALUES ('old','m','auto','','','{\"samples\": 3}','2026-01-02T03:04:05+00:00')"
        )
    engine.dispose()


def tables(path: Path) -> set[str]:
    with sqlite3.connect(path) as connection:
        return {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}


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


def test_the_newest_revision_is_the_one_that_the_schema_names():
    from alembic.script import ScriptDirectory

    assert ScriptDirectory(str(database.MIGRATIONS)).get_current_head() == schema.HEAD


def test_an_old_file_is_brought_up_and_keeps_its_rows(workspace):
    old_file(workspace.database)
    assert "pairs" not in tables(workspace.database)
    (study,) = list_studies(workspace)
    assert (study.name, study.counts, study.created_at.year) == ("old", {"samples": 3}, 2026)
    assert {"pairs", "decisions"} <= tables(workspace.database)


def test_a_migration_that_fails_leaves_the_file_as_it_was(workspace, monkeypatch):
    old_file(workspace.database)
    real = database._run_migrations

    def break_off(connection, to):
        real(connection, to)
        raise sa.exc.OperationalError("", {}, sqlite3.OperationalError("database or disk is full"))

    monkeypatch.setattr(database, "_run_migrations", break_off)
    with pytest.raises(StoreError, match="the disk is full"):
        list_studies(workspace)
    assert "pairs" not in tables(workspace.database)
    monkeypatch.undo()
    database.close(workspace)
    assert [study.name for study in list_studies(workspace)] == ["old"]


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
        connection.exec_driver_sql(
            "INSERT INTO pairs VALUES ('p','a','r',1,1,0,'0',1,'x','y',1,-1,1,-1,NULL)"
        )
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
