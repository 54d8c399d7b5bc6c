"""A command that waits for a run: Ctrl-C cancels it, whenever it comes."""

from types import SimpleNamespace

import pytest

from lancet_core.cli import following


@pytest.mark.parametrize("moment", ["bar", "wait"])
def test_ctrl_c_cancels_the_run_whenever_it_comes(monkeypatch, moment):
    cancelled = []

    def press(*_arguments):
        raise KeyboardInterrupt

    run = SimpleNamespace(wait=press, cancel=lambda: cancelled.append("cancelled"))
    if moment == "bar":
        monkeypatch.setattr(following, "RunBar", press)
    with pytest.raises(KeyboardInterrupt):
        following.finish(run)
    assert cancelled == ["cancelled"]
