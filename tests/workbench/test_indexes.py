"""Gradient indexes of a study: which one answers a query, when one is of no use, and what building one starts."""

import os
import time
from dataclasses import replace

import pytest

from lancet_core.config import to_dict
from lancet_core.data.samples import Query, Sample, corpus_id, read_samples, samples_frame
from lancet_core.errors import ConfigError, DataError, JobError
from lancet_core.influence.index_manifest import Manifest, write_manifest
from lancet_core.influence.settings import IndexSettings, InfluenceSettings
from lancet_core.runs import launcher
from lancet_core.store import database
from lancet_core.store.run_status import CANCELLED, DONE, Status, now
from lancet_core.store.studies import NewStudy, add_study
from lancet_core.workbench import attributions, indexes
from lancet_core.workspace import open_workspace

LINFAC, CASE = InfluenceSettings(method="linfac"), Query("May I?", "Yes.")


@pytest.fixture
def workspace(tmp_path):
    opened = open_workspace(tmp_path / "workspace")
    yield opened
    database.close(opened)


@pytest.fixture
def study(workspace, tmp_path):
    made = add_study(workspace, NewStudy("mine", str(tmp_path / "model"), counts={"samples": 3}))
    samples_frame([Sample(f"May I {n}?", "Yes.") for n in range(3)]).to_parquet(made.samples)
    return made


@pytest.fixture
def started(monkeypatch, workspace):
    """Enters runs in the index without setting anybody to work: `started` lists them."""
    kept = []
    monkeypatch.setattr(launcher, "_set_to_work", lambda _workspace, folder, _lock, warm: kept.append(folder))
    monkeypatch.setattr("lancet_core.store.run_status.is_locked", lambda _folder: True)
    return kept


def write_index(study, settings=LINFAC, **changes):
    """Writes an index of which only the manifest is read here."""
    manifest = Manifest(
        engine="e", model="m", corpus=corpus_id(read_samples(study.samples)["id"]), basis="b", key="k", shards=1,
        samples=3, too_long=0, buckets=4, numbers=2, bytes_per_sample=10.0, influence=to_dict(settings), index={},
    )  # fmt: skip
    folder = indexes._folder(study, settings)
    folder.mkdir(parents=True)
    write_manifest(folder, replace(manifest, **changes))
    return folder


def end(run_folder, state):
    moment = now()
    run_folder.write_status(Status(state, started_at=moment, updated_at=moment))


def test_an_index_answers_whatever_its_gradients_do_not_depend_on(study):
    folder = write_index(study)
    same = replace(LINFAC, recall="index", candidates=7, normalise="self", refine_steps=2, units="sublayers")
    assert indexes.require_index(study, same).folder == folder
    for other in ({"damping": 0.5}, {"method": "ekfac"}, {"seed": 1}, {"dtype": "float64"}):
        assert indexes.usable_index(study, replace(LINFAC, **other)) is None


def test_a_method_does_not_push_out_the_index_of_another(study):
    write_index(study)
    write_index(study, InfluenceSettings(method="ekfac"))
    assert {index.manifest.influence["method"] for index in indexes.list_indexes(study)} == {
        "linfac",
        "ekfac",
    }


def test_an_index_of_other_samples_is_of_no_use(study):
    write_index(study)
    samples_frame([Sample("Another?", "No.")]).to_parquet(study.samples)
    assert indexes.usable_index(study, LINFAC) is None
    with pytest.raises(DataError, match="training samples have changed since it was built; build it with"):
        indexes.require_index(study, LINFAC)


def test_an_index_of_another_model_is_of_no_use(workspace, tiny_model_folder):
    made = add_study(workspace, NewStudy("theirs", str(tiny_model_folder()), counts={"samples": 1}))
    samples_frame([Sample("May I?", "Yes.")]).to_parquet(made.samples)
    write_index(made, model="another")
    with pytest.raises(DataError, match="the model has changed since it was built"):
        indexes.require_index(made, LINFAC)


@pytest.mark.parametrize(
    ("settings", "error", "words"),
    [
        (
            LINFAC,
            DataError,
            "no gradient index for linfac; build it with: lancet index build mine --method linfac, or set recall",
        ),
        (
            InfluenceSettings(method="ekfac", damping=0.5),
            DataError,
            "build mine --method ekfac --damping 0.5",
        ),
        (InfluenceSettings(method="bm25"), ConfigError, "cannot answer bm25, which takes no gradients"),
        (InfluenceSettings(method="graddot"), ConfigError, "graddot, which has no curvature"),
    ],
)
def test_what_is_missing_is_told_before_anything_starts(workspace, study, started, settings, error, words):
    with pytest.raises(error, match=words):
        attributions.start_trace(workspace, study, CASE, settings=replace(settings, recall="index"))
    assert started == []


def test_one_build_at_a_time_and_a_stopped_one_goes_on(workspace, study, started):
    first = indexes.start_index(workspace, study)
    assert indexes.start_index(workspace, study, influence=InfluenceSettings(candidates=5)) == first
    with pytest.raises(JobError, match=f"another build of this index is going: {first}"):
        indexes.start_index(workspace, study, index=IndexSettings(numbers_per_sample=64))
    assert indexes.start_index(workspace, study, influence=InfluenceSettings(method="ekfac")) != first
    end(started[0], CANCELLED)
    assert indexes.start_index(workspace, study) == first
    end(started[0], DONE)
    assert indexes.start_index(workspace, study) != first
    assert indexes.last_build(workspace, study, InfluenceSettings()).id == started[-1].id


def test_a_trace_that_is_older_than_the_index_is_made_again(workspace, study, started):
    settings = replace(LINFAC, recall="index")
    folder = write_index(study)
    os.utime(folder / "index.json", (time.time() - 60,) * 2)
    first = attributions.start_trace(workspace, study, CASE, settings=settings)
    assert started[-1].config["index"] == str(folder)
    end(started[-1], DONE)
    assert attributions.start_trace(workspace, study, CASE, settings=settings) == first
    os.utime(folder / "index.json", (time.time() + 60,) * 2)
    assert attributions.start_trace(workspace, study, CASE, settings=settings) != first


def test_cost_is_judged_by_an_earlier_run_over_all_samples(workspace, study, monkeypatch):
    settings = IndexSettings(numbers_per_sample=64, buckets=100, basis_samples=2000)
    assert indexes.estimate(workspace, study, settings) == indexes.Estimate(6 * (3 + 12) + 100 * 3 * 2, None)
    run = attributions.RunRecord("a", "mine", "attribute", "k", study.folder, DONE, now(), now())
    few, whole = ({"seconds": 6.0, "candidates": count, "method": "linfac"} for count in (0, 3))
    monkeypatch.setattr(
        indexes, "list_runs", lambda *_, **__: [replace(run, summary=few), replace(run, summary=whole)]
    )
    assert indexes.estimate(workspace, study, settings).seconds == pytest.approx(2.0 * 3)
