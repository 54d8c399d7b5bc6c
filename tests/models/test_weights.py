"""Weights and layout are the same, or the model is refused: every kind of model, every kind of difference."""

import json
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file

from lancet_core.errors import ModelError
from lancet_core.evaluation.scorers import load_scorer
from lancet_core.models.fingerprints import check_model_folder, count_parameters
from lancet_core.models.loading import load_language_model
from tests.tiny_models import byte_level_tokenizer, new_model, wrap_in_lora


def _causal(folder, base):
    shutil.copytree(base, folder)
    return "model.norm.weight"


def _scorer(folder, base):
    from transformers import AutoModelForSequenceClassification

    model = AutoModelForSequenceClassification.from_pretrained(base, num_labels=1)
    model.save_pretrained(folder)
    byte_level_tokenizer().save_pretrained(folder)
    (folder / "scorer.json").write_text('{"higher_is": "harmful"}')
    return "score.weight"


def _adapter(folder, base):
    model = wrap_in_lora(load_language_model(str(base), device="cpu").model)
    model.peft_config["default"].base_model_name_or_path = str(base)
    model.save_pretrained(folder)
    return "base_model.model.model.layers.1.mlp.down_proj.lora_B.weight"


def _load_causal(folder):
    return load_language_model(str(folder), device="cpu").model


# How a folder of each kind is made (giving the name of one of its weights), its weight file, and how it is loaded.
KINDS = {
    "language model": (_causal, "model.safetensors", _load_causal),
    "scorer": (_scorer, "model.safetensors", lambda folder: load_scorer(folder).model),
    "adapter": (_adapter, "adapter_model.safetensors", _load_causal),
}


def _without(weights, name):
    del weights[name]


def _with_another(weights, name):
    weights[name.replace("weight", "shadow")] = weights[name].clone()


def _of_another_shape(weights, name):
    weights[name] = torch.cat([weights[name], weights[name]])


DIFFERENCES = {
    "missing": (_without, "lack parameters"),
    "unexpected": (_with_another, "no place for"),
    "mismatched": (_of_another_shape, "shape|size mismatch"),
}


@pytest.fixture(params=KINDS)
def kind(request, tmp_path, tiny_model_folder):
    """The folder of a model, one of its weights, its weight file, and how it is loaded."""
    make, file, load = KINDS[request.param]
    name = make(tmp_path / "made", tiny_model_folder("llama"))
    return tmp_path / "made", name, tmp_path / "made" / file, load


def test_a_whole_model_is_loaded(kind):
    folder, _name, _file, load = kind
    tokens = torch.arange(9)[None]
    with torch.no_grad():
        assert torch.equal(load(folder)(input_ids=tokens).logits, load(folder)(input_ids=tokens).logits)


@pytest.mark.parametrize(("change", "words"), DIFFERENCES.values(), ids=DIFFERENCES)
def test_weights_that_are_not_those_of_the_model_refuse_it(kind, change, words):
    folder, name, file, load = kind
    weights = load_file(file)
    change(weights, name)
    save_file(weights, file, metadata={"format": "pt"})
    with pytest.raises(ModelError, match=words) as caught:
        load(folder)
    assert name.rsplit(".", 1)[0].removeprefix("base_model.model.") in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_causal_model_is_no_scorer(tiny_model_folder, tmp_path):
    folder = shutil.copytree(tiny_model_folder("llama"), tmp_path / "model")
    (folder / "scorer.json").write_text('{"higher_is": "harmful"}')
    with pytest.raises(ModelError, match=r"score\.weight.*lm_head\.weight"):
        load_scorer(folder)


@pytest.mark.parametrize("architecture", ["gemma", "gpt2", "opt", "bloom"])
def test_a_head_tied_to_the_embedding_is_no_missing_weight(tiny_model_folder, architecture):
    folder = tiny_model_folder(architecture)
    assert "lm_head.weight" not in load_file(folder / "model.safetensors")
    model = load_language_model(str(folder), device="cpu").model
    assert model.get_output_embeddings().weight is model.get_input_embeddings().weight


def _extended(folder, tokens):
    tokenizer = byte_level_tokenizer()
    tokenizer.add_tokens(tokens)
    tokenizer.save_pretrained(folder)


@pytest.mark.parametrize("kind", ["language model", "scorer"], indirect=True)
def test_a_token_without_an_embedding_refuses_the_model(kind):
    folder, _name, _file, load = kind
    _extended(folder, ["<one>", "<two>"])
    with pytest.raises(ModelError, match=r"without an embedding in the model: 2, the first '<one>'"):
        load(folder)


def test_more_embeddings_than_tokens_are_fine(tmp_path):
    tokenizer = byte_level_tokenizer()
    model = new_model("llama", tokenizer)
    model.resize_token_embeddings(len(tokenizer) + 7)
    model.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    assert load_language_model(str(tmp_path), device="cpu").tokenizer.get_vocab() == tokenizer.get_vocab()


def test_parameters_are_counted_from_the_headers(kind, tiny_model_folder):
    folder, _name, file, load = kind
    own = sum(tensor.numel() for tensor in load_file(file).values())
    base = count_parameters(tiny_model_folder("llama")) if file.name.startswith("adapter") else 0
    assert count_parameters(folder) == own + base == sum(p.numel() for p in load(folder).parameters())


def test_an_adapter_of_an_adapter_is_refused(tiny_model_folder, tmp_path):
    _adapter(tmp_path / "first", tiny_model_folder("llama"))
    for name, base in (("second", tmp_path / "first"), ("itself", ".")):
        folder = shutil.copytree(tmp_path / "first", tmp_path / name)
        config = json.loads((folder / "adapter_config.json").read_text())
        (folder / "adapter_config.json").write_text(
            json.dumps({**config, "base_model_name_or_path": str(base)})
        )
        with pytest.raises(ModelError, match="is an adapter itself"):
            check_model_folder(folder)


@pytest.mark.parametrize("kind", ["language model", "scorer"], indirect=True)
def test_a_config_of_a_far_larger_model_takes_no_memory(kind):
    """Built before the weights are compared, this one would take half a terabyte."""
    folder, _name, _file, load = kind
    config = json.loads((folder / "config.json").read_text())
    config |= {"hidden_size": 65536, "intermediate_size": 65536, "num_hidden_layers": 8}
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(ModelError, match="describes a model of"):
        load(folder)
