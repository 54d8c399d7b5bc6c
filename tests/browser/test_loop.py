"""The whole loop as a new user walks it: from a bad answer to the exported model, then each screen again from its URL."""

import json
import re
from pathlib import Path

from playwright.sync_api import Download, Page, expect

from lancet_core.workspace import Workspace
from tests.browser import driver

DECISIONS = 10


def test_from_a_bad_answer_to_the_exported_model(
    page: Page, server: str, demo_workspace: Workspace, tmp_path: Path
):
    seen = {"home": open_home(page, server)}
    seen["trace"] = trace_first_case(page)
    send_to_review(page)
    decide_by_keys(page)
    approve_the_rest(page)
    seen["review"] = page.url, page.locator(".card .text").last.inner_text()
    export_pairs(page, tmp_path)
    seen["correct"] = correct(page)
    seen["prove"] = prove(page)
    export_model(page, demo_workspace.folder / "exports" / "by-hand")
    for name, (address, words) in seen.items():
        cold_reload(page, address, words, name=name)


def open_home(page: Page, server: str) -> tuple[str, str]:
    driver.visit(page, server)
    expect(page.get_by_role("button", name="Trace this answer")).to_have_count(3)
    return page.url, page.locator(".card .text").nth(1).inner_text()


def trace_first_case(page: Page) -> tuple[str, str]:
    answer = page.locator(".card .text").nth(1).inner_text()
    page.locator(".st-key-next-step button:visible").click()
    expect(page).to_have_url(re.compile(r"/trace\?.*case=[0-9a-f]{16}"))
    rows = page.locator(".rows .row")
    expect(rows.first).to_be_visible(timeout=driver.LONG_MS)
    driver.settle(page)
    expect(page.locator(".card .text").nth(1)).to_have_text(answer)
    rows.first.click()
    drawer = page.get_by_role("dialog")
    expect(drawer.locator(".token").first).to_be_visible()
    expect(drawer.get_by_text("Where in the network")).to_be_visible()
    assert "t_sample=" in page.url
    page.keyboard.press("Escape")
    expect(drawer).to_have_count(0)
    driver.settle(page)
    return page.url, rows.first.locator(".response").inner_text()


def send_to_review(page: Page) -> None:
    page.locator(".st-key-next-step button:visible").click()
    expect(page).to_have_url(re.compile(r"/review\?"), timeout=driver.LONG_MS)
    driver.settle(page)
    expect(page.get_by_text(re.compile(r"^0 of [\d,]+ pairs decided"))).to_be_visible()


def decide_by_keys(page: Page) -> None:
    """Approves where the data calls the first sample unsafe and the second safe, rejects the others; undoes one."""
    for number in range(1, DECISIONS + 1):
        page.keyboard.press("a" if _is_pure(page) else "x")
        expect(page.get_by_text(re.compile(rf"^{number} of [\d,]+ pairs decided"))).to_be_visible()
        driver.settle(page)
    page.keyboard.press("u")
    expect(page.get_by_text(re.compile(rf"^{DECISIONS - 1} of [\d,]+ pairs decided"))).to_be_visible()
    driver.settle(page)
    page.keyboard.press("a" if _is_pure(page) else "x")
    expect(page.get_by_text(re.compile(rf"^{DECISIONS} of [\d,]+ pairs decided"))).to_be_visible()
    driver.settle(page)


def approve_the_rest(page: Page) -> None:
    """After ten decisions the screen tells the agreement with the scorer and offers the pairs where it agrees."""
    offer = page.locator(".st-key-review-bulk button:visible")
    expect(offer).to_be_enabled()
    offer.click()
    driver.settle(page)
    expect(page.get_by_text(re.compile(rf"^{DECISIONS} of [\d,]+ pairs decided"))).to_have_count(0)


def export_pairs(page: Page, folder: Path) -> None:
    page.get_by_role("button", name="Export").click()
    with page.expect_download() as waiting:
        page.locator(".st-key-review-export-pairs button:visible").click()
    saved = _save(waiting.value, folder)
    lines = [json.loads(line) for line in saved.read_text(encoding="utf-8").splitlines()]
    assert lines
    assert {"pair_id", "cluster", "positive", "negative", "verdict"} <= set(lines[0])
    page.keyboard.press("Escape")


def correct(page: Page) -> tuple[str, str]:
    page.locator(".st-key-next-step button:visible").click()
    expect(page).to_have_url(re.compile(r"/correct\?.*k_run=correct-"))
    expect(page.locator(".stPlotlyChart").first).to_be_visible(timeout=driver.LONG_MS)
    expect(page.get_by_role("button", name=re.compile("^Prove it"))).to_be_enabled(timeout=driver.LONG_MS)
    driver.settle(page)
    ready = page.get_by_text("The corrected model is ready.")
    expect(ready).to_be_visible()
    return page.url, "The corrected model is ready."


def prove(page: Page) -> tuple[str, str]:
    page.locator(".st-key-next-step button:visible").click()
    expect(page).to_have_url(re.compile(r"/prove\?.*p_run=compare-"))
    verdict = page.get_by_role("heading", name=re.compile(r"(Not c|C)orrected$"))
    expect(verdict).to_be_visible(timeout=driver.LONG_MS)
    driver.settle(page)
    expect(page.locator(".card", has_text="After correction")).to_be_visible()
    return page.url, "Not corrected" if "Not corrected" in verdict.inner_text() else "Corrected"


def export_model(page: Page, folder: Path) -> None:
    """Saves the corrected model; where the proof says *not corrected* the button lies with the other exports."""
    save = page.get_by_role("button", name=re.compile("^Save the corrected model"))
    if save.count() == 0:
        page.get_by_role("button", name="Export").click()
        save = page.locator(".st-key-prove-save button:visible")
    save.click()
    field = page.locator(".st-key-prove-folder input")
    field.fill(str(folder))
    field.press("Enter")
    page.locator(".st-key-prove-save-now button:visible").click()
    expect(page.get_by_text("Saved. Load it with")).to_be_visible()
    assert {"config.json", "README.md"} <= {path.name for path in folder.iterdir()}
    assert list(folder.glob("*.safetensors"))


def cold_reload(page: Page, address: str, words: str, *, name: str) -> None:
    """Opens an address in a fresh profile and finds what stood there."""
    context = page.context.browser.new_context(viewport={"width": 1440, "height": 900})
    cold = context.new_page()
    driver.visit(cold, address)
    expect(cold.get_by_text(words, exact=False).first, f"{name} after a cold reload").to_be_visible(
        timeout=driver.PATIENCE_MS
    )
    context.close()


def _is_pure(page: Page) -> bool:
    cards = page.locator(".card", has_text="Label in the data")
    expect(cards).to_have_count(2)
    labels = [cards.nth(number).locator("dd").nth(2).inner_text().strip() for number in (0, 1)]
    return labels == ["unsafe", "safe"]


def _save(download: Download, folder: Path) -> Path:
    target = folder / download.suggested_filename
    download.save_as(target)
    return target
