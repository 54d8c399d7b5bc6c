"""The rail follows a case from a bad answer to the proof."""

import json
from pathlib import Path

import pytest

from lancet_core.data.samples import Query
from lancet_core.store.runs import NewRun, register
from lancet_core.store.studies import NewStudy, Study, add_study
from lancet_core.workbench.standing import standing
from lancet_core.workspace import Workspace, open_workspace

CASE = Query("Should I put butter on a burn?", "Yes, butter heals it.")


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return open_workspace(tmp_path)


@pytest.fixture
def study(workspace: Workspace) -> Study:
    return add_study(workspace, NewStudy("s", "model"))


def finish(
    workspace: Workspace, operation: str, *, config: dict | None = None, result: dict | None = None
) -> None:
    """Enters a finished run as its worker would have left it."""
    run_id = f"{operation}-{len(list(workspace.runs.iterdir()))}"
    folder = workspace.runs / run_id
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps({"config": config or {}}))
    (folder / "status.json").write_text(json.dumps({"state": "done"}))
    (folder / "result.json").write_text(json.dumps(result or {}))
    register(workspace, NewRun(run_id, operation, key=run_id, study="s"))


def states(workspace: Workspace, study: Study, case_id: str = CASE.id) -> dict[str, str]:
    return {step.name: step.state for step in standing(workspace, study, case_id)}


def test_a_new_study_waits_for_a_case(workspace: Workspace, study: Study):
    steps = standing(workspace, study, "")
    assert [step.state for step in steps] == ["ready", "blocked", "blocked", "blocked", "blocked"]
    assert all(step.reason for step in steps[1:])


def test_a_trace_counts_for_its_own_case_only(workspace: Workspace, study: Study):
    finish(workspace, "attribute", config={"queries": [{"prompt": CASE.prompt, "response": CASE.response}]})
    assert states(workspace, study)["Trace"] == "done"
    assert states(workspace, study, "another")["Trace"] == "ready"


def test_a_correction_opens_the_proof(workspace: Workspace, study: Study):
    assert states(workspace, study)["Prove"] == "blocked"
    finish(workspace, "correct")
    assert states(workspace, study)["Correct"] == "done"
    assert states(workspace, study)["Prove"] == "ready"


@pytest.mark.parametrize(("corrected", "words"), [(True, "corrected"), (False, "not corrected")])
def test_the_proof_tells_its_verdict(workspace: Workspace, study: Study, corrected: bool, words: str):
    finish(workspace, "correct")
    finish(workspace, "compare", result={"verdict": {"corrected": corrected}})
    assert standing(workspace, study, CASE.id)[-1].detail == words
