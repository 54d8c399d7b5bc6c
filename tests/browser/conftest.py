"""One server with the demo study for the whole session, one browser, a fresh profile for each test."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from lancet_core.workspace import Workspace, open_workspace
from tests.browser import driver, written_study


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        chromium = driver.launch_chromium(playwright)
        yield chromium
        chromium.close()


@pytest.fixture(scope="session")
def demo_workspace(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workspace]:
    from lancet_core.study.demo import install_demo

    workspace = open_workspace(tmp_path_factory.mktemp("workspace"))
    install_demo(workspace)
    yield workspace
    driver.stop_host(workspace.folder)


@pytest.fixture(scope="session")
def server(demo_workspace: Workspace) -> Iterator[str]:
    with driver.serve(demo_workspace.folder) as address:
        yield address


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Iterator[written_study.Written]:
    """A server with a study whose results are written, not computed: for screens that need no model."""
    workspace = open_workspace(tmp_path_factory.mktemp("written"))
    folder = tmp_path_factory.mktemp("results")
    study = written_study.write_study(workspace, folder)
    with driver.serve(workspace.folder) as address:
        yield written_study.Written(address, workspace, study, folder)
    driver.stop_host(workspace.folder)


@pytest.fixture
def empty_server(tmp_path: Path) -> Iterator[str]:
    with driver.serve(open_workspace(tmp_path / "empty").folder) as address:
        yield address


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """A page of a fresh profile; a request that leaves this machine, or an error of the page, fails the test."""
    context = browser.new_context(viewport={"width": 1440, "height": 900}, reduced_motion="reduce")
    context.set_default_timeout(driver.PATIENCE_MS)
    opened = context.new_page()
    strays: list[str] = []
    errors: list[str] = []
    opened.on("request", lambda request: strays.append(request.url) if _leaves(request.url) else None)
    opened.on("pageerror", lambda error: errors.append(str(error)))
    yield opened
    context.close()
    assert strays == []
    assert errors == []


def _leaves(url: str) -> bool:
    return not url.startswith(("http://127.0.0.1:", "ws://127.0.0.1:", "data:", "blob:"))
