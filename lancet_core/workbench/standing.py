"""Where a case stands on its way from a bad answer to the proof: the five steps of the rail."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from lancet_core.data.samples import content_id
from lancet_core.files import read_json_or_none
from lancet_core.store import run_status
from lancet_core.store.runs import RunRecord, list_runs
from lancet_core.store.studies import Study
from lancet_core.workspace import Workspace

StepState = Literal["done", "ready", "running", "blocked"]


@dataclass(frozen=True)
class Step:
    """One step of the rail.

    Attributes:
        name: Ask, Trace, Review, Correct or Prove.
        state: `done`, `ready` (can be taken now), `running` or `blocked`.
        detail: Its count or state in a few words.
        reason: Why it is blocked; empty otherwise.
    """

    name: str
    state: StepState
    detail: str
    reason: str = ""


def standing(workspace: Workspace, study: Study, case_id: str) -> list[Step]:
    """Tells where a case stands.

    Args:
        workspace: Where the study lies.
        study: The study.
        case_id: Id of the query at hand, empty where none is chosen.

    Returns:
        The five steps in order.
    """
    from lancet_core.workbench.reviews import counts

    runs = list_runs(workspace, study=study.name)
    reviewed = counts(workspace, study.name)
    corrections = [run for run in runs if run.operation == "correct"]
    comparisons = [run for run in runs if run.operation == "compare"]
    return [
        Step("Ask", "done" if case_id else "ready", "case chosen" if case_id else "choose a case"),
        _trace_step([run for run in runs if run.operation == "attribute"], case_id),
        _review_step(reviewed["total"], approved=reviewed["approve"], undecided=reviewed["undecided"]),
        _correct_step(corrections, approved=reviewed["approve"]),
        _prove_step(comparisons, corrections),
    ]


def holds_query(run: RunRecord, query_id: str) -> bool:
    """Whether a run attributed a query, told by its settings."""
    config = read_json_or_none(run.folder / "config.json") or {}
    queries = config.get("queries", config.get("config", {}).get("queries", []))
    return any(content_id(query["prompt"], query["response"]) == query_id for query in queries)


def _trace_step(runs: Sequence[RunRecord], case_id: str) -> Step:
    if not case_id:
        return Step("Trace", "blocked", "needs a case", "Open a case on Home, or type a query on Trace.")
    mine = [run for run in runs if holds_query(run, case_id)]
    if any(run.state == run_status.DONE for run in mine):
        return Step("Trace", "done", "traced")
    if _is_going(mine):
        return Step("Trace", "running", "tracing")
    return Step("Trace", "ready", "not traced yet")


def _review_step(total: int, *, approved: int, undecided: int) -> Step:
    if total == 0:
        return Step(
            "Review", "blocked", "no pairs yet", "Send a traced case to review: that proposes the pairs."
        )
    detail = f"{approved:,} approved of {total:,}"
    return Step("Review", "done" if undecided == 0 else "ready", detail)


def _correct_step(runs: Sequence[RunRecord], *, approved: int) -> Step:
    if _is_going(runs):
        return Step("Correct", "running", "training")
    finished = [run for run in runs if run.state == run_status.DONE]
    if finished:
        return Step("Correct", "done", _counted(len(finished), "correction"))
    if approved == 0:
        return Step("Correct", "blocked", "needs approved pairs", "Approve at least one pair on Review.")
    return Step("Correct", "ready", "ready to start")


def _prove_step(runs: Sequence[RunRecord], corrections: Sequence[RunRecord]) -> Step:
    finished = [run for run in runs if run.state == run_status.DONE]
    if _is_going(runs):
        return Step("Prove", "running", "comparing")
    if finished:
        corrected = finished[0].summary.get("verdict", {}).get("corrected")
        return Step("Prove", "done", "corrected" if corrected else "not corrected")
    if not any(run.state == run_status.DONE for run in corrections):
        return Step("Prove", "blocked", "needs a correction", "Run a correction first.")
    return Step("Prove", "ready", "not compared yet")


def _is_going(runs: Sequence[RunRecord]) -> bool:
    return any(not run.is_final for run in runs)


def _counted(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"
