"""Correct in a browser: what blocks it, the card before the start, a failed run, a finished one."""

import pytest
from playwright.sync_api import Page, expect

from lancet_core.study.queue import counts
from tests.browser import driver, written_study
from tests.browser.written_study import STEPS, Written


@pytest.fixture
def approved(written: Written) -> Written:
    """Three approved pairs."""
    if not counts(written.study).approve:
        pairs = written.study.pairs()
        pairs.approve(pairs.table["pair_id"].tolist()[:3], reviewer="ada")
    return written


def test_without_an_approved_pair_the_start_is_blocked_and_says_why(page: Page, written: Written) -> None:
    driver.visit(page, written.url("correct"))
    expect(page.get_by_role("button", name="Start correction")).to_be_disabled()
    expect(page.get_by_text("No pair is approved yet")).to_be_visible()
    expect(page.get_by_role("link", name="Go to Review")).to_be_visible()


def test_card_tells_what_will_happen_and_follows_the_settings(page: Page, approved: Written) -> None:
    driver.visit(page, approved.url("correct", k_steps="20", k_adapter="lora"))
    card = page.locator(".st-key-correct-preflight")
    expect(card.get_by_test_id("stMetricValue").first).to_have_text("3")
    expect(card).to_contain_text("a low-rank adapter, merged when saved for 20 steps")
    driver.visit(page, approved.url("correct", k_form="literal"))
    expect(page.get_by_text("it can destroy the model")).to_be_visible()


def test_a_run_that_fails_says_why_and_can_be_resumed(page: Page, approved: Written) -> None:
    """The written study's model has no weights, so that training cannot start."""
    driver.visit(page, approved.url("correct", k_steps="5"))
    page.get_by_role("button", name="Start correction").click()
    expect(page.get_by_text("Correcting the model: the run failed")).to_be_visible(timeout=driver.LONG_MS)
    expect(page.get_by_role("button", name="Resume the run")).to_be_visible()
    expect(page.get_by_role("button", name="Prove it")).to_be_disabled()
    assert "k_run=correct-" in page.url


def test_a_finished_run_shows_curves_result_and_log_again_after_a_reload(
    page: Page, approved: Written
) -> None:
    run = written_study.adopt_correction(approved.study, approved.folder)
    driver.visit(page, approved.url("correct", k_run=run.id))
    for title in (
        "P̄(query)",
        "Correction term",
        "Retain NLL",
        "Divergence term",
        "Proximity term",
        "Validation",
    ):
        expect(page.get_by_text(title).first).to_be_visible()
    expect(page.locator(".js-plotly-plot")).to_have_count(6)
    expect(page.locator(".st-key-correct-result").get_by_test_id("stMetricValue").nth(1)).to_have_text("100")
    page.get_by_text("Log", exact=True).click()
    expect(page.get_by_text(f"step {STEPS} of {STEPS}")).to_be_visible()
    expect(page.get_by_role("button", name="Prove it")).to_be_enabled()
