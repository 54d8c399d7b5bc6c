"""Log-probabilities and answers."""

from dataclasses import replace

import pytest
import torch

from lancet_core.errors import ConfigError
from lancet_core.models.encoding import encode, pack
from lancet_core.models.generation import _nucleus, generate, stream
from lancet_core.models.likelihood import response_log_likelihoods, token_log_likelihoods
from lancet_core.models.loading import load_language_model
from lancet_core.models.settings import GenerationSettings
from tests.references.influence import log_likelihood
from tests.tiny_models import ARCHITECTURES

PROMPTS = ["May I keep it?", "Why do you ask me for the rusty kettle near the barn?", "x"]
DRAWN = GenerationSettings(max_new_tokens=12, temperature=0.9, top_p=0.9, seed=3)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_log_likelihoods_equal_a_loop(architecture, tiny_model):
    lm = tiny_model(architecture, dtype="float64")
    texts = [encode(lm, prompt, "No, it is not wise.") for prompt in PROMPTS]
    with torch.no_grad():
        literal = [float(log_likelihood(lm.model, text)) for text in texts]
    assert response_log_likelihoods(lm, texts) == pytest.approx(literal, rel=1e-9)


def test_token_log_likelihoods_stand_at_their_tokens(tiny_model):
    lm = tiny_model()
    (batch,) = pack([encode(lm, prompt, "Yes.") for prompt in PROMPTS], 10**6)
    values = token_log_likelihoods(lm.model, batch)
    assert values.shape == batch.input_ids.shape
    assert (values[batch.response_mask] < 0).all()
    assert values[~batch.response_mask].eq(0).all()
    assert values.requires_grad


@pytest.mark.parametrize("settings", [GenerationSettings(max_new_tokens=12), DRAWN], ids=["greedy", "drawn"])
@pytest.mark.parametrize("architecture", ["llama", "gpt2", "opt"])
def test_an_answer_does_not_depend_on_its_batch_and_streams_alike(architecture, settings, tiny_model):
    lm = tiny_model(architecture)
    together = generate(lm, PROMPTS, "auto", settings)
    assert generate(lm, PROMPTS[::-1], "auto", replace(settings, batch_size=1))[::-1] == together
    assert ["".join(stream(lm, prompt, "auto", settings)) for prompt in PROMPTS] == together


def test_seeds_draw_different_answers(tiny_model):
    lm = tiny_model()
    assert generate(lm, PROMPTS, "auto", DRAWN) != generate(lm, PROMPTS, "auto", replace(DRAWN, seed=4))


def test_a_stream_stops_when_asked(tiny_model):
    lm = tiny_model()
    told = []
    pieces = stream(lm, "Why?", "auto", replace(DRAWN, max_new_tokens=60), lambda: len(told) >= 3)
    for piece in pieces:
        told.append(piece)
    assert len(told) == 3


def test_nucleus_keeps_the_smallest_set():
    logits = torch.tensor([0.5, 0.3, 0.15, 0.05]).log()
    assert torch.isfinite(_nucleus(logits, 0.7)).tolist() == [True, True, False, False]
    assert torch.isfinite(_nucleus(logits, 0.01)).tolist() == [True, False, False, False]


def test_an_answer_as_long_as_the_context_is_told(tiny_model):
    with pytest.raises(ConfigError, match="max_new_tokens is 160"):
        generate(tiny_model(), ["Why?"], "auto", GenerationSettings(max_new_tokens=160))


def test_the_real_model_says_what_its_author_printed(shared_data):
    lm = load_language_model(str(shared_data / "stories260K-hf"), device="cpu")
    (text,) = generate(lm, [""], "raw", GenerationSettings(max_new_tokens=60))
    assert text.startswith(
        "Once upon a time, there was a little girl named Lily. She loved to play outside in the park."
    )
