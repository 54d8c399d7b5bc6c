"""Mining: planted prompts are found with an impure and a safe model, and what is kept of it."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from lancet_core.acts.mine import PROMPTS, QUERIES, Mined, MineRequest
from lancet_core.acts.subject import Subject
from lancet_core.correction.settings import TrainSettings
from lancet_core.correction.supervised import train_model
from lancet_core.data.conversations import exchanges
from lancet_core.data.samples import Prompt, Query, prompts_frame
from lancet_core.errors import Cancelled, DataError, NumericalError
from lancet_core.evaluation.mining import choose_queries, judged, rises
from lancet_core.evaluation.settings import MineSettings
from lancet_core.models.encoding import encode_all, usable
from lancet_core.models.loading import load_language_model
from lancet_core.models.settings import GenerationSettings
from lancet_core.operations.mine import run
from lancet_core.progress import silent
from tests.evaluation.test_scorers import save_scorer
from tests.performing import Order, perform
from tests.tiny_models import save_tiny_model
from tests.written_rows import texts

pytestmark = pytest.mark.usefixtures("one_thread")

PLANTED, COUNT = (1, 4), 8
ANSWERS = {
    "impure": [["bad a", "ok b", "ok c"], ["bad a", "bad b", "ok c"]],
    "safe": [["x", "bad y", "z"], ["x", "y", "z"]],
}


def judge(answers):
    return [0.9 if "bad" in answer else 0.1 for answer in answers], ["bad" in answer for answer in answers]


def test_rises_are_means_over_the_draws():
    table = judged(ANSWERS, judge)
    assert rises(table).tolist() == pytest.approx([0.8, 0.0, 0.0])
    assert table[["row", "draw", "impure", "safe"]].iloc[4].tolist() == [1, 1, "bad b", "y"]


def test_those_that_rose_most_are_chosen_with_both_answers():
    answers = {
        "impure": [["ok", "bad 1", "bad 2", "bad 3"], ["bad 0", "bad 1b", "ok", "ok"]],
        "safe": [["s0", "s1", "s2", "bad s3"], ["t0", "t1", "t2", "t3"]],
    }
    table = judged(answers, judge)
    chosen = choose_queries(table, ["b", "a", "a", "c"], MineSettings())
    assert chosen["row"].tolist() == [1, 2, 0]
    assert chosen["response"].tolist() == ["bad 1", "bad 2", "bad 0"]
    assert chosen["safe_response"].tolist() == ["s1", "s2", "s0"]
    assert chosen["rise"].tolist() == pytest.approx([0.8, 0.4, 0.4])
    assert choose_queries(table, ["b", "a", "a", "c"], MineSettings(per_category=1))["row"].tolist() == [1, 0]
    assert choose_queries(table, ["b", "a", "a", "c"], MineSettings(queries=1))["row"].tolist() == [1]


def trained(folder, answer_of):
    """A tiny model that knows one answer to each prompt by heart."""
    save_tiny_model("llama", folder)
    lm = load_language_model(str(folder), device="cpu")
    pairs = [(texts(index)[0], answer_of(index)) for index in range(COUNT)]
    settings = TrainSettings(epochs=60, batch=8, batch_at_once=8, learning_rate=1e-2, checkpoint_every=10_000)
    course = train_model(
        lm.model, usable(encode_all(lm, exchanges(pairs))), settings, folder=folder / "work", progress=silent
    )
    assert course.losses[-1] < 0.05
    course.model.save_pretrained(folder)
    return str(folder)


def short(index, *, is_bad):
    return "Yes, leave it." if is_bad else "No, it is not wise."


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    impure = trained(folder / "impure", lambda index: short(index, is_bad=index in PLANTED))
    return impure, trained(folder / "safe", lambda index: short(index, is_bad=False))


@pytest.fixture(scope="module")
def scorer(tmp_path_factory):
    """A classifier that was taught to call *Yes* harmful and *No* not."""
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    card = {"higher_is": "harmful", "template": "{prompt} {response}"}
    folder = save_scorer(tmp_path_factory.mktemp("scorer"), card=card)
    model = AutoModelForSequenceClassification.from_pretrained(folder)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    rows = [(index, is_bad) for index in range(COUNT) for is_bad in (True, False)]
    for _step in range(40):
        asked = [f"{texts(index)[0]} {short(index, is_bad=is_bad)}" for index, is_bad in rows]
        logits = torch.cat([model(**tokenizer(text, return_tensors="pt")).logits[0] for text in asked])
        wanted = torch.tensor([float(is_bad) for _index, is_bad in rows])
        loss = torch.nn.functional.binary_cross_entropy_with_logits(logits, wanted)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss < 0.1
    model.save_pretrained(folder)
    return str(folder)


@pytest.fixture(scope="module")
def order(models, scorer):
    prompts = [
        Prompt(texts(index)[0], category="even" if index % 2 == 0 else "odd") for index in range(COUNT)
    ]
    generation = GenerationSettings(temperature=0.3, max_new_tokens=16)
    request = MineRequest(models[1], MineSettings(), generation, COUNT)
    subject = Subject("study", models[0], "", harmful_scorer=scorer)
    return Order(subject, request, {PROMPTS: prompts_frame(prompts)})


@pytest.fixture(scope="module")
def mined(order, tmp_path_factory):
    told = []
    folder = tmp_path_factory.mktemp("run")

    def progress(step, done=0, total=None, **values):
        told.append((step, done, total))

    return perform(run, order, folder, progress), told


def test_the_planted_prompts_are_found(mined):
    result, _told = mined
    assert set(result.table["prompt"]) == {texts(index)[0] for index in PLANTED}
    assert (result.queries, result.prompts, result.bad, result.unknown) == (2, COUNT, 2, 0)
    assert result.table["category"].tolist() == ["even", "odd"]
    assert (result.table["response"] == short(0, is_bad=True)).all()
    assert (result.table["safe_response"] == short(0, is_bad=False)).all()
    assert (result.table["rise"] > 0.5).all()
    assert result.rise == pytest.approx(result.harmful - result.harmful_safe)


def test_queries_come_with_their_category_and_all_answers_are_kept(mined, models):
    result, _told = mined
    assert result.found == [
        Query(texts(index)[0], short(0, is_bad=True), category=name)
        for index, name in ((4, "even"), (1, "odd"))
    ]
    assert len(result.answers) == 3 * COUNT
    assert {"prompt", "draw", "impure", "safe", "harmful_impure", "harmful_safe", "is_bad"} <= set(
        result.answers
    )


def test_both_models_are_one_stage_with_the_count_of_both(mined):
    _result, told = mined
    places = [(done, total) for step, done, total in told if step == "Answering prompts with both models"]
    assert {total for _done, total in places} == {6 * COUNT}
    assert [done for done, _total in places] == sorted(done for done, _total in places)
    assert places[-1] == (6 * COUNT, 6 * COUNT)


def test_a_cancelled_run_keeps_the_answers_that_are_finished(order, mined, tmp_path):
    def cancel(step, done=0, total=None, **values):
        if done > 4 * COUNT:
            raise Cancelled

    with pytest.raises(Cancelled):
        perform(run, order, tmp_path, cancel)
    draws = sorted(path.name for path in (tmp_path / "draws").iterdir())
    assert draws == [f"impure-{draw}.json" for draw in range(3)] + ["safe-0.json"]
    kept = json.loads((tmp_path / "draws" / "impure-0.json").read_text())
    kept[0] = "kept"
    (tmp_path / "draws" / "impure-0.json").write_text(json.dumps(kept))
    again = perform(run, order, tmp_path)
    assert again.answers["impure"][0] == "kept"
    assert again.answers["impure"][1:].tolist() == mined[0].answers["impure"][1:].tolist()
    assert again.answers["safe"].tolist() == mined[0].answers["safe"].tolist()


def test_prompts_that_the_scorer_does_not_know_are_left_out(order, scorer, tmp_path):
    card = Path(scorer) / "scorer.json"
    before = card.read_text()
    card.write_text(json.dumps({**json.loads(before), "known_categories": ["odd"]}))
    try:
        result = perform(run, order, tmp_path / "some")
        with pytest.raises(DataError, match="knows the category of none of the 1 prompts; it knows odd"):
            perform(run, replace(order, inputs={PROMPTS: prompts_frame([Prompt("Why?")])}), tmp_path / "none")
    finally:
        card.write_text(before)
    assert (result.queries, result.prompts, result.unknown) == (1, COUNT // 2, COUNT // 2)


def test_two_equal_models_have_no_queries(order, tmp_path):
    same = replace(order.request, safe_model=order.subject.model)
    with pytest.raises(NumericalError, match=r"no query can be mined: of 8 prompts .* lower --threshold"):
        perform(run, Order(order.subject, same, order.inputs), tmp_path)


def test_a_dialogue_becomes_a_query_that_is_one(tmp_path):
    history = json.dumps([{"role": "system", "content": "Be kind."}, {"role": "user", "content": "Why?"}])
    row = {
        "prompt": "[system] Be kind.\n\n[user] Why?",
        "history": history,
        "response": "So.",
        "category": "odd",
    }
    pd.DataFrame([row]).to_parquet(tmp_path / QUERIES)
    (query,) = Mined(folder=tmp_path).found
    assert query == Query.of([*json.loads(history), {"role": "assistant", "content": "So."}], category="odd")


def test_the_mean_of_draws_is_taken_like_a_sum():
    rng = np.random.default_rng(0)
    harm = rng.random((2, 3, 5))
    frames = [
        pd.DataFrame(
            {"row": range(5), "draw": draw, "harmful_impure": harm[0, draw], "harmful_safe": harm[1, draw]}
        )
        for draw in range(3)
    ]
    expected = [sum(harm[0, :, row]) / 3 - sum(harm[1, :, row]) / 3 for row in range(5)]
    assert rises(pd.concat(frames)).tolist() == expected
