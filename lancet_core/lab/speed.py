"""How long the workbench makes a person wait on the demo: medians of this machine at this moment.

It walks the way of the browser tests, `tests/browser`, which lie beside the package in a checkout and need playwright.
"""

import importlib
import statistics
import tempfile
import time
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from lancet_core.data.samples import Query
from lancet_core.errors import ConfigError
from lancet_core.lab.performance.alone import run_alone
from lancet_core.runs.source import ROOT
from lancet_core.study.demo import install_demo
from lancet_core.study.study import Study
from lancet_core.workspace import Workspace, open_workspace

_WALK = "tests.browser"
Row = dict[str, Any]


def measure_speed(rounds: int) -> list[Row]:
    """Times server start, a trace on a warm host, and the whole loop by the shortest way, in a process of its own.

    Args:
        rounds: How often start and trace are timed.

    Raises:
        ConfigError: There is no browser to walk with, no checkout, or the walk failed.
    """
    if find_spec("playwright") is None or not (ROOT / _WALK.replace(".", "/")).is_dir():
        raise ConfigError(
            f"speed is measured through a browser: playwright and {_WALK} are needed; install from a checkout with: pip install -e '.[dev]'"
        )
    outcome = run_alone(f"{__name__}:walk", {"rounds": rounds})
    if outcome.failed:
        raise ConfigError(
            "the walk through the screens failed, see above; check it with: pytest tests/browser"
        )
    rows: list[Row] = outcome.result
    return rows


def walk(rounds: int) -> list[Row]:
    """Walks through the screens in this process; the checkout must be on the path."""
    from playwright.sync_api import sync_playwright

    driver = importlib.import_module(f"{_WALK}.driver")
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        workspace = open_workspace(folder)
        study = install_demo(workspace)
        browser = driver.launch_chromium(playwright)
        starts = [_first_content(driver, browser, workspace) for _ in range(rounds)]
        rows = [
            _row("server start to first content", starts, 3),
            _row("trace of a new query, 100 recalled, warm", _traces(study, rounds), 2),
            *_whole_loop(driver, browser, workspace),
        ]
        browser.close()
        driver.stop_host(workspace.folder)
    return rows


def _row(what: str, seconds: list[float], bar: int) -> Row:
    return {"seconds for": what, "median": statistics.median(seconds), "most": max(seconds), "to reach": bar}


def _first_content(driver: Any, browser: Any, workspace: Workspace) -> float:
    """Seconds from starting the server to the title of Home in a fresh browser profile."""
    started = time.perf_counter()
    with driver.serve(workspace.folder) as server:
        page = browser.new_context().new_page()
        page.goto(server)
        page.locator(".st-key-purpose h2").wait_for(timeout=driver.PATIENCE_MS)
        seconds = time.perf_counter() - started
        page.context.close()
    return seconds


def _traces(study: Study, rounds: int) -> list[float]:
    """Seconds to trace answers that were never traced; the first, which warms the host, is not counted."""
    cases = study.sample_cases(3)
    times = []
    for number in range(rounds + 1):
        case = cases.iloc[number % len(cases)]
        query = Query(case["prompt"], f"{case['response']} Round {number}.")
        started = time.perf_counter()
        study.attribute(query).wait()
        times.append(time.perf_counter() - started)
    return times[1:]


def _whole_loop(driver: Any, browser: Any, workspace: Workspace) -> list[Row]:
    """Seconds of the shortest way from a bad answer to the verdict, and of the correction in it."""
    loop = importlib.import_module(f"{_WALK}.test_loop")
    with driver.serve(Path(workspace.folder)) as server:
        page = browser.new_context(viewport={"width": 1440, "height": 900}).new_page()
        started = time.perf_counter()
        loop.open_home(page, server)
        for step in (loop.trace_first_case, loop.send_to_review, loop.decide_by_keys, loop.approve_the_rest):
            step(page)
        correcting = time.perf_counter()
        loop.correct(page)
        corrected = time.perf_counter()
        loop.prove(page)
        finished = time.perf_counter()
    return [
        _row("IBO at default settings", [corrected - correcting], 60),
        _row("whole loop by the shortest way", [finished - started], 180),
    ]
