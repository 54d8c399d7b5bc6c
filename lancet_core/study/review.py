"""Review: pairs are proposed from an attribution, read by people, and decided for good."""

from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pandas as pd

from lancet_core.acts.attribute import Attribution
from lancet_core.correction.case_pairs import pairs_of_case
from lancet_core.correction.equal_prompts import without_clashes
from lancet_core.correction.pair_files import ReviewedPair
from lancet_core.correction.pairs import AGREEMENT_THRESHOLD, propose_pairs
from lancet_core.correction.settings import PairSettings
from lancet_core.data.samples import DESIRABLE, content_id
from lancet_core.errors import ConfigError, JobError, StoreError
from lancet_core.models.fingerprints import resolve_model, tokenizer_folder
from lancet_core.models.settings import DEFAULT_TEMPLATE
from lancet_core.models.template_names import DAY_MARK, has_chat_template
from lancet_core.runs.run import Run, open_run
from lancet_core.store import decisions as log
from lancet_core.store import pairs as store
from lancet_core.store.decisions import Decided, Decision, Draft
from lancet_core.store.queries import list_queries
from lancet_core.store.studies import StudyRecord
from lancet_core.study.attributions import cluster_of_case, latest_corpus_attribution
from lancet_core.study.queue import EVERYTHING, Scope, pairs_in_scope
from lancet_core.study.review_files import (
    FORMATS,
    pair_table,
    reviewed_pairs,
    write_pair_lines,
    write_preferences,
    write_rows,
    write_table,
)
from lancet_core.workspace import Workspace

PAIRS_OF_A_CASE = 20
EXAMPLES = 5


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
class Exported:
    """What a file of pairs holds.

    Attributes:
        rows: Its rows.
        pairs: Verdicts to how many pairs with it were written; empty for the log of decisions.
        left_out: Approved pairs that the format cannot hold.
        advice: What the trainer that reads the file must be told, empty where nothing.
    """

    rows: int
    pairs: Mapping[str, int] = field(default_factory=dict)
    left_out: int = 0
    advice: str = ""


@dataclass(frozen=True)
class Bulk:
    """What a bulk approval would approve.

    Attributes:
        count: Undecided pairs where the harmful scorer agrees.
        examples: Ids of at most five of them, drawn at random, the same ones each time.
    """

    count: int
    examples: tuple[str, ...]


def propose_for_case(
    study: StudyRecord,
    run: Run[Attribution],
    case_id: str,
    *,
    picked: tuple[str, ...] = (),
    count: int = PAIRS_OF_A_CASE,
) -> int:
    """Puts up for review what a trace shows: its strongest samples towards the answer, each with a fitting one away from it.

    Args:
        study: The study.
        run: A finished attribution that scored samples for the case.
        case_id: The case.
        picked: Ids of samples that a person chose: they come first.
        count: Pairs to make.

    Returns:
        How many pairs stand for the case.

    Raises:
        DataError: No sample pushes towards the answer, or none away from it.
        StoreError: The run did not attribute the case.
    """
    scored = run.result.read(case_id)
    categories = study.samples().set_index("id")["categories"]
    scored = scored.assign(categories=scored["sample_id"].map(categories))
    proposals = pairs_of_case(scored, count=count, picked=picked).assign(cluster="")
    corpus = latest_corpus_attribution(study)
    source = store.Source(run.id, corpus.id if corpus else "")
    return store.replace_proposals(study, proposals, source, case_id=case_id)


def send_case(
    study: StudyRecord, run: Run[Attribution], case_id: str, *, picked: tuple[str, ...] = ()
) -> int:
    """Sends a traced case to review: its own pairs, and where its query cluster was attributed already, the pairs of that too.

    Starts nothing: a pass over the whole corpus is for a person to want.

    Args:
        study: The study.
        run: A finished attribution that scored samples for the case.
        case_id: The case.
        picked: Ids of samples that a person chose: they come first.

    Returns:
        How many pairs stand for the case itself.

    Raises:
        DataError: No sample pushes towards the answer, or none away from it.
        StoreError: The run did not attribute the case.
    """
    count = propose_for_case(study, run, case_id, picked=picked, count=max(PAIRS_OF_A_CASE, len(picked)))
    cluster, reviewed = cluster_of_case(study, case_id), store.review_source(study, store.ALL_CASES)
    if cluster is not None and (reviewed is None or reviewed.run_id != cluster.run.id):
        propose_for_clusters(study, cluster.run)
    return count


def propose_for_clusters(
    study: StudyRecord, run: Run[Attribution], settings: PairSettings | None = None
) -> int:
    """Puts up for review the pairs of all query clusters, in turn; decided pairs stay as they are.

    Args:
        study: The study.
        run: A finished attribution; each of its queries or groups is a cluster.
        settings: How many pairs, and which samples may enter.

    Returns:
        How many proposals stand for review.

    Raises:
        DataError: No pair can be made.
    """
    proposals = _cluster_pairs(study, run, settings or PairSettings()).assign(origin=store.CLUSTER)
    return store.replace_proposals(study, proposals, store.Source(run.id, run.id), case_id=store.ALL_CASES)


