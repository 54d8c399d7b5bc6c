"""Queries of a study: bad answers whose cause is sought, mined or typed."""

from collections.abc import Iterable, Mapping

import pandas as pd
import sqlalchemy as sa
from sqlalchemy.dialects.sqlite import insert

from lancet_core.data.samples import Query
from lancet_core.errors import StoreError
from lancet_core.store import schema
from lancet_core.store.database import reading, writing
from lancet_core.store.run_status import now
from lancet_core.store.studies import get_study
from lancet_core.workspace import Workspace

COLUMNS = ["id", "prompt", "response", "polarity", "source", "category", "group", "created_at"]


def add_queries(
    workspace: Workspace,
    study: str,
    queries: Iterable[Query],
    source: str,
    *,
    categories: Mapping[str, str] | None = None,
) -> int:
    """Adds queries to a study; one that is there already stays as it is, only its polarity follows.

    Args:
        workspace: Where the study lies.
        study: Its name.
        queries: Queries to add.
        source: Where they come from (`mined`, `case`, a file name).
        categories: Query ids to names of their category.

    Returns:
        How many were new.

    Raises:
        StoreError: There is no such study.
    """
    get_study(workspace, study)
    named = categories or {}
    moment = now()
    rows = [
        {
            "study": study,
            "id": query.id,
            "prompt": query.prompt,
            "response": query.response,
            "polarity": query.polarity,
            "group": query.group,
            "source": source,
            "category": named.get(query.id, ""),
            "created_at": moment,
        }
        for query in queries
    ]
    if not rows:
        return 0
    addition = insert(schema.queries)
    addition = addition.on_conflict_do_update(
        index_elements=["study", "id"], set_={"polarity": addition.excluded.polarity}
    )
    with writing(workspace) as connection:
        before = _count(connection, study)
        connection.execute(addition, rows)
        return _count(connection, study) - before


def list_queries(workspace: Workspace, study: str) -> pd.DataFrame:
    """Lists the queries of a study, oldest first, in the columns `COLUMNS`.

    Raises:
        StoreError: There is no such study.
    """
    get_study(workspace, study)
    table = schema.queries.c
    chosen = sa.select(*(table[name] for name in COLUMNS)).where(table.study == study)
    with reading(workspace) as connection:
        rows = connection.execute(chosen.order_by(sa.literal_column("rowid"))).all()
    return pd.DataFrame([tuple(row) for row in rows], columns=COLUMNS)


def get_query(workspace: Workspace, study: str, query_id: str) -> Query:
    """Looks up a query by id.

    Raises:
        StoreError: The study has no such query.
    """
    table = schema.queries.c
    with reading(workspace) as connection:
        chosen = sa.select(schema.queries).where(table.study == study, table.id == query_id)
        row = connection.execute(chosen).mappings().first()
    if row is None:
        raise StoreError(f"study {study!r} has no query {query_id!r}; list them, or trace the answer again")
    return Query(prompt=row["prompt"], response=row["response"], polarity=row["polarity"], group=row["group"])


def delete_query(workspace: Workspace, study: str, query_id: str) -> None:
    """Deletes a query; what was found out about it stays in its runs."""
    table = schema.queries.c
    with writing(workspace) as connection:
        connection.execute(sa.delete(schema.queries).where(table.study == study, table.id == query_id))


def _count(connection: sa.Connection, study: str) -> int:
    chosen = sa.select(sa.func.count()).select_from(schema.queries).where(schema.queries.c.study == study)
    return int(connection.execute(chosen).scalar_one())
