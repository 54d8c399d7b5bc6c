"""How long the workbench makes a person wait on the demo: `python -m tests.benchmarks.speed [--rounds 3]`.

Prints a table of medians: server start to first content, a new query traced with 100 recalled samples on a warm host, and the
whole loop by the shortest way with its correction at default settings. Times are of this machine at this moment.
"""

import argparse
import statistics
import tempfile
import time
from pathlib import Path

import pandas as pd
from playwright.sync_api import sync_playwright

from lancet_core.data.samples import Query
from lancet_core.influence.settings import InfluenceSettings
from lancet_core.workbench.attributions import start_trace
from lancet_core.workbench.cases import sample_cases
from lancet_core.workbench.studies import install_demo
from lancet_core.workbench.waiting import finish
from lancet_core.workspace import open_workspace
from tests.browser import driver, test_loop


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=3)
    rounds = parser.parse_args().rounds
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        workspace = open_workspace(folder)
        study = install_demo(workspace)
        browser = driver.launch_chromium(playwright)
        rows = [
            (
                "server start to first content",
                "3",
                [first_content(browser, workspace) for _ in range(rounds)],
            ),
            ("trace of a new query, 100 recalled, warm", "2", traces(workspace, study, rounds)),
        ]
        rows += whole_loop(browser, workspace)
        browser.close()
        driver.stop_host(workspace.folder)
    table = pd.DataFrame(
        [
            {"seconds for": what, "median": statistics.median(times), "max": max(times), "to reach": bar}
            for what, bar, times in rows
        ]
    )
    print(table.to_string(index=False, float_format="%.1f"))


def first_content(browser, workspace):
    """Seconds from starting the server to the title of Home in a fresh browser profile."""
    started = time.perf_counter()
    with driver.serve(workspace.folder) as server:
        page = browser.new_context().new_page()
        page.goto(server)
        page.locator(".st-key-purpose h2").wait_for(timeout=driver.PATIENCE_MS)
        seconds = time.perf_counter() - started
        page.context.close()
    return seconds


def traces(workspace, study, rounds):
    """Seconds to trace answers that were never traced; the first, which warms the host, is not counted."""
    cases = sample_cases(workspace, study, 3)
    times = []
    for number in range(rounds + 1):
        case = cases.iloc[number % len(cases)]
        query = Query(case["prompt"], f"{case['response']} Round {number}.")
        started = time.perf_counter()
        finish(workspace, start_trace(workspace, study, query, settings=InfluenceSettings()))
        times.append(time.perf_counter() - started)
    return times[1:]


def whole_loop(browser, workspace):
    """Seconds of the shortest way from a bad answer to the verdict, and of the correction in it."""
    with driver.serve(Path(workspace.folder)) as server:
        page = browser.new_context(viewport={"width": 1440, "height": 900}).new_page()
        started = time.perf_counter()
        test_loop.open_home(page, server)
        test_loop.trace_first_case(page)
        test_loop.send_to_review(page)
        test_loop.decide_by_keys(page)
        test_loop.approve_the_rest(page)
        correcting = time.perf_counter()
        test_loop.correct(page)
        corrected = time.perf_counter()
        test_loop.prove(page)
        finished = time.perf_counter()
    return [
        ("IBO at default settings", "60", [corrected - correcting]),
        ("whole loop by the shortest way", "180", [finished - started]),
    ]


if __name__ == "__main__":
    main()
