"""Runs in a browser: the list, one run, deletion with its guard, two side by side."""

from playwright.sync_api import Page, expect

from tests.browser import driver, written_study
from tests.browser.written_study import Written


def newest(written: Written, act: str) -> str:
    return written.study.runs(act)[0].id


def test_list_opens_a_run_and_a_cold_reload_shows_it_again(page: Page, written: Written) -> None:
    driver.visit(page, written.url("runs"))
    expect(page.locator(".st-key-next-step button")).to_be_disabled()
    page.locator("[class*=st-key-runs-table] .dvn-scroller").click(position={"x": 60, "y": 52})
    page.wait_for_url("**runs_run=**")
    driver.settle(page)
    run_id = newest(written, "attribute")
    assert f"runs_run={run_id}" in page.url
    driver.visit(page, page.url)
    expect(page.get_by_text('"candidates"').first).to_be_visible()
    expect(page.get_by_role("link", name="Made from")).to_be_visible()


def test_a_run_that_others_use_is_deleted_only_on_second_thought(page: Page, written: Written) -> None:
    clusters = newest(written, "cluster")
    driver.visit(page, written.url("runs", runs_run=clusters))
    page.get_by_role("button", name="Delete").click()
    expect(page.get_by_text("runs use its results")).to_be_visible()
    expect(page.get_by_role("button", name="Delete this run")).to_be_disabled()
    assert clusters in {run.id for run in written.study.runs()}


def test_two_corrections_side_by_side_and_one_deleted(page: Page, written: Written) -> None:
    pairs = written.study.pairs()
    pairs.approve(pairs.table["pair_id"].tolist()[:1], reviewer="ada")
    first, second = (
        written_study.adopt_correction(
            written.study, written.folder / str(number), steps=written_study.STEPS + number
        ).id
        for number in range(2)
    )
    driver.visit(page, written.url("runs", runs_run=second, runs_vs=first, runs_view="Curves"))
    expect(page.get_by_text("Settings that differ")).to_be_visible()
    expect(page.locator(".js-plotly-plot")).to_have_count(18)
    page.get_by_role("button", name="Delete").click()
    page.get_by_role("button", name="Delete this run").click()
    driver.settle(page)
    assert {run.id for run in written.study.runs("correct")} == {first}
