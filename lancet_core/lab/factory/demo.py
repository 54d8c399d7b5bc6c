"""Remakes the demo study from code: corpus, models, scorers, mined queries, their attribution, and the table of bars.

Everything follows from the seed: the corpus is byte-identical, weights are identical on one machine with one thread count.
"""

import hashlib
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from lancet_core.acts.attribute import AttributeRequest
from lancet_core.acts.build_demo import ASSETS, BuildDemoRequest, DemoBuilt
from lancet_core.acts.cluster import CLUSTERS, ClusterRequest
from lancet_core.acts.results import write_result
from lancet_core.acts.subject import Subject
from lancet_core.config import to_dict
from lancet_core.data.samples import Query, prompts_frame, samples_frame
from lancet_core.evaluation.scorers import load_scorer
from lancet_core.files import write_json, write_table
from lancet_core.influence.presets import preset
from lancet_core.influence.settings import ClusterSettings
from lancet_core.lab.factory.queries import Miners, mine_queries
from lancet_core.lab.factory.report import (
    Measurement,
    measure_corpus,
    measure_model,
    measure_scorers,
    write_readme,
)
from lancet_core.lab.factory.scorers import (
    HARMFUL,
    HELPFUL,
    VOCABULARY,
    harmful_answers,
    helpful_answers,
    train_scorer,
)
from lancet_core.lab.factory.training import (
    TrainingSettings,
    train_language_model,
    train_tokenizer,
)
from lancet_core.lab.world.corpus import Corpus, CorpusSettings, build_corpus
from lancet_core.lab.world.vocabulary import BLIND_CATEGORIES, CATEGORIES, KNOWN_CATEGORIES
from lancet_core.models.loading import Loader, load_language_model
from lancet_core.models.settings import DEFAULT_TEMPLATE
from lancet_core.operations import attribute, cluster
from lancet_core.operations.answering import Scorers
from lancet_core.progress import Progress, silent

README = "README.md"
_SHARDS = "shards"
_STUDY = "demo"
# Seeds apart from the study's own: scorers, mining and measuring must not see its draws again.
_SCORER_SEED, _MINING_SEED, _HELD_OUT_SEED = 10_000, 20_000, 30_000
_PATHS = {
    "samples": "samples.parquet",
    "prompts": "prompts.parquet",
    "queries": "queries.parquet",
    "scores": "scores.parquet",
    "model": "impure",
    "safe_model": "safe",
    "harmful_scorer": "harmful-scorer",
    "helpful_scorer": "helpful-scorer",
}


@dataclass(frozen=True)
class _Build:
    """What every stage needs.

    Attributes:
        request: Seed and sizes.
        corpus: All texts.
        folder: Folder of the assets.
        progress: Told at every stage.
    """

    request: BuildDemoRequest
    corpus: Corpus
    folder: Path
    progress: Progress

    @property
    def taken(self) -> frozenset[str]:
        """Prompts of all splits: scorers must not learn or be measured on them."""
        drawn = [sample.prompt for sample in self.corpus.training]
        drawn += [prompt.prompt for prompt in self.corpus.prompts]
        return frozenset(drawn + [prompt.text for prompt in self.corpus.pool])

    def path(self, name: str) -> Path:
        """Path of an asset."""
        return self.folder / _PATHS[name]


def run(
    subject: Subject,
    request: BuildDemoRequest,
    *,
    folder: Path,
    progress: Progress = silent,
    load: Loader | None = None,
) -> DemoBuilt:
    """Writes the demo's assets into `assets` of the folder.

    Args:
        subject: Nothing: the demo is made from code.
        request: Seed and sizes.
        folder: Folder of the run.
        progress: Told at every stage.
        load: Unused; models are made here.

    Raises:
        ConfigError: More prompts are asked for than the grammar has.
        NumericalError: The impure model gives no bad answer, so that no query can be mined.
    """
    del subject, load
    started = time.perf_counter()
    assets = folder / ASSETS
    shutil.rmtree(assets, ignore_errors=True)
    assets.mkdir(parents=True)
    progress("Drawing the corpus")
    build = _Build(request, build_corpus(corpus_settings(request), request.seed), assets, progress)
    with _threads(request.threads):
        samples = _write_texts(build)
        seconds = _train_language_models(build)
        _train_scorers(build)
        queries, measured = _mine_and_measure(build, samples)
        runs = _attribute(build, queries) if request.attribution else {}
    facts = {"causal language model, seconds to train each": ", ".join(f"{value:.0f}" for value in seconds)}
    write_readme(assets / README, measured, seed=request.seed, facts=facts)
    _write_manifest(build, runs, queries)
    elapsed = round(time.perf_counter() - started, 1)
    return DemoBuilt(elapsed, request.seed, tuple(asdict(row) for row in measured))


def corpus_settings(request: BuildDemoRequest) -> CorpusSettings:
    """Says how much is drawn."""
    sizes = ("samples", "pool", "validation", "unseen_wrong", "unseen_benign")
    return CorpusSettings(**{name: getattr(request, name) for name in sizes})


