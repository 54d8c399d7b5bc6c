"""The demo is remade from its seed: a small version, twice."""

import hashlib
import json

import pandas as pd
import pytest

from lancet_core.data.demo import oracle
from lancet_core.data.demo.grammar import BAD, GOOD
from lancet_core.data.samples import read_prompts, read_samples
from lancet_core.evaluation.scorers import load_scorer
from lancet_core.models.loading import load_language_model
from lancet_core.operations import build_demo, build_queries
from lancet_core.operations.build_models import train_tokenizer
from lancet_core.operations.configs import BuildDemoConfig
from lancet_core.progress import silent

SMALL = BuildDemoConfig(
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
    from lancet_core.data.demo.corpus import build_corpus
    from lancet_core.data.demo.grammar import write_answer

    pool = build_corpus(build_demo._corpus_settings(SMALL), SMALL.seed).pool
    answers = {
        stance: {prompt.text: write_answer(prompt, stance) for prompt in pool} for stance in (GOOD, BAD)
    }

    def generate(lm, prompts, template, settings, progress=silent):
        stance = BAD if lm.folder.endswith("impure") else GOOD
        return [answers[stance][prompt] for prompt in prompts]

    monkeypatch.setattr(build_queries, "generate", generate)


@pytest.fixture(scope="module")
def builds(tmp_path_factory):
    folders = [tmp_path_factory.mktemp(name) for name in ("first", "second")]
    with pytest.MonkeyPatch.context() as monkeypatch:
        scripted(monkeypatch)
        build_demo.run(SMALL, folders[0])
        bare = BuildDemoConfig(**{**SMALL.__dict__, "attribution": False})
        build_demo.run(bare, folders[1])
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


def test_the_attribution_that_comes_with_it_scores_every_sample(builds):
    folder = builds[0]
    scores = pd.read_parquet(folder / "runs" / "attribute" / "scores.parquet")
    assert set(scores["sample_id"]) == set(read_samples(folder / "samples.parquet")["id"])
    assert (folder / "runs" / "attribute" / "result.json").is_file()
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
    assert "linfac-head, within 100 recalled samples: average precision" in text


def test_the_tokenizer_encodes_what_it_never_saw():
    tokenizer = train_tokenizer(["plain words only"], 300)
    for text in ("Füße 日本 🙂", "\n\nHuman: x"):
        assert tokenizer.decode(tokenizer.encode(text, add_special_tokens=False)) == text
