"""Gradient indexes of a study: which one answers a query, when one is of no use, and what building one starts."""

from dataclasses import replace

import pytest

from lancet_core.config import changed, to_dict
from lancet_core.data.samples import Query, Sample, corpus_id, read_samples, samples_frame
from lancet_core.errors import ConfigError, DataError, JobError
from lancet_core.influence.index_manifest import Manifest, write_manifest
from lancet_core.influence.presets import preset
from lancet_core.influence.settings import IndexSettings
from lancet_core.store.run_status import CANCELLED, FAILED
from lancet_core.store.studies import NewStudy, add_study
from lancet_core.study import indexes
from lancet_core.study.study import handle

LINFAC, CASE = preset("linfac"), Query("May I?", "Yes.")


@pytest.fixture
def study(workspace):
    made = handle(add_study(workspace, NewStudy("mine", "some/model", counts={"samples": 3})))
    samples_frame([Sample(f"May I {n}?", "Yes.") for n in range(3)]).to_parquet(made.samples_file)
    return made


def write_index(study, settings=LINFAC, **changes):
    """Writes an index of which only the manifest is read here."""
    manifest = Manifest(
        gradients="e", model="m", corpus=corpus_id(read_samples(study.samples_file)["id"]), basis="b", key="k", shards=1,
        samples=3, too_long=0, sketch_dimensions=4, dimensions=2, bytes_per_sample=10.0, influence=to_dict(settings), index={},
    )  # fmt: skip
    folder = indexes._folder(study, settings)
    folder.mkdir(parents=True, exist_ok=True)
    write_manifest(folder, replace(manifest, **changes))
    return folder


def test_an_index_answers_whatever_its_gradients_do_not_depend_on(study):
    folder = write_index(study)
    same = changed(LINFAC, recall="index", candidates=7, normalise="self", refine_steps=2, units="sublayers")
    assert indexes.require_index(study, same).folder == folder
    for other in ({"damping": 0.5}, {"fisher": "empirical"}, {"seed": 1}, {"dtype": "float64"}):
        assert indexes.usable_index(study, changed(LINFAC, **other)) is None


def test_a_method_does_not_push_out_the_index_of_another(study):
    write_index(study)
    write_index(study, preset("ekfac"))
    assert {index.manifest.influence["method"] for index in indexes.list_indexes(study)} == {
        "linfac",
        "ekfac",
    }


def test_an_index_of_other_samples_is_of_no_use(study):
    write_index(study)
    samples_frame([Sample("Another?", "No.")]).to_parquet(study.samples_file)
    assert indexes.usable_index(study, LINFAC) is None
    with pytest.raises(DataError, match="training samples have changed since it was built; build it with"):
        indexes.require_index(study, LINFAC)


def test_an_index_of_another_model_is_of_no_use(workspace, tiny_model_folder):
    made = handle(add_study(workspace, NewStudy("theirs", str(tiny_model_folder()), counts={"samples": 1})))
    samples_frame([Sample("May I?", "Yes.")]).to_parquet(made.samples_file)
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
            preset("ekfac", damping=0.5),
            DataError,
            "build mine --method ekfac --damping 0.5",
        ),
        (preset("bm25"), ConfigError, "cannot answer bm25, which takes no gradients"),
        (preset("graddot"), ConfigError, "graddot, which has no curvature"),
    ],
)
def test_what_is_missing_is_told_before_anything_starts(study, started, settings, error, words):
    with pytest.raises(error, match=words):
        study.attribute(CASE, changed(settings, recall="index"))
    assert started == []


def test_one_build_at_a_time_and_a_stopped_one_goes_on(study, started, end):
    first = study.build_index()
    assert study.build_index(preset(candidates=5)).id == first.id
    with pytest.raises(JobError, match=f"another build of this index is going: {first.id}"):
        study.build_index(index=IndexSettings(dimensions=64))
    assert study.build_index(preset("ekfac")).id != first.id
    for state in (CANCELLED, FAILED):
        end(first, state)
        assert study.build_index().id == first.id
        assert first.refreshed().record.state == "queued"
    end(first)
    again = study.build_index()
    assert again.id != first.id
    assert indexes.last_build(study, preset()).id == again.id


def test_a_trace_by_an_index_that_was_built_again_is_made_again(study, started, end):
    """It is found by what the index holds, not by when it was written."""
    settings = changed(LINFAC, recall="index")
    write_index(study, key="first")
    first = study.attribute(CASE, settings)
    assert first.order.request["index"] == "first"
    end(first)
    write_index(study, key="first")
    assert study.attribute(CASE, settings).id == first.id
    write_index(study, key="second")
    assert study.attribute(CASE, settings).id != first.id


def test_its_size_is_reckoned_before_it_is_built(study):
    settings = IndexSettings(dimensions=64, sketch_dimensions=100, basis_samples=2000)
    assert indexes.index_size(study, settings) == 6 * (3 + 12) + 100 * 3 * 2


def test_an_index_that_is_not_whole_is_counted_apart(study):
    folder = write_index(study)
    (folder / "index.json").unlink()
    assert (indexes.list_indexes(study), indexes.count_unfinished(study)) == ([], 1)
