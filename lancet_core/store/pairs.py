"""Pairs of a study that stand for review, each with the verdict that holds now."""

from dataclasses import dataclass
from typing import Any

import pandas as pd
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from lancet_core.data.samples import content_id
from lancet_core.errors import StoreError
from lancet_core.store import schema
from lancet_core.store.database import reading, writing
from lancet_core.workspace import Workspace

APPROVE, REJECT, SKIP, FLAG = VERDICTS = ("approve", "reject", "skip", "flag")
EVIDENCE = (
    "run_id",
    "cluster",
    "rank",
    "positive_influence",
    "negative_influence",
    "positive_raw",
    "negative_raw",
)
COLUMNS = [
    "pair_id",
    "revision",
    "cluster",
    "rank",
    "positive_id",
    "negative_id",
    "positive_influence",
    "negative_influence",
    "positive_raw",
    "negative_raw",
    "run_id",
    "position",
    "proposed",
    "verdict",
    "decided_by",
    "decided_at",
    "decision_id",
    "bulk",
]


@dataclass(frozen=True)
class Pair:
    """Two samples proposed together.

    Attributes:
        pair_id: Its id, unique over all studies.
        study: Study it belongs to.
        revision: How often its evidence (influence, cluster, attribution) changed, counted from 1.
        positive_id: Sample that pushes towards the queries.
        negative_id: Sample that pushes away from them.
        decision_id: The decision that holds, None where there is none.
    """

    pair_id: str
    study: str
    revision: int
    positive_id: str
    negative_id: str
    decision_id: int | None


def pair_key(study: str, positive_id: str, negative_id: str) -> str:
    """Names a pair: the same two samples in two studies are two pairs, reviewed each for itself."""
    return content_id(study, positive_id, negative_id)


def replace_proposals(workspace: Workspace, study: str, *, run_id: str, proposals: pd.DataFrame) -> int:
    """Puts new proposals up for review in place of the old ones.

    Decided pairs stay, whatever is proposed. A proposal that shares a sample with another, approved pair is left out: a
    sample stands in at most one pair. Undecided pairs that are not proposed again leave the queue.

    Args:
        workspace: Where the study lies.
        study: Its name.
        run_id: Attribution that the proposals come from.
        proposals: Columns of `correction.pairs.propose_pairs`, in queue order.

    Returns:
        How many proposals stand.

    Raises:
        StoreError: The index cannot be written.
    """
    with writing(workspace) as connection:
        known = {pair["pair_id"]: pair for pair in _pairs_of(connection, study)}
        taken = _approved_samples(connection, study)
        rows = [
            row
            for position, values in enumerate(proposals.to_dict("records"))
            if not _clashes(row := _row(study, run_id, position, values), taken)
        ]
        _retire(connection, study, keep=[row["pair_id"] for row in rows])
        for row in rows:
            _place(connection, row, known.get(row["pair_id"]))
    return len(rows)


def get_pair(workspace: Workspace, pair_id: str) -> Pair:
    """Looks up a pair by id.

    Raises:
        StoreError: There is none.
    """
    with reading(workspace) as connection:
        return find_pair(connection, pair_id)


def find_pair(connection: Connection, pair_id: str) -> Pair:
    """Looks up a pair inside a transaction.

    Raises:
        StoreError: There is none.
    """
    table = schema.pairs.c
    fields = (getattr(table, name) for name in Pair.__dataclass_fields__)
    row = connection.execute(sa.select(*fields).where(table.pair_id == pair_id)).mappings().first()
    if row is None:
        raise StoreError(
            f"there is no pair {pair_id!r}; list the pairs of a study with: lancet pairs list STUDY"
        )
    return Pair(**row)


