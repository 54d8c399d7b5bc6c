"""Contaminate in a browser: samples are mixed, two models trained, and the study's form is filled in."""

import re
from pathlib import Path

from playwright.sync_api import Page, expect

from lancet_core.runs.run import list_runs
from lancet_core.store.runs import RunFilter
from lancet_core.workspace import open_workspace
from tests.browser import driver
from tests.written_rows import plain_rows, write_lines


def test_from_labelled_samples_to_the_form_of_a_study(page: Page, tmp_path: Path, tiny_model_folder):
    workspace = open_workspace(tmp_path / "workspace")
    data = write_lines(tmp_path / "rows.jsonl", plain_rows(60))
    with driver.serve(workspace.folder) as address:
        driver.visit(page, f"{address}/contaminate?x_usual_nearest=4&x_usual_unseen_prompts=4")
        expect(page.get_by_text("Needs samples with labels, or both files.")).to_be_visible()
        page.get_by_role("textbox", name="Path").fill(str(data))
        page.get_by_role("textbox", name="Path").press("Enter")
        driver.settle(page)
        page.get_by_role("button", name="Mix the samples").click()
        expect(page.get_by_text("Unsafe in it")).to_be_visible()
        driver.settle(page)
        expect(page.get_by_text("Needs a model to start from.")).to_be_visible()
        box = page.get_by_role("combobox", name="Model to start from")
        box.fill(str(tiny_model_folder("llama")))
        box.press("Enter")
        driver.settle(page)
        page.get_by_role("button", name="Train both models").click()
        expect(page.get_by_role("button", name="Train others")).to_be_visible(timeout=driver.LONG_MS)
        driver.settle(page)
        trainings = list_runs(workspace, RunFilter(act="train"))
        assert [run.status.state for run in trainings] == ["done", "done"]
        safe, impure = trainings
        assert impure.result.samples > safe.result.samples
        assert safe.order.request["train"] == impure.order.request["train"]
        page.get_by_role("button", name="Make the study").click()
        expect(page).to_have_url(re.compile(r"/studies\?.*s_new=1"))
        driver.settle(page)
        expect(page.get_by_role("combobox", name="Model", exact=True)).to_have_value(str(impure.result.model))
        expect(page.get_by_role("textbox", name="Path")).to_have_value(re.compile(r"impure\.jsonl$"))
        expect(page.get_by_role("button", name="Check all rows")).to_be_enabled()


def test_data_that_cannot_be_mixed_is_told_and_can_be_changed(page: Page, tmp_path: Path):
    workspace = open_workspace(tmp_path / "workspace")
    data = write_lines(
        tmp_path / "rows.jsonl", [{"prompt": f"a{i}", "response": "b", "is_safe": True} for i in range(9)]
    )
    with driver.serve(workspace.folder) as address:
        driver.visit(page, f"{address}/contaminate?x_train={data}&x_impure=train-of-another-mix")
        page.get_by_role("button", name="Mix the samples").click()
        expect(page.get_by_text("none of the 9 samples is labelled unsafe")).to_be_visible()
        page.get_by_role("button", name="Mix others").click()
        driver.settle(page)
        expect(page.get_by_role("textbox", name="Path")).to_have_value(str(data))
        expect(page).not_to_have_url(re.compile("x_impure"))
