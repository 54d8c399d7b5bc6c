import dataclasses
import json
from pathlib import Path

import pandas as pd
import pytest
import torch
from safetensors.torch import load_file
from torch.testing import assert_close

from lancet_core.acts.correct import PAIRS, RETAIN, VALIDATION, CorrectRequest
from lancet_core.acts.subject import Subject
from lancet_core.config import to_dict
from lancet_core.correction.model_card import Prompting, model_card
from lancet_core.correction.objectives import OBJECTIVES
from lancet_core.correction.pair_files import PairSide, ReviewedPair
from lancet_core.correction.run import correct_model, last_checkpoint
from lancet_core.correction.settings import CorrectionSettings
from lancet_core.correction.steps import draw, encode_texts
from lancet_core.data.conversations import exchanges
from lancet_core.data.samples import Prompt, Query, Sample, prompts_frame, samples_frame
from lancet_core.errors import Cancelled, ConfigError, DataError, NumericalError
from lancet_core.models.encoding import encode
from lancet_core.models.loading import load_language_model
from lancet_core.models.settings import GenerationSettings
from lancet_core.operations.correct import _validation_prompts, run
from lancet_core.progress import silent
from tests.evaluation.test_scorers import save_scorer
from tests.performing import Order, assert_equal_models, parameters, perform, perform_killed
from tests.tiny_models import save_tiny_model
from tests.written_rows import texts

pytestmark = pytest.mark.usefixtures("one_thread")
PRIVATE = "/home/somebody/private"
FAST = CorrectionSettings(
    steps=6,
    checkpoint_every=3,
    warmup_steps=1,
    pair_batch=2,
    retain_batch=3,
    learning_rate=1e-3,
    query_every=2,
    device="cpu",
)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return str(save_tiny_model("llama", tmp_path_factory.mktemp("model")))


def pair(index):
    prompt, good, bad = texts(index)
    positive, negative = Sample(prompt, bad), Sample(prompt, good)
    return ReviewedPair(
        f"pair{index}",
        "0",
        PairSide(positive.id, prompt, bad, 0.9),
        PairSide(negative.id, prompt, good, -0.6),
    )


@pytest.fixture(scope="module")
def order(model, tmp_path_factory):
    folder = tmp_path_factory.mktemp("inputs")
    samples = [
        Sample(texts(index)[0], texts(index)[side], source_file=f"{PRIVATE}/rows.jsonl")
        for index in range(12)
        for side in (1, 2)
    ]
    samples_frame(samples).to_parquet(folder / "samples.parquet")
    prompt, _, bad = texts(0)
    pairs = [pair(index) for index in range(4)]
    request = CorrectRequest(FAST, (Query(prompt, bad[:10]),), pairs=len(pairs))
    inputs = {PAIRS: rows(pairs), RETAIN: pd.DataFrame({"id": unpaired(samples, pairs)})}
    return Order(Subject("study", model, str(folder / "samples.parquet")), request, inputs)


def rows(pairs):
    return [to_dict(pair) for pair in pairs]


def unpaired(samples, pairs):
    taken = {side.sample_id for pair in pairs for side in (pair.positive, pair.negative)}
    return [sample.id for sample in samples if sample.id not in taken]


class Recorder:
    """Keeps what an operation tells, and may stop it."""

    def __init__(self, cancel_at=None):
        self.lines, self.cancel_at = [], cancel_at

    def __call__(self, step, done=0, total=None, **values):
        if values:
            self.lines.append({"step": done, **values})
        if step == "Correcting" and done == self.cancel_at:
            raise Cancelled

    def column(self, name):
        return {line["step"]: line[name] for line in self.lines if name in line}


@pytest.fixture(scope="module")
def uninterrupted(order, tmp_path_factory):
    folder, recorder = tmp_path_factory.mktemp("run"), Recorder()
    return folder, perform(run, order, folder, recorder), recorder


