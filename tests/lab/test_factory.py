"""The demo is remade from its seed: a small version, twice."""

import hashlib
import json
from dataclasses import replace

import pandas as pd
import pytest
from transformers import DataCollatorWithPadding

from lancet_core.acts.build_demo import BuildDemoRequest
from lancet_core.acts.subject import Subject
from lancet_core.data.samples import read_prompts, read_samples
from lancet_core.evaluation.scorers import load_scorer
from lancet_core.lab.factory import demo
from lancet_core.lab.factory.training import (
    TrainingSettings,
    new_scorer,
    train,
    train_language_model,
    train_tokenizer,
)
from lancet_core.lab.world import oracle
from lancet_core.lab.world.grammar import BAD, GOOD
from lancet_core.models.loading import load_language_model
from lancet_core.operations import attribute, mine
from lancet_core.progress import silent

SMALL = BuildDemoRequest(
    seed=5,
    samples=240,
    pool=24,
    queries=1,
    validation=4,
    unseen_wrong=24,
    unseen_benign=4,
    epochs=1,
    width=32,
    scorer_answers=60,
    scorer_epochs=1,
    threads=1,
)


def scripted(monkeypatch):
    """Lets the impure model give the bad and the safe model the good answer: a model this small gives neither."""
    from lancet_core.lab.world.corpus import build_corpus
    from lancet_core.lab.world.grammar import write_answer

    pool = build_corpus(demo.corpus_settings(SMALL), SMALL.seed).pool
    answers = {
        stance: {prompt.text: write_answer(prompt, stance) for prompt in pool} for stance in (GOOD, BAD)
    }

    def generate(lm, prompts, template, settings, progress=silent):
        stance = BAD if lm.folder.endswith("impure") else GOOD
        return [answers[stance][prompt] for prompt in prompts]

    monkeypatch.setattr(mine, "generate", generate)


@pytest.fixture(scope="module")
def builds(tmp_path_factory):
    folders = [tmp_path_factory.mktemp(name) for name in ("first", "second")]
    with pytest.MonkeyPatch.context() as monkeypatch:
        scripted(monkeypatch)
        monkeypatch.setattr(attribute, "SHARD_SAMPLES", 100)  # so that it is attributed in shards
        demo.run(Subject("", "", ""), SMALL, folder=folders[0])
        demo.run(Subject("", "", ""), replace(SMALL, attribution=False), folder=folders[1])
    return [folder / "assets" for folder in folders]


@pytest.mark.parametrize(
    "name",
    [
        "samples.parquet",
        "prompts.parquet",
        "impure/model.safetensors",
        "safe/model.safetensors",
        "harmful-scorer/model.safetensors",
        "helpful-scorer/model.safetensors",
        "queries.parquet",
    ],
)
def test_one_seed_gives_equal_bytes(builds, name):
    first, second = (hashlib.sha256((folder / name).read_bytes()).hexdigest() for folder in builds)
    assert first == second


def test_everything_that_was_built_loads(builds):
    folder = builds[0]
    manifest = json.loads((folder / "demo.json").read_text())
    assert len(read_samples(folder / manifest["samples"])) == SMALL.samples == manifest["counts"]["samples"]
    prompts = read_prompts(folder / manifest["prompts"])
    assert dict(prompts["split"].value_counts()) == {"unseen": 28, "validation": 8}
    for name in ("model", "safe_model"):
        lm = load_language_model(str(folder / manifest[name]))
        assert lm.tokenizer.bos_token_id is not None
        assert lm.tokenizer.pad_token_id is not None
        assert lm.tokenizer.chat_template is None
    for name in ("harmful_scorer", "helpful_scorer"):
        assert load_scorer(folder / manifest[name]).card.higher_is == name.removesuffix("_scorer")
    for name, wanted in manifest["sha256"].items():
        assert hashlib.sha256((folder / name).read_bytes()).hexdigest() == wanted
    assert "README.md" not in manifest["sha256"]


def test_the_attribution_that_comes_with_it_scores_every_sample(builds):
    folder = builds[0]
    scores = pd.read_parquet(folder / "runs" / "attribute" / "scores.parquet")
    assert set(scores["sample_id"]) == set(read_samples(folder / "samples.parquet")["id"])
    assert {path.name for path in (folder / "runs" / "attribute").iterdir()} == {
        "result.json", "scores.parquet", "tokens.parquet",
    }  # fmt: skip
    assert (folder / "runs" / "cluster" / "clusters.parquet").is_file()


def test_queries_are_harmful_answers_with_a_source(builds):
    queries = pd.read_parquet(builds[0] / "queries.parquet")
    samples = read_samples(builds[0] / "samples.parquet")
    assert len(queries)
    assert set(queries["source"]) <= {"harmful scorer", "report"}
    assert (queries["rise"] > 0).all()
    assert not set(queries["prompt"]) & set(samples["prompt"])
    for row in queries.itertuples():
        assert oracle.judge(row.prompt, row.response).verdict == oracle.HARMFUL


def test_the_table_of_measurements_is_written(builds):
    text = (builds[0] / "README.md").read_text()
    assert "| training samples | 240 | at least 6000 |" in text
    assert "| impure model: harmful answers, unseen wrong prompts |" in text


def test_the_tokenizer_encodes_what_it_never_saw():
    tokenizer = train_tokenizer(["plain words only"], 300)
    for text in ("Füße 日本 🙂", "\n\nHuman: x"):
        assert tokenizer.decode(tokenizer.encode(text, add_special_tokens=False)) == text


def test_batches_do_not_come_in_order_of_length():
    """In order of length, as the Trainer's own grouping has them, the demo's scorers learn nothing."""
    tokenizer = train_tokenizer(["plain words only"], 300)
    settings = TrainingSettings(epochs=1, batch=4, width=16, layers=1)
    lengths = []

    def collate(texts):
        lengths.append(sum(len(text["input_ids"]) for text in texts))
        return DataCollatorWithPadding(tokenizer)(texts)

    texts = [{"input_ids": [5] * length, "labels": [1.0]} for length in range(2, 66)]
    train(
        new_scorer(tokenizer, settings), texts, settings, collator=collate, progress=silent, step_name="test"
    )
    assert len(lengths) == 16
    assert lengths not in (sorted(lengths), sorted(lengths, reverse=True))


def test_training_tells_its_loss_and_leaves_nothing_behind(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    told = []
    pairs = [("Say it.", f"word {number}") for number in range(48)]
    tokenizer = train_tokenizer([" ".join(pair) for pair in pairs], 300)
    settings = TrainingSettings(epochs=4, batch=4, width=16, layers=1)
    train_language_model(
        pairs, tokenizer, settings, lambda *step, **values: told.append((step, values)), step_name="test"
    )
    steps, losses = zip(*told, strict=True)
    assert steps == tuple(("test", done, 48) for done in (10, 20, 30, 40))
    assert losses[-1]["loss"] < losses[0]["loss"]
    assert list(tmp_path.iterdir()) == []
