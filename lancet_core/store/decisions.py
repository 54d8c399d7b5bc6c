"""The log of decisions on pairs: rows are added, never changed. Undo is a row; so is every verdict of a bulk approval.

Each pair points at the decision that holds now. A decision names the one that held before it (`supersedes`); an undo names
the one it takes back, and what that one superseded holds again.
"""

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import pandas as pd
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from lancet_core.errors import ConfigError, StoreError
from lancet_core.store import schema
from lancet_core.store.database import reading, writing
from lancet_core.store.pairs import APPROVE, SKIP, VERDICTS, Pair, find_pair
from lancet_core.store.run_status import now
from lancet_core.store.studies import StudyRecord
from lancet_core.workspace import Workspace

UNDO = "undo"
WORDS = {"approve": "approved", "reject": "rejected", "skip": "skipped", "flag": "flagged"}


@dataclass(frozen=True)
class Decision:
    """One row of the log.

    Attributes:
        id: Its number; later decisions have larger ones.
        study: Study of the pair.
        pair_id: The pair.
        revision: Revision of the pair's evidence that the reviewer saw.
        verdict: `approve`, `reject`, `skip`, `flag` or `undo`.
        reviewer: Who decided.
        reason: Why, in the reviewer's words; may be empty.
        seconds: Time that the pair was on screen, None where unknown.
        supersedes: The decision that held before, or that is undone; None where there was none.
        bulk: Joins the rows of one bulk act; empty for a single decision.
        decided_at: When (UTC).
    """

    id: int
    study: str
    pair_id: str
    revision: int
    verdict: str
    reviewer: str
    reason: str
    seconds: float | None
    supersedes: int | None
    bulk: str
    decided_at: datetime


@dataclass(frozen=True)
class Draft:
    """A decision as a reviewer makes it.

    Attributes:
        pair_id: The pair.
        verdict: `approve`, `reject`, `skip` or `flag`.
        reviewer: Who decides.
        seen_decision_id: The decision that stood on the screen, None where the pair stood there as undecided.
        reason: Why; may be empty.
        seconds: Time that the pair was on screen.
    """

    pair_id: str
    verdict: str
    reviewer: str
    seen_decision_id: int | None = None
    reason: str = ""
    seconds: float | None = None


class StaleDecision(StoreError):
    """Somebody decided on the pair after the reviewer's screen was drawn.

    Attributes:
        decision: The decision that holds now; None where what the reviewer saw was undone.
    """

    def __init__(self, pair_id: str, decision: Decision | None) -> None:
        self.decision = decision
        if decision is None:
            happened = f"the verdict you saw on pair {pair_id} was taken back meanwhile"
        else:
            word = WORDS[decision.verdict]
            happened = f"{decision.reviewer} {word} pair {pair_id} at {decision.decided_at:%H:%M} UTC, after you opened it"
        super().__init__(f"{happened}; your verdict was not kept: look at the pair again and decide anew")


def add_decision(workspace: Workspace, draft: Draft) -> Decision:
    """Keeps a decision. The same decision sent twice is kept once.

    Returns:
        The decision that holds on the pair.

    Raises:
        StaleDecision: Another decision holds than the one that the reviewer saw.
        StoreError: There is no such pair.
        ConfigError: There is no such verdict, or the reviewer has no name.
    """
    _check(draft.verdict, draft.reviewer)
    with writing(workspace) as connection:
        pair = find_pair(connection, draft.pair_id)
        holding = _find(connection, pair.decision_id)
        if holding is not None and (holding.verdict, holding.reviewer) == (draft.verdict, draft.reviewer):
            return holding
        skipped = holding is not None and holding.verdict == SKIP
        if pair.decision_id != draft.seen_decision_id and not skipped:
            raise StaleDecision(pair.pair_id, holding)
        return _append(connection, pair, draft)


