"""Which model folders are loaded, which are refused, and what names them."""

import json
import os
import shutil

import pytest
import torch

from lancet_core.errors import ModelError
from lancet_core.models.fingerprints import (
    check_model_folder,
    count_parameters,
    fingerprint_model,
    ignored_weights,
    resolve_model,
)
from lancet_core.models.loading import load_language_model, without_adapter
from tests.tiny_models import CONTEXT, save_tiny_model, wrap_in_lora


@pytest.fixture
def folder(tiny_model_folder, tmp_path):
    """A copy that may be broken."""
    return shutil.copytree(tiny_model_folder(), tmp_path / "model")


def test_a_good_folder_is_loaded(folder):
    lm = load_language_model(str(folder), device="cpu")
    assert lm.context == CONTEXT
    assert lm.fingerprint == fingerprint_model(folder)
    assert not lm.model.training


def test_the_fingerprint_follows_the_weights_and_not_the_place(folder, tmp_path):
    assert fingerprint_model(folder) == fingerprint_model(shutil.copytree(folder, tmp_path / "copy"))
    other = save_tiny_model("llama", tmp_path / "other", seed=1)
    assert fingerprint_model(folder) != fingerprint_model(other)


def remove_weights(folder):
    (folder / "model.safetensors").unlink()


def only_pickle(folder):
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")


def quantised(folder):
    change_config(folder, quantization_config={"quant_method": "bitsandbytes", "load_in_4bit": True})


def change_config(folder, **values):
    path = folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text(encoding="utf-8")), **values}), encoding="utf-8")


def no_config(folder):
    (folder / "config.json").unlink()


def broken_config(folder):
    (folder / "config.json").write_text("{", encoding="utf-8")


def cut_short(folder):
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-100])


def no_safetensors_at_all(folder):
    (folder / "model.safetensors").write_bytes(b"PK\x03\x04 this is no safetensors file")


def missing_shard(folder):
    index = {"weight_map": {"a": "model-00002-of-00002.safetensors"}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index), encoding="utf-8")


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (remove_weights, "no \\*.safetensors"),
        (only_pickle, "pickled weights \\(pytorch_model.bin\\)"),
        (no_config, "no config.json"),
        (broken_config, "broken JSON"),
        (cut_short, "weight file .* is broken"),
        (no_safetensors_at_all, "weight file .* is broken"),
        (missing_shard, "is missing"),
        (quantised, r"quantised \(bitsandbytes 4-bit\).* with --base"),
    ],
)
def test_a_bad_folder_is_refused(folder, damage, message):
    damage(folder)
    with pytest.raises(ModelError, match=message):
        check_model_folder(folder)
    with pytest.raises(ModelError, match=message):
        load_language_model(str(folder))


@pytest.mark.parametrize(
    "found",
    [{"quant_method": "gptq", "bits": 4}, {"quant_method": "awq", "bits": 4}, {"quant_method": "fp8"}],
)
def test_quantised_weights_are_refused_in_one_sentence(folder, found):
    change_config(folder, quantization_config=found)
    with pytest.raises(ModelError, match=f"quantised \\({found['quant_method']}") as refused:
        load_language_model(str(folder))
    assert "\n" not in str(refused.value)


def test_pickles_and_weights_of_no_index_beside_safetensors_are_passed_over_and_named(folder):
    expected = load_language_model(str(folder), device="cpu")
    for name in ("pytorch_model-00001-of-00002.bin", "consolidated.safetensors"):
        (folder / name).write_bytes(b"\x80")
    lm = load_language_model(str(folder), device="cpu")
    assert lm.fingerprint == expected.fingerprint
    assert ignored_weights(folder) == ["consolidated.safetensors", "pytorch_model-00001-of-00002.bin"]
    assert ignored_weights("organisation/name") == []


