"""Pseudo-data: whole responses that the model gives, in place of those of the data."""

from dataclasses import replace

import pytest

from lancet_core.influence.presets import preset
from lancet_core.influence.pseudo import pseudo_texts
from lancet_core.models.encoding import encode
from lancet_core.progress import silent

GENERATED = preset(fisher="generated").curvature


@pytest.fixture
def lm(tiny_model):
    return tiny_model("llama")


@pytest.fixture
def texts(lm):
    asked = [("May I keep the kettle?", "No, it is not wise."), ("Who?", "Ask the keeper."), ("Why?", "Yes.")]
    return [encode(lm, *pair) for pair in asked]


def test_prompts_stay_and_responses_are_the_models_own(lm, texts):
    found = pseudo_texts(lm, texts, GENERATED, silent)
    longest = max(len(text.input_ids) - text.response_start for text in texts)
    for text, own in zip(texts, found, strict=True):
        assert own.input_ids[: own.response_start] == text.input_ids[: text.response_start]
        assert 1 <= len(own.input_ids) - own.response_start <= 2 * longest
    assert [own.input_ids for own in found] != [text.input_ids for text in texts]


def test_a_response_depends_on_seed_and_prompt_alone(lm, texts):
    together = pseudo_texts(lm, texts, GENERATED, silent)
    alone = pseudo_texts(lm, [texts[0]], GENERATED, silent)[0]
    shared = min(len(alone.input_ids), len(together[0].input_ids)) - 1
    assert alone.input_ids[:shared] == together[0].input_ids[:shared]
    assert pseudo_texts(lm, texts, replace(GENERATED, seed=1), silent) != together


def test_other_kinds_keep_the_texts(lm, texts):
    assert pseudo_texts(lm, texts, preset().curvature, silent) == texts
