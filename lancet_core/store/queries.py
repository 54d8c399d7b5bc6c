"""Queries of a study: bad answers whose cause is sought, mined or typed."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

import pandas as pd
import sqlalchemy as sa
from sqlalchemy.dialects.sqlite import insert

from lancet_core.data.samples import Query
from lancet_core.errors import StoreError
from lancet_core.store import schema
from lancet_core.store.database import reading, writing
from lancet_core.store.run_status import now
from lancet_core.store.studies import StudyRecord

COLUMNS = ["id", "prompt", "response", "messages", "polarity", "source", "category", "group", "created_at"]


def add_queries(study: StudyRecord, queries: Iterable[Query], source: str) -> int:
    """Adds queries to a study; one that is there already stays as it is, only its polarity follows, and a category where it had none.

    Args:
        study: The study.
        queries: Queries to add.
        source: Where they come from (`mined`, `case`, a file name).

    Returns:
        How many were new.
    """
    moment = now()
    rows = [
        {
            "study": study.name,
            "id": query.id,
            "prompt": query.prompt,
            "response": query.response,
            "messages": query.messages,
            "polarity": query.polarity,
            "group": query.group,
            "source": source,
            "category": query.category,
            "created_at": moment,
        }
        for query in queries
    ]
    if not rows:
        return 0
    addition = insert(schema.queries)
    addition = addition.on_conflict_do_update(
        index_elements=["study", "id"],
        set_={
            "polarity": addition.excluded.polarity,
            "category": sa.func.coalesce(
                sa.func.nullif(schema.queries.c.category, ""), addition.excluded.category
            ),
        },
    )
    count = sa.select(sa.func.count()).select_from(schema.queries).where(schema.queries.c.study == study.name)
    with writing(study.workspace) as connection:
        before = connection.execute(count).scalar_one()
        connection.execute(addition, rows)
        return int(connection.execute(count).scalar_one() - before)


def list_queries(study: StudyRecord) -> pd.DataFrame:
    """Lists the queries of a study, oldest first, in the columns `COLUMNS`."""
    table = schema.queries.c
    chosen = sa.select(*(table[name] for name in COLUMNS)).where(table.study == study.name)
    with reading(study.workspace) as connection:
        rows = connection.execute(chosen.order_by(sa.literal_column("rowid"))).all()
    return pd.DataFrame([tuple(row) for row in rows], columns=COLUMNS)


def read_queries(study: StudyRecord) -> list[Query]:
    """Reads all queries of a study, oldest first, without their groups."""
    rows = list_queries(study).to_dict("records")
    return [replace(_query(row), group="") for row in rows]


def get_query(study: StudyRecord, query_id: str) -> Query:
    """Looks up a query by id.

    Raises:
        StoreError: The study has no such query.
    """
    table = schema.queries.c
    with reading(study.workspace) as connection:
        chosen = sa.select(schema.queries).where(table.study == study.name, table.id == query_id)
        row = connection.execute(chosen).mappings().first()
    if row is None:
        raise StoreError(f"study {study.name!r} has no query {query_id!r}; trace the answer again")
    return _query(row)


def _query(row: Mapping[Any, Any]) -> Query:
    named = ("prompt", "response", "polarity", "group", "messages", "category")
    return Query(**{name: row[name] for name in named})
