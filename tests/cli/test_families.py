"""Every family of decoders through `lancet study create` and `lancet attribute`, as a person types them."""

import json

import pandas as pd
import pytest

from lancet_core.cli.main import run
from lancet_core.models.loading import load_language_model
from lancet_core.runs.client import stop_host
from lancet_core.workspace import open_workspace
from tests.tiny_models import wrap_in_lora
from tests.written_rows import plain_rows, write_lines

FAMILIES = (
    "llama", "mistral", "qwen2", "qwen3", "gemma", "phi", "opt", "opt-post-norm", "opt-projected", "gpt2", "gpt_neox", "gptj",
    "falcon", "bloom", "stablelm", "mixtral",
)  # fmt: skip


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("families")
    write_lines(folder / "train.jsonl", plain_rows(24))
    yield folder
    stop_host(open_workspace(folder / "workspace"))


@pytest.fixture
def lancet(place, monkeypatch, capfd):
    monkeypatch.setenv("LANCET_WORKSPACE", str(place / "workspace"))
    monkeypatch.chdir(place)

    def call(*arguments):
        capfd.readouterr()
        code = run([str(argument) for argument in arguments])
        out, err = capfd.readouterr()
        assert code == 0, err
        return json.loads(out)

    return call


def attribute(lancet, place, name, model, *options):
    """Attributes one answer, on a new study if a model is given; returns the scores."""
    if model is not None:
        lancet("study", "create", name, "--model", model, "--train", "train.jsonl", "--json")
    asked = ("--prompt", "May I keep the kettle?", "--response", "Yes, it is wise.")
    out = place / f"{name}.parquet"
    settings = ("--recall", "all", "--factor-samples", "all", "--device", "cpu")
    lancet("attribute", name, *asked, *settings, *options, "--out", out, "--json")
    return pd.read_parquet(out)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_family_is_attributed(lancet, place, tiny_model_folder, family):
    scores = attribute(lancet, place, family, tiny_model_folder(family))
    assert len(scores) == 24
    assert scores["influence"].notna().all()
    assert scores["influence"].nunique() > 12
    without_head = attribute(lancet, place, family, None, "--method", "linfac")
    assert without_head["influence"].notna().all()
    relation = scores.merge(without_head, on="sample_id")[["influence_x", "influence_y"]].corr().iloc[0, 1]
    assert relation < 0.9999


def test_an_adapter_is_attributed_through_its_own_matrices(lancet, place, tiny_model_folder):
    model = wrap_in_lora(load_language_model(str(tiny_model_folder("llama")), device="cpu").model)
    model.peft_config["default"].base_model_name_or_path = str(tiny_model_folder("llama"))
    model.save_pretrained(place / "adapter")
    scores = attribute(lancet, place, "adapter", place / "adapter", "--method", "ekfac")
    assert len(scores) == 24
    assert scores["influence"].nunique() > 12
