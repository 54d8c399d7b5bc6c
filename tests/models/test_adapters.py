"""Which adapters of PEFT are read, exactly as PEFT runs them, and which are refused."""

import json
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file

from lancet_core.errors import ModelError
from lancet_core.models.adapters import keep_adapter
from lancet_core.models.fingerprints import fingerprint_model
from lancet_core.models.loading import load_language_model, without_adapter
from lancet_core.models.units import find_sublayers
from lancet_core.models.untracked import list_untracked
from tests.tiny_models import save_adapter, save_tiny_model

TOKENS = torch.arange(9)[None]


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    return save_tiny_model("llama", tmp_path_factory.mktemp("base") / "model")


def logits(model):
    with torch.no_grad():
        return model(input_ids=TOKENS).logits


ADAPTERS = {
    "lora": ("LoraConfig", {}),
    "rslora": ("LoraConfig", {"use_rslora": True}),
    "dora": ("LoraConfig", {"use_dora": True}),
    "trained head": ("LoraConfig", {"modules_to_save": ["lm_head"]}),
    "trained head and embeddings": ("LoraConfig", {"modules_to_save": ["lm_head", "embed_tokens"]}),
    "trained norms": ("LoraConfig", {"modules_to_save": ["norm"]}),
    "trained tokens": ("LoraConfig", {"trainable_token_indices": [3, 5]}),
    "adapted head": ("LoraConfig", {"target_modules": ["q_proj", "lm_head"]}),
    "adapted embeddings": ("LoraConfig", {"target_modules": ["q_proj", "embed_tokens"]}),
    "no task": ("LoraConfig", {"task_type": None}),
    "ia3": ("IA3Config", {"feedforward_modules": ["down_proj"]}),
    "loha": ("LoHaConfig", {"r": 3}),
}


@pytest.mark.parametrize("kind", ADAPTERS)
def test_an_adapter_says_what_it_says_in_peft(base, tmp_path, kind):
    config, options = ADAPTERS[kind]
    expected = logits(save_adapter(base, tmp_path / "adapter", config, **options))
    lm = load_language_model(str(tmp_path / "adapter"), device="cpu")
    assert (expected - logits(load_language_model(str(base), device="cpu").model)).abs().max() > 1e-3
    torch.testing.assert_close(logits(lm.model), expected, rtol=0, atol=0)
    torch.testing.assert_close(logits(without_adapter(lm.model)), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("saved", [[], ["lm_head", "embed_tokens"]])
def test_tokens_that_were_added_for_an_adapter_are_there(base, tmp_path, saved):
    wrapped = save_adapter(base, tmp_path / "adapter", added=2, modules_to_save=saved)
    rows = wrapped.get_input_embeddings().weight.shape[0]
    lm = load_language_model(str(tmp_path / "adapter"), device="cpu")
    assert lm.model.get_input_embeddings().weight.shape[0] == rows
    new = torch.tensor([[1, rows - 1, rows - 2, 4]])
    with torch.no_grad():
        torch.testing.assert_close(
            lm.model(input_ids=new).logits, wrapped(input_ids=new).logits, rtol=0, atol=0
        )


def drop(name):
    def damage(folder):
        path = folder / "adapter_model.safetensors"
        tensors = load_file(path)
        save_file({key: tensor for key, tensor in tensors.items() if name not in key}, path)

    return damage


def add_tensor(folder):
    path = folder / "adapter_model.safetensors"
    save_file({**load_file(path), "base_model.model.nowhere.lora_A.weight": torch.zeros(2, 2)}, path)


def set_config(**values):
    def damage(folder):
        path = folder / "adapter_config.json"
        path.write_text(json.dumps({**json.loads(path.read_text(encoding="utf-8")), **values}))

    return damage


def whole_model_too(folder):
    (folder / "config.json").write_text("{}")
    save_file({"weight": torch.zeros(2)}, folder / "model.safetensors")


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (drop("lora_B"), "lack parameters .*lora_B"),
        (drop("lm_head"), "lack parameters .*lm_head"),
        (add_tensor, "no place for .*nowhere"),
        (set_config(task_type="SEQ_CLS"), "for the task SEQ_CLS"),
        (set_config(peft_type="PREFIX_TUNING"), "PREFIX_TUNING, which puts trained vectors before the text"),
        (set_config(alora_invocation_tokens=[1, 2]), "acts on some tokens alone"),
        (whole_model_too, "holds an adapter and a whole model"),
        (
            set_config(base_model_name_or_path="./elsewhere"),
            "which is not here; say where it lies with --base",
        ),
    ],
)
def test_an_adapter_that_cannot_be_read_exactly_is_refused_in_one_sentence(base, tmp_path, damage, message):
    save_adapter(base, tmp_path / "adapter", modules_to_save=["lm_head"])
    damage(tmp_path / "adapter")
    with pytest.raises(ModelError, match=message) as refused:
        load_language_model(str(tmp_path / "adapter"), device="cpu")
    assert "\n" not in str(refused.value)


