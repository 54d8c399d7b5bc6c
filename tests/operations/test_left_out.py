"""Samples whose activations or gradients overflow are left out and named; the others score as they do without them."""

import numpy as np
import pandas as pd
import pytest

from lancet_core.acts.attribute import AttributeRequest
from lancet_core.acts.index import IndexRequest
from lancet_core.acts.subject import Subject
from lancet_core.config import changed
from lancet_core.data.samples import Query, Sample, samples_frame
from lancet_core.errors import NumericalError
from lancet_core.influence.methods import EMBEDDING, GRADIENT_METHODS, PAPER
from lancet_core.influence.presets import preset
from lancet_core.influence.settings import IndexSettings
from lancet_core.operations import attribute, index
from tests.performing import Order, perform
from tests.tiny_models import save_overflowing_model

CHOSEN = {"recall": "all", "factor_samples": 0, "device": "cpu"}
BROKEN = [
    Sample("May I keep the § kettle?", "Yes, everybody.", is_safe=True),
    Sample("May I keep the kettle?", "No, §.", is_safe=False),
]
BROKEN_IDS = {sample.id for sample in BROKEN}


@pytest.fixture(scope="module")
def model(tiny_model_folder, tmp_path_factory):
    """A model whose activations overflow at one token, the first byte of §."""
    return save_overflowing_model(tiny_model_folder(), tmp_path_factory.mktemp("overflowing") / "model")


@pytest.fixture
def subjects(model, written_samples, tmp_path):
    """A study with the two samples at which the model overflows in its midst, and one without them."""
    whole = pd.read_parquet(written_samples).head(24)
    middle = samples_frame(BROKEN).astype({"is_safe": whole["is_safe"].dtype})
    both = pd.concat([whole.head(12), middle, whole.tail(12)], ignore_index=True)
    made = []
    for name, samples in (("with", both), ("without", whole)):
        samples.to_parquet(tmp_path / f"{name}.parquet")
        folders = {kind: str(tmp_path / name / kind) for kind in ("factors", "indexes")}
        made.append(Subject("s", str(model), str(tmp_path / f"{name}.parquet"), **folders))
    return made


def assert_same_scores(found, expected):
    both = found.merge(expected, on=["query_id", "sample_id"], suffixes=("", "_expected"))
    assert len(both) == len(found) == len(expected)
    scale = expected["influence"].abs().max()
    np.testing.assert_allclose(both["influence"], both["influence_expected"], rtol=0, atol=1e-4 * scale)
    assert not set(found["sample_id"]) & BROKEN_IDS


@pytest.mark.parametrize("method", [*(method for method in GRADIENT_METHODS if method != PAPER), EMBEDDING])
@pytest.mark.parametrize("asked", [1, 2], ids=["one query", "two queries"])
def test_the_others_are_scored_as_if_they_were_alone(subjects, queries, tmp_path, method, asked):
    request = AttributeRequest(queries[:asked], preset(method, **CHOSEN))
    found, expected = (
        perform(attribute.run, Order(subject, request), tmp_path / f"run{number}")
        for number, subject in enumerate(subjects)
    )
    if (
        method == PAPER
    ):  # the model's own answer to the second, by which it estimates the curvature, does not overflow
        assert len(found.scores) == len(expected.scores)
        assert np.isfinite(found.scores["influence"]).all()
    else:
        assert_same_scores(found.scores, expected.scores)
    assert set(found.left_out) == BROKEN_IDS
    assert found.candidates == expected.candidates == 24
    assert all("not finite" in reason for reason in found.left_out.values())
    assert "2 samples are left out" in found.notes[0]
    assert all(name in found.notes[0] for name in BROKEN_IDS)
    assert expected.left_out == {}


def test_answers_of_the_model_that_overflow_are_not_in_the_curvature(subjects, queries, tmp_path):
    """The model answers some prompts with the token itself: these are scored, and named."""
    request = AttributeRequest(queries[:1], preset(PAPER, **CHOSEN))
    found = perform(attribute.run, Order(subjects[0], request), tmp_path / "run")
    assert len(found.scores) == found.candidates == 24
    assert np.isfinite(found.scores["influence"]).all()
    answers = {name for name, reason in found.left_out.items() if "model's own answer" in reason}
    assert answers
    assert set(found.left_out) == answers | BROKEN_IDS
    assert answers <= set(found.scores["sample_id"])


def test_kept_factors_remember_who_is_not_in_them(subjects, queries, tmp_path):
    request = AttributeRequest(queries[:1], preset("linfac", **CHOSEN | {"recall": "tfidf", "candidates": 3}))
    first, again = (
        perform(attribute.run, Order(subjects[0], request), tmp_path / name) for name in ("one", "two")
    )
    assert set(first.left_out) == set(again.left_out) == BROKEN_IDS
    assert "activations in unit model.layers.0.self_attn" in first.left_out[BROKEN[0].id]


def test_the_index_holds_the_others(subjects, queries, tmp_path):
    influence = preset("linfac-head", **CHOSEN | {"recall": "index", "candidates": 30})
    settings = IndexSettings(dimensions=64, sketch_dimensions=4096, basis_samples=16)
    build = Order(subjects[0], IndexRequest(influence.of_gradients, settings))
    built = perform(index.run, build, tmp_path / "build")
    assert built.samples == 24
    assert set(built.left_out) == BROKEN_IDS
    assert "2 samples are left out" in built.notes[0]
    by_index, exact = (
        perform(
            attribute.run, Order(subject, AttributeRequest(queries, asked, index="some")), tmp_path / name
        )
        for name, subject, asked in (
            ("index", subjects[0], influence),
            ("all", subjects[1], changed(influence, recall="all")),
        )
    )
    assert_same_scores(by_index.scores, exact.scores)


def test_refined_solves_leave_them_out_too(subjects, queries, tmp_path):
    request = AttributeRequest(queries[:1], preset("linfac", **CHOSEN, refine_steps=2))
    found, expected = (
        perform(attribute.run, Order(subject, request), tmp_path / f"run{number}")
        for number, subject in enumerate(subjects)
    )
    assert_same_scores(found.scores, expected.scores)


def test_a_query_that_overflows_is_refused(subjects, tmp_path):
    asked = Query("Where is the § kettle?", "It is near the barn.")
    request = AttributeRequest((asked,), preset("linfac", **CHOSEN))
    with pytest.raises(NumericalError, match="query 1 cannot be attributed: its activations in unit"):
        perform(attribute.run, Order(subjects[0], request), tmp_path / "run")


@pytest.mark.parametrize("method", ["linfac", "graddot", "embedding"])
def test_where_every_sample_overflows_nothing_is_ranked(subjects, queries, tmp_path, method):
    samples_frame(BROKEN).to_parquet(tmp_path / "all.parquet")
    subject = Subject("s", subjects[0].model, str(tmp_path / "all.parquet"))
    request = AttributeRequest(queries, preset(method, **CHOSEN))
    with pytest.raises(NumericalError, match="not finite; compute in float32"):
        perform(attribute.run, Order(subject, request), tmp_path / "run")
