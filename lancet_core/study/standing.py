"""Where a case stands on its way from a bad answer to the proof: the five steps of the rail, each about this case alone."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from lancet_core.store import pairs as store
from lancet_core.store.runs import RunFilter, RunRecord, list_runs
from lancet_core.store.studies import StudyRecord
from lancet_core.study.queue import Scope, counts

StepState = Literal["done", "ready", "running", "blocked"]


@dataclass(frozen=True)
class Step:
    """One step of the rail.

    Attributes:
        name: Ask, Trace, Review, Correct or Prove.
        state: `done` (this case took it), `ready` (can be taken now), `running` or `blocked`.
        detail: Its count or state in a few words.
        reason: Why it is blocked; empty otherwise.
    """

    name: str
    state: StepState
    detail: str
    reason: str = ""


def standing(study: StudyRecord, case_id: str) -> list[Step]:
    """Says where a case stands.

    Args:
        study: The study.
        case_id: Id of the query at hand, empty where none is chosen.

    Returns:
        The five steps in order.
    """
    if not case_id:
        return [
            Step("Ask", "ready", "choose a case"),
            *map(_needs_case, ("Trace", "Review", "Correct", "Prove")),
        ]
    mine = list_runs(study.workspace, RunFilter(study=study.name, case_id=case_id))
    traces = list_runs(study.workspace, RunFilter(study=study.name, act="attribute", alone=case_id))
    corrections = [run for run in mine if run.act == "correct"]
    any_corrected = any(run.is_done for run in corrections) or any(
        run.is_done for run in list_runs(study.workspace, RunFilter(study=study.name, act="correct"))
    )
    return [
        Step("Ask", "done", "case chosen"),
        _trace_step(traces),
        *_review_and_correct_steps(study, case_id, corrections),
        _prove_step([run for run in mine if run.act == "compare"], any_corrected=any_corrected),
    ]


def _needs_case(name: str) -> Step:
    return Step(name, "blocked", "needs a case", "Open a case on Home, or type a query on Trace.")


def _trace_step(traces: Sequence[RunRecord]) -> Step:
    if any(run.is_done for run in traces):
        return Step("Trace", "done", "traced")
    return (
        Step("Trace", "running", "tracing") if _is_going(traces) else Step("Trace", "ready", "not traced yet")
    )


def _review_and_correct_steps(
    study: StudyRecord, case_id: str, corrections: Sequence[RunRecord]
) -> tuple[Step, Step]:
    pairs = counts(study, Scope(case_id))
    if store.review_source(study, case_id) is None:
        why = "Send this case to review on Trace: that proposes its pairs."
        review = Step("Review", "blocked", "not sent yet", why)
    else:
        detail = f"{pairs.approve:,} approved of {pairs.total:,}"
        review = Step("Review", "done" if pairs.approve and not pairs.undecided else "ready", detail)
    return review, _correct_step(corrections, approved=pairs.approve)


def _correct_step(corrections: Sequence[RunRecord], *, approved: int) -> Step:
    if _is_going(corrections):
        return Step("Correct", "running", "training")
    done = sum(run.is_done for run in corrections)
    if done:
        return Step("Correct", "done", f"{done} correction" if done == 1 else f"{done} corrections")
    if not approved:
        why = "Approve at least one pair of this case on Review."
        return Step("Correct", "blocked", "needs approved pairs", why)
    return Step("Correct", "ready", "ready to start")


def _prove_step(comparisons: Sequence[RunRecord], *, any_corrected: bool) -> Step:
    if _is_going(comparisons):
        return Step("Prove", "running", "comparing")
    newest = next((run for run in comparisons if run.is_done), None)
    if newest is not None:
        return Step("Prove", "done", newest.outcome or "compared")
    if not any_corrected:
        return Step("Prove", "blocked", "needs a correction", "Run a correction first.")
    return Step("Prove", "ready", "not compared yet")


def _is_going(runs: Sequence[RunRecord]) -> bool:
    return any(not run.is_final for run in runs)
