"""Samples at which the start model overflows are left out of a correction and named; the others are trained on as they are without them."""

import dataclasses

import pandas as pd
import pytest
from safetensors.torch import load_file
from torch.testing import assert_close

from lancet_core.acts.correct import PAIRS, RETAIN, CorrectRequest
from lancet_core.acts.subject import Subject
from lancet_core.config import to_dict
from lancet_core.correction.pair_files import PairSide, ReviewedPair
from lancet_core.correction.settings import CorrectionSettings
from lancet_core.data.samples import Query, Sample, samples_frame
from lancet_core.errors import NumericalError
from lancet_core.operations.correct import NOT_FINITE, run
from tests.performing import Order, perform
from tests.tiny_models import save_overflowing_model
from tests.written_rows import texts

pytestmark = pytest.mark.usefixtures("one_thread")
# The weights that overflow are as far from themselves as from any others: no proximity.
FAST = CorrectionSettings(
    steps=6, checkpoint_every=3, warmup_steps=1, pair_batch=2, retain_batch=3, learning_rate=1e-3, proximity=0.0, device="cpu",
)  # fmt: skip


@pytest.fixture(scope="module")
def model(tiny_model_folder, tmp_path_factory):
    return str(save_overflowing_model(tiny_model_folder(), tmp_path_factory.mktemp("overflowing") / "model"))


def side(prompt, response, influence):
    return PairSide(Sample(prompt, response).id, prompt, response, influence)


def pair(index, *, bad="", good=""):
    prompt, right, wrong = texts(index)
    return ReviewedPair(f"pair{index}", "0", side(prompt, wrong + bad, 0.9), side(prompt, right + good, -0.6))


def retained(*indices, mark=""):
    return [Sample(texts(index)[0], texts(index)[1] + mark) for index in indices]


WHOLE, WHOLE_RETAINED = [pair(0), pair(3)], retained(*range(8, 20))
# In the midst of the others, each side once, and the retain samples before the others, so that every place changes.
BROKEN = [pair(1, bad="§"), pair(2, good="§")]
BROKEN_RETAINED = retained(20, 21, mark=" §")
BROKEN_IDS = {BROKEN[0].positive.sample_id, BROKEN[1].negative.sample_id} | {
    sample.id for sample in BROKEN_RETAINED
}


def order(model, folder, pairs, kept):
    sides = [each for pair in pairs for each in (pair.positive, pair.negative)]
    samples = [*kept, *(Sample(each.prompt, each.response) for each in sides)]
    samples_frame(samples).to_parquet(folder / "samples.parquet")
    inputs = {
        PAIRS: [to_dict(pair) for pair in pairs],
        RETAIN: pd.DataFrame({"id": [sample.id for sample in kept]}),
    }
    request = CorrectRequest(FAST, (Query(*texts(0)[:2]),), pairs=len(pairs))
    return Order(Subject("study", model, str(folder / "samples.parquet")), request, inputs)


@pytest.mark.parametrize("form", ["bounded", "literal"])
def test_the_others_are_trained_on_as_if_they_were_alone(model, tmp_path, form):
    """The start model is measured in other batches, which moves the last digits alone."""
    results, weights = [], []
    for name, pairs, kept in (
        ("with", [WHOLE[0], *BROKEN, WHOLE[1]], [*BROKEN_RETAINED, *WHOLE_RETAINED]),
        ("without", WHOLE, WHOLE_RETAINED),
    ):
        (folder := tmp_path / name).mkdir()
        asked = order(model, folder, pairs, kept)
        asked = asked.changed(correction=dataclasses.replace(FAST, form=form))
        results.append(perform(run, asked, folder / "run"))
        weights.append(load_file(results[-1].model / "model.safetensors"))
    found, alone = results
    assert_close(weights[0], weights[1], rtol=0, atol=1e-6, equal_nan=True)
    assert found.left_out == dict.fromkeys(BROKEN_IDS, NOT_FINITE)
    assert (
        (found.pairs, found.passes, found.retain) == (alone.pairs, alone.passes, alone.retain) == (2, 6.0, 12)
    )
    assert "4 samples are left out (" in found.notes[0]
    assert found.notes[1] == "2 of 4 pairs are trained on"
    assert "| pairs | 2 |" in (found.model / "README.md").read_text()
    assert (alone.left_out, alone.notes) == ({}, ())


@pytest.mark.parametrize(
    ("pairs", "kept", "words"),
    [
        (BROKEN, WHOLE_RETAINED, "any of the 2 pairs: it overflows; train in float32"),
        (WHOLE, BROKEN_RETAINED, "any of the 2 retain samples: it overflows"),
    ],
    ids=["pairs", "retain samples"],
)
def test_where_all_overflow_nothing_is_trained(model, tmp_path, pairs, kept, words):
    with pytest.raises(NumericalError, match=words):
        perform(run, order(model, tmp_path, pairs, kept), tmp_path / "run")
