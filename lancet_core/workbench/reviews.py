"""Review: pairs are proposed from an attribution, read by people, and decided for good."""

from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from lancet_core.correction.pair_files import ReviewedPair
from lancet_core.correction.pairs import AGREEMENT_THRESHOLD, propose_pairs
from lancet_core.correction.settings import PairSettings
from lancet_core.data.samples import content_id
from lancet_core.errors import ConfigError, StoreError
from lancet_core.store import decisions as log
from lancet_core.store import pairs as store
from lancet_core.store.decisions import Decision, Draft
from lancet_core.store.runs import get_run
from lancet_core.store.studies import get_study
from lancet_core.workbench.review_files import (
    FORMATS,
    pair_table,
    reviewed_pairs,
    write_pair_lines,
    write_preferences,
    write_rows,
    write_table,
)
from lancet_core.workbench.studies import samples_table
from lancet_core.workspace import Workspace

SHOWN = ("undecided", *store.VERDICTS, "all")
ORDERS = ("queue", "influence")
EXAMPLES = 5
QUEUE_COLUMNS = [
    "pair_id",
    "revision",
    "cluster",
    "rank",
    "positive_id",
    "negative_id",
    "positive_influence",
    "negative_influence",
    "verdict",
    "decided_by",
    "decided_at",
    "decision_id",
]


@dataclass(frozen=True)
class Agreement:
    """How far reviewers and harmful scorer agree.

    Attributes:
        n: Pairs that a person approved or rejected one by one, both samples scored.
        agreeing: Those that were approved where the scorer agrees with the pair, or rejected where it does not.
        rate: agreeing / n, None where n is 0.
    """

    n: int
    agreeing: int
    rate: float | None


@dataclass(frozen=True)
class Bulk:
    """What a bulk approval would approve.

    Attributes:
        count: Undecided pairs where the harmful scorer agrees.
        examples: Ids of at most five of them, drawn at random, the same ones each time.
    """

    count: int
    examples: tuple[str, ...]


def propose(workspace: Workspace, study: str, attribution_run_id: str, settings: PairSettings) -> int:
    """Puts the pairs of an attribution up for review; decided pairs stay as they are.

    Args:
        workspace: Where the study lies.
        study: Its name.
        attribution_run_id: A finished attribution; each of its queries or groups is a cluster.
        settings: How many pairs, and which samples may enter.

    Returns:
        How many proposals stand for review.

    Raises:
        StoreError: There is no such study or run, or the run is no finished attribution of the study.
        DataError: No pair can be made.
    """
    _samples, proposals = _proposals(workspace, study, attribution_run_id, settings)
    return store.replace_proposals(workspace, study, run_id=attribution_run_id, proposals=proposals)


def pairs_from_attribution(
    workspace: Workspace, study: str, attribution_run_id: str, settings: PairSettings
) -> list[ReviewedPair]:
    """Lists the pairs of an attribution, unreviewed and without keeping them; arguments and errors as in `propose`.

    Raises:
        StoreError: There is no such study or run, or the run is no finished attribution of the study.
        DataError: No pair can be made.
    """
    samples, proposals = _proposals(workspace, study, attribution_run_id, settings)
    undecided = proposals.assign(verdict="", decided_by="")
    return list(reviewed_pairs(samples, undecided))


