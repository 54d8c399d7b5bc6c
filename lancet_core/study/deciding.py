"""Decisions on many pairs: verdicts that stand in a file, and pairs chosen by what is known of their samples."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from lancet_core.correction.equal_prompts import without_clashes
from lancet_core.data.reading import Row, read_rows
from lancet_core.errors import ConfigError, DataError
from lancet_core.store.decisions import Draft
from lancet_core.store.pairs import APPROVE, VERDICTS
from lancet_core.store.studies import StudyRecord
from lancet_core.study.queue import EVERYTHING, Scope, pairs_in_scope
from lancet_core.study.review_files import pair_table

LABELS = ("safe", "unsafe", "unknown")
CONDITIONS = (
    "positive_label=unsafe (or safe, unknown; negative_label likewise), positive_harmful>.7 (or <; negative_harmful likewise), "
    "prompts=equal (or different), cluster=NAME"
)
_CONDITION = re.compile(r"(?P<name>\w+)\s*(?P<sign>[=<>])\s*(?P<value>.+)")


@dataclass(frozen=True)
class Chosen:
    """Pairs that conditions hold on.

    Attributes:
        pair_ids: Their ids, in the order of the queue.
        clashing: Further ones that are left out: they share a sample with one of these.
    """

    pair_ids: tuple[str, ...]
    clashing: int = 0


def read_verdicts(path: str | Path, reviewer: str) -> list[Draft]:
    """Reads decisions: columns `pair_id` and `verdict`, optional `reason`; others are passed over, as are rows without a verdict.

    So a table of `pairs export --format csv` may be filled in and handed back.

    Args:
        path: A file that `read_rows` reads.
        reviewer: Who decided.

    Raises:
        DataError: The file cannot be read, decides on no pair, or a row is wrong.
    """
    drafts: dict[str, Draft] = {}
    wrong: list[str] = []
    count = 0
    for row in read_rows(path):
        count += 1
        try:
            draft = _draft(row, reviewer)
            if draft is not None and drafts.setdefault(draft.pair_id, draft).verdict != draft.verdict:
                raise DataError(f"pair {draft.pair_id} has another verdict in an earlier row")
        except DataError as error:
            wrong.append(f"row {row.number}: {error}")
    if wrong:
        raise DataError(
            f"{len(wrong)} of {count} rows of {path} cannot be used, so nothing was kept: {wrong[0]}"
        )
    if not drafts:
        raise DataError(f"{path} decides on no pair; accepted are the columns pair_id, verdict and reason")
    return list(drafts.values())


def choose_pairs(
    study: StudyRecord, conditions: Sequence[str], *, verdict: str, decided: bool = False
) -> Chosen:
    """Chooses pairs of a study on which all conditions hold.

    Args:
        study: The study.
        conditions: As in `CONDITIONS`; none chooses all.
        verdict: What is to become of them: of pairs that share a sample one alone is approved.
        decided: Whether decided pairs are meant too.

    Raises:
        ConfigError: A condition is none.
    """
    holds = [_condition(text) for text in conditions]
    pairs = pairs_in_scope(study, Scope(reach=EVERYTHING))
    pairs = pairs if decided else pairs[pairs["verdict"] == ""]
    table = pair_table(study.samples(), pairs)
    for condition in holds:
        table = table[condition(table)]
    chosen = without_clashes(table) if verdict == APPROVE else table
    return Chosen(tuple(chosen["pair_id"]), len(table) - len(chosen))


def _draft(row: Row, reviewer: str) -> Draft | None:
    if row.problem:
        raise DataError(row.problem)
    pair_id, verdict, reason = (
        str(row.values.get(name) or "").strip() for name in ("pair_id", "verdict", "reason")
    )
    if not verdict:
        return None
    if not pair_id:
        raise DataError("pair_id is missing or empty")
    if verdict.lower() not in VERDICTS:
        raise DataError(f"verdict is {verdict!r}; accepted are {', '.join(VERDICTS)}, or nothing")
    return Draft(pair_id, verdict.lower(), reviewer, reason=reason)


def _condition(text: str) -> Callable[[pd.DataFrame], pd.Series]:
    """Reads a condition as a test of the rows of a table of pairs."""
    found = _CONDITION.fullmatch(text.strip())
    test = None if found is None else _test(found["name"], found["sign"], found["value"].strip())
    if test is None:
        raise ConfigError(f"the condition {text!r} is not understood; accepted are {CONDITIONS}")
    return test


def _test(name: str, sign: str, value: str) -> Callable[[pd.DataFrame], pd.Series] | None:
    side, _, what = name.partition("_")
    if side in {"positive", "negative"} and what == "label" and sign == "=" and value in LABELS:
        return lambda table: _label(table[f"{side}_is_safe"]) == value
    if side in {"positive", "negative"} and what == "harmful" and sign in "<>" and _number(value) is not None:
        bound = float(value)
        return lambda table: (
            table[f"{side}_harmful"].gt(bound) if sign == ">" else table[f"{side}_harmful"].lt(bound)
        )
    if name == "prompts" and sign == "=" and value in {"equal", "different"}:
        return lambda table: (table["positive_prompt"] == table["negative_prompt"]) == (value == "equal")
    if name == "cluster" and sign == "=":
        return lambda table: table["cluster"] == value
    return None


def _label(is_safe: pd.Series) -> pd.Series:
    return is_safe.map({True: "safe", False: "unsafe"}).fillna("unknown")


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None