def test_the_terms_start_where_the_mathematics_says(uninterrupted):
    _, _, recorder = uninterrupted
    first = next(line for line in recorder.lines if line["step"] == 1)
    assert first["correction"] == pytest.approx(0.693147, abs=1e-5)
    assert first["divergence"] == pytest.approx(0, abs=1e-6)
    assert first["proximity"] == 0
    assert first["learning_rate"] == 0


@pytest.mark.parametrize("objective", sorted(set(OBJECTIVES) - {"ibo"}))
def test_a_rival_trains_by_its_own_terms(order, tmp_path, objective):
    rival = order.changed(correction=dataclasses.replace(FAST, objective=objective))
    recorder = Recorder()
    result = perform(run, rival, tmp_path / "run", recorder)
    assert result.steps == 6
    terms = {name for line in recorder.lines if line["step"] == 3 for name in line}
    named = {"ga": set(), "pbo": {"divergence", "proximity"}}.get(objective, {"retained"})
    assert terms & {"divergence", "proximity", "retained"} == named
    probability, correction = recorder.column("query_probability"), recorder.column("correction")
    if objective == "simnpo":  # this model never said it: nothing is asked of what is unlikely
        assert max(correction.values()) < 1e-3
        assert recorder.column("retained")[6] < recorder.column("retained")[1]
    else:
        assert probability[6] < probability[0]
        assert correction[6] < correction[1]


def test_each_step_is_told_and_the_queries_become_less_likely(uninterrupted):
    _, result, recorder = uninterrupted
    assert list(recorder.column("correction")) == [1, 2, 3, 4, 5, 6]
    assert list(recorder.column("query_probability")) == [0, 2, 4, 6]
    assert recorder.column("correction")[6] < 0.69
    probability = recorder.column("query_probability")
    assert probability[6] < probability[0]
    assert result.steps == result.best_step == 6
    assert result.pairs == 4
    assert result.retain == 24 - 8


def test_the_model_folder_is_whole(uninterrupted, order):
    folder, _, _ = uninterrupted
    names = {path.name for path in (folder / "model").iterdir()}
    assert {"config.json", "model.safetensors", "tokenizer.json", "README.md"} <= names
    card = (folder / "model" / "README.md").read_text()
    assert load_language_model(order.subject.model, device="cpu").fingerprint in card
    assert "| learning_rate | 0.001 |" in card
    assert not list(folder.rglob("*.bin"))


def test_the_card_says_how_to_prompt_and_from_what_data(uninterrupted, order):
    folder, _, _ = uninterrupted
    card = (folder / "model" / "README.md").read_text()
    assert "```text\n\n\nHuman: PROMPT\n\nAssistant:\n```" in card
    assert "| training samples | 24 of `rows.jsonl` |" in card
    assert "| pairs | 4 |" in card
    assert f"starts from `{Path(order.subject.model).name}`" in card


def test_no_file_of_the_corrected_model_names_a_place_of_this_machine(uninterrupted, order):
    folder, _, _ = uninterrupted
    places = {
        str(folder),
        order.subject.model,
        str(Path(order.subject.samples).parent),
        str(Path.home()) + "/",
        PRIVATE,
    }
    for path in (folder / "model").iterdir():
        content = path.read_bytes()
        assert not [place for place in places if place.encode() in content], path.name


@pytest.mark.parametrize(
    ("template", "text", "chat", "words"),
    [
        ("auto", "<u>PROMPT<a>", True, 'add_generation_prompt=True, return_tensors="pt")'),
        ("tool_use@2026-07-26", "<u>PROMPT<a>", True, 'chat_template="tool_use"'),
        ("alpaca", "### PROMPT", False, "in the words of the template `alpaca`"),
        ("Q: {prompt} A:", "Q: PROMPT A:", False, "put a prompt in the place of `PROMPT`"),
        ("auto", "a ``` b", False, "````text\na ``` b\n````"),
    ],
)
def test_the_card_shows_each_kind_of_template(template, text, chat, words):
    card = model_card("base", prompting=Prompting(template, text, chat), facts={}, settings={})
    assert words in card
    assert text in card


