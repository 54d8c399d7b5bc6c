"""A model given as a GGUF file is the model it was written from, is kept once, and says what is wrong with it."""

import importlib.util
from pathlib import Path

import pandas as pd
import pytest
import torch

import lancet_core as lancet
from lancet_core.errors import JobError, ModelError
from lancet_core.models.gguf_files import find_gguf
from lancet_core.models.loading import load_language_model
from lancet_core.study.creation import Materials, begin
from lancet_core.study.looking import look_at
from lancet_core.study.making import complete
from tests.gguf_writing import write_gguf
from tests.tiny_models import TEXTS
from tests.written_rows import plain_rows, write_lines

ROWS = pd.DataFrame(plain_rows(4))
CHATML = (
    "{% for message in messages %}{{ '<|' + message['role'] + '|>' + message['content'] + eos_token }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}"
)
needs_gguf = pytest.mark.skipif(
    importlib.util.find_spec("gguf") is None, reason="the package gguf is missing: pip install gguf"
)


@pytest.fixture(scope="module")
def original(tiny_model_folder):
    """A tiny Llama whose tokenizer has a chat template."""
    lm = load_language_model(str(tiny_model_folder("llama")), device="cpu")
    lm.tokenizer.chat_template = CHATML
    return lm


@pytest.fixture
def gguf_file(tmp_path, original):
    """It, written as GGUF by the package of that name."""
    return write_gguf(tmp_path / "tiny model.gguf", original.model, original.tokenizer)


@needs_gguf
def test_a_gguf_file_is_the_model_it_was_written_from(workspace, gguf_file, original):
    study = lancet.create_study("mine", workspace=workspace, model=gguf_file, train=ROWS)
    read = load_language_model(study.model, device="cpu")
    ids = original.tokenizer(TEXTS, padding=True, return_tensors="pt")
    assert torch.equal(read.tokenizer(TEXTS, padding=True, return_tensors="pt").input_ids, ids.input_ids)
    with torch.no_grad():
        assert torch.equal(read.model(**ids).logits, original.model(**ids).logits)
    for name in ("chat_template", "bos_token", "eos_token", "pad_token"):
        assert getattr(read.tokenizer, name) == getattr(original.tokenizer, name)
    assert read.context == original.context


@needs_gguf
def test_a_gguf_file_is_unpacked_once_for_all_studies(workspace, gguf_file):
    first = lancet.create_study("first", workspace=workspace, model=gguf_file.parent, train=ROWS)
    written = Path(first.model, "model.safetensors").stat().st_mtime_ns
    second = lancet.create_study("second", workspace=workspace, model=str(gguf_file), train=ROWS)
    assert second.model == first.model
    assert Path(second.model, "model.safetensors").stat().st_mtime_ns == written


@needs_gguf
def test_data_is_looked_at_with_the_tokenizer_of_the_file(workspace, tmp_path, gguf_file, original):
    train = write_lines(tmp_path / "train.jsonl", plain_rows(4))
    looked = lancet.look_at(workspace=workspace, model=gguf_file, train=train).wait().result
    assert (looked.samples, looked.context) == (4, original.context)
    assert not workspace.models.exists()


@needs_gguf
@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"architecture": "abacus"}, "abacus"),
        ({"without": ("blk.1.ffn_up.weight",)}, "lack parameters that the model has"),
    ],
)
def test_a_gguf_file_that_cannot_be_read_says_why(workspace, tmp_path, original, changes, reason):
    file = write_gguf(tmp_path / "tiny.gguf", original.model, original.tokenizer, **changes)
    with pytest.raises(JobError, match=reason):
        lancet.create_study("mine", workspace=workspace, model=file, train=ROWS)
    assert lancet.list_studies(workspace=workspace) == []


@needs_gguf
def test_a_gguf_file_cut_short_is_broken(workspace, gguf_file):
    gguf_file.write_bytes(gguf_file.read_bytes()[:600])
    with pytest.raises(JobError, match="is broken"):
        lancet.create_study("mine", workspace=workspace, model=gguf_file, train=ROWS)


def test_something_else_of_that_name_is_refused(workspace, tmp_path):
    file = tmp_path / "page.gguf"
    file.write_text("<html>")
    with pytest.raises(ModelError, match="is no GGUF file"):
        lancet.create_study("mine", workspace=workspace, model=file, train=ROWS)


def test_the_missing_package_is_named_with_its_line(workspace, tmp_path, monkeypatch):
    file = tmp_path / "tiny.gguf"
    file.write_bytes(b"GGUF")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ModelError, match="pip install gguf"):
        lancet.create_study("mine", workspace=workspace, model=file, train=ROWS)


def test_a_folder_of_several_gguf_files_asks_which(tmp_path):
    for name in ("a.gguf", "b.gguf"):
        (tmp_path / name).write_bytes(b"GGUF")
    with pytest.raises(ModelError, match=r"holds 2 GGUF files \(a.gguf, b.gguf\)"):
        find_gguf(tmp_path)


def test_safetensors_beside_a_gguf_file_are_what_is_loaded(tmp_path):
    for name in ("a.gguf", "model.safetensors"):
        (tmp_path / name).write_bytes(b"")
    assert find_gguf(tmp_path) is None


@needs_gguf
def test_a_gguf_file_is_trained_from_and_the_run_is_found_again(workspace, gguf_file):
    settings = lancet.TrainSettings(epochs=1, adapter="lora", device="cpu")
    run = lancet.train(settings, workspace=workspace, model=gguf_file, train=ROWS).wait()
    assert load_language_model(str(run.result.model), device="cpu").tokenizer.chat_template == CHATML
    assert lancet.train(settings, workspace=workspace, model=gguf_file, train=ROWS).id == run.id


@needs_gguf
def test_data_is_looked_at_with_a_gguf_file_and_the_study_made_of_it_then(workspace, gguf_file, tmp_path):
    train = write_lines(tmp_path / "train.jsonl", plain_rows(4))
    materials = Materials(str(gguf_file), str(train))
    look = look_at(workspace, materials).wait()
    assert look.result.samples == 4
    begin(workspace, "mine", materials, look).wait()
    study = complete(workspace, "mine")
    assert study.samples()["tokens"].tolist() == look.result.lengths.tolist()
