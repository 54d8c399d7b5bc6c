"""Every family of decoders through `lancet study create` and `lancet attribute`, as a person types them."""

import pandas as pd
import pytest

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


def attribute(lancet_json, place, name, model, *options):
    """Attributes one answer, on a new study if a model is given; returns the scores."""
    if model is not None:
        lancet_json("study", "create", name, "--model", model, "--train", "train.jsonl")
    asked = ("--prompt", "May I keep the kettle?", "--response", "Yes, it is wise.")
    out = place / f"{name}.parquet"
    settings = ("--recall", "all", "--factor-samples", "all", "--device", "cpu")
    lancet_json("attribute", name, *asked, *settings, *options, "--out", out)
    return pd.read_parquet(out)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_family_is_attributed(lancet_json, place, tiny_model_folder, family):
    scores = attribute(lancet_json, place, family, tiny_model_folder(family))
    assert len(scores) == 24
    assert scores["influence"].notna().all()
    assert scores["influence"].nunique() > 12
    without_head = attribute(lancet_json, place, family, None, "--method", "linfac")
    assert without_head["influence"].notna().all()
    relation = scores.merge(without_head, on="sample_id")[["influence_x", "influence_y"]].corr().iloc[0, 1]
    assert relation < 0.9999


def test_an_adapter_is_attributed_through_its_own_matrices(lancet_json, place, tiny_model_folder):
    model = wrap_in_lora(load_language_model(str(tiny_model_folder("llama")), device="cpu").model)
    model.peft_config["default"].base_model_name_or_path = str(tiny_model_folder("llama"))
    model.save_pretrained(place / "adapter")
    scores = attribute(lancet_json, place, "adapter", place / "adapter", "--method", "ekfac")
    assert len(scores) == 24
    assert scores["influence"].nunique() > 12
