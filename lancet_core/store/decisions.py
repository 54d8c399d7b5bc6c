"""The log of decisions on pairs: rows are added, never changed. Undo is a row; so is every verdict of a bulk approval.

Each pair points at the decision that holds now. A decision names the one that held before it (`supersedes`); an undo names
the one it takes back, and what that one superseded holds again.
"""

import secrets
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime

import pandas as pd
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from lancet_core.errors import ConfigError, StoreError
from lancet_core.store import schema
from lancet_core.store.database import reading, writing
from lancet_core.store.pairs import SKIP, VERDICTS, Pair, find_pair
from lancet_core.store.run_status import now
from lancet_core.store.studies import StudyRecord
from lancet_core.workspace import Workspace

UNDO = "undo"
REFUSE, KEEP, REPLACE = "refuse", "keep", "replace"
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
            happened = f"{decision.reviewer} {word} pair {pair_id} at {decision.decided_at:%H:%M} UTC"
        super().__init__(f"{happened}; your verdict was not kept: look at the pair again and decide anew")


@dataclass(frozen=True)
class Decided:
    """What an act on many pairs did.

    Attributes:
        decisions: The decisions that were kept.
        left: Pairs that stayed as they were.
    """

    decisions: tuple[Decision, ...]
    left: int


class DecidedAlready(StoreError):
    """Other decisions hold on some of many pairs.

    Attributes:
        decisions: The decisions that hold.
    """

    def __init__(self, decisions: Sequence[Decision], asked: int) -> None:
        self.decisions = tuple(decisions)
        first = decisions[0]
        some = f"{len(decisions)} of {asked} pairs are decided otherwise: " if asked > 1 else ""
        super().__init__(
            f"{some}{first.reviewer} {WORDS[first.verdict]} pair {first.pair_id} at {first.decided_at:%H:%M} UTC; nothing was "
            "kept: to decide anew give --replace (in Python replace=True)"
        )


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
        if holding is not None and _stands(holding, draft):
            return holding
        skipped = holding is not None and holding.verdict == SKIP
        if pair.decision_id != draft.seen_decision_id and not skipped:
            raise StaleDecision(pair.pair_id, holding)
        return _append(connection, pair, draft)


def add_decisions(workspace: Workspace, drafts: Sequence[Draft], *, decided: str = REFUSE) -> Decided:
    """Keeps decisions as one act, all of them or none, that one undo takes back.

    Args:
        workspace: Where the pairs lie.
        drafts: The decisions, one for each pair; what their reviewers saw does not count.
        decided: What becomes of pairs on which another decision holds: `refuse` keeps nothing at all, `keep` leaves them as they
            are, `replace` decides anew. A pair that was skipped may be decided on in any case, and a decision that holds already
            is not kept again.

    Raises:
        DecidedAlready: Another decision holds on some pairs.
        StoreError: There is no such pair.
        ConfigError: There is no such verdict, or a reviewer has no name.
    """
    for draft in drafts:
        _check(draft.verdict, draft.reviewer)
    bulk = secrets.token_hex(8) if len(drafts) > 1 else ""
    with writing(workspace) as connection:
        pairs = _find_pairs(connection, [draft.pair_id for draft in drafts])
        holding = [_find(connection, pair.decision_id) for pair in pairs]
        standing = list(map(_stands, holding, drafts))
        others = [held for held, stands in zip(holding, standing, strict=True) if held and not stands]
        others = [held for held in others if held.verdict != SKIP]
        if others and decided == REFUSE:
            raise DecidedAlready(others, len(drafts))
        left = {held.pair_id for held in others} if decided == KEEP else set()
        kept = [
            _append(connection, pair, draft, bulk=bulk)
            for pair, draft, stands in zip(pairs, drafts, standing, strict=True)
            if not stands and pair.pair_id not in left
        ]
    return Decided(tuple(kept), len(drafts) - len(kept))


def undo_last(study: StudyRecord, reviewer: str, among: Collection[int] | None = None) -> list[Decision]:
    """Takes back the reviewer's last decision that still holds, and all of its bulk act.

    Args:
        study: The study.
        reviewer: Who decided.
        among: Ids of the decisions that may be taken back; None takes all.

    Returns:
        The decisions that were taken back, oldest first; empty where there is nothing to take back.
    """
    pairs, decisions = schema.pairs.c, schema.decisions.c
    mine = sa.select(schema.decisions).join(schema.pairs, pairs.decision_id == decisions.id)
    mine = mine.where(decisions.study == study.name, decisions.reviewer == reviewer)
    if among is not None:
        mine = mine.where(decisions.id.in_(sorted(among)))
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


def _find_pairs(connection: Connection, pair_ids: Sequence[str]) -> list[Pair]:
    """Looks up pairs by id.

    Raises:
        StoreError: Some are not there, or one is meant twice.
    """
    if len(set(pair_ids)) < len(pair_ids):
        twice = next(pair_id for pair_id in pair_ids if pair_ids.count(pair_id) > 1)
        raise StoreError(f"pair {twice} is decided on twice; give one verdict for it")
    pairs, unknown = [], []
    for pair_id in pair_ids:
        try:
            pairs.append(find_pair(connection, pair_id))
        except StoreError as error:
            unknown.append(error)
    if len(unknown) > 1 or (unknown and pairs):
        raise StoreError(
            f"{len(unknown)} of {len(pair_ids)} pairs are not there, so nothing was kept: {unknown[0]}"
        )
    if unknown:
        raise unknown[0]
    return pairs


def _stands(holding: Decision | None, draft: Draft) -> bool:
    """Whether what somebody decides is what they decided before."""
    return holding is not None and (holding.verdict, holding.reviewer) == (draft.verdict, draft.reviewer)


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
