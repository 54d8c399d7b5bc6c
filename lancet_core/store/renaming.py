"""Gives a study another name in the index, with all that stands under it."""

from collections.abc import Callable

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from lancet_core.errors import StoreError
from lancet_core.store import schema
from lancet_core.store.database import writing
from lancet_core.store.pairs import pair_key
from lancet_core.store.runs import RunFilter, list_runs
from lancet_core.store.studies import StudyRecord, check_name, list_studies, name_taken

_OF_STUDY = (schema.queries, schema.runs, schema.reviews, schema.proposals, schema.decisions)


def rename_study(study: StudyRecord, name: str, *, models: dict[str, str], move: Callable[[], None]) -> None:
    """Renames a study in one transaction; where its files cannot be moved everything stays as it was.

    Args:
        study: The study.
        name: Its new name.
        models: New folders of `model`, `harmful_scorer` and `helpful_scorer`.
        move: Moves its files; called last.

    Raises:
        StoreError: A run of it is going, or the name is taken or no name.
    """
    check_name(name)
    if name in {each.name for each in list_studies(study.workspace)}:
        raise StoreError(name_taken(name))
    going = next(
        (run for run in list_runs(study.workspace, RunFilter(study=study.name)) if not run.is_final), None
    )
    if going is not None:
        raise StoreError(
            f"study {study.name!r} has a run going: {going.id}; wait for it, or cancel it: lancet runs cancel {going.id}"
        )
    with writing(study.workspace) as connection:
        # The log of decisions refuses changes of what was decided; here only the study's name and the pairs' ids follow.
        connection.exec_driver_sql("DROP TRIGGER IF EXISTS decisions_are_append_only")
        _copy_study(connection, study.name, name, models)
        _rename_pairs(connection, study.name, name)
        for table in _OF_STUDY:
            connection.execute(sa.update(table).where(table.c.study == study.name).values(study=name))
        connection.execute(sa.delete(schema.studies).where(schema.studies.c.name == study.name))
        connection.exec_driver_sql(schema.APPEND_ONLY)
        move()


def _copy_study(connection: Connection, old: str, new: str, models: dict[str, str]) -> None:
    row = connection.execute(sa.select(schema.studies).where(schema.studies.c.name == old)).mappings().one()
    connection.execute(sa.insert(schema.studies).values({**row, "name": new, **models}))


def _rename_pairs(connection: Connection, old: str, new: str) -> None:
    """Names pairs anew: their ids are made of the study's name, so that the same two samples are proposed as the same pair."""
    table = schema.pairs
    for row in connection.execute(sa.select(table).where(table.c.study == old)).mappings().all():
        key = pair_key(new, row["positive_id"], row["negative_id"])
        connection.execute(sa.insert(table).values({**row, "study": new, "pair_id": key}))
        for child in (schema.proposals, schema.decisions):
            connection.execute(sa.update(child).where(child.c.pair_id == row["pair_id"]).values(pair_id=key))
        connection.execute(sa.delete(table).where(table.c.pair_id == row["pair_id"]))
