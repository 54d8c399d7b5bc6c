"""The demo's assets are remade without a gap, and nothing else is written over."""

import json

import pytest

from lancet_core.acts.build_demo import BuildDemoRequest, DemoBuilt
from lancet_core.acts.results import write_result
from lancet_core.cli.main import run as lancet
from lancet_core.errors import DataError
from lancet_core.lab.factory.remaking import remake_assets
from lancet_core.runs import launcher
from lancet_core.store import database
from lancet_core.study.demo import read_assets
from lancet_core.workspace import open_workspace
from tests.study.test_demo import write_assets


@pytest.fixture
def workspace(tmp_path, monkeypatch):
    """A workspace whose runs are done at once: their assets are made of seed 7."""
    results = tmp_path / "results"
    write_assets(results / "assets", tmp_path, seed=7)
    write_result(results, DemoBuilt(seconds=3.0, seed=7, measured=({"what": "samples", "value": 20},)))
    monkeypatch.setattr(launcher, "start", lambda place, task: launcher.adopt(place, task, results=results))
    opened = open_workspace(tmp_path / "ws")
    yield opened
    database.close(opened)


def test_remade_assets_take_the_place_of_the_old_ones(workspace, tmp_path):
    (tmp_path / "more").mkdir()
    assets = write_assets(tmp_path / "assets", tmp_path / "more")
    (assets / "old").write_text("")
    run, folder = remake_assets(workspace, BuildDemoRequest(seed=7), target=assets)
    assert (folder, run.record.title) == (assets, "Demo of 9,000 samples, seed 7")
    assert read_assets(folder).manifest["seed"] == 7
    assert not (assets / "old").exists()


def test_a_folder_that_holds_something_else_is_left_alone(workspace, tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("")
    with pytest.raises(DataError, match="no demo"):
        remake_assets(workspace, BuildDemoRequest(), target=tmp_path / "mine")


def test_the_command_says_where_the_assets_lie_and_what_was_measured(workspace, tmp_path, capfd):
    arguments = ["demo", "build", "--out", str(tmp_path / "new"), "--workspace", str(workspace.folder)]
    assert lancet(arguments) == 0
    assert capfd.readouterr().out == f"demo assets: {tmp_path / 'new'}\n"
    assert lancet([*arguments, "--json"]) == 0
    summary = json.loads(capfd.readouterr().out)["summary"]
    assert summary == {"seconds": 3.0, "seed": 7, "measured": [{"what": "samples", "value": 20}]}