def test_shards_are_those_that_the_index_names(folder):
    whole = load_language_model(str(folder), device="cpu")
    whole.model.save_pretrained(folder, max_shard_size="20KB")
    (folder / "model.safetensors").unlink(missing_ok=True)
    shutil.copyfile(next(folder.glob("model-*.safetensors")), folder / "left-over.safetensors")
    lm = load_language_model(str(folder), device="cpu")
    assert count_parameters(folder) == sum(each.numel() for each in lm.model.parameters())
    torch.testing.assert_close(lm.model.state_dict(), whole.model.state_dict())
    assert ignored_weights(folder) == ["left-over.safetensors"]
    min(folder.glob("model-*.safetensors")).unlink()
    with pytest.raises(ModelError, match=r"the weight file .*model-00001-of-\d+.safetensors is missing"):
        load_language_model(str(folder))


@pytest.mark.parametrize(
    "architecture",
    [
        "LlamaForSequenceClassification",
        "BertForMaskedLM",
        "T5ForConditionalGeneration",
        "LlavaForConditionalGeneration",
    ],
)
def test_what_is_no_causal_language_model_is_refused_by_its_name(folder, architecture):
    change_config(folder, architectures=[architecture])
    with pytest.raises(ModelError, match=f"holds a {architecture}, which is no causal language model"):
        load_language_model(str(folder))


def test_a_trainer_checkpoint_is_no_pickle(folder):
    for name in ("training_args.bin", "optimizer.pt", "rng_state.pth"):
        (folder / name).write_bytes(b"\x80")
    check_model_folder(folder)


def test_a_missing_folder_is_told(tmp_path):
    with pytest.raises(ModelError, match="there is no model folder"):
        resolve_model(str(tmp_path / "nowhere"))


def test_an_unknown_model_type_is_told(folder):
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    (folder / "config.json").write_text(json.dumps({**config, "model_type": "nonesuch"}), encoding="utf-8")
    with pytest.raises(ModelError, match="cannot be loaded as a causal language model"):
        load_language_model(str(folder))


def test_weights_that_lack_parameters_are_told(folder):
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    (folder / "config.json").write_text(json.dumps({**config, "num_hidden_layers": 3}), encoding="utf-8")
    with pytest.raises(ModelError, match="lack parameters"):
        load_language_model(str(folder))


@pytest.fixture
def adapter(folder, tmp_path):
    """A LoRA adapter that names its model by a path relative to itself."""
    model = wrap_in_lora(load_language_model(str(folder), device="cpu").model)
    model.peft_config["default"].base_model_name_or_path = "../model"
    model.save_pretrained(tmp_path / "adapter")
    return tmp_path / "adapter"


def test_an_adapter_is_loaded_with_its_model(folder, adapter):
    lm, base = (load_language_model(str(one), device="cpu") for one in (adapter, folder))
    tokens = torch.arange(9)[None]
    with torch.no_grad():
        adapted, plain = (one.model(input_ids=tokens).logits for one in (lm, base))
        merged = without_adapter(lm.model)(input_ids=tokens).logits
    assert (adapted - plain).abs().max() > 1e-3
    torch.testing.assert_close(merged, adapted, rtol=1e-4, atol=1e-5)
    assert lm.fingerprint == fingerprint_model(adapter) != base.fingerprint


def test_the_fingerprint_of_an_adapter_follows_its_model(folder, adapter):
    before = fingerprint_model(adapter)
    save_tiny_model("llama", folder, seed=1)
    assert fingerprint_model(adapter) != before


def test_an_adapter_without_its_model_is_told(folder, adapter):
    shutil.rmtree(folder)
    with pytest.raises(ModelError, match="no model folder"):
        load_language_model(str(adapter))
    config = json.loads((adapter / "adapter_config.json").read_text(encoding="utf-8"))
    (adapter / "adapter_config.json").write_text(json.dumps({**config, "base_model_name_or_path": None}))
    with pytest.raises(ModelError, match="does not say which model"):
        load_language_model(str(adapter))


@pytest.mark.parametrize(
    "name",
    ["chat_template.jinja", "merges.txt", "tokenizer.model", "added_tokens.json", "model-2.safetensors"],
)
@pytest.mark.parametrize(
    "make", [os.mkfifo, lambda path: path.symlink_to("/dev/zero")], ids=["pipe", "device"]
)
def test_a_pipe_or_device_among_the_files_of_a_model_is_refused_at_once(folder, name, make):
    make(folder / name)
    for read in (check_model_folder, fingerprint_model, load_language_model):
        with pytest.raises(ModelError, match=f"{name} cannot be read"):
            read(str(folder))
