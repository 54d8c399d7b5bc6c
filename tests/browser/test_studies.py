"""Studies in a browser: a study made by form, hostile text, a file with nothing usable, the tokens of a sample, rename and delete."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from lancet_core.study.study import create_study, list_studies, open_study
from lancet_core.workspace import Workspace, open_workspace
from tests.browser import driver
from tests.written_rows import plain_rows, write_lines

HOSTILE = '![x](http://example.invalid/x.png) <img src=x onerror="document.title=1"> :red[x] $x^2$'


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Workspace]]:
    """A server with an empty workspace."""
    workspace = open_workspace(tmp_path_factory.mktemp("studies"))
    with driver.serve(workspace.folder) as address:
        yield address, workspace
    driver.stop_host(workspace.folder)


def choose_model(page: Page, folder: Path) -> None:
    box = page.get_by_role("combobox", name="Model")
    box.fill(str(folder))
    box.press("Enter")
    driver.settle(page)


def test_a_study_is_made_by_form_from_an_empty_workspace(
    page: Page, place: tuple[str, Workspace], tmp_path: Path, tiny_model_folder
):
    address, workspace = place
    rows = [
        *plain_rows(20),
        {"prompt": HOSTILE, "response": HOSTILE, "category": HOSTILE},
        {"prompt": "no answer"},
    ]
    rows = [{"q": row.pop("prompt"), **row} for row in rows]
    train = write_lines(tmp_path / "train.jsonl", rows)
    driver.visit(page, address)
    page.get_by_role("button", name="Make a study of your own").click()
    driver.settle(page)
    expect(page.get_by_text("Needs a model and training data.")).to_be_visible()
    page.get_by_role("textbox", name="Name of the study").fill("mine")
    choose_model(page, tiny_model_folder("llama"))
    page.get_by_role("textbox", name="Path").fill(str(train))
    page.get_by_role("textbox", name="Path").press("Enter")
    driver.settle(page)
    expect(page.get_by_text("0 of 20 can be used")).to_be_visible()
    page.get_by_role("combobox", name="Prompt").press("ArrowDown")
    page.get_by_role("option", name="q", exact=True).click()
    driver.settle(page)
    expect(page.get_by_text("20 of 20 can be used")).to_be_visible()
    page.get_by_role("button", name="Check all rows").click()
    create = page.get_by_role("button", name="Create the study")
    expect(create).to_be_enabled(timeout=driver.LONG_MS)
    driver.settle(page)
    expect(page.get_by_text("1 rows, 4.5 % of the file")).to_be_visible()
    assert list_studies(workspace=workspace) == []
    create.click()
    expect(page.get_by_role("button", name="Open a case")).to_be_enabled(timeout=driver.LONG_MS)
    driver.settle(page)
    study = open_study("mine", workspace=workspace)
    assert (study.counts["samples"], study.counts["rejected"]) == (21, 1)
    assert study.samples()["prompt"].iloc[-1] == HOSTILE
    assert page.title() != "1"
    assert page.locator("img[src*=example]").count() == 0


def test_a_file_with_nothing_usable_is_told_before_anything_is_made(
    page: Page, place: tuple[str, Workspace], tmp_path: Path, tiny_model_folder
):
    address, workspace = place
    before = len(list_studies(workspace=workspace))
    train = write_lines(tmp_path / "nothing.jsonl", [{"a": HOSTILE}] * 3)
    driver.visit(page, f"{address}/studies?s_new=1&s_name=none&s_train={train}")
    expect(page.get_by_text("0 of 3 can be used")).to_be_visible()
    choose_model(page, tiny_model_folder("llama"))
    page.get_by_role("button", name="Check all rows").click()
    expect(page.get_by_role("button", name="Create the study")).to_be_disabled(timeout=driver.LONG_MS)
    expect(page.get_by_text("No row can be used.", exact=False).first).to_be_visible()
    assert len(list_studies(workspace=workspace)) == before


def test_a_file_that_is_not_there_is_told_in_its_place(page: Page, place: tuple[str, Workspace]):
    driver.visit(page, f"{place[0]}/studies?s_new=1&s_train=/nowhere/train.jsonl")
    expect(page.get_by_text("the file /nowhere/train.jsonl does not exist")).to_be_visible()
    expect(page.get_by_role("button", name="Check all rows")).to_be_visible()


def test_a_study_is_read_renamed_copied_and_deleted_by_its_name(
    page: Page, place: tuple[str, Workspace], tmp_path: Path, tiny_model_folder
):
    address, workspace = place
    train = write_lines(tmp_path / "train.jsonl", plain_rows(12))
    study = create_study(
        "first", workspace=workspace, model=str(tiny_model_folder("llama")), train=str(train)
    )
    sample = study.samples().iloc[0]
    driver.visit(page, f"{address}/studies?study=first&s_sample={sample['id']}")
    page.get_by_text("Tokens as the model reads them").click()
    expect(page.locator(".token.counted").first).to_be_visible(timeout=driver.LONG_MS)
    counted = "".join(page.locator(".text .token.counted").all_text_contents())
    assert counted == f" {sample['response']}</s>"
    page.keyboard.press("Escape")
    driver.settle(page)
    page.get_by_role("button", name="Copy as").click()
    expect(page.get_by_test_id("stCode").first).to_contain_text("lancet study create first")
    page.keyboard.press("Escape")
    page.get_by_role("button", name="Rename", exact=True).click()
    page.get_by_role("textbox", name="New name").fill("second")
    page.get_by_role("textbox", name="New name").press("Enter")
    page.get_by_role("button", name="Rename the study").click()
    page.wait_for_url("**/studies?*study=second*")
    driver.settle(page)
    page.get_by_role("button", name="Delete", exact=True).click()
    gone = page.get_by_role("button", name="Delete the study")
    expect(gone).to_be_disabled()
    page.get_by_role("textbox", name="Type second to delete it").fill("second")
    expect(gone).to_be_enabled()
    gone.click()
    driver.settle(page)
    assert "second" not in [each.name for each in list_studies(workspace=workspace)]
    assert train.is_file()
