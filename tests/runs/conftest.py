from pathlib import Path

import pytest

from lancet_core.acts.table import ACTS
from lancet_core.runs import launcher
from lancet_core.store import database
from lancet_core.workspace import Workspace, open_workspace
from tests.runs.fake_worker import FAKE_ACTS


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A workspace whose runs are done by the fake worker."""
    monkeypatch.setattr(launcher, "WORKER_MODULE", "tests.runs.fake_worker")
    monkeypatch.setattr(launcher, "FORWARD_MODULE", "tests.runs.forward")
    for name, act in FAKE_ACTS.items():
        monkeypatch.setitem(ACTS, name, act)
    opened: Workspace = open_workspace(tmp_path / "ws")
    yield opened
    database.close(opened)
