"""The rail speaks of the case at hand: a step is done when this case took it."""

import pytest

from lancet_core.data.samples import Query
from lancet_core.influence.presets import preset
from lancet_core.study import cases, review
from lancet_core.study.queue import Scope, View, queue
from lancet_core.study.standing import standing
from tests.browser import written_study

CASE, SECOND = written_study.written_queries()[:2]


def states(study, case=CASE) -> list[str]:
    steps = standing(study, case.id)
    assert [step.name for step in steps] == ["Ask", "Trace", "Review", "Correct", "Prove"]
    assert all(bool(step.reason) == (step.state == "blocked") for step in steps)
    return [step.state for step in steps]


def words(study, case=CASE) -> list[str]:
    return [step.detail for step in standing(study, case.id)]


@pytest.fixture
def corrected(written, tmp_path):
    """The written study whose first case went all the way."""
    trace = written_study.adopt_trace(written, CASE, tmp_path / "trace")
    written.propose_pairs(trace)
    for pair_id in queue(written, View("ada", Scope(CASE.id)))["pair_id"]:
        review.decide(written.workspace, pair_id, "approve", reviewer="ada")
    correction = written_study.adopt_correction(written, tmp_path, case_id=CASE.id)
    written_study.adopt_comparison(written, tmp_path, correction=correction, corrected=True)
    return written


def test_without_a_case_everything_waits_for_one(written):
    steps = standing(written, "")
    assert [step.state for step in steps] == ["ready", *["blocked"] * 4]
    assert all(step.reason for step in steps[1:])


def test_a_new_case_has_no_tick_beyond_ask(corrected):
    """Neither another's trace nor another's pairs, correction or proof: not even in a study that is through with one."""
    case = cases.add_case(corrected, "May I?", "Yes.")
    assert states(corrected, case) == ["done", "ready", "blocked", "blocked", "ready"]
    assert words(corrected, case) == [
        "case chosen",
        "not traced yet",
        "not sent yet",
        "needs approved pairs",
        "not compared yet",
    ]


def test_a_case_of_a_new_study_is_blocked_behind_its_trace(study):
    case = cases.add_case(study, "May I?", "Yes.")
    assert states(study, case) == ["done", "ready", "blocked", "blocked", "blocked"]


def test_each_step_is_ticked_when_the_case_took_it(written, tmp_path):
    assert states(written) == ["done", "ready", "blocked", "blocked", "blocked"]
    trace = written_study.adopt_trace(written, CASE, tmp_path / "trace")
    assert states(written) == ["done", "done", "blocked", "blocked", "blocked"]
    written.propose_pairs(trace)
    assert states(written) == ["done", "done", "ready", "blocked", "blocked"]
    ids = queue(written, View("ada", Scope(CASE.id)))["pair_id"].tolist()
    review.decide(written.workspace, ids[0], "approve", reviewer="ada")
    assert states(written) == ["done", "done", "ready", "ready", "blocked"]
    correction = written_study.adopt_correction(written, tmp_path, case_id=CASE.id)
    assert states(written) == ["done", "done", "ready", "done", "ready"]
    written_study.adopt_comparison(written, tmp_path, correction=correction, corrected=False)
    assert states(written) == ["done", "done", "ready", "done", "done"]
    assert words(written)[-1] == "not corrected"
    assert states(written, SECOND) == ["done", "ready", "blocked", "blocked", "ready"]


def test_a_case_that_went_all_the_way_is_ticked_all_the_way(corrected):
    assert states(corrected) == ["done"] * 5
    assert words(corrected)[-2:] == ["1 correction", "corrected"]


def test_a_step_that_is_going_says_so(written, started):
    written.attribute(CASE, preset())
    assert (states(written)[1], words(written)[1]) == ("running", "tracing")
    assert states(written, SECOND)[1] == "ready"


def test_a_part_of_the_answer_is_a_case_of_its_own(written, tmp_path):
    span = Query(CASE.prompt, CASE.response, span=CASE.response[:8])
    written_study.adopt_trace(written, span, tmp_path / "span")
    assert (states(written, span)[1], states(written)[1]) == ("done", "ready")