def list_pairs(workspace: Workspace, study: str) -> pd.DataFrame:
    """Lists the pairs of a study that are proposed or decided, in queue order, in the columns `COLUMNS`.

    `verdict` and `decided_by` are empty, `decided_at` and `decision_id` missing where nobody decided.
    """
    pairs, decisions = schema.pairs.c, schema.decisions.c
    joined = schema.pairs.outerjoin(schema.decisions, pairs.decision_id == decisions.id)
    of_pair = [pairs[name] for name in COLUMNS if name in pairs and name != "decision_id"]
    of_decision = [
        sa.func.coalesce(decisions.verdict, "").label("verdict"),
        sa.func.coalesce(decisions.reviewer, "").label("decided_by"),
        decisions.decided_at,
        pairs.decision_id,
        sa.func.coalesce(decisions.bulk, "").label("bulk"),
    ]
    chosen = sa.select(*of_pair, *of_decision).select_from(joined).where(pairs.study == study)
    shown = sa.or_(pairs.proposed, pairs.decision_id.is_not(None))
    with reading(workspace) as connection:
        rows = connection.execute(chosen.where(shown).order_by(pairs.position, pairs.pair_id)).all()
    frame = pd.DataFrame([tuple(row) for row in rows], columns=COLUMNS)
    return frame.astype({"decision_id": "Int64", "decided_at": "datetime64[us, UTC]"})


def _pairs_of(connection: Connection, study: str) -> list[dict[str, Any]]:
    chosen = sa.select(schema.pairs).where(schema.pairs.c.study == study)
    return [dict(row) for row in connection.execute(chosen).mappings()]


def _approved_samples(connection: Connection, study: str) -> dict[str, str]:
    """Maps each sample of an approved pair to that pair."""
    pairs, decisions = schema.pairs.c, schema.decisions.c
    joined = schema.pairs.join(schema.decisions, pairs.decision_id == decisions.id)
    chosen = sa.select(pairs.pair_id, pairs.positive_id, pairs.negative_id).select_from(joined)
    rows = connection.execute(chosen.where(pairs.study == study, decisions.verdict == APPROVE)).all()
    return {sample_id: row[0] for row in rows for sample_id in row[1:]}


def _clashes(row: dict[str, Any], taken: dict[str, str]) -> bool:
    owners = {taken.get(row["positive_id"]), taken.get(row["negative_id"])} - {None}
    return bool(owners - {row["pair_id"]})


def _row(study: str, run_id: str, position: int, values: dict[Any, Any]) -> dict[str, Any]:
    numbers = ("positive_influence", "negative_influence", "positive_raw", "negative_raw")
    return {
        "pair_id": pair_key(study, values["positive_id"], values["negative_id"]),
        "study": study,
        "run_id": run_id,
        "proposed": True,
        "position": position,
        "cluster": str(values["cluster"]),
        "rank": int(values["rank"]),
        "positive_id": values["positive_id"],
        "negative_id": values["negative_id"],
        **{name: float(values[name]) for name in numbers},
    }


def _retire(connection: Connection, study: str, *, keep: list[str]) -> None:
    """Takes what is not proposed any more out of the queue; pairs that nobody ever decided on are deleted."""
    pairs = schema.pairs.c
    old = sa.and_(pairs.study == study, pairs.pair_id.not_in(keep))
    logged = sa.select(schema.decisions.c.pair_id).where(schema.decisions.c.study == study)
    connection.execute(sa.delete(schema.pairs).where(old, pairs.pair_id.not_in(logged)))
    connection.execute(sa.update(schema.pairs).where(old).values(proposed=False))


def _place(connection: Connection, row: dict[str, Any], known: dict[str, Any] | None) -> None:
    if known is None:
        connection.execute(sa.insert(schema.pairs).values(row | {"revision": 1}))
        return
    changed = any(row[name] != known[name] for name in EVIDENCE)
    values = row | {"revision": known["revision"] + int(changed)}
    connection.execute(sa.update(schema.pairs).where(schema.pairs.c.pair_id == row["pair_id"]).values(values))