def test_a_config_of_the_model_beside_an_adapter_does_not_hide_it(base, tmp_path):
    expected = logits(save_adapter(base, tmp_path / "adapter"))
    shutil.copyfile(base / "config.json", tmp_path / "adapter" / "config.json")
    lm = load_language_model(str(tmp_path / "adapter"), device="cpu")
    torch.testing.assert_close(logits(lm.model), expected, rtol=0, atol=0)


def test_a_kept_adapter_belongs_to_the_base_that_is_named(base, tmp_path):
    expected = logits(save_adapter(base, tmp_path / "adapter"))
    before = fingerprint_model(tmp_path / "adapter")
    set_config(base_model_name_or_path="./elsewhere")(tmp_path / "adapter")
    keep_adapter(tmp_path / "adapter", str(base), tmp_path / "kept")
    lm = load_language_model(str(tmp_path / "kept"), device="cpu")
    torch.testing.assert_close(logits(lm.model), expected, rtol=0, atol=0)
    assert lm.fingerprint == before  # named by content, not by place


def test_a_base_is_for_adapters_alone(base, tmp_path):
    with pytest.raises(ModelError, match="is no adapter"):
        keep_adapter(base, str(base), tmp_path / "kept")
    save_adapter(base, tmp_path / "adapter")
    with pytest.raises(ModelError, match="--base FOLDER"):
        keep_adapter(tmp_path / "adapter", "./nowhere", tmp_path / "kept")
    assert not (tmp_path / "kept").exists()


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"target_modules": ["q_proj", "lm_head"]}, ["lm_head.lora_A", "lm_head.lora_B"]),
        ({"trainable_token_indices": [3, 5]}, ["model.embed_tokens.token_adapter"]),
        ({"modules_to_save": ["norm"]}, ["layernorm", "layernorm", "model.norm.modules_to_save"]),
        ({}, []),
    ],
    ids=["adapted head", "trained tokens", "trained norms", "plain"],
)
def test_what_an_adapter_trained_and_no_unit_covers_is_told(base, tmp_path, options, expected):
    save_adapter(base, tmp_path / "adapter", **options)
    lm = load_language_model(str(tmp_path / "adapter"), device="cpu")
    parts = list_untracked(lm.model, find_sublayers(lm.model))
    trained = sorted(part.name for part in parts if part.trained)
    assert len(trained) == len(expected)
    assert all(part in name for part, name in zip(sorted(expected), trained, strict=True))
    covered = {
        id(each) for unit in find_sublayers(lm.model) for part in unit.covers for each in part.parameters()
    }
    whole = sum(each.numel() for each in lm.model.parameters())
    replaced = sum(each.numel() for name, each in lm.model.named_parameters() if "original_module" in name)
    tracked = sum(each.numel() for each in lm.model.parameters() if id(each) in covered) / (whole - replaced)
    assert sum(part.share for part in parts) + tracked == pytest.approx(1.0)
