"""Memory reckoned from the headers of weight files, and refused before anything is loaded."""

import json
import shutil

import pytest

from lancet_core.acts.attribute import AttributeRequest
from lancet_core.acts.subject import Subject
from lancet_core.correction.needs import correction_need
from lancet_core.correction.settings import CorrectionSettings
from lancet_core.data.samples import Query, Sample, samples_frame
from lancet_core.errors import ConfigError
from lancet_core.influence import curved_model
from lancet_core.influence.needs import attribution_need
from lancet_core.influence.presets import preset
from lancet_core.models import loading
from lancet_core.models.needs import ModelSize, Need, model_size, require, tokens_of_a_pass
from lancet_core.operations import attribute
from tests.performing import Order, perform
from tests.tiny_models import INNER, LAYERS, WIDTH, save_adapter

QUERY = Query("May I keep it?", "Yes, you may.")


@pytest.mark.parametrize("architecture", ["llama", "gpt2", "opt", "gemma2", "mixtral"])
def test_the_size_is_that_of_the_model(architecture, tiny_model, tiny_model_folder):
    size = model_size(tiny_model_folder(architecture))
    model = tiny_model(architecture).model
    assert size.parameters == sum(parameter.numel() for parameter in model.parameters())
    assert (size.width, size.layers) == (WIDTH, LAYERS)
    assert size.vocabulary == len(model.get_input_embeddings().weight)


def test_the_matrices_are_those_in_the_blocks(tiny_model_folder):
    size = model_size(tiny_model_folder("llama"))
    attention = [(WIDTH, WIDTH), (WIDTH // 2, WIDTH), (WIDTH // 2, WIDTH), (WIDTH, WIDTH)]
    mlp = [(INNER, WIDTH), (INNER, WIDTH), (WIDTH, INNER)]
    assert sorted(size.maps) == sorted([*attention, *mlp] * LAYERS)


def test_an_adapter_is_as_large_as_both(tiny_model_folder, tmp_path):
    wrapped = save_adapter(tiny_model_folder("llama"), tmp_path / "adapter")
    size = model_size(tmp_path / "adapter")
    assert size.parameters == sum(parameter.numel() for parameter in wrapped.parameters())


def test_what_is_not_here_or_names_no_sizes_is_not_reckoned(tiny_model_folder, tmp_path):
    assert model_size("organisation/name") is None
    folder = shutil.copytree(tiny_model_folder("llama"), tmp_path / "model")
    (folder / "config.json").write_text(json.dumps({"model_type": "llama"}))
    assert model_size(folder) is None


# 32 blocks of width 4,096 with 32,000 tokens, about 7 billion parameters.
LARGE = ModelSize(6_700_000_000, 32_000, 4096, 32, ((4096, 4096),) * 128 + ((11008, 4096),) * 96)


def test_each_way_out_takes_less():
    usual = attribution_need(LARGE, preset("linfac-head"), queries=1).total
    assert usual > 4 * LARGE.parameters
    for less in ({"dtype": "bfloat16"}, {"tracked": "head"}, {"tracked": "attention"}, {"last_blocks": 4}):
        assert attribution_need(LARGE, preset("linfac-head", **less), queries=1).total < usual
    assert attribution_need(LARGE, preset("linfac-head", max_tokens=64), queries=1).total < usual
    assert attribution_need(LARGE, preset("linfac-head"), queries=20).total > usual
    whole = correction_need(LARGE, CorrectionSettings()).total
    assert whole > 5 * 4 * LARGE.parameters
    for less in ({"adapter": "lora"}, {"dtype": "bfloat16"}, {"pair_batch": 1, "retain_batch": 1}):
        assert correction_need(LARGE, CorrectionSettings(**less)).total < whole


def test_a_pass_over_a_wide_vocabulary_takes_fewer_tokens():
    assert tokens_of_a_pass(330, 2048) == 2048
    assert tokens_of_a_pass(49_152, 2048) == 341
    assert tokens_of_a_pass(1_000_000, 2048) == 256


def test_what_does_not_fit_is_told_by_its_largest_part():
    need = Need({"program": 10**9, "model": 7 * 10**9})
    require("it", need, 8 * 10**9, "take less")
    with pytest.raises(
        ConfigError, match=r"it needs about 8.0 GB of memory \(model 7.0, program 1.0\), 7.9 GB"
    ):
        require("it", need, 79 * 10**8, "take less")


def test_an_attribution_that_would_not_fit_is_refused_before_the_model_is_loaded(
    tiny_model_folder, tmp_path, monkeypatch
):
    samples_frame([Sample("a?", "b.", is_safe=True)]).to_parquet(tmp_path / "samples.parquet")
    subject = Subject("s", str(tiny_model_folder("llama")), str(tmp_path / "samples.parquet"))
    order = Order(subject, AttributeRequest((QUERY,), preset("linfac", recall="all", device="cpu")))
    monkeypatch.setattr(loading, "free_for_this_process", lambda: 10**6)
    monkeypatch.setattr(curved_model, "load_model", None)  # would fail if it were called
    with pytest.raises(ConfigError, match=r"linfac on this model needs about .* --dtype bfloat16"):
        perform(attribute.run, order, tmp_path / "run")
