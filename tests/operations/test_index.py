"""The operation `index`, and attribution that recalls by it: whole, killed, cut short, of another model."""

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from safetensors.numpy import load_file

from lancet_core.errors import ConfigError, DataError, ModelError
from lancet_core.influence.preconditioner import UnitPreconditioner
from lancet_core.influence.settings import IndexSettings, InfluenceSettings
from lancet_core.operations import attribute, index
from lancet_core.operations.configs import AttributeConfig, IndexConfig
from lancet_core.progress import silent
from tests.tiny_models import save_tiny_model

INFLUENCE = InfluenceSettings(recall="index", candidates=10, factor_samples=30, device="cpu")


@pytest.fixture
def config(tiny_model_folder, written_samples, tmp_path):
    return IndexConfig(
        study="s",
        model=str(tiny_model_folder()),
        samples=str(written_samples),
        template="auto",
        to=str(tmp_path / "index"),
        influence=INFLUENCE,
        index=IndexSettings(numbers_per_sample=512, buckets=4096, basis_samples=512),
        factors=str(tmp_path / "factors"),
    )


@pytest.fixture
def query(config, queries, tmp_path):
    def run(**changes):
        asked = AttributeConfig(
            study="s",
            model=config.model,
            samples=config.samples,
            template="auto",
            queries=queries,
            influence=INFLUENCE,
            factors=config.factors,
            index=config.to,
        )
        asked = replace(asked, **changes)
        result = attribute.run(asked, tmp_path / "run")
        return result, pd.read_parquet(tmp_path / "run" / "scores.parquet")

    return run


def shards_of(config):
    return sorted((index.Path(config.to)).glob("numbers-*.safetensors"))


@pytest.mark.parametrize("method", ["linfac", "linfac-head"])
def test_candidates_of_the_index_are_the_exact_top_of_all_samples(config, query, tmp_path, method):
    """With as many numbers as samples, and far more buckets than coordinates, only int8 stands between index and exact scores.

    Those of linfac-head are divided by the root of each sample's influence on itself, in the index as in the exact scores.
    """
    asked = replace(INFLUENCE, method=method)
    everything = replace(config.index, buckets=1 << 18)
    summary = index.run(replace(config, influence=asked, index=everything), tmp_path / "build")
    count = summary["samples"]
    assert summary["numbers"] <= count
    assert summary["bytes_per_sample"] > 0
    result, found = query(influence=asked)
    assert result["recall"] == "index"
    _, whole = query(influence=replace(asked, recall="all"))
    assert len(whole) == 3 * count
    for name, own in found.groupby("query_id"):
        every = whole[whole["query_id"] == name].set_index("sample_id")["influence"]
        assert len(own) == 10
        top = set(every.nlargest(3).index) | set(every.nsmallest(3).index)
        assert top <= set(own["sample_id"])
        expected = every.loc[own["sample_id"]].to_numpy()
        np.testing.assert_allclose(own["influence"], expected, atol=1e-5 * every.abs().max())


def test_lengths_that_the_index_keeps_are_not_measured_again(config, query, queries, tmp_path, monkeypatch):
    asked = replace(INFLUENCE, method="linfac-head")
    index.run(replace(config, influence=asked), tmp_path / "build")
    _, whole = query(influence=replace(asked, recall="all"), queries=queries[:1])
    monkeypatch.setattr(UnitPreconditioner, "score", None)
    for detail in (50, 0):
        _, found = query(influence=asked, queries=queries[:1], detail=detail)
        every = whole.set_index("sample_id")["influence"]
        expected = every.loc[found["sample_id"]].to_numpy()
        np.testing.assert_allclose(found["influence"], expected, atol=1e-5 * every.abs().max())


