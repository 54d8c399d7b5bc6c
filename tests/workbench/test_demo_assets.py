"""The demo is installed whole from its assets, once, with the runs that come with it; and remade without a gap."""

import json

import pandas as pd
import pytest

from lancet_core.data.inputs import load_prompts
from lancet_core.data.samples import Query
from lancet_core.errors import DataError, StoreError
from lancet_core.influence.settings import ClusterSettings, InfluenceSettings
from lancet_core.operations.configs import BuildDemoConfig
from lancet_core.runs import launcher
from lancet_core.store import database, runs
from lancet_core.store.queries import list_queries
from lancet_core.workbench import attributions, demo_assets, proposals, studies
from lancet_core.workspace import open_workspace
from tests.written_rows import plain_rows, query_rows, write_lines


@pytest.fixture
def workspace(tmp_path):
    opened = open_workspace(tmp_path / "ws")
    yield opened
    database.close(opened)


@pytest.fixture
def assets(tmp_path):
    return write_assets(tmp_path / "assets", tmp_path)


def write_assets(folder, scratch, seed=0):
    """Assets as the build writes them, with tables written by hand."""
    from lancet_core.config import to_dict
    from lancet_core.data.adapters import load_samples

    for name in ("impure", "harmful", "helpful", "factors", "runs/cluster", "runs/attribute"):
        (folder / name).mkdir(parents=True)
    (folder / "factors" / "f.safetensors").write_bytes(b"")
    samples = load_samples(write_lines(scratch / "train.jsonl", plain_rows(20))).frame
    samples.to_parquet(folder / "samples.parquet")
    load_prompts(write_lines(scratch / "prompts.jsonl", [{"prompt": "b?"}])).to_parquet(
        folder / "prompts.parquet"
    )
    pd.DataFrame({"sample_id": samples["id"], "harmful": 0.2, "helpful": 0.8}).to_parquet(
        folder / "scores.parquet"
    )
    queries = pd.DataFrame(query_rows(4)).assign(category="tools")
    queries.to_parquet(folder / "queries.parquet")
    ids = [Query(*row).id for row in zip(queries["prompt"], queries["response"], strict=True)]
    clusters = pd.DataFrame({"query_id": ids, "cluster": [0, 0, 1, 1], "x": 0.0, "y": 0.0})
    clusters.to_parquet(folder / "runs/cluster/clusters.parquet")
    scores = [
        {
            "query_id": group,
            "sample_id": sample,
            "influence": 10.0 - rank,
            "percentile": 0.0,
            "rank": rank + 1,
        }
        for group in ("0", "1")
        for rank, sample in enumerate(samples["id"])
    ]
    pd.DataFrame(scores).to_parquet(folder / "runs/attribute/scores.parquet")
    for name in ("cluster", "attribute"):
        (folder / "runs" / name / "result.json").write_text("{}")
    manifest = {
        "seed": seed,
        "template": "auto",
        "model": "impure",
        "harmful_scorer": "harmful",
        "helpful_scorer": "helpful",
        "samples": "samples.parquet",
        "prompts": "prompts.parquet",
        "scores": "scores.parquet",
        "queries": "queries.parquet",
        "factors": "factors",
        "runs": {
            "cluster": {"folder": "runs/cluster", "settings": to_dict(ClusterSettings(k=2))},
            "attribute": {"folder": "runs/attribute", "settings": to_dict(InfluenceSettings(recall="all"))},
        },
    }
    (folder / "demo.json").write_text(json.dumps(manifest))
    return folder


def test_the_demo_is_ready_without_computing(workspace, assets, monkeypatch):
    study = demo_assets.install(workspace, assets)
    assert (study.name, study.counts["samples"], study.counts["unsafe"]) == ("demo", 20, 5)
    assert studies.samples_table(study)["harmful"].tolist() == [0.2] * 20
    assert list_queries(workspace, "demo")["category"].tolist() == ["tools"] * 4
    assert (study.factors / "f.safetensors").is_file()
    batch = attributions.latest_batch_attribution(workspace, study)
    assert batch.parents == (attributions.latest_clusters(workspace, study).id,)
    monkeypatch.setattr(launcher, "start", None)
    query = attributions.attributed_queries(workspace, batch.id)[0]
    ready = proposals.send_to_review(workspace, study, query)
    assert ready.waiting_for == ()
    assert ready.pairs > 0


def test_installing_again_changes_nothing(workspace, assets):
    first = demo_assets.install(workspace, assets)
    assert demo_assets.install(workspace, assets) == first
    assert len(runs.list_runs(workspace)) == 2


def test_a_demo_of_other_assets_is_not_mixed_in(workspace, assets, tmp_path):
    demo_assets.install(workspace, assets)
    (tmp_path / "more").mkdir()
    with pytest.raises(StoreError, match="lancet study delete demo"):
        demo_assets.install(workspace, write_assets(tmp_path / "other", tmp_path / "more", seed=1))


def test_missing_assets_are_named(workspace, assets, tmp_path):
    with pytest.raises(DataError, match="lancet demo build"):
        demo_assets.install(workspace, tmp_path / "nowhere")
    (assets / "scores.parquet").unlink()
    with pytest.raises(DataError, match="the demo's scores is missing"):
        demo_assets.install(workspace, assets)
    assert studies.list_studies(workspace) == []


def test_rebuilt_assets_take_the_place_of_the_old_ones(workspace, assets, tmp_path, monkeypatch):
    made = tmp_path / "made"
    made.mkdir()
    (tmp_path / "more").mkdir()
    write_assets(made / "assets", tmp_path / "more", seed=7)
    (made / "result.json").write_text("{}")

    def start(place, operation, config, **more):
        return launcher.adopt(place, operation, config, results=made, **more)

    monkeypatch.setattr(launcher, "start", start)
    (assets / "old").write_text("")
    _run, folder = demo_assets.rebuild(workspace, BuildDemoConfig(seed=7), target=assets)
    assert folder == assets
    assert demo_assets.read_assets(folder).manifest["seed"] == 7
    assert not (assets / "old").exists()
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("")
    with pytest.raises(DataError, match="no demo"):
        demo_assets.rebuild(workspace, BuildDemoConfig(), target=tmp_path / "mine")