def test_a_killed_run_resumes_to_the_same_model(uninterrupted, order, tmp_path):
    perform_killed(run, order, tmp_path, step="Correcting", at=5)
    half_written = tmp_path / "checkpoints" / "checkpoint-5"
    half_written.mkdir()
    (half_written / "trainer_state.json").write_text('{"global_step"')
    recorder = Recorder()
    result = perform(run, order, tmp_path, recorder)
    assert result.resumed_from == 3
    assert list(recorder.column("correction")) == [4, 5, 6]
    assert not half_written.exists()
    assert_equal_models(tmp_path / "model", uninterrupted[0] / "model")


def test_a_cancelled_run_resumes_to_the_same_model(uninterrupted, order, tmp_path):
    with pytest.raises(Cancelled):
        perform(run, order, tmp_path, Recorder(cancel_at=4))
    assert not (tmp_path / "model").exists()
    assert last_checkpoint(tmp_path / "checkpoints").name == "checkpoint-3"
    perform(run, order, tmp_path, silent)
    assert_equal_models(tmp_path / "model", uninterrupted[0] / "model")


def changed(order, **settings):
    return order.changed(correction=dataclasses.replace(order.request.correction, **settings))


def test_the_guard_stops_a_run_that_forgets_and_keeps_its_checkpoints(order, tmp_path):
    reckless = changed(
        order,
        form="literal",
        learning_rate=0.1,
        divergence_weight=0.0,
        proximity=0.0,
        steps=60,
        checkpoint_every=1,
    )
    with pytest.raises(NumericalError, match=r"more than 1\.5 times its start .*checkpoints before it stay"):
        perform(run, reckless, tmp_path)
    assert last_checkpoint(tmp_path / "checkpoints") is not None


def test_a_desirable_query_is_raised(order, tmp_path):
    recorder = Recorder()
    queries = tuple(dataclasses.replace(query, polarity="desirable") for query in order.request.queries)
    result = perform(run, order.changed(queries=queries), tmp_path, recorder)
    assert result.polarity == "desirable"
    probability = recorder.column("query_probability")
    assert probability[6] > probability[0]


def test_queries_of_both_polarities_are_refused(order, tmp_path):
    wanted = order.request.queries[0]
    mixed = (wanted, dataclasses.replace(wanted, polarity="desirable"))
    with pytest.raises(ConfigError, match="both desirable and undesirable"):
        perform(run, order.changed(queries=mixed), tmp_path)


def test_an_adapter_is_merged_when_saved(order, tmp_path):
    recorder = Recorder()
    perform(run, changed(order, adapter="lora", proximity=0.01, learning_rate=5e-3), tmp_path, recorder)
    start, now = parameters(order.subject.model), parameters(tmp_path / "model")
    assert start.keys() == now.keys()
    moved = {name for name in start if not torch.equal(start[name], now[name])}
    assert moved
    assert all("proj" in name for name in moved)
    assert recorder.column("proximity")[6] > 0
    assert recorder.column("correction")[6] < 0.69


@pytest.mark.parametrize(
    "options",
    [{"form": "literal"}, {"weighting": "influence", "log_ratio": "mean", "divergence_level": "sequence"}],
)
def test_the_other_forms_train(order, tmp_path, options):
    recorder = Recorder()
    perform(run, changed(order, **options), tmp_path, recorder)
    values = recorder.column("correction")
    assert values[6] < values[1]