def test_samples_beyond_the_basis_are_read_too(config, tmp_path, monkeypatch):
    """Lengths do not depend on the basis: those of a build whose basis has read 16 samples are those of one that has read all."""
    monkeypatch.setattr(index, "SHARD_SAMPLES", 16)
    found = []
    for name, count in (("few", 16), ("all", 512)):
        own = replace(config, to=str(tmp_path / name), index=replace(config.index, basis_samples=count))
        summary = index.run(own, tmp_path / "build")
        shards = [load_file(shard) for shard in shards_of(own)]
        rows, lengths = (np.concatenate([shard[part] for shard in shards]) for part in ("rows", "lengths"))
        assert sorted(rows) == list(range(summary["samples"]))
        assert all(shard["numbers"].shape == (len(shard["rows"]), summary["numbers"]) for shard in shards)
        found.append(lengths[rows.argsort()])
    assert len(found[0]) > 16
    np.testing.assert_allclose(*found, rtol=1e-5)


def test_a_killed_build_goes_on_from_its_last_whole_shard(config, query, tmp_path, monkeypatch):
    monkeypatch.setattr(index, "SHARD_SAMPLES", 16)

    class Killed(Exception):
        pass

    def kill(step, done=0, total=None, **values):
        if step == index.STAGE and done == 32:
            raise Killed

    with pytest.raises(Killed):
        index.run(config, tmp_path / "build", kill)
    assert len(shards_of(config)) == 2
    with pytest.raises(DataError, match="no whole gradient index"):
        query()
    before = [shard.stat().st_mtime_ns for shard in shards_of(config)]
    told = []
    index.run(config, tmp_path / "build", lambda step, done=0, total=None: told.append(step))
    assert index.CHOOSING not in told
    assert [shard.stat().st_mtime_ns for shard in shards_of(config)][:2] == before
    query()


def test_a_shard_that_was_cut_short_is_named_and_alone_made_again(config, query, tmp_path, monkeypatch):
    monkeypatch.setattr(index, "SHARD_SAMPLES", 16)
    index.run(config, tmp_path / "build")
    _, expected = query()
    broken = shards_of(config)[1]
    broken.write_bytes(broken.read_bytes()[:-40])
    with pytest.raises(DataError, match="shard 1 of numbers"):
        query()
    others = {shard: shard.stat().st_mtime_ns for shard in shards_of(config) if shard != broken}
    index.run(config, tmp_path / "build")
    assert {shard: shard.stat().st_mtime_ns for shard in others} == others
    pd.testing.assert_frame_equal(query()[1], expected)


def test_an_index_of_another_model_is_refused(config, query, tmp_path):
    index.run(config, tmp_path / "build")
    other = save_tiny_model("llama", tmp_path / "other", seed=1)
    with pytest.raises(ModelError, match="another model"):
        query(model=str(other), factors="")
    with pytest.raises(ModelError, match="other settings"):
        query(influence=replace(INFLUENCE, damping=0.5))


def test_a_smaller_index_leaves_no_shards_of_the_larger(config, tmp_path, monkeypatch):
    monkeypatch.setattr(index, "SHARD_SAMPLES", 16)
    index.run(config, tmp_path / "build")
    many = len(shards_of(config))
    monkeypatch.setattr(index, "SHARD_SAMPLES", 4096)
    index.run(replace(config, index=replace(config.index, precision="float16")), tmp_path / "build")
    assert len(shards_of(config)) == 1 < many
    manifest = json.loads((index.Path(config.to) / index.MANIFEST).read_text(encoding="utf-8"))
    assert manifest["shards"] == 1


def test_methods_without_gradients_or_curvature_have_no_index(config, query, tmp_path):
    with pytest.raises(ConfigError, match="needs gradients"):
        query(influence=replace(INFLUENCE, method="tfidf"))
    with pytest.raises(ConfigError, match="needs a curvature"):
        index.run(replace(config, influence=replace(INFLUENCE, method="graddot")), tmp_path / "build")
    with pytest.raises(ConfigError, match="lancet index build"):
        query(index="")


def test_progress_is_told_and_silence_is_possible(config, tmp_path):
    told = []
    index.run(config, tmp_path / "build", lambda step, done=0, total=None: told.append((step, done, total)))
    assert {step for step, _, _ in told} >= {index.CHOOSING, index.STAGE}
    index.run(config, tmp_path / "again", silent)