def approve_all(workspace: Workspace, pair_ids: Sequence[str], reviewer: str) -> int:
    """Approves the pairs that are still undecided, as one act that one undo takes back.

    Returns:
        How many were approved.

    Raises:
        StoreError: There is no such pair.
        ConfigError: The reviewer has no name.
    """
    _check(APPROVE, reviewer)
    bulk = secrets.token_hex(8)
    with writing(workspace) as connection:
        undecided = [
            pair for pair_id in pair_ids if (pair := find_pair(connection, pair_id)).decision_id is None
        ]
        for pair in undecided:
            _append(connection, pair, Draft(pair.pair_id, APPROVE, reviewer), bulk=bulk)
    return len(undecided)


def undo_last(study: StudyRecord, reviewer: str) -> list[Decision]:
    """Takes back the reviewer's last decision that still holds, and all of its bulk act.

    Returns:
        The decisions that were taken back, oldest first; empty where there is nothing to take back.
    """
    pairs, decisions = schema.pairs.c, schema.decisions.c
    mine = sa.select(schema.decisions).join(schema.pairs, pairs.decision_id == decisions.id)
    mine = mine.where(decisions.study == study.name, decisions.reviewer == reviewer)
    with writing(study.workspace) as connection:
        last = connection.execute(mine.order_by(decisions.id.desc()).limit(1)).mappings().first()
        if last is None:
            return []
        together = [last]
        if last["bulk"]:
            chosen = mine.where(decisions.bulk == last["bulk"]).order_by(decisions.id)
            together = list(connection.execute(chosen).mappings())
        bulk = secrets.token_hex(8) if len(together) > 1 else ""
        undone = [Decision(**row) for row in together]
        for decision in undone:
            _take_back(connection, decision, bulk)
    return undone


def list_decisions(study: StudyRecord) -> pd.DataFrame:
    """Lists the whole log of a study, oldest first, in the fields of `Decision`."""
    columns = list(Decision.__dataclass_fields__)
    table = schema.decisions.c
    chosen = sa.select(*(table[name] for name in columns)).where(table.study == study.name).order_by(table.id)
    with reading(study.workspace) as connection:
        rows = connection.execute(chosen).all()
    frame = pd.DataFrame([tuple(row) for row in rows], columns=columns)
    return frame.astype({"supersedes": "Int64", "seconds": "float64", "decided_at": "datetime64[us, UTC]"})


def _check(verdict: str, reviewer: str) -> None:
    if verdict not in VERDICTS:
        raise ConfigError(f"{verdict!r} is no verdict; choose one of {', '.join(VERDICTS)}")
    if not reviewer.strip():
        raise ConfigError("the reviewer has no name; decisions are kept with the name of who made them")


def _find(connection: Connection, decision_id: int | None) -> Decision | None:
    if decision_id is None:
        return None
    chosen = sa.select(schema.decisions).where(schema.decisions.c.id == decision_id)
    return Decision(**connection.execute(chosen).mappings().one())


def _append(connection: Connection, pair: Pair, draft: Draft, *, bulk: str = "") -> Decision:
    values = {
        "study": pair.study,
        "pair_id": pair.pair_id,
        "revision": pair.revision,
        "verdict": draft.verdict,
        "reviewer": draft.reviewer,
        "reason": draft.reason,
        "seconds": draft.seconds,
        "supersedes": pair.decision_id,
        "bulk": bulk,
        "decided_at": now(),
    }
    row = (
        connection.execute(sa.insert(schema.decisions).values(values).returning(schema.decisions))
        .mappings()
        .one()
    )
    _point(connection, pair.pair_id, row["id"])
    return Decision(**row)


def _take_back(connection: Connection, decision: Decision, bulk: str) -> None:
    pair = find_pair(connection, decision.pair_id)
    _append(connection, pair, Draft(pair.pair_id, UNDO, decision.reviewer), bulk=bulk)
    _point(connection, pair.pair_id, decision.supersedes)


def _point(connection: Connection, pair_id: str, decision_id: int | None) -> None:
    holds = sa.update(schema.pairs).where(schema.pairs.c.pair_id == pair_id)
    connection.execute(holds.values(decision_id=decision_id))