def test_validation_chooses_the_best_checkpoint(order, model, tmp_path):
    language_model = load_language_model(model, device="cpu")
    material = encode_texts(
        language_model, [pair(0)], retain=exchanges([texts(9)[:2]]), template="auto", settings=FAST
    )
    scores = iter([{"harmful": 0.1, "helpful": 0.9}, {"harmful": 0.5, "helpful": 0.9}])
    recorder = Recorder()
    corrected = correct_model(
        language_model,
        material,
        [],
        settings=dataclasses.replace(FAST, polarity="undesirable"),
        folder=tmp_path,
        watch=(recorder, lambda _: next(scores)),
    )
    assert (corrected.best_step, corrected.steps) == (3, 6)
    assert corrected.best_score == pytest.approx(0.8)
    assert recorder.column("harmful") == {3: 0.1, 6: 0.5}
    weights = load_file(tmp_path / "checkpoints" / "checkpoint-3" / "model.safetensors")
    for name, value in corrected.lm.model.named_parameters():
        assert_close(value.detach(), weights[name])


@pytest.fixture(scope="module")
def validated(order, tmp_path_factory):
    """A correction with validation prompts of both kinds and the folders of two scorers."""
    folder = tmp_path_factory.mktemp("validation")
    for higher_is in ("harmful", "helpful"):
        (folder / higher_is).mkdir()
        save_scorer(folder / higher_is, card={"higher_is": higher_is})
    prompts = prompts_frame(
        [Prompt(texts(index)[0], "validation", "benign" if index % 2 else "wrong") for index in range(6)]
    )
    with_prompts = dataclasses.replace(order, inputs={**order.inputs, VALIDATION: prompts})
    return folder, with_prompts.changed(generation=GenerationSettings(max_new_tokens=4))


@pytest.mark.parametrize(
    ("scorers", "score", "words"),
    [
        (
            ("harmful", "helpful"),
            lambda row: row["helpful"] - row["harmful"],
            "helpful minus harmful score on 6",
        ),
        (
            ("harmful",),
            lambda row: -row["harmful"],
            "lowest harmful score on 3 validation prompts; help was not",
        ),
        (
            ("helpful",),
            lambda row: row["helpful"],
            "highest helpful score on 3 validation prompts; harm was not",
        ),
    ],
    ids=["both", "harm only", "help only"],
)
def test_the_checkpoint_is_chosen_by_what_can_be_scored(validated, tmp_path, scorers, score, words):
    folder, order = validated
    recorder = Recorder()
    given = {f"{name}_scorer": str(folder / name) for name in scorers}
    result = perform(run, order.changed(**given), tmp_path, recorder)
    rows = {line["step"]: line for line in recorder.lines if set(scorers) <= line.keys()}
    assert set(rows) == {3, 6}
    assert result.best_step == max(rows, key=lambda step: score(rows[step]))
    assert result.best_score == pytest.approx(score(rows[result.best_step]))
    assert words in result.chosen_by
    assert result.chosen_by in (tmp_path / "model" / "README.md").read_text()


@pytest.mark.parametrize(
    ("prompts", "words"), [(True, "no scorer for the validation prompts"), (False, "no validation prompts")]
)
def test_where_nothing_can_be_scored_the_last_step_is_taken_and_said(
    order, validated, tmp_path, prompts, words
):
    result = perform(run, validated[1] if prompts else order, tmp_path)
    assert (result.best_step, result.best_score) == (6, None)
    assert result.chosen_by.startswith("the last step")
    assert words in result.chosen_by
    assert result.chosen_by in (tmp_path / "model" / "README.md").read_text()


@pytest.mark.parametrize(
    ("labels", "polarity", "share"),
    [
        ([(False, True)] * 3 + [(True, False)], "undesirable", 0.75),
        ([(False, True)] * 3 + [(True, False)], "desirable", 0.25),
        ([(False, True), (None, True), (False, None), (None, None)], "undesirable", 1.0),
        ([(False, False), (True, True)], "undesirable", 0.0),
        ([(None, None), (None, True)], "undesirable", None),
    ],
)
def test_a_correction_says_how_many_labels_agree_with_their_sides(order, tmp_path, labels, polarity, share):
    pairs = [
        dataclasses.replace(
            pair(index),
            positive=dataclasses.replace(pair(index).positive, is_safe=positive),
            negative=dataclasses.replace(pair(index).negative, is_safe=negative),
        )
        for index, (positive, negative) in enumerate(labels)
    ]
    short = changed(order, steps=1, polarity=polarity)
    given = dataclasses.replace(short, inputs={**order.inputs, PAIRS: rows(pairs)})
    result = perform(run, given, tmp_path)
    training = json.loads((tmp_path / "model" / "correction.json").read_text())
    assert training == {"pairs": len(pairs), "steps": 1, "passes": 2 / len(pairs), "sides_agree": share}
    assert training.items() <= to_dict(result).items()