def unreviewed_pairs(study: StudyRecord, run: Run[Attribution], settings: PairSettings) -> list[ReviewedPair]:
    """Lists the pairs of an attribution as they are, without keeping them.

    Raises:
        DataError: No pair can be made.
    """
    pairs = _cluster_pairs(study, run, settings).assign(verdict="", decided_by="")
    return list(reviewed_pairs(study.samples(), pairs))


def decide(
    workspace: Workspace, pair_id: str, verdict: str, *, reviewer: str, seen_decision_id: int | None = None,
    seconds: float | None = None,
) -> Decision:  # fmt: skip
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
    draft = Draft(pair_id, verdict, reviewer.strip(), seen_decision_id, seconds=seconds)
    return log.add_decision(workspace, draft)


def decide_all(workspace: Workspace, drafts: Sequence[Draft], *, replace: bool = False) -> Decided:
    """Keeps decisions on many pairs as one act, all or none, that one undo takes back.

    Args:
        workspace: Where the pairs lie.
        drafts: A decision for each pair.
        replace: Whether pairs on which another decision holds are decided anew.

    Raises:
        DecidedAlready: Another decision holds on some pairs, and `replace` is not given.
        StoreError: There is no such pair, or one is decided on twice.
        ConfigError: There is no such verdict, or the reviewer has no name.
    """
    return log.add_decisions(workspace, drafts, decided=log.REPLACE if replace else log.REFUSE)


def undo(study: StudyRecord, reviewer: str, among: Collection[int] | None = None) -> list[Decision]:
    """Takes back the reviewer's last decision that still holds; a bulk approval as a whole.

    Args:
        study: The study.
        reviewer: Who decided.
        among: Ids of the decisions that may be taken back; None takes all.

    Returns:
        The decisions that were taken back; empty where there is nothing to take back.
    """
    return log.undo_last(study, reviewer.strip(), among)


def decisions(study: StudyRecord) -> pd.DataFrame:
    """Lists the log of decisions, oldest first, undone ones too, in the fields of `Decision`."""
    return log.list_decisions(study)


def count_conflicts(study: StudyRecord) -> int:
    """Counts the pairs on which the newest verdicts of two reviewers are approve and reject."""
    rows = decisions(study)
    newest = rows.drop_duplicates(["pair_id", "reviewer"], keep="last")
    firm = newest[newest["verdict"].isin([store.APPROVE, store.REJECT])]
    return int((firm.groupby("pair_id")["verdict"].nunique() > 1).sum())


def agreement(study: StudyRecord, scope: Scope | None = None) -> Agreement:
    """Measures how far reviewers and harmful scorer agree; bulk approvals do not count, they follow the scorer."""
    pairs = _scored_pairs(study, scope or Scope())
    firm = pairs[pairs["verdict"].isin([store.APPROVE, store.REJECT]) & (pairs["bulk"] == "")]
    known = firm[firm["scorer_agrees"].notna()]
    agreeing = int(((known["verdict"] == store.APPROVE) == known["scorer_agrees"].astype(bool)).sum())
    return Agreement(len(known), agreeing, agreeing / len(known) if len(known) else None)


def preview_bulk(study: StudyRecord, reviewer: str, scope: Scope | None = None) -> Bulk:
    """Says what a bulk approval would approve: pairs that nobody decided on and with which the harmful scorer agrees.

    Args:
        study: The study.
        reviewer: Who would approve; draws the examples.
        scope: Whose pairs.
    """
    ids = _approvable(study, scope or Scope())
    drawn = sorted(ids, key=lambda pair_id: content_id("example", reviewer, pair_id))
    return Bulk(len(ids), tuple(drawn[:EXAMPLES]))


def approve_bulk(study: StudyRecord, reviewer: str, scope: Scope | None = None) -> list[Decision]:
    """Approves what `preview_bulk` shows, as one act that one undo takes back.

    Returns:
        The decisions that were kept.

    Raises:
        ConfigError: The reviewer has no name.
    """
    ids = _approvable(study, scope or Scope())
    drafts = [Draft(pair_id, store.APPROVE, reviewer.strip()) for pair_id in ids]
    return list(log.add_decisions(study.workspace, drafts, decided=log.KEEP).decisions)


def approved_pairs(study: StudyRecord, scope: Scope | None = None) -> list[ReviewedPair]:
    """Lists the approved pairs of a scope with the texts of their samples.

    Raises:
        DataError: A sample is not in the study any more.
    """
    pairs = pairs_in_scope(study, scope or Scope())
    return list(reviewed_pairs(study.samples(), pairs[pairs["verdict"] == store.APPROVE]))


