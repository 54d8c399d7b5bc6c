"""Training: the loss is what attribution counts, it falls, and a killed run resumes to the same weights."""

import dataclasses

import pytest
from torch.testing import assert_close

from lancet_core.acts.subject import Subject
from lancet_core.acts.train import SAMPLES, TrainRequest
from lancet_core.correction.settings import TrainSettings
from lancet_core.data.samples import Sample, conversations_of, samples_frame
from lancet_core.errors import Cancelled, ConfigError, DataError, NumericalError
from lancet_core.models.encoding import encode_all
from lancet_core.models.likelihood import response_log_likelihoods
from lancet_core.models.loading import load_language_model
from lancet_core.operations.train import run
from tests.performing import Order, assert_equal_models, parameters, perform, perform_killed
from tests.tiny_models import save_overflowing_model, save_tiny_model
from tests.written_rows import texts

pytestmark = pytest.mark.usefixtures("one_thread")
FAST = TrainSettings(
    epochs=3, batch=4, batch_at_once=2, learning_rate=3e-3, warmup_steps=1, checkpoint_every=3, device="cpu"
)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return str(save_tiny_model("llama", tmp_path_factory.mktemp("model")))


def samples():
    return samples_frame([Sample(texts(index)[0], texts(index)[1 + index % 2]) for index in range(12)])


@pytest.fixture(scope="module")
def order(model):
    return Order(Subject("", model, ""), TrainRequest(FAST, 12), {SAMPLES: samples()})


class Recorder:
    """Keeps the losses that are told, and may stop the run."""

    def __init__(self, cancel_at=None):
        self.losses, self.cancel_at = {}, cancel_at

    def __call__(self, step, done=0, total=None, **values):
        if "loss" in values:
            self.losses[done] = values["loss"]
        if step == "Training" and done == self.cancel_at:
            raise Cancelled


def changed(order, **settings):
    return order.changed(train=dataclasses.replace(order.request.train, **settings))


def nll(folder, template="auto"):
    """Mean negative log-probability of the tokens that count, as attribution takes it."""
    lm = load_language_model(str(folder), device="cpu")
    encoded = encode_all(lm, conversations_of(samples()), template)
    return -sum(response_log_likelihoods(lm, encoded)) / sum(text.count for text in encoded)


@pytest.fixture(scope="module")
def uninterrupted(order, tmp_path_factory):
    folder, recorder = tmp_path_factory.mktemp("run"), Recorder()
    return perform(run, order, folder, recorder), recorder


def test_the_loss_falls_and_each_step_is_told(uninterrupted, model):
    result, recorder = uninterrupted
    assert list(recorder.losses) == list(range(1, 10))
    assert result.steps == 9
    assert result.last_loss < result.first_loss - 0.3
    assert nll(result.model) < nll(model) - 0.3
    assert (result.samples, result.unusable, result.is_adapter) == (12, 0, False)
    assert result.tokens == sum(
        text.count for text in encode_all(load_language_model(model), conversations_of(samples()))
    )


def test_the_first_loss_is_what_attribution_counts(order, model, tmp_path):
    whole = changed(order, batch=12, batch_at_once=4, epochs=1)
    result = perform(run, whole, tmp_path)
    assert result.steps == 1
    assert result.first_loss == pytest.approx(nll(model), abs=2e-4)


@pytest.mark.parametrize("rows", [1, 2, 3])
def test_how_a_step_is_cut_changes_nothing(order, uninterrupted, tmp_path, rows):
    result = perform(run, changed(order, batch_at_once=rows), tmp_path)
    left, right = parameters(result.model), parameters(uninterrupted[0].model)
    for name, value in left.items():
        assert_close(value, right[name], rtol=0, atol=2e-4, msg=name)


def test_a_killed_run_resumes_to_the_same_weights(uninterrupted, order, tmp_path):
    perform_killed(run, order, tmp_path, step="Training", at=5)
    recorder = Recorder()
    result = perform(run, order, tmp_path, recorder)
    assert result.resumed_from == 3
    assert list(recorder.losses) == [4, 5, 6, 7, 8, 9]
    assert (result.steps, result.first_loss) == (9, uninterrupted[0].first_loss)
    assert_equal_models(result.model, uninterrupted[0].model)