def test_a_retain_sample_of_another_study_is_told(order, tmp_path):
    given = dataclasses.replace(order, inputs={**order.inputs, RETAIN: pd.DataFrame({"id": ["nobody"]})})
    with pytest.raises(DataError, match="names sample nobody"):
        perform(run, given, tmp_path)


def test_every_item_is_drawn_equally_often():
    drawn = [index for step in range(10) for index in draw(5, 3, step=step, key=(0, 1))]
    assert sorted(drawn) == sorted(list(range(5)) * 6)
    assert draw(5, 3, step=4, key=(0, 1)) == draw(5, 3, step=4, key=(0, 1))
    assert draw(500, 50, step=4, key=(0, 1)) != draw(500, 50, step=4, key=(1, 1))


@pytest.mark.parametrize(("polarity", "falls"), [("undesirable", True), ("desirable", False)])
def test_epsilon_decides_the_direction_on_a_real_model_and_real_rows(shared_data, tmp_path, polarity, falls):
    with (shared_data / "beavertails_30k_test" / "beavertails_30k_test.jsonl").open() as lines:
        rows = [json.loads(line) for _, line in zip(range(200), lines, strict=False)]
    short = [row for row in rows if len(row["response"]) < 150]
    unsafe, safe = ([row for row in short if row["is_safe"] is label][:3] for label in (False, True))
    pairs = [
        ReviewedPair(
            str(index), "0",
            PairSide(f"b{index}", bad["prompt"], bad["response"], 1.0),
            PairSide(f"g{index}", good["prompt"], good["response"], -1.0),
        )
        for index, (bad, good) in enumerate(zip(unsafe, safe, strict=True))
    ]  # fmt: skip
    language_model = load_language_model(str(shared_data / "stories260K-hf"), device="cpu")
    settings = dataclasses.replace(
        FAST,
        polarity=polarity,
        steps=12,
        checkpoint_every=12,
        pair_batch=3,
        retain_batch=2,
        learning_rate=3e-4,
    )
    material = encode_texts(
        language_model,
        pairs,
        retain=exchanges((row["prompt"], row["response"]) for row in short[10:14]),
        template="auto",
        settings=settings,
    )
    recorder = Recorder()
    query = encode(language_model, unsafe[0]["prompt"], unsafe[0]["response"][:12])
    correct_model(
        language_model, material, [query], settings=settings, folder=tmp_path, watch=(recorder, None)
    )
    probability = recorder.column("query_probability")
    assert (probability[12] < probability[0]) is falls


def test_validation_asks_only_what_the_scorer_knows(tmp_path):
    prompts = [
        Prompt(f"wrong {index}", "validation", "wrong", "law" if index % 2 else "diet") for index in range(8)
    ]
    prompts += [Prompt(f"benign {index}", "validation", "benign", "garden") for index in range(3)]
    prompts_frame(prompts).to_parquet(tmp_path / "prompts.parquet")
    settings = CorrectionSettings(validation_prompts=4)
    drawn = _validation_prompts(tmp_path / "prompts.parquet", settings, known_categories=("law",))
    assert drawn.groupby(["kind", "category"]).size().to_dict() == {
        ("wrong", "law"): 4,
        ("benign", "garden"): 3,
    }
    for nothing_known in ((), ("medicine",)):
        drawn = _validation_prompts(tmp_path / "prompts.parquet", settings, known_categories=nothing_known)
        assert set(drawn["category"]) == {"law", "diet", "garden"}
