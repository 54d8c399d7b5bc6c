"""The queue of a review: whose pairs are looked at, in which order, and why each of them is there."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from lancet_core.correction.pairs import AGREEMENT_THRESHOLD
from lancet_core.errors import ConfigError
from lancet_core.store import pairs as store
from lancet_core.store.runs import queries_of
from lancet_core.store.studies import StudyRecord

CASE_ONLY, EVERYTHING = REACHES = ("case", "all")
SHOWN = ("undecided", *store.VERDICTS, "all")
ORDERS = ("queue", "influence")


@dataclass(frozen=True)
class Scope:
    """Whose pairs are meant.

    Attributes:
        case_id: The case at hand; empty means the study.
        reach: `case` (the case's own pairs, then those of its query cluster) or `all` (those of other cases and clusters too).
    """

    case_id: str = ""
    reach: str = CASE_ONLY


@dataclass(frozen=True)
class View:
    """Which pairs a reviewer looks at.

    Attributes:
        reviewer: Who reviews; pairs that somebody else skipped are undecided for them.
        scope: Whose pairs.
        show: `undecided`, a verdict, or `all`.
        order: `queue` (as proposed: a case's strongest first, clusters in turn) or `influence` (largest distance first).
    """

    reviewer: str
    scope: Scope = Scope()
    show: str = "undecided"
    order: str = "queue"


@dataclass(frozen=True)
class Counts:
    """How many pairs there are in a scope: in all, not decided yet, and of each verdict."""

    total: int
    undecided: int
    approve: int
    reject: int
    skip: int
    flag: int

    @property
    def decided(self) -> int:
        """Pairs that somebody decided on."""
        return self.total - self.undecided


def queue(study: StudyRecord, view: View) -> pd.DataFrame:
    """Lists the pairs that a reviewer is to see, in the columns of `store.pairs.COLUMNS` and `why`.

    Raises:
        ConfigError: There is no such filter, order or scope.
    """
    for name, value, accepted in (
        ("show", view.show, SHOWN), ("order", view.order, ORDERS), ("scope", view.scope.reach, REACHES)
    ):  # fmt: skip
        if value not in accepted:
            raise ConfigError(f"{name} is {value!r}; it takes one of {', '.join(accepted)}")
    pairs = pairs_in_scope(study, view.scope)
    if view.show == "undecided":
        skipped_by_others = (pairs["verdict"] == store.SKIP) & (pairs["decided_by"] != view.reviewer)
        pairs = pairs[(pairs["verdict"] == "") | (skipped_by_others & pairs["current"])]
    elif view.show != "all":
        pairs = pairs[pairs["verdict"] == view.show]
    if view.order == "influence":
        distance = pairs["positive_influence"] - pairs["negative_influence"]
        pairs = pairs.loc[distance.sort_values(ascending=False, kind="stable").index]
    return pairs.assign(why=_reasons(study, pairs)).reset_index(drop=True)


def counts(study: StudyRecord, scope: Scope | None = None) -> Counts:
    """Counts the pairs of a scope."""
    verdicts = pairs_in_scope(study, scope or Scope())["verdict"]
    of_each = {verdict: int((verdicts == verdict).sum()) for verdict in store.VERDICTS}
    return Counts(total=len(verdicts), undecided=int((verdicts == "").sum()), **of_each)


def cluster_of(study: StudyRecord, case_id: str) -> str:
    """Names the query cluster of a case in the attribution that the clusters are reviewed with; empty where there is none."""
    source = store.review_source(study, store.ALL_CASES)
    return dict(queries_of(study.workspace, source.run_id)).get(case_id, "") if source and case_id else ""


def contradictions(
    towards: Mapping[Any, Any], away: Mapping[Any, Any], *, desirable: bool = False
) -> list[str]:
    """Says where labels or harmful scores of a pair contradict its sides.

    Args:
        towards: `is_safe` and `harmful` of the sample to unlearn, missing where unknown.
        away: The same of the sample to strengthen.
        desirable: Whether the answer is wanted, so that the sample that pushes towards it is the one to strengthen.
    """
    unlearn, keep = (away, towards) if desirable else (towards, away)
    sides = ((unlearn, "unlearn", True, "safe", "harmless"), (keep, "strengthen", False, "unsafe", "harmful"))
    words = []
    for sample, act, is_safe, label, score in sides:
        if not pd.isna(sample["is_safe"]) and bool(sample["is_safe"]) is is_safe:
            words.append(f"The sample to {act} is labelled {label}.")
        harmful = sample["harmful"]
        if not pd.isna(harmful) and (harmful < AGREEMENT_THRESHOLD) is is_safe:
            words.append(f"The scorer calls the sample to {act} {score} ({harmful:.2f}).")
    return words


def pairs_in_scope(study: StudyRecord, scope: Scope) -> pd.DataFrame:
    """Lists the pairs of a scope, each once: the case's own, then those of its cluster, then all others where they are wanted.

    An undecided pair that shares a sample with an approved one is left out: a sample stands in at most one pair.

    Returns:
        The columns of `store.pairs.COLUMNS`.
    """
    pairs = store.list_pairs(study)
    own = (pairs["case_id"] == scope.case_id) & (scope.case_id != "")
    wide = pairs["case_id"] == store.ALL_CASES
    if scope.case_id and scope.reach == CASE_ONLY:
        near = wide & (pairs["cluster"] == cluster_of(study, scope.case_id)) & (pairs["cluster"] != "")
        parts = [pairs[own], pairs[near]]
    else:
        parts = [pairs[own], pairs[wide & ~own], pairs[~own & ~wide]]
    joined = pd.concat(parts).drop_duplicates("pair_id")
    approved = pairs[pairs["verdict"] == store.APPROVE]
    taken = {*approved["positive_id"], *approved["negative_id"]}
    clashes = joined["positive_id"].isin(taken) | joined["negative_id"].isin(taken)
    return joined[~(clashes & (joined["verdict"] == ""))].reset_index(drop=True)


def _reasons(study: StudyRecord, pairs: pd.DataFrame) -> list[str]:
    """Says in words why each pair stands for review."""
    sizes: dict[str, dict[str, int]] = {}
    for run_id in pairs.loc[pairs["origin"] == store.CLUSTER, "run_id"].unique():
        groups = [group for _, group in queries_of(study.workspace, run_id)]
        sizes[run_id] = {group: groups.count(group) for group in groups}
    return [
        reason(row, answers=sizes.get(str(row["run_id"]), {}).get(str(row["cluster"]), 0))
        for row in pairs.to_dict("records")
    ]


def reason(pair: Mapping[Any, Any], *, answers: int) -> str:
    """Says in words why a pair stands for review.

    Args:
        pair: `origin`, `rank`, `scored` and `cluster`.
        answers: Queries in its cluster, 0 where unknown.
    """
    rank, scored = int(pair["rank"]), int(pair["scored"])
    place = "strongest" if rank == 1 else f"{ordinal(rank)} strongest"
    place += f" of {scored:,}" if scored else ""
    if pair["origin"] == store.CLUSTER:
        return (
            f"{place} for {answers} similar answers" if answers else f"{place} in cluster {pair['cluster']}"
        )
    return f"{place} for this answer" + (", chosen by hand" if pair["origin"] == store.PICKED else "")


def ordinal(number: int) -> str:
    """Writes a place in words: 1st, 2nd, 3rd."""
    last_two = number % 100
    ending = "th" if last_two in {11, 12, 13} else {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return f"{number}{ending}"
