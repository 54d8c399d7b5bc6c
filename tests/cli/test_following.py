"""A command that waits for a run: Ctrl-C cancels it, whenever it comes."""

import signal
from contextlib import suppress
from types import SimpleNamespace

import pytest

from lancet_core.cli import following
from lancet_core.runs import launcher
from lancet_core.runs.run import Run
from lancet_core.store.run_status import RUNNING, Status

LOOKS = 3


def press_ctrl_c_where_python_drops_exceptions():
    """As in a destructor or in a callback of the import system."""
    with suppress(KeyboardInterrupt):
        signal.raise_signal(signal.SIGINT)


@pytest.mark.parametrize("moment", ["bar", "wait"])
def test_ctrl_c_cancels_the_run_whenever_it_comes(monkeypatch, moment):
    cancelled = []

    class Bar(following.RunBar):
        def __init__(self):
            super().__init__()
            if moment == "bar":
                press_ctrl_c_where_python_drops_exceptions()

    def wait(_workspace, _run, look):
        for number in range(LOOKS):
            look(Status(RUNNING))
            if moment == "wait" and not number:
                press_ctrl_c_where_python_drops_exceptions()
        pytest.fail("it went on waiting")

    monkeypatch.setattr(following, "RunBar", Bar)
    monkeypatch.setattr(launcher, "wait", wait)
    monkeypatch.setattr(launcher, "cancel", lambda _workspace, run: cancelled.append(run))
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        following.finish(Run(None, SimpleNamespace(id="correct-1")))
    assert cancelled == ["correct-1"]
    assert signal.getsignal(signal.SIGINT) is before
