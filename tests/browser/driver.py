"""What the browser tests and the screenshots share: a server with the demo study, a browser, and waiting for both."""

import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Browser, Page, Playwright, expect

ROOT = Path(__file__).resolve().parents[2]
FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
PATIENCE_MS = 180_000
LONG_MS = 600_000
expect.set_options(timeout=PATIENCE_MS)
IDLE = '[data-testid="stApp"][data-test-script-state="notRunning"]'


def launch_chromium(playwright: Playwright) -> Browser:
    """Starts the system's Chromium where there is one, else playwright's."""
    found = next(
        (path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))),
        None,
    )
    return playwright.chromium.launch(executable_path=found, args=list(FLAGS))


@contextmanager
def serve(workspace: Path) -> Iterator[str]:
    """Runs the dashboard on a free port of this machine; yields its address."""
    port = _free_port()
    command = [
        sys.executable,
        "-m",
        "lancet_core.cli.server",
        "run",
        "app.py",
        "--server.port",
        str(port),
        "--server.headless",
        "true",
    ]
    environment = {**os.environ, "LANCET_WORKSPACE": str(workspace)}
    with (workspace / "server.log").open("wb") as log:
        process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=log, stderr=log)
        try:
            address = f"http://127.0.0.1:{port}"
            _wait_for(f"{address}/_stcore/health", process)
            yield address
        finally:
            process.terminate()
            process.wait(timeout=30)


def visit(page: Page, address: str) -> None:
    """Opens an address and waits until its screen stands still."""
    page.goto(address)
    settle(page)


def visit_error(page: Page, address: str) -> None:
    """Opens an address whose screen cannot be drawn, and waits for the message."""
    page.goto(address)
    expect(page.locator(".st-key-error")).to_be_visible(timeout=PATIENCE_MS)


def settle(page: Page) -> None:
    """Waits until no script is running and the title of a screen is there."""
    expect(page.locator(IDLE)).to_be_visible(timeout=PATIENCE_MS)
    expect(page.locator(".st-key-purpose h2")).to_be_visible(timeout=PATIENCE_MS)
    page.wait_for_timeout(400)
    expect(page.locator(IDLE)).to_be_visible(timeout=PATIENCE_MS)


def stop_host(workspace: Path) -> None:
    """Ends the model host of a workspace, which outlives the server."""
    from lancet_core.runs import client
    from lancet_core.workspace import open_workspace

    client.stop_host(open_workspace(workspace))


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _wait_for(address: str, process: subprocess.Popen[bytes]) -> None:
    for _attempt in range(600):
        if process.poll() is not None:
            raise RuntimeError(f"the dashboard ended with {process.returncode} before it answered")
        try:
            with urllib.request.urlopen(address, timeout=2) as answer:
                if answer.status == 200:
                    return
        except (urllib.error.URLError, OSError):
            time.sleep(0.2)
    raise RuntimeError(f"the dashboard did not answer on {address}")
