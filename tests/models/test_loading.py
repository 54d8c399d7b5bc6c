"""Which model folders are loaded, which are refused, and what names them."""

import json
import shutil

import pytest

from lancet_core.errors import ModelError
from lancet_core.models.fingerprints import check_model_folder, fingerprint_model, resolve_model
from lancet_core.models.loading import load_language_model
from tests.tiny_models import CONTEXT, save_tiny_model


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


def pickle_too(folder):
    (folder / "pytorch_model-00001-of-00002.bin").write_bytes(b"\x80")


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
        (pickle_too, "pickled weights"),
        (no_config, "no config.json"),
        (broken_config, "is not JSON"),
        (cut_short, "its header promises"),
        (no_safetensors_at_all, "header of the weight file"),
        (missing_shard, "is missing"),
    ],
)
def test_a_bad_folder_is_refused(folder, damage, message):
    damage(folder)
    with pytest.raises(ModelError, match=message):
        check_model_folder(folder)
    with pytest.raises(ModelError, match=message):
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
    with pytest.raises(ModelError, match=r"lack \d+ parameters"):
        load_language_model(str(folder))