def test_an_adapter_is_saved_apart_and_merged_it_is_the_same_model(order, model, tmp_path):
    adapted = changed(order, adapter="lora", adapter_rank=2, learning_rate=3e-2)
    with pytest.raises(Cancelled):
        perform(run, adapted, tmp_path / "apart", Recorder(cancel_at=5))
    apart = perform(run, adapted, tmp_path / "apart")
    assert (apart.resumed_from, apart.is_adapter) == (3, True)
    names = {path.name for path in apart.model.iterdir()}
    assert {"adapter_config.json", "adapter_model.safetensors", "tokenizer.json", "README.md"} <= names
    assert "model.safetensors" not in names
    merged = perform(run, changed(adapted, merge=True), tmp_path / "merged")
    assert not merged.is_adapter
    assert {path.name for path in merged.model.iterdir()} >= {"config.json", "model.safetensors"}
    assert nll(apart.model) == pytest.approx(nll(merged.model), abs=1e-4)
    assert nll(apart.model) < nll(model) - 0.1
    again = Order(Subject("", str(apart.model), ""), adapted.request, order.inputs)
    with pytest.raises(ConfigError, match="is an adapter, and an adapter of an adapter has no base"):
        perform(run, again, tmp_path / "again")


def test_texts_are_cut_where_attribution_will_cut_them(order, tmp_path):
    result = perform(run, changed(order, max_length=24, epochs=1), tmp_path)
    assert result.cut == 12
    assert load_language_model(str(result.model)).context == 24


def test_the_folder_carries_the_chat_template_and_no_place(order, model, tmp_path):
    chat = save_tiny_model("llama", tmp_path / "private" / "chat")
    lm = load_language_model(str(chat))
    lm.tokenizer.chat_template = (
        "{% for message in messages %}<{{ message.role }}>{{ message.content }}{{ eos_token }}{% endfor %}"
    )
    lm.tokenizer.save_pretrained(chat)
    asked = Order(Subject("", str(chat), ""), changed(order, epochs=0.3).request, order.inputs)
    result = perform(run, asked, tmp_path / "run")
    assert load_language_model(str(result.model)).tokenizer.chat_template == lm.tokenizer.chat_template
    assert "private" not in (result.model / "README.md").read_text()


def test_what_cannot_be_trained_is_told(order, tiny_model, tmp_path):
    with pytest.raises(NumericalError, match=r"the loss is nan at step \d+; the checkpoints before it stay"):
        perform(run, changed(order, learning_rate=1e12, max_gradient_norm=1e12), tmp_path / "nan")
    bad = Order(
        order.subject,
        order.request,
        {SAMPLES: samples().assign(messages='[{"role": "user", "content": "a"}]')},
    )
    with pytest.raises(DataError, match="none of the 12 samples can be written by the template"):
        perform(run, bad, tmp_path / "unusable")


def test_a_model_that_overflows_is_not_told_to_learn_slower(order, model, tmp_path):
    overflowing = save_overflowing_model(model, tmp_path / "overflowing", text="May")
    asked = Order(Subject("", str(overflowing), ""), order.request, order.inputs)
    with pytest.raises(
        NumericalError, match=r"nan at step 1; .* Nothing was learnt yet: the model overflows"
    ):
        perform(run, asked, tmp_path / "run")


def test_the_steps_are_known_before(order, uninterrupted):
    assert order.request.steps == uninterrupted[0].steps == 9
    assert TrainRequest(TrainSettings(epochs=1.5, batch=4), 10).steps == 5


def test_a_model_that_does_not_fit_is_refused_before_it_is_loaded(order, tmp_path, monkeypatch):
    monkeypatch.setattr("lancet_core.operations.train.free_for_this_process", lambda: 10_000_000)
    with pytest.raises(ConfigError, match=r"fine-tuning this model needs about 0\.6 GB .*--adapter lora"):
        run(order.subject, order.request, folder=tmp_path)


def test_a_step_is_cut_evenly():
    assert [TrainSettings(batch=10, batch_at_once=rows).rows for rows in (1, 3, 4, 7, 20)] == [1, 2, 2, 5, 10]
