"""Writes each screen at 1440, 1024 and 390 pixels, light and dark: `python -m tests.browser.screenshots [FOLDER]`.

The study is the demo; a case is traced, pairs are proposed and decided, a correction and a proof are run first, so that no
screen is empty.
"""

import sys
import tempfile
from pathlib import Path

from playwright.sync_api import Browser, sync_playwright

from lancet_core.workspace import Workspace, open_workspace
from pages.shared.screens import SCREENS
from tests.browser import driver, test_loop

SIZES = (
    ("1440-light", 1440, "light"),
    ("1440-dark", 1440, "dark"),
    ("1024-light", 1024, "light"),
    ("390-light", 390, "light"),
    ("390-dark", 390, "dark"),
)
TALLEST = 2400


def main(folder: Path) -> None:
    """Walks the loop once and photographs every screen."""
    from lancet_core.study.demo import install_demo

    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as temporary:
        workspace = open_workspace(temporary)
        install_demo(workspace)
        with driver.serve(workspace.folder) as server, sync_playwright() as playwright:
            browser = driver.launch_chromium(playwright)
            addresses = walk(browser, server, workspace)
            for name, address in addresses.items():
                for size, width, scheme in SIZES:
                    photograph(browser, address, folder / f"{name}-{size}.png", width=width, scheme=scheme)
            browser.close()
        driver.stop_host(workspace.folder)


def walk(browser: Browser, server: str, workspace: Workspace) -> dict[str, str]:
    """Walks the loop; returns the address of each screen with its state."""
    context = browser.new_context(viewport={"width": 1440, "height": 900})
    context.set_default_timeout(driver.PATIENCE_MS)
    page = context.new_page()
    test_loop.open_home(page, server)
    addresses = {"home": server, "trace": test_loop.trace_first_case(page)[0]}
    test_loop.send_to_review(page)
    test_loop.decide_by_keys(page)
    addresses["review"] = page.url
    test_loop.approve_the_rest(page)
    addresses["correct"] = test_loop.correct(page)[0]
    addresses["prove"] = test_loop.prove(page)[0]
    query = addresses["trace"].partition("?")[2]
    for name in SCREENS:
        addresses.setdefault(name, f"{server}/{name}?{query}")
    sample = page.context.new_page()
    driver.visit(sample, addresses["trace"])
    sample.locator(".rows .row").first.click()
    sample.get_by_role("dialog").wait_for()
    addresses["sample"] = sample.url
    context.close()
    return addresses


def photograph(browser: Browser, address: str, target: Path, *, width: int, scheme: str) -> None:
    """Writes one screen whole, at most `TALLEST` pixels high."""
    context = browser.new_context(
        viewport={"width": width, "height": 900},
        color_scheme="dark" if scheme == "dark" else "light",
        reduced_motion="reduce",
    )
    page = context.new_page()
    driver.visit(page, address)
    page.wait_for_timeout(2500)
    height = page.locator('[data-testid="stMain"]').evaluate("element => element.scrollHeight")
    page.set_viewport_size({"width": width, "height": max(700, min(height, TALLEST))})
    page.wait_for_timeout(1200)
    page.screenshot(path=target)
    context.close()
    print(target)


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "build/screenshots"))
