"""Brings the index of an older workspace up to the newest schema, in the transaction that opens it.

0002 → 0003: pairs keep who proposed them apart from what they are (`proposals`); runs know the case they were started for, what
they were asked in words and how they ended, and which queries they worked on, all of which was read from their folders before;
the samples' scores move into the table of samples.

0003 → 0004: queries may be whole conversations; studies know the number type and device that their model is loaded with.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from lancet_core.data.samples import content_id
from lancet_core.errors import DataError, StoreError
from lancet_core.files import read_json_or_none, write_table
from lancet_core.store import schema

SCORES = ("harmful", "helpful")
PROPOSAL_COLUMNS = "study, pair_id, position, run_id, cluster, rank, positive_influence, negative_influence, positive_raw, negative_raw"


def migrate(connection: Connection, workspace: Path) -> None:
    """Makes the tables of a new file, or brings an older one up to date; does nothing where it is.

    Args:
        connection: A transaction that holds the write lock.
        workspace: The workspace folder, for what the runs' folders say.

    Raises:
        StoreError: The file was made by a newer version, or by one too old.
    """
    found = _version(connection)
    if found == schema.HEAD:
        return
    if found is not None and found not in STEPS:
        age = "newer" if found > schema.HEAD else "much older"
        raise StoreError(
            f"the index of {workspace} has schema {found} of a {age} version of LANCET; this one knows {schema.HEAD}: "
            "install a fitting version, or give another workspace with --workspace"
        )
    if found is not None:
        STEPS[found](connection, workspace)
    schema.metadata.create_all(connection)
    connection.exec_driver_sql(schema.APPEND_ONLY)
    connection.execute(sa.delete(schema.version))
    connection.execute(sa.insert(schema.version).values(version_num=schema.HEAD))


def _version(connection: Connection) -> str | None:
    if not sa.inspect(connection).has_table(schema.version.name):
        return None
    return connection.execute(sa.select(schema.version.c.version_num)).scalar()


def _from_0002(connection: Connection, workspace: Path) -> None:
    run = connection.exec_driver_sql
    for table, index in (("runs", "runs_by_key"), ("pairs", "pairs_by_study")):
        run(f"DROP INDEX {index}")
        run(f"ALTER TABLE {table} RENAME TO old_{table}")
    for created in (schema.runs, schema.run_queries, schema.reviews, schema.pairs, schema.proposals):
        created.create(connection)
    _move_runs(connection, workspace)
    run(
        "INSERT INTO pairs (pair_id, study, positive_id, negative_id, revision, decision_id) "
        "SELECT pair_id, study, positive_id, negative_id, revision, decision_id FROM old_pairs"
    )
    run(
        f"INSERT INTO proposals (case_id, current, origin, scored, {PROPOSAL_COLUMNS}) "
        f"SELECT '', proposed, 'cluster', 0, {PROPOSAL_COLUMNS} FROM old_pairs"
    )
    run(
        "INSERT INTO reviews (study, case_id, run_id, corpus_run_id, sent_at) SELECT study, '', run_id, run_id, MAX(created_at) FROM "
        "(SELECT p.study, p.run_id, r.created_at FROM old_pairs p JOIN old_runs r ON r.id = p.run_id WHERE p.proposed) "
        "GROUP BY study"
    )
    _move_decisions(connection)
    for table in ("old_pairs", "old_runs"):
        run(f"DROP TABLE {table}")
    for samples in sorted((workspace / "studies").glob("*/samples.parquet")):
        _join_scores(samples)
    _from_0003(connection, workspace)


def _from_0003(connection: Connection, _workspace: Path) -> None:
    for table, column, value in (
        ("queries", "messages", ""),
        ("studies", "dtype", "float32"),
        ("studies", "device", "auto"),
    ):
        connection.exec_driver_sql(f"ALTER TABLE {table} ADD COLUMN {column} TEXT NOT NULL DEFAULT '{value}'")


def _move_decisions(connection: Connection) -> None:
    """Makes the log anew, whose reference followed the pairs' old name; rows stay as they are."""
    run = connection.exec_driver_sql
    columns = ", ".join(column.name for column in schema.decisions.columns)
    run("DROP TRIGGER IF EXISTS decisions_are_append_only")
    run("DROP INDEX decisions_by_pair")
    run("ALTER TABLE decisions RENAME TO old_decisions")
    schema.decisions.create(connection)
    run(f"INSERT INTO decisions ({columns}) SELECT {columns} FROM old_decisions")
    run("DROP TABLE old_decisions")


def _move_runs(connection: Connection, workspace: Path) -> None:
    for row in connection.exec_driver_sql("SELECT * FROM old_runs").mappings().all():
        written = read_json_or_none(workspace / "runs" / row["id"] / "config.json")
        config = written.get("config", {}) if isinstance(written, dict) else {}
        case = config.get("case") or {}
        values = {name: row[name] for name in ("id", "study", "key", "state")} | {
            "act": row["operation"],
            "case_id": _query_id(case) if case else "",
            "title": _title(row["operation"], config),
            "outcome": "",
        }
        connection.execute(
            sa.text(
                "INSERT INTO runs (id, study, act, key, case_id, title, state, outcome, parents, created_at, finished_at) "
                "SELECT :id, :study, :act, :key, :case_id, :title, :state, :outcome, parents, created_at, finished_at "
                "FROM old_runs WHERE id = :id"
            ),
            values,
        )
        if row["operation"] in {"attribute", "cluster"}:
            _enter_queries(connection, row["id"], config)


def _enter_queries(connection: Connection, run_id: str, config: Mapping[str, Any]) -> None:
    rows = []
    for position, query in enumerate(config.get("queries", ())):
        query_id = _query_id(query)
        group = (query.get("group") or query_id) if config.get("batch") else query_id
        rows.append({"run_id": run_id, "position": position, "query_id": query_id, "group": group})
    if rows:
        connection.execute(sa.insert(schema.run_queries), rows)


def _query_id(query: Mapping[str, Any]) -> str:
    span = query.get("span", "")
    return content_id(query["prompt"], query["response"], *([span] if span else []))


def _title(act: str, config: Mapping[str, Any]) -> str:
    """What a run was asked, as far as its old settings say."""
    queries = config.get("queries", ())
    if act == "attribute" and len(queries) == 1:
        return str(queries[0]["prompt"])
    return f"{len(queries)} queries" if act in {"attribute", "cluster"} else ""


def _join_scores(samples: Path) -> None:
    """Puts the scores of a study into its table of samples, where older versions kept a second file.

    Raises:
        DataError: The table cannot be written.
    """
    scores = samples.with_name("scores.parquet")
    table = pd.read_parquet(samples)
    known = pd.read_parquet(scores).set_index("sample_id") if scores.is_file() else pd.DataFrame()
    for name in SCORES:
        values = table["id"].map(known[name]) if name in known else pd.Series(float("nan"), table.index)
        table[name] = values.astype("float64")
    try:
        write_table(samples, table)
    except OSError as error:
        raise DataError(
            f"{samples} cannot be brought up to date: {error.strerror or error}; free some space and try again"
        ) from error


STEPS: dict[str, Callable[[Connection, Path], None]] = {"0002": _from_0002, "0003": _from_0003}
