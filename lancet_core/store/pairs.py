"""Pairs of samples that stand for review, why they do, and the verdict that holds on each."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import pandas as pd
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from lancet_core.data.samples import content_id
from lancet_core.errors import StoreError
from lancet_core.store import schema
from lancet_core.store.database import reading, writing
from lancet_core.store.run_status import now
from lancet_core.store.studies import StudyRecord
from lancet_core.workspace import Workspace

APPROVE, REJECT, SKIP, FLAG = VERDICTS = ("approve", "reject", "skip", "flag")
TRACED, PICKED, CLUSTER = "trace", "picked", "cluster"
ALL_CASES = ""
EVIDENCE = [
    "run_id",
    "origin",
    "cluster",
    "rank",
    "scored",
    "positive_influence",
    "negative_influence",
    "positive_raw",
    "negative_raw",
]
COLUMNS = [
    "pair_id",
    "case_id",
    "revision",
    "positive_id",
    "negative_id",
    *EVIDENCE,
    "position",
    "current",
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


def pair_key(study_name: str, positive_id: str, negative_id: str) -> str:
    """Names a pair: the same two samples in two studies are two pairs, reviewed each for itself."""
    return content_id(study_name, positive_id, negative_id)


@dataclass(frozen=True)
class Source:
    """What the review of a case works from.

    Attributes:
        run_id: Attribution that its pairs were proposed from.
        corpus_run_id: Attribution over the whole corpus that the retain set is chosen by; empty where there was none.
    """

    run_id: str
    corpus_run_id: str = ""


def replace_proposals(study: StudyRecord, proposals: pd.DataFrame, source: Source, *, case_id: str) -> int:
    """Puts new proposals for a case up for review in place of its old ones.

    Decided pairs stay, whatever is proposed. Undecided pairs that are not proposed again, for this case or another, leave the queue.

    Args:
        study: The study.
        proposals: `positive_id`, `negative_id`, `origin`, `cluster`, `rank`, `scored`, both influences scaled and raw, in queue order.
        source: Attributions that they come from; the review of the case works from these from now on.
        case_id: The case; `ALL_CASES` for the query clusters of the study.

    Returns:
        How many proposals stand.
    """
    rows = [_row(study, position, values) for position, values in enumerate(proposals.to_dict("records"))]
    for row in rows:
        row |= {"run_id": source.run_id, "case_id": case_id}
    with writing(study.workspace) as connection:
        known = _known(connection, study, case_id)
        _retire(connection, study, case_id, keep=[row["pair_id"] for row in rows])
        for row in rows:
            _place(connection, row, known.get(row["pair_id"]))
        _remember_source(connection, study, case_id, source)
    return len(rows)


def review_source(study: StudyRecord, case_id: str) -> Source | None:
    """Looks up what the review of a case works from; None where it was not sent to review."""
    table = schema.reviews.c
    chosen = sa.select(table.run_id, table.corpus_run_id).where(
        table.study == study.name, table.case_id == case_id
    )
    with reading(study.workspace) as connection:
        row = connection.execute(chosen).first()
    return None if row is None else Source(row.run_id, row.corpus_run_id)


def find_pair(connection: Connection, pair_id: str) -> Pair:
    """Looks up a pair inside a transaction.

    Raises:
        StoreError: There is none.
    """
    table = schema.pairs.c
    fields = (table[name] for name in Pair.__dataclass_fields__)
    row = connection.execute(sa.select(*fields).where(table.pair_id == pair_id)).mappings().first()
    if row is None:
        raise StoreError(
            f"there is no pair {pair_id!r}; list the pairs of a study with: lancet pairs list STUDY"
        )
    return Pair(**row)


def list_pairs(study: StudyRecord) -> pd.DataFrame:
    """Lists the pairs of a study that are proposed or decided: a row for each case that proposed one, in the columns `COLUMNS`.

    `verdict` and `decided_by` are empty, `decided_at` and `decision_id` missing where nobody decided.
    """
    pairs, proposals, decisions = schema.pairs.c, schema.proposals.c, schema.decisions.c
    joined = schema.proposals.join(schema.pairs, pairs.pair_id == proposals.pair_id)
    joined = joined.outerjoin(schema.decisions, pairs.decision_id == decisions.id)
    of_decision = {
        "verdict": sa.func.coalesce(decisions.verdict, ""),
        "decided_by": sa.func.coalesce(decisions.reviewer, ""),
        "decided_at": decisions.decided_at,
        "decision_id": pairs.decision_id,
        "bulk": sa.func.coalesce(decisions.bulk, ""),
    }
    of_proposal = {
        name: proposals[name] if name in proposals else pairs[name]
        for name in COLUMNS
        if name not in of_decision
    }
    columns = [{**of_proposal, **of_decision}[name] for name in COLUMNS]
    chosen = sa.select(*columns).select_from(joined).where(proposals.study == study.name)
    shown = sa.or_(proposals.current, pairs.decision_id.is_not(None))
    order = (proposals.case_id, proposals.position, pairs.pair_id)
    with reading(study.workspace) as connection:
        rows = connection.execute(chosen.where(shown).order_by(*order)).all()
    frame = pd.DataFrame([tuple(row) for row in rows], columns=COLUMNS)
    return frame.astype({"current": bool, "decision_id": "Int64", "decided_at": "datetime64[us, UTC]"})


def count_pairs_from(workspace: Workspace, run_id: str) -> int:
    """Counts the pairs under review that an attribution proposed."""
    table = schema.proposals.c
    chosen = sa.select(sa.func.count(sa.distinct(table.pair_id))).where(table.run_id == run_id)
    with reading(workspace) as connection:
        return int(connection.execute(chosen).scalar_one())


def count_reviews_by(workspace: Workspace, run_id: str) -> int:
    """Counts the reviews whose retain set is chosen by an attribution."""
    table = schema.reviews.c
    chosen = sa.select(sa.func.count()).where(table.corpus_run_id == run_id).select_from(schema.reviews)
    with reading(workspace) as connection:
        return int(connection.execute(chosen).scalar_one())


def _known(connection: Connection, study: StudyRecord, case_id: str) -> dict[str, Mapping[str, Any]]:
    """The pairs of a study by id, each with the evidence that it has for a case."""
    pairs, proposals = schema.pairs.c, schema.proposals.c
    mine = sa.and_(proposals.pair_id == pairs.pair_id, proposals.case_id == case_id)
    joined = schema.pairs.outerjoin(schema.proposals, mine)
    columns = [pairs.pair_id, pairs.revision, *(proposals[name] for name in EVIDENCE)]
    chosen = sa.select(*columns).select_from(joined).where(pairs.study == study.name)
    return {row["pair_id"]: dict(row) for row in connection.execute(chosen).mappings()}


def _row(study: StudyRecord, position: int, values: Mapping[Any, Any]) -> dict[str, Any]:
    numbers = ("positive_influence", "negative_influence", "positive_raw", "negative_raw")
    return {
        "study": study.name,
        "pair_id": pair_key(study.name, values["positive_id"], values["negative_id"]),
        "positive_id": values["positive_id"],
        "negative_id": values["negative_id"],
        "current": True,
        "position": position,
        "origin": values["origin"],
        "cluster": str(values["cluster"]),
        "rank": int(values["rank"]),
        "scored": int(values["scored"]),
        **{name: float(values[name]) for name in numbers},
    }


def _retire(connection: Connection, study: StudyRecord, case_id: str, *, keep: list[str]) -> None:
    """Takes what is not proposed any more out of a case's queue; pairs that nobody ever decided on are deleted with it."""
    pairs, proposals = schema.pairs.c, schema.proposals.c
    old = sa.and_(proposals.study == study.name, proposals.case_id == case_id, proposals.pair_id.not_in(keep))
    logged = sa.select(schema.decisions.c.pair_id).where(schema.decisions.c.study == study.name)
    connection.execute(sa.delete(schema.proposals).where(old, proposals.pair_id.not_in(logged)))
    connection.execute(sa.update(schema.proposals).where(old).values(current=False))
    proposed = sa.select(proposals.pair_id).where(proposals.study == study.name)
    unused = (pairs.study == study.name, pairs.pair_id.not_in(proposed), pairs.pair_id.not_in([*keep]))
    connection.execute(sa.delete(schema.pairs).where(*unused, pairs.pair_id.not_in(logged)))


def _place(connection: Connection, row: dict[str, Any], known: Mapping[str, Any] | None) -> None:
    of_pair = {name: row[name] for name in ("pair_id", "study", "positive_id", "negative_id")}
    of_proposal = {name: value for name, value in row.items() if name not in {"positive_id", "negative_id"}}
    if known is None:
        connection.execute(sa.insert(schema.pairs).values(of_pair | {"revision": 1}))
    elif known["run_id"] is not None and any(row[name] != known[name] for name in EVIDENCE):
        raised = sa.update(schema.pairs).where(schema.pairs.c.pair_id == row["pair_id"])
        connection.execute(raised.values(revision=known["revision"] + 1))
    connection.execute(sa.insert(schema.proposals).prefix_with("OR REPLACE").values(of_proposal))


def _remember_source(connection: Connection, study: StudyRecord, case_id: str, source: Source) -> None:
    values = {"study": study.name, "case_id": case_id, **asdict(source), "sent_at": now()}
    connection.execute(sa.insert(schema.reviews).prefix_with("OR REPLACE").values(values))
