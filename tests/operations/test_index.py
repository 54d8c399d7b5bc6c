"""The operation `index`, and attribution that recalls by it: whole, killed, cut short, of another model."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from safetensors.numpy import load_file

from lancet_core.acts.attribute import AttributeRequest
from lancet_core.acts.index import IndexRequest
from lancet_core.acts.subject import Subject
from lancet_core.config import changed
from lancet_core.errors import ConfigError, DataError, ModelError
from lancet_core.influence.preconditioner import UnitPreconditioner
from lancet_core.influence.presets import preset
from lancet_core.influence.settings import IndexSettings
from lancet_core.operations import attribute, index
from lancet_core.progress import silent
from tests.performing import Order, perform
from tests.tiny_models import save_tiny_model

CHOSEN = {"candidates": 10, "factor_samples": 30, "device": "cpu"}
INFLUENCE = preset(recall="index", **CHOSEN)


@pytest.fixture
def order(tiny_model_folder, written_samples, tmp_path):
    subject = Subject(
        "s",
        str(tiny_model_folder()),
        str(written_samples),
        factors=str(tmp_path / "factors"),
        indexes=str(tmp_path / "indexes"),
    )
    settings = IndexSettings(dimensions=512, sketch_dimensions=4096, basis_samples=512)
    return Order(subject, IndexRequest(INFLUENCE.of_gradients, settings))


@pytest.fixture
def build(tmp_path):
    return lambda order, progress=silent: perform(index.run, order, tmp_path / "build", progress)


@pytest.fixture
def query(order, queries, tmp_path):
    def run(**changes):
        asked = Order(order.subject, AttributeRequest(queries, INFLUENCE, index="some"))
        result = perform(attribute.run, asked.changed(**changes), tmp_path / "run")
        return result, result.scores

    return run


def place_of(order):
    return Path(order.subject.indexes) / order.request.influence.gradient_key


def shards_of(order):
    return sorted(place_of(order).glob("projections-*.safetensors"))


@pytest.mark.parametrize("method", ["linfac", "linfac-head"])
def test_candidates_of_the_index_are_the_exact_top_of_all_samples(order, query, tmp_path, method, build):
    """With as many dimensions as samples, and a sketch of far more than there are coordinates, only int8 stands between index and exact scores.

    Those of linfac-head are divided by the root of each sample's influence on itself, in the index as in the exact scores.
    """
    asked = preset(method, recall="index", **CHOSEN)
    everything = replace(order.request.index, sketch_dimensions=1 << 18)
    summary = build(order.changed(influence=asked.of_gradients, index=everything))
    count = summary.samples
    assert summary.dimensions <= count
    assert summary.bytes_per_sample > 0
    result, found = query(influence=asked)
    assert result.recall == "index"
    _, whole = query(influence=changed(asked, recall="all"))
    assert len(whole) == 3 * count
    for name, own in found.groupby("query_id"):
        every = whole[whole["query_id"] == name].set_index("sample_id")["influence"]
        assert len(own) == 10
        top = set(every.nlargest(3).index) | set(every.nsmallest(3).index)
        assert top <= set(own["sample_id"])
        expected = every.loc[own["sample_id"]].to_numpy()
        np.testing.assert_allclose(own["influence"], expected, atol=1e-5 * every.abs().max())


def test_norms_that_the_index_keeps_are_not_measured_again(
    order, query, queries, tmp_path, monkeypatch, build
):
    asked = INFLUENCE
    build(order.changed(influence=asked.of_gradients))
    _, whole = query(influence=changed(asked, recall="all"), queries=queries[:1])
    monkeypatch.setattr(UnitPreconditioner, "score", None)
    for count in (1, 2):
        _, found = query(influence=asked, queries=queries[:count])
        found = found[found["query_id"] == queries[0].id]
        every = whole.set_index("sample_id")["influence"]
        expected = every.loc[found["sample_id"]].to_numpy()
        np.testing.assert_allclose(found["influence"], expected, atol=1e-5 * every.abs().max())


def test_samples_beyond_the_basis_are_read_too(order, tmp_path, monkeypatch, build):
    """Norms do not depend on the basis: those of a build whose basis has read 16 samples are those of one that has read all."""
    monkeypatch.setattr(index, "SHARD_SAMPLES", 16)
    found = []
    for name, count in (("few", 16), ("all", 512)):
        own = order.changed(
            indexes=str(tmp_path / name), index=replace(order.request.index, basis_samples=count)
        )
        summary = build(own)
        shards = [load_file(shard) for shard in shards_of(own)]
        rows, norms = (np.concatenate([shard[part] for shard in shards]) for part in ("rows", "norms"))
        assert sorted(rows) == list(range(summary.samples))
        assert all(shard["projections"].shape == (len(shard["rows"]), summary.dimensions) for shard in shards)
        found.append(norms[rows.argsort()])
    assert len(found[0]) > 16
    np.testing.assert_allclose(*found, rtol=1e-5)


def test_a_killed_build_goes_on_from_its_last_whole_shard(order, query, tmp_path, monkeypatch, build):
    monkeypatch.setattr(index, "SHARD_SAMPLES", 16)

    class Killed(Exception):
        pass

    def kill(step, done=0, total=None, **values):
        if step == index.STAGE and done == 32:
            raise Killed

    with pytest.raises(Killed):
        build(order, kill)
    assert len(shards_of(order)) == 2
    with pytest.raises(DataError, match="no whole gradient index"):
        query()
    before = [shard.stat().st_mtime_ns for shard in shards_of(order)]
    told = []
    build(order, lambda step, done=0, total=None: told.append(step))
    assert index.CHOOSING not in told
    assert [shard.stat().st_mtime_ns for shard in shards_of(order)][:2] == before
    query()


def test_a_shard_that_was_cut_short_is_named_and_alone_made_again(order, query, tmp_path, monkeypatch, build):
    monkeypatch.setattr(index, "SHARD_SAMPLES", 16)
    build(order)
    _, expected = query()
    broken = shards_of(order)[1]
    broken.write_bytes(broken.read_bytes()[:-40])
    with pytest.raises(DataError, match="shard 1 of projections"):
        query()
    others = {shard: shard.stat().st_mtime_ns for shard in shards_of(order) if shard != broken}
    build(order)
    assert {shard: shard.stat().st_mtime_ns for shard in others} == others
    pd.testing.assert_frame_equal(query()[1], expected)


def test_other_candidates_of_as_many_samples_are_scored_again(order, query, tmp_path, monkeypatch, build):
    """An index that is built again may choose other samples: scores that the same run kept of the first ones are not theirs."""
    monkeypatch.setattr(attribute, "SHARD_SAMPLES", 4)
    build(order)
    _, whole = query(influence=changed(INFLUENCE, recall="all"))
    every = whole.set_index(["query_id", "sample_id"])["influence"]
    for chosen in (np.arange(10), np.arange(10, 20)):
        monkeypatch.setattr(index.sketch, "strongest", lambda scores, count, chosen=chosen: chosen)
        _, scores = query()
        expected = every.loc[list(zip(scores["query_id"], scores["sample_id"], strict=True))].to_numpy()
        np.testing.assert_allclose(scores["influence"], expected, atol=1e-5 * every.abs().max())


def test_an_index_of_another_model_is_refused(order, query, tmp_path, build):
    build(order)
    other = save_tiny_model("llama", tmp_path / "other", seed=1)
    with pytest.raises(ModelError, match="another model"):
        query(model=str(other), factors="")
    with pytest.raises(DataError, match="no whole gradient index"):
        query(influence=changed(INFLUENCE, damping=0.5))


def test_a_smaller_index_leaves_no_shards_of_the_larger(order, tmp_path, monkeypatch, build):
    monkeypatch.setattr(index, "SHARD_SAMPLES", 16)
    build(order)
    many = len(shards_of(order))
    monkeypatch.setattr(index, "SHARD_SAMPLES", 4096)
    build(order.changed(index=replace(order.request.index, precision="float16")))
    assert len(shards_of(order)) == 1 < many
    manifest = json.loads((place_of(order) / index.MANIFEST).read_text(encoding="utf-8"))
    assert manifest["shards"] == 1


def test_methods_without_gradients_or_curvature_have_no_index(order, query, tmp_path, build):
    with pytest.raises(ConfigError, match="needs gradients"):
        query(influence=preset("tfidf", recall="index"))
    with pytest.raises(ConfigError, match="needs a curvature"):
        build(order.changed(influence=preset("graddot", **CHOSEN).of_gradients))
    with pytest.raises(ConfigError, match="lancet index build"):
        query(index="")


def test_progress_is_told_and_silence_is_possible(order, tmp_path, build):
    told = []
    build(order, lambda step, done=0, total=None: told.append((step, done, total)))
    assert {step for step, _, _ in told} >= {index.CHOOSING, index.STAGE}
    build(order)
