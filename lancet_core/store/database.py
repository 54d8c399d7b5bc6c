"""Opens the index of a workspace: one SQLite file, brought up to the newest schema in one transaction.

Write-ahead logging lets screens read while a run is registered. Writers take their lock at the start of a transaction
(`BEGIN IMMEDIATE`): a check and the write that depends on it cannot be parted by another process.
"""

import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine
from sqlalchemy.exc import DatabaseError, IntegrityError, OperationalError

from lancet_core.errors import StoreError
from lancet_core.store.migration import migrate
from lancet_core.workspace import Workspace

BUSY_TIMEOUT_SECONDS = 20.0

_engines: dict[Path, Engine] = {}
_opening = threading.Lock()


@contextmanager
def reading(workspace: Workspace) -> Iterator[Connection]:
    """A transaction that sees one state of the index.

    Raises:
        StoreError: The file cannot be opened or read.
    """
    with _told_plainly(workspace), _engine(workspace).connect() as connection, connection.begin():
        yield connection


@contextmanager
def writing(workspace: Workspace) -> Iterator[Connection]:
    """A transaction that nobody else can write beside; kept when the block ends well, else undone.

    Raises:
        StoreError: The file cannot be opened or written.
    """
    engine = _engine(workspace).execution_options(writes=True)
    with _told_plainly(workspace), engine.connect() as connection, connection.begin():
        yield connection


def close(workspace: Workspace) -> None:
    """Closes all connections to a workspace's index; the next use opens it again."""
    with _opening:
        engine = _engines.pop(workspace.database, None)
    if engine is not None:
        engine.dispose()


def _engine(workspace: Workspace) -> Engine:
    """The engine of a workspace; opened again where its file was deleted meanwhile."""
    path = workspace.database
    with _opening:
        engine = _engines.get(path)
        if engine is not None and path.exists():
            return engine
        if engine is not None:
            engine.dispose()
        with _told_plainly(workspace):
            engine = open_engine(path)
            with engine.execution_options(writes=True).connect() as connection, connection.begin():
                migrate(connection, workspace.folder)
            _engines[path] = engine
        return engine


def open_engine(path: Path) -> Engine:
    """Makes an engine on a SQLite file; the schema is left as it is."""
    engine = sa.create_engine(f"sqlite:///{path}", connect_args={"timeout": BUSY_TIMEOUT_SECONDS})
    sa.event.listen(engine, "connect", _prepare)
    sa.event.listen(engine, "begin", _begin)
    return engine


def _prepare(connection: Any, _record: object) -> None:
    connection.isolation_level = None  # transactions are begun by _begin, not guessed by the driver
    _log_ahead(connection)
    for pragma in ("foreign_keys=ON", "synchronous=NORMAL"):
        connection.execute(f"PRAGMA {pragma}")


def _log_ahead(connection: sqlite3.Connection) -> None:
    """Turns on write-ahead logging, which a new file lacks: SQLite itself does not wait for others' locks here.

    Raises:
        OperationalError: The file cannot be written, or another holds it for longer than the time-out.
    """
    deadline = time.monotonic() + BUSY_TIMEOUT_SECONDS
    while True:
        try:
            connection.execute("PRAGMA journal_mode=WAL")
            return
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                raise
        time.sleep(0.02)


def _begin(connection: Connection) -> None:
    writes = connection.get_execution_options().get("writes", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


@contextmanager
def _told_plainly(workspace: Workspace) -> Iterator[None]:
    try:
        yield
    except IntegrityError:
        raise
    except (OperationalError, DatabaseError) as error:
        raise StoreError(_explain(workspace, str(error.orig))) from error


def _explain(workspace: Workspace, problem: str) -> str:
    where = f"the index {workspace.database}"
    if "disk is full" in problem:
        return f"{where} cannot be written: the disk is full; free some space and try again"
    if "locked" in problem:
        return f"{where} is held by another process for more than {BUSY_TIMEOUT_SECONDS:.0f} s; close it and try again"
    if "malformed" in problem or "not a database" in problem:
        return f"{where} is damaged ({problem}); restore a copy, or give another workspace with --workspace"
    return (
        f"{where} cannot be used: {problem}; check its folder's permissions, or give another with --workspace"
    )