def queue(
    workspace: Workspace, study: str, *, reviewer: str, show: str = "undecided", order: str = "queue"
) -> pd.DataFrame:
    """Lists the pairs that a reviewer is to see, in the columns `QUEUE_COLUMNS`.

    Args:
        workspace: Where the study lies.
        study: Its name.
        reviewer: Who reviews; pairs that somebody else skipped are undecided for them.
        show: `undecided`, a verdict, or `all`.
        order: `queue` (clusters in turn) or `influence` (largest distance between both samples first).

    Raises:
        StoreError: There is no such study.
        ConfigError: There is no such filter or order.
    """
    for name, value, accepted in (("show", show, SHOWN), ("order", order, ORDERS)):
        if value not in accepted:
            raise ConfigError(f"{name} is {value!r}; it takes one of {', '.join(accepted)}")
    pairs = _pairs(workspace, study)
    if show == "undecided":
        skipped_by_others = (pairs["verdict"] == store.SKIP) & (pairs["decided_by"] != reviewer)
        pairs = pairs[(pairs["verdict"] == "") | (skipped_by_others & pairs["proposed"])]
    elif show != "all":
        pairs = pairs[pairs["verdict"] == show]
    if order == "influence":
        distance = pairs["positive_influence"] - pairs["negative_influence"]
        pairs = pairs.loc[distance.sort_values(ascending=False, kind="stable").index]
    return pairs[QUEUE_COLUMNS].reset_index(drop=True)


def decide(
    workspace: Workspace,
    pair_id: str,
    verdict: str,
    *,
    reviewer: str,
    seen_decision_id: int | None = None,
    seconds: float | None = None,
) -> Decision:
    """Keeps a decision for good. The same decision sent twice is kept once.

    Args:
        workspace: Where the pair lies.
        pair_id: The pair.
        verdict: `approve`, `reject`, `skip` or `flag`.
        reviewer: Who decides.
        seen_decision_id: `decision_id` of the pair as the reviewer saw it.
        seconds: How long the pair was on screen.

    Returns:
        The decision that holds on the pair.

    Raises:
        StaleDecision: Somebody else decided since; the error carries their decision.
        StoreError: There is no such pair.
        ConfigError: There is no such verdict, or the reviewer has no name.
    """
    return log.add_decision(
        workspace, Draft(pair_id, verdict, reviewer.strip(), seen_decision_id, seconds=seconds)
    )


def undo(workspace: Workspace, study: str, reviewer: str) -> Decision | None:
    """Takes back the reviewer's last decision that still holds; a bulk approval as a whole.

    Returns:
        The undo, as a row of the log; None where there is nothing to take back.

    Raises:
        StoreError: There is no such study.
    """
    return log.undo_last(workspace, get_study(workspace, study).name, reviewer.strip())


def decisions(workspace: Workspace, study: str) -> pd.DataFrame:
    """Lists the log of decisions, oldest first, undone ones too, in the fields of `Decision`.

    Raises:
        StoreError: There is no such study.
    """
    return log.list_decisions(workspace, get_study(workspace, study).name)


def counts(workspace: Workspace, study: str) -> dict[str, int]:
    """Counts pairs: `total`, `undecided`, and each verdict.

    Raises:
        StoreError: There is no such study.
    """
    verdicts = _pairs(workspace, study)["verdict"]
    found = {verdict: int((verdicts == verdict).sum()) for verdict in store.VERDICTS}
    return {"total": len(verdicts), "undecided": int((verdicts == "").sum()), **found}


def agreement(workspace: Workspace, study: str) -> Agreement:
    """Measures how far reviewers and harmful scorer agree; bulk approvals do not count, they follow the scorer.

    Raises:
        StoreError: There is no such study.
        DataError: The table of samples is missing.
    """
    pairs = _scored_pairs(workspace, study)
    firm = pairs[pairs["verdict"].isin([store.APPROVE, store.REJECT]) & (pairs["bulk"] == "")]
    known = firm[firm["scorer_agrees"].notna()]
    agreeing = int(((known["verdict"] == store.APPROVE) == known["scorer_agrees"].astype(bool)).sum())
    return Agreement(len(known), agreeing, agreeing / len(known) if len(known) else None)


def preview_bulk(workspace: Workspace, study: str, reviewer: str) -> Bulk:
    """Tells what a bulk approval would approve: pairs that nobody decided on and with which the harmful scorer agrees.

    Args:
        workspace: Where the study lies.
        study: Its name.
        reviewer: Who would approve; draws the examples.

    Raises:
        StoreError: There is no such study.
        DataError: The table of samples is missing.
    """
    ids = _approvable(workspace, study)
    drawn = sorted(ids, key=lambda pair_id: content_id("example", reviewer, pair_id))
    return Bulk(len(ids), tuple(drawn[:EXAMPLES]))


