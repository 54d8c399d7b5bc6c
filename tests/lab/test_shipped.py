"""What comes with the demo is found by the keys of today: its factors, and the run over its whole corpus."""

import hashlib

import pytest

from lancet_core.config import from_dict
from lancet_core.data.samples import read_samples
from lancet_core.influence import fitting
from lancet_core.influence.curved_model import Source, open_curved_model
from lancet_core.influence.presets import preset
from lancet_core.influence.settings import InfluenceSettings
from lancet_core.progress import silent
from lancet_core.runs import launcher
from lancet_core.store import database
from lancet_core.study import attributions
from lancet_core.study.demo import install_demo, read_assets
from lancet_core.workspace import open_workspace

ASSETS = read_assets()


def test_factors_are_read_and_not_estimated(monkeypatch, tmp_path):
    monkeypatch.setattr(fitting, "fit_factors", None)  # would fail if it were called
    factors = ASSETS.path("factors")
    source = Source(
        model=str(ASSETS.path("model")),
        samples=read_samples(ASSETS.path("samples"), whole=False),
        template=ASSETS.manifest["template"],
        settings=preset(),
        factors=str(factors),
        folder=tmp_path,
    )
    curved = open_curved_model(source, silent)
    assert len(list(factors.iterdir())) == 1
    assert {unit.name for unit in curved.network.units} == set(curved.curvature)


def test_the_run_over_the_whole_corpus_is_the_one_that_is_asked_for(monkeypatch, tmp_path):
    assert from_dict(InfluenceSettings, ASSETS.manifest["runs"]["attribute"]["settings"]) == preset(
        recall="all"
    )
    workspace = open_workspace(tmp_path / "workspace")
    try:
        study = install_demo(workspace)
        monkeypatch.setattr(launcher, "start", None)  # would fail if it were called
        run = attributions.attribute_clusters(study, attributions.latest_clustering(study))
        assert attributions.latest_corpus_attribution(study).id == run.id
    finally:
        database.close(workspace)


def test_the_manifest_names_every_file():
    files = {
        path.relative_to(ASSETS.folder).as_posix() for path in ASSETS.folder.rglob("*") if path.is_file()
    }
    assert files == {*ASSETS.manifest["sha256"], "demo.json", "README.md"}


@pytest.mark.parametrize("name", ASSETS.manifest["sha256"])
def test_files_are_those_of_the_manifest(name):
    assert hashlib.sha256((ASSETS.folder / name).read_bytes()).hexdigest() == ASSETS.manifest["sha256"][name]
