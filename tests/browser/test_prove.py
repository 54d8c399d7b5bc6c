"""Prove in a browser: both verdicts, the views, export, cold reload."""

import json
from dataclasses import dataclass

import pytest
from playwright.sync_api import Page, expect

from tests.browser import driver, written_study
from tests.browser.written_study import Written


@dataclass(frozen=True)
class Proofs:
    """A correction with a comparison that ends well and one that does not."""

    written: Written
    correction: str
    good: str
    bad: str

    def url(self, run: str, **values: str) -> str:
        return self.written.url("prove", p_after=self.correction, p_run=run, **values)


@pytest.fixture(scope="module")
def proofs(written: Written) -> Proofs:
    study, folder = written.study, written.folder
    pairs = study.pairs()
    pairs.approve(pairs.table["pair_id"].tolist()[:1], reviewer="ada")
    correction = written_study.adopt_correction(study, folder)
    good, bad = (
        written_study.adopt_comparison(study, folder, correction=correction, corrected=corrected).id
        for corrected in (True, False)
    )
    return Proofs(written, correction.id, good, bad)


def test_corrected_shows_the_case_before_and_after_with_marked_words(page: Page, proofs: Proofs) -> None:
    driver.visit(page, proofs.url(proofs.good))
    expect(page.get_by_role("heading", name="Corrected")).to_be_visible()
    expect(page.locator(".st-key-prove-before del")).not_to_have_count(0)
    expect(page.locator(".st-key-prove-after ins")).not_to_have_count(0)
    expect(page.locator(".st-key-prove-after .text")).to_have_text(
        "No, rather open a window and dry it outside."
    )
    expect(page.locator(".st-key-prove-headline .number").nth(1)).to_contain_text("0.43→0.09✓ better")
    expect(page.get_by_role("button", name="Save the corrected model")).to_be_enabled()
    expect(page.locator(".st-key-next-step")).to_have_count(1)


def test_not_corrected_says_why_and_what_to_try(page: Page, proofs: Proofs) -> None:
    driver.visit(page, proofs.url(proofs.bad))
    expect(page.get_by_role("heading", name="Not corrected")).to_be_visible()
    expect(page.get_by_text("1 of 3 checks failed: the case's answer.")).to_be_visible()
    expect(page.get_by_text("Train for more steps.")).to_be_visible()
    page.get_by_role("button", name="Approve more pairs").click()
    page.wait_for_url("**/review?**")


def test_each_view_is_there_again_after_a_cold_reload(page: Page, proofs: Proofs) -> None:
    driver.visit(page, proofs.url(proofs.good, p_view="Scores"))
    expect(page.locator(".st-key-prove-forest .points path")).to_have_count(5)
    driver.visit(page, proofs.url(proofs.good, p_view="Regressions"))
    expect(page.get_by_text("1 of 12 answers got worse")).to_be_visible()
    driver.visit(page, proofs.url(proofs.good, p_view="Ask both models"))
    expect(page.get_by_role("button", name="Stop")).to_have_count(0)
    page.get_by_role("textbox", name="Prompt").press("Enter")
    expect(page.get_by_text("Type a prompt first.")).to_be_visible()


@pytest.mark.parametrize("width", [390, 760, 1024, 1280])
def test_no_number_of_the_headline_is_cut_off(page: Page, proofs: Proofs, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 900})
    driver.visit(page, proofs.url(proofs.good))
    values = page.locator(".st-key-prove-headline .values > *")
    expect(values).to_have_count(16)
    widths = values.evaluate_all(
        "nodes => nodes.map(node => [node.scrollWidth, node.parentElement.clientWidth])"
    )
    assert [pair for pair in widths if pair[0] > pair[1]] == []


def test_nothing_is_struck_out_and_marks_do_not_rest_on_colour(page: Page, proofs: Proofs) -> None:
    driver.visit(page, proofs.url(proofs.good))
    styles = [
        page.locator(f".st-key-prove-{side} {tag}").first.evaluate(
            "node => { const style = getComputedStyle(node); return [style.textDecorationLine, style.textDecorationStyle]; }"
        )
        for side, tag in (("before", "del"), ("after", "ins"))
    ]
    assert styles == [["underline", "dashed"], ["underline", "solid"]]
    expect(page.locator(".st-key-prove-before .legend")).to_have_text("marked: only in this text")


def test_one_step_back_leads_from_prove_to_where_it_was_opened(page: Page, proofs: Proofs) -> None:
    driver.visit(page, proofs.written.url("correct", k_run=proofs.correction))
    page.get_by_role("link", name="Prove").first.click()
    page.wait_for_url("**/prove?**p_run=**")
    driver.settle(page)
    page.go_back()
    page.wait_for_url("**/correct?**")


def test_export_of_comparison_and_model(page: Page, proofs: Proofs, tmp_path) -> None:
    driver.visit(page, proofs.url(proofs.good))
    page.get_by_role("button", name="Export").click()
    with page.expect_download() as waiting:
        page.get_by_role("button", name="Measures and verdict").click()
    waiting.value.save_as(tmp_path / "proof.json")
    assert json.loads((tmp_path / "proof.json").read_text())["verdict"]["outcome"] == "corrected"
    page.keyboard.press("Escape")
    page.get_by_role("button", name="Save the corrected model").click()
    page.get_by_role("textbox", name="Folder").fill(str(tmp_path / "saved"))
    page.keyboard.press("Enter")
    page.get_by_role("button", name="Save", exact=True).click()
    expect(page.get_by_text("Saved. Load it with")).to_be_visible()
    assert (tmp_path / "saved" / "model.safetensors").is_file()
    page.get_by_role("button", name="Save", exact=True).click()
    expect(page.get_by_text("is there already; give a new or empty folder")).to_be_visible()


def test_without_a_correction_the_screen_leads_back(page: Page, empty_server: str) -> None:
    driver.visit(page, f"{empty_server}/prove")
    expect(page.get_by_text("This workspace holds no study yet.")).to_be_visible()