def approve_bulk(workspace: Workspace, study: str, reviewer: str) -> int:
    """Approves what `preview_bulk` tells, as one act that one undo takes back.

    Returns:
        How many pairs were approved.

    Raises:
        StoreError: There is no such study.
        DataError: The table of samples is missing.
        ConfigError: The reviewer has no name.
    """
    return log.approve_all(workspace, _approvable(workspace, study), reviewer.strip())


def export_pairs(workspace: Workspace, study: str, path: str | Path, format: str) -> int:
    """Writes pairs or decisions to a file, whole or not at all.

    Args:
        workspace: Where the study lies.
        study: Its name.
        path: File to write.
        format: `pairs` (pairs.jsonl of all decided pairs, read by a correction), `kto` and `dpo` (TRL's formats, approved
            pairs), `csv` and `parquet` (all pairs), or `decisions` (the log as JSON lines).

    Returns:
        How many lines or rows were written.

    Raises:
        StoreError: There is no such study, or nothing to write in this format.
        ConfigError: There is no such format.
        DataError: The table of samples is missing, or the file cannot be written.
    """
    if format not in FORMATS:
        raise ConfigError(f"the format is {format!r}; it takes one of {', '.join(FORMATS)}")
    if format == "decisions":
        return write_rows(path, decisions(workspace, study))
    pairs = _pairs(workspace, study)
    samples = samples_table(get_study(workspace, study))
    if format == "pairs":
        return write_pair_lines(path, reviewed_pairs(samples, pairs[pairs["verdict"] != ""]))
    if format in {"csv", "parquet"}:
        return write_table(path, pair_table(samples, pairs), format)
    approved = list(reviewed_pairs(samples, pairs[pairs["verdict"] == store.APPROVE]))
    return write_preferences(path, approved, format)


def _proposals(
    workspace: Workspace, study: str, run_id: str, settings: PairSettings
) -> tuple[pd.DataFrame, pd.DataFrame]:
    samples = samples_table(get_study(workspace, study))
    run = get_run(workspace, run_id)
    path = run.folder / "scores.parquet"
    if run.study != study or run.operation != "attribute" or run.state != "done" or not path.is_file():
        raise StoreError(
            f"run {run_id} is a {run.operation} run of study {run.study!r} and is {run.state}; pairs are proposed from a "
            f"finished attribution of {study!r}: lancet runs list"
        )
    scores = pd.read_parquet(path).rename(columns={"query_id": "cluster"})
    proposals = propose_pairs(scores, samples, settings)
    keys = [
        store.pair_key(study, positive, negative)
        for positive, negative in zip(proposals["positive_id"], proposals["negative_id"], strict=True)
    ]
    return samples, proposals.assign(pair_id=keys)


def _pairs(workspace: Workspace, study: str) -> pd.DataFrame:
    return store.list_pairs(workspace, get_study(workspace, study).name)


def _scored_pairs(workspace: Workspace, study: str) -> pd.DataFrame:
    """Lists pairs with `scorer_agrees`: harmful positive and harmless negative; missing where a sample has no score."""
    pairs = _pairs(workspace, study)
    harmful = samples_table(get_study(workspace, study)).set_index("id")["harmful"]
    positive, negative = (pairs[f"{sign}_id"].map(harmful) for sign in ("positive", "negative"))
    agrees = ((positive >= AGREEMENT_THRESHOLD) & (negative < AGREEMENT_THRESHOLD)).astype("boolean")
    return pairs.assign(scorer_agrees=agrees.mask(positive.isna() | negative.isna()))


def _approvable(workspace: Workspace, study: str) -> list[str]:
    pairs = _scored_pairs(workspace, study)
    wanted = (pairs["verdict"] == "") & pairs["scorer_agrees"].fillna(False).astype(bool)
    return list(pairs.loc[wanted, "pair_id"])
