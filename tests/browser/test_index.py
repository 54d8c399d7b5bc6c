"""Trace and the gradient index: offered where there is none, built on the spot, searched from then on."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from lancet_core.data.samples import Query, Sample, samples_frame
from lancet_core.influence.settings import CANDIDATES_BY_INDEX
from lancet_core.store.queries import add_queries
from lancet_core.store.studies import NewStudy, add_study
from lancet_core.workspace import open_workspace
from tests.browser import driver

CASE = Query("May I keep the kettle near the barn?", "Yes, everybody does so.")
COUNT = 260


@pytest.fixture
def server(tmp_path: Path, tiny_model_folder: Callable[[], Path]) -> Iterator[str]:
    """A server with a study of a tiny model and no index; half of the samples share no word with the case."""
    workspace = open_workspace(tmp_path / "workspace")
    study = add_study(workspace, NewStudy("tiny", str(tiny_model_folder()), counts={"samples": COUNT}))
    near = [
        Sample(f"May I keep the kettle near barn {n}?", "Yes, everybody does so.") for n in range(COUNT // 2)
    ]
    far = [Sample(f"Where do nurses sleep {n}?", "At home.") for n in range(COUNT // 2)]
    rows = samples_frame([*near, *far]).assign(harmful=float("nan"), helpful=float("nan"))
    rows.to_parquet(study.samples_file)
    add_queries(study, [CASE], "case")
    with driver.serve(workspace.folder) as address:
        yield address
    driver.stop_host(workspace.folder)


def test_an_index_is_offered_built_and_searched(page: Page, server: str):
    page.goto(f"{server}/trace?study=tiny&case={CASE.id}")
    told = page.get_by_text("samples scored exactly")
    expect(told).to_contain_text("chosen by similar words (TF-IDF)", timeout=driver.LONG_MS)
    driver.settle(page)
    expect(page.get_by_role("radio", name="All samples")).to_have_count(0)
    page.locator(".st-key-build-index button:visible").click()
    expect(told).to_have_text(
        re.compile(
            rf"^[\d.]+ s · {CANDIDATES_BY_INDEX} of {COUNT} samples scored exactly, chosen by the gradient index"
        ),
        timeout=driver.LONG_MS,
    )
    driver.settle(page)
    expect(page.locator(".st-key-index-offer")).to_have_count(0)
    page.locator(".rows .row").first.click()
    drawer = page.get_by_role("dialog")
    expect(drawer.locator(".token").first).to_be_visible()
    expect(drawer.get_by_text("Where in the network")).to_be_visible()
    page.keyboard.press("Escape")
    driver.settle(page)
    page.get_by_role("radio", name="Similar words").click()
    expect(told).to_contain_text("chosen by similar words (TF-IDF)")
    expect(page).to_have_url(re.compile(r"t_from=Similar\+words"))
