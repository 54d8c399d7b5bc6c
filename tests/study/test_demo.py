"""The demo is installed whole from its assets, once, with the runs that come with it."""

import json

import pandas as pd
import pytest

from lancet_core.config import to_dict
from lancet_core.data.inputs import load_prompts
from lancet_core.data.loading import load_samples
from lancet_core.data.samples import Query
from lancet_core.errors import DataError, StoreError
from lancet_core.influence.presets import preset
from lancet_core.influence.settings import ClusterSettings
from lancet_core.runs.run import list_runs
from lancet_core.study import attributions
from lancet_core.study.demo import install_demo
from lancet_core.study.study import list_studies
from tests.browser import written_study
from tests.written_rows import plain_rows, query_rows, write_lines


@pytest.fixture
def assets(tmp_path):
    return write_assets(tmp_path / "assets", tmp_path)


def write_assets(folder, scratch, seed=0):
    """Assets as the build writes them, with tables written by hand."""
    for name in ("harmful", "helpful", "factors", "runs/cluster", "runs/attribute"):
        (folder / name).mkdir(parents=True)
    written_study.write_model_folder(folder).rename(folder / "impure")
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
    (folder / "runs/cluster/result.json").write_text(json.dumps({"k": 2}))
    found = {"method": "linfac-head", "recall": "all", "candidates": 20}
    (folder / "runs/attribute/result.json").write_text(json.dumps(found))
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
            "attribute": {"folder": "runs/attribute", "settings": to_dict(preset(recall="all"))},
        },
    }
    (folder / "demo.json").write_text(json.dumps(manifest))
    return folder


def test_the_demo_is_ready_without_computing(workspace, assets, started):
    study = install_demo(workspace, folder=assets)
    assert (study.name, study.counts["samples"], study.counts["unsafe"]) == ("demo", 20, 5)
    assert study.samples()["harmful"].tolist() == [0.2] * 20
    assert study.samples()["helpful"].tolist() == [0.8] * 20
    assert study.queries()["category"].tolist() == ["tools"] * 4
    assert (study.factors_folder / "f.safetensors").is_file()
    clustering = study.cluster(ClusterSettings(k=2))
    batch = attributions.attribute_clusters(study, clustering)
    assert attributions.latest_corpus_attribution(study).id == batch.id
    assert batch.record.parents == (clustering.id,)
    assert batch.record.outcome == "20 samples scored"
    assert started == []


def test_installing_again_changes_nothing(workspace, assets):
    first = install_demo(workspace, folder=assets)
    assert install_demo(workspace, folder=assets) == first
    assert len(list_runs(workspace)) == 2


@pytest.mark.parametrize(
    ("name", "same"),
    [
        ("README.md", True),
        ("factors/factors-1.safetensors", True),
        ("runs/attribute/scores.parquet", True),
        ("samples.parquet", False),
        ("impure/model.safetensors", False),
    ],
)
def test_a_demo_is_the_same_where_only_what_was_computed_from_it_changed(workspace, assets, name, same):
    def write(digest):
        manifest = json.loads((assets / "demo.json").read_text())
        (assets / "demo.json").write_text(json.dumps({**manifest, "sha256": {name: digest}}))

    write("before")
    study = install_demo(workspace, folder=assets)
    write("after")
    if same:
        assert install_demo(workspace, folder=assets) == study
    else:
        with pytest.raises(StoreError, match="lancet study delete demo"):
            install_demo(workspace, folder=assets)


def test_a_demo_of_other_assets_is_not_mixed_in(workspace, assets, tmp_path):
    install_demo(workspace, folder=assets)
    (tmp_path / "more").mkdir()
    with pytest.raises(StoreError, match="lancet study delete demo"):
        install_demo(workspace, folder=write_assets(tmp_path / "other", tmp_path / "more", seed=1))


def test_missing_assets_are_named(workspace, assets, tmp_path):
    with pytest.raises(DataError, match="lancet demo build"):
        install_demo(workspace, folder=tmp_path / "nowhere")
    (assets / "scores.parquet").unlink()
    with pytest.raises(DataError, match="the demo's scores is missing"):
        install_demo(workspace, folder=assets)
    assert list_studies(workspace=workspace) == []


def test_the_shipped_demo_comes_with_runs_that_are_read(workspace):
    study = install_demo(workspace)
    clustering = attributions.latest_clustering(study)
    batch = attributions.latest_corpus_attribution(study)
    assert clustering.result.k == len(attributions.read_clusters(study, clustering)["cluster"].unique())
    assert {group.query_id for group in batch.result.queries} == set(batch.result.scores["query_id"])
    assert batch.result.candidates == study.counts["samples"]
    assert all(run.record.outcome and run.record.title for run in study.runs())
