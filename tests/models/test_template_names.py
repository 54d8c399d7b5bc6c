"""What a study's template may be called is known before anything is loaded, and is what the tokenizer then takes."""

import pytest
from transformers import AutoTokenizer

from lancet_core.errors import ConfigError, ModelError
from lancet_core.models.adapters import keep_adapter
from lancet_core.models.fingerprints import fingerprint_model
from lancet_core.models.template_names import check_template, has_chat_template, names_of, template_names
from lancet_core.models.templates import chat_template
from tests.tiny_models import byte_level_tokenizer, save_adapter, save_tiny_model

SHORT = "{% for m in messages %}{{ m.content }}<end>{% endfor %}"
HELD = {
    "no template": None,
    "one": SHORT,
    "several": {"default": SHORT, "rag": SHORT, "tool_use": SHORT},
    "several without a usual one": {"rag": SHORT, "tool_use": SHORT},
}


@pytest.fixture
def model(tmp_path):
    return save_tiny_model("llama", tmp_path / "model")


def speak(folder, held):
    """Gives a model's folder a tokenizer with these chat templates."""
    tokenizer = byte_level_tokenizer()
    tokenizer.chat_template = held
    tokenizer.save_pretrained(folder)
    return AutoTokenizer.from_pretrained(folder)


def is_taken(check):
    try:
        check()
    except ConfigError as error:
        return str(error)
    return True


@pytest.mark.parametrize("held", HELD)
@pytest.mark.parametrize(
    "template",
    ["auto", "raw", "human", "alpaca", "rag", "nonesuch", "{prompt}!", "prompt", "rag@2026-07-26", "raw@2026-07-26"],
)  # fmt: skip
def test_what_is_refused_beforehand_is_what_the_tokenizer_would_refuse(model, held, template):
    tokenizer = speak(model, HELD[held])
    beforehand = is_taken(lambda: check_template(str(model), template))
    assert beforehand == is_taken(lambda: chat_template(tokenizer, template))
    assert beforehand == is_taken(lambda: check_template((None, tokenizer), template))


def test_names_are_those_that_transformers_reads(model):
    tokenizer = speak(model, HELD["several"])
    assert template_names(model) == ("rag", "tool_use")
    assert set(names_of(tokenizer.chat_template)) == {"default", "rag", "tool_use"}
    assert has_chat_template(model, "auto")
    assert not has_chat_template(model, "alpaca")


def test_a_template_that_is_none_is_told_with_all_that_are_taken(model):
    speak(model, HELD["several"])
    with pytest.raises(
        ConfigError,
        match=r"^the template 'nonesuch' is none of this model; it has auto, rag, tool_use, human, .*alpaca, .*raw; .*\{prompt\}",
    ):
        check_template(str(model), "nonesuch")
    with pytest.raises(ConfigError, match="'yesterday' in the template 'rag@yesterday' is no day"):
        check_template(str(model), "rag@yesterday")
    check_template("/nowhere", "")


def test_an_adapter_without_a_tokenizer_speaks_as_its_model(model, tmp_path):
    speak(model, HELD["several"])
    save_adapter(model, tmp_path / "adapter")
    check_template(str(tmp_path / "adapter"), "rag")
    (moved := tmp_path / "moved").mkdir()
    model.rename(moved / "model")
    with pytest.raises(ModelError, match="which is not here"):
        check_template(str(tmp_path / "adapter"), "rag")
    check_template(str(tmp_path / "adapter"), "rag", base=str(moved / "model"))
    with pytest.raises(ConfigError, match="is none of this model"):
        check_template(str(tmp_path / "adapter"), "nonesuch", base=str(moved / "model"))


def test_named_templates_belong_to_a_model(model, tmp_path):
    save_adapter(model, adapter := tmp_path / "adapter")
    speak(adapter, HELD["several"])
    keep_adapter(adapter, str(model), tmp_path / "kept")
    assert template_names(tmp_path / "kept") == ("rag", "tool_use")
    before = fingerprint_model(adapter)
    (adapter / "additional_chat_templates" / "rag.jinja").write_text(SHORT + "!")
    assert fingerprint_model(adapter) != before
