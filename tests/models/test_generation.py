"""Log-probabilities and answers."""

import threading
import time
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
    shown = []
    pieces = stream(lm, "Why?", "auto", replace(DRAWN, max_new_tokens=60), lambda: len(shown) >= 3)
    for piece in pieces:
        shown.append(piece)
    assert len(shown) == 3


@pytest.mark.parametrize("leave", ["closed", "asked", "asked at once"])
def test_a_stream_that_nobody_wants_ends_the_loop_at_its_next_token(tiny_model, monkeypatch, leave):
    lm = tiny_model()
    steps, wanted = [], []
    step = lm.model.forward

    def slowly(*arguments, **keywords):
        steps.append(1)
        time.sleep(0.01)
        return step(*arguments, **keywords)

    monkeypatch.setattr(lm.model, "forward", slowly)
    stop = {"closed": lambda: False, "asked": lambda: len(wanted) >= 2, "asked at once": lambda: True}[leave]
    answer = stream(lm, "Why?", "auto", replace(DRAWN, max_new_tokens=100), stop)
    for piece in answer:
        wanted.append(piece)
        if len(wanted) == 2 and leave == "closed":
            answer.close()
    made = len(steps)
    assert made < 50
    assert [thread for thread in threading.enumerate() if thread.name.startswith("ThreadPool")] == []
    assert len(steps) == made


def test_what_fails_in_the_loop_fails_the_stream(tiny_model, monkeypatch):
    lm = tiny_model()

    def fail(*_arguments, **_keywords):
        raise RuntimeError("out of memory")

    monkeypatch.setattr(lm.model, "forward", fail)
    with pytest.raises(RuntimeError, match="out of memory"):
        list(stream(lm, "Why?", "auto", DRAWN))


def test_a_stream_leaves_the_models_own_settings(tiny_model):
    lm = tiny_model()
    own = lm.model.generation_config
    for _piece in zip(range(2), stream(lm, "Why?", "auto", DRAWN), strict=False):
        pass
    list(stream(lm, "Why?", "auto", DRAWN))
    assert lm.model.generation_config is own


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