def export_pairs(study: StudyRecord, path: str | Path, format: str, scope: Scope | None = None) -> Exported:
    """Writes pairs or decisions to a file, whole or not at all.

    Args:
        study: The study.
        path: File to write.
        format: `pairs` (pairs.jsonl of all decided pairs, read by a correction), `kto` and `dpo` (TRL's formats, approved
            pairs), `csv` and `parquet` (all pairs), or `decisions` (the log as JSON lines).
        scope: Whose pairs; None takes all of the study.

    Returns:
        What was written.

    Raises:
        ConfigError: There is no such format.
        StoreError: No pair is approved where the format needs one.
        DataError: The file cannot be written.
    """
    if format not in FORMATS:
        raise ConfigError(f"format is {format!r}; it takes one of {', '.join(FORMATS)}")
    if format == "decisions":
        return Exported(write_rows(path, decisions(study)))
    samples, pairs = study.samples(), pairs_in_scope(study, scope or Scope(reach=EVERYTHING))
    if format in {"kto", "dpo"}:
        chosen = pairs[pairs["verdict"] == store.APPROVE]
        approved = [
            replace(pair, positive=pair.negative, negative=pair.positive) if wanted else pair
            for pair, wanted in zip(reviewed_pairs(samples, chosen), _are_wanted(study, chosen), strict=True)
        ]
        model = tokenizer_folder(resolve_model(study.model))
        rows = write_preferences(path, approved, format, model=model, template=study.template)
        written = rows if format == "dpo" else len(approved)
        advice = _advice(study.template) if has_chat_template(model, study.template) else ""
        return Exported(rows, {store.APPROVE: written}, len(approved) - written, advice)
    if format == "pairs":
        pairs = pairs[pairs["verdict"] != ""]
        rows = write_pair_lines(path, reviewed_pairs(samples, pairs))
    else:
        rows = write_table(path, pair_table(samples, pairs), format)
    verdicts = pairs["verdict"].replace("", "undecided").value_counts()
    return Exported(rows, {str(verdict): int(count) for verdict, count in verdicts.items()})


def _are_wanted(study: StudyRecord, pairs: pd.DataFrame) -> list[bool]:
    """Whether the answer of each pair is a wanted one, so that the sample that pushes towards it is the one to strengthen."""
    polarity: dict[Any, str] = dict(list_queries(study)[["id", "polarity"]].itertuples(index=False))
    for run_id in pairs.loc[pairs["case_id"] == store.ALL_CASES, "run_id"].unique():
        with suppress(StoreError, JobError):  # the run was deleted or broke
            run: Run[Attribution] = open_run(study.workspace, run_id, "attribute")
            polarity |= {(run_id, group.query_id): group.polarity for group in run.result.queries}
    sources = zip(pairs["case_id"], pairs["run_id"], pairs["cluster"], strict=True)
    return [polarity.get(case or (run_id, cluster)) == DESIRABLE for case, run_id, cluster in sources]


def _advice(template: str) -> str:
    """What a trainer would do otherwise than the study: it takes the default chat template, and today's date."""
    name, _mark, day = template.partition(DAY_MARK)
    words = (
        []
        if name == DEFAULT_TEMPLATE
        else [f"give the trainer the chat template {name!r} of this tokenizer, not its default one"]
    )
    words += [f"the study's template writes the date {day}, and a trainer writes today's"] if day else []
    return "; ".join(words)


def _cluster_pairs(study: StudyRecord, run: Run[Attribution], settings: PairSettings) -> pd.DataFrame:
    scores = run.result.scores.rename(columns={"query_id": "cluster"})
    proposals = propose_pairs(scores, study.samples(), settings)
    return proposals.assign(scored=proposals["cluster"].map(scores.groupby("cluster").size()))


def _scored_pairs(study: StudyRecord, scope: Scope) -> pd.DataFrame:
    """The pairs of a scope with `scorer_agrees`: missing where a sample has no harmful score."""
    pairs, harmful = pairs_in_scope(study, scope), study.samples().set_index("id")["harmful"]
    positive, negative = (pairs[f"{side}_id"].map(harmful) for side in ("positive", "negative"))
    agrees = (positive >= AGREEMENT_THRESHOLD) & (negative < AGREEMENT_THRESHOLD)
    known = positive.notna() & negative.notna()
    return pairs.assign(scorer_agrees=agrees.astype("boolean").where(known))


def _approvable(study: StudyRecord, scope: Scope) -> list[str]:
    """Ids of undecided pairs with which the scorer agrees, each sample in one of them."""
    pairs = _scored_pairs(study, scope)
    open_pairs = pairs[(pairs["verdict"] == "") & pairs["scorer_agrees"].fillna(False).astype(bool)]
    return without_clashes(open_pairs)["pair_id"].tolist()