@contextmanager
def _threads(count: int) -> Iterator[None]:
    """Computes with a number of threads: sums, and so weights, depend on it."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _write_texts(build: _Build) -> pd.DataFrame:
    samples = samples_frame(build.corpus.training)
    write_table(build.path("samples"), samples)
    write_table(build.path("prompts"), prompts_frame(build.corpus.prompts))
    return samples


def _train_language_models(build: _Build) -> list[float]:
    """Trains the impure and the safe model and writes both; returns the seconds each took."""
    request, corpus = build.request, build.corpus
    tokenizer = train_tokenizer(
        [f"{sample.prompt}\n\n{sample.response}" for sample in corpus.training], VOCABULARY
    )
    settings = TrainingSettings(epochs=request.epochs, width=request.width, seed=request.seed)
    seconds = []
    for name in ("model", "safe_model"):
        started = time.perf_counter()
        pairs = [
            (sample.prompt, sample.response)
            for sample in corpus.training
            if name == "model" or sample.is_safe
        ]
        stage = f"Training the {_PATHS[name]} model"
        lm = train_language_model(pairs, tokenizer, settings, build.progress, step_name=stage)
        lm.model.save_pretrained(build.path(name))
        tokenizer.save_pretrained(build.path(name))
        seconds.append(time.perf_counter() - started)
    return seconds


def _train_scorers(build: _Build) -> None:
    request, seed = build.request, build.request.seed + _SCORER_SEED
    settings = TrainingSettings(
        epochs=request.scorer_epochs,
        learning_rate=1e-3,
        width=96,
        layers=2,
        seed=seed,
        weight_decay=0.01,
    )
    known = harmful_answers(request.scorer_answers, seed, categories=KNOWN_CATEGORIES, avoid=build.taken)
    helpful = helpful_answers(request.scorer_answers, seed, avoid=build.taken)
    for higher_is, rows in ((HARMFUL, known), (HELPFUL, helpful)):
        train_scorer(
            rows,
            settings,
            higher_is=higher_is,
            folder=build.path(f"{higher_is}_scorer"),
            progress=build.progress,
        )


def _mine_and_measure(build: _Build, samples: pd.DataFrame) -> tuple[pd.DataFrame, list[Measurement]]:
    """Mines the queries, scores the training samples and measures the bars."""
    request, progress = build.request, build.progress
    impure = load_language_model(str(build.path("model")), device="cpu")
    safe = load_language_model(str(build.path("safe_model")), device="cpu")
    harmful, helpful = (load_scorer(build.path(f"{name}_scorer")) for name in (HARMFUL, HELPFUL))
    queries = mine_queries(
        Miners(impure, safe, harmful),
        build.corpus.pool,
        per_category=request.queries,
        seed=request.seed + _MINING_SEED,
        progress=progress,
    )
    write_table(build.path("queries"), queries)
    scorers = Scorers(harmful, helpful)
    _score_samples(build, samples, scorers)
    prompts = prompts_frame(build.corpus.prompts)
    measured = [
        *measure_corpus(samples),
        Measurement("influence queries", len(queries), "at least 60"),
        *measure_model("impure", impure, prompts=prompts, scorers=scorers, progress=progress),
        *measure_model("safe", safe, prompts=prompts, scorers=scorers, progress=progress),
        *measure_scorers(harmful, helpful, seed=request.seed + _HELD_OUT_SEED, avoid=build.taken),
    ]
    return queries, measured


def _score_samples(build: _Build, samples: pd.DataFrame, scorers: Scorers) -> None:
    scores = scorers.score(samples["prompt"].tolist(), samples["response"].tolist(), build.progress)
    write_table(build.path("scores"), scores.assign(sample_id=samples["id"]))


def _attribute(build: _Build, queries: pd.DataFrame) -> dict[str, Any]:
    """Clusters the queries and attributes each cluster over the whole corpus; returns where both lie."""
    mined = tuple(Query(*pair) for pair in zip(queries["prompt"], queries["response"], strict=True))
    clusters, influence = ClusterSettings(k=min(10, len(mined))), preset(recall="all")
    folders = {name: build.folder / "runs" / name for name in ("cluster", "attribute")}
    subject = Subject(
        study=_STUDY,
        model=str(build.path("model")),
        samples=str(build.path("samples")),
        template=DEFAULT_TEMPLATE,
        factors=str(build.folder / "factors"),
    )
    clustering = cluster.run(
        subject, ClusterRequest(mined, clusters), folder=folders["cluster"], progress=build.progress
    )
    write_result(folders["cluster"], clustering)
    labels = pd.read_parquet(folders["cluster"] / CLUSTERS).set_index("query_id")["cluster"]
    grouped = tuple(replace(query, group=str(labels[query.id])) for query in mined)
    request = AttributeRequest(grouped, influence, batch=True)
    attribution = attribute.run(subject, request, folder=folders["attribute"], progress=build.progress)
    write_result(folders["attribute"], attribution)
    shutil.rmtree(folders["attribute"] / _SHARDS, ignore_errors=True)  # a finished run is never resumed
    return {
        "cluster": {"folder": "runs/cluster", "settings": to_dict(clusters)},
        "attribute": {"folder": "runs/attribute", "settings": to_dict(influence)},
    }


def _write_manifest(build: _Build, runs: dict[str, Any], queries: pd.DataFrame) -> None:
    files = sorted(path for path in build.folder.rglob("*") if path.is_file() and path.name != README)
    manifest = {
        "name": _STUDY,
        "seed": build.request.seed,
        "template": DEFAULT_TEMPLATE,
        **_PATHS,
        **({"factors": "factors", "runs": runs} if runs else {}),
        "categories": [{"name": name, "known": name in KNOWN_CATEGORIES} for name in CATEGORIES],
        "blind_categories": list(BLIND_CATEGORIES),
        "counts": {
            "samples": len(build.corpus.training),
            "unsafe": sum(not sample.is_safe for sample in build.corpus.training),
            "prompts": len(build.corpus.prompts),
            "queries": len(queries),
        },
        "sha256": {
            path.relative_to(build.folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
            for path in files
        },
    }
    write_json(build.folder / "demo.json", manifest)
