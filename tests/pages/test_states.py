"""Every screen in each of its states: without a study, without a case, with one, while its run goes on, failed, done."""

import pytest
from streamlit.testing.v1 import AppTest

from pages.shared.screens import SCREENS
from tests.browser.written_study import NAME
from tests.pages.conftest import Written, draw, texts

WAITS = ("trace", "audit", "correct", "prove")
"""Screens that show a run while it goes on."""


def primaries(app: AppTest) -> list[str]:
    return [button.label for button in app.button if button.key == "next-step"]


def errors(app: AppTest) -> list[str]:
    return [str(error.value) for error in app.exception]


@pytest.mark.parametrize("screen", SCREENS)
def test_an_empty_workspace_leads_to_the_demo(empty_workspace, screen: str):
    app = draw(empty_workspace, screen)
    assert errors(app) == []
    assert len(primaries(app)) == 1


@pytest.mark.parametrize("screen", SCREENS)
def test_a_study_without_a_case_has_one_way_on(written: Written, screen: str):
    app = draw(written.workspace, screen, study=NAME)
    assert errors(app) == []
    assert len(primaries(app)) == 1
    assert SCREENS[screen].purpose in texts(app)


@pytest.mark.parametrize("screen", SCREENS)
def test_a_case_with_its_results_has_one_way_on(written: Written, screen: str):
    app = draw(
        written.workspace, screen, study=NAME, **{"case": written.case} | written.values.get(screen, {})
    )
    assert errors(app) == []
    assert len(primaries(app)) == 1


@pytest.mark.parametrize("screen", WAITS)
def test_a_run_that_goes_on_shows_its_step_and_can_be_cancelled(written: Written, standing_at, screen: str):
    standing_at("running", step="Half way", done=3, total=10)
    app = draw(written.workspace, screen, study=NAME, **{"case": written.case} | written.values[screen])
    assert errors(app) == []
    assert [button.label for button in app.button if button.label == "Cancel"]
    assert any("3 of 10" in bar.text for bar in app.get("progress") for bar in [bar.proto])


@pytest.mark.parametrize("screen", WAITS)
@pytest.mark.parametrize("state", ["failed", "cancelled"])
def test_a_run_that_ended_badly_says_so_and_can_be_resumed(
    written: Written, standing_at, screen: str, state: str
):
    standing_at(state, error="the disk is full; free some space")
    app = draw(written.workspace, screen, study=NAME, **{"case": written.case} | written.values[screen])
    assert errors(app) == []
    assert "the disk is full; free some space" in texts(app)
    assert [button.label for button in app.button if button.label == "Resume the run"]


@pytest.mark.parametrize("values", [{"study": "nothing"}, {"study": NAME, "case": "0123456789abcdef"}])
def test_an_error_offers_ways_that_leave_its_cause_behind(written: Written, values: dict[str, str]):
    app = draw(written.workspace, "trace", **values)
    assert errors(app) == []
    links = [link.proto for link in app.get("page_link")]
    ways = {link.label: link.query_string for link in links}
    assert {"Open a case", "Show runs"} <= set(ways)
    assert "nothing" not in ways["Open a case"]
    assert "0123456789abcdef" not in ways["Open a case"]


def test_a_key_starts_no_training_without_a_question(written: Written):
    app = draw(written.workspace, "review", study=NAME)
    start = next(button for button in app.button if button.key == "next-step")
    assert "shortcut" not in {field.name for field, _value in start.proto.ListFields()}
