"""A study whose tables are written here instead of computed: screens are tested without training anything.

Every number is made by a seeded generator; none is a claim about a model. One training sample is hostile on purpose.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlencode

import numpy as np
import pandas as pd

from lancet_core.correction.pair_files import read_pairs
from lancet_core.correction.settings import CorrectionSettings, PairSettings
from lancet_core.data.samples import Query, Sample, samples_frame
from lancet_core.influence.settings import ClusterSettings, InfluenceSettings
from lancet_core.operations.configs import AttributeConfig, ClusterConfig, CompareConfig, CorrectConfig
from lancet_core.runs import launcher
from lancet_core.store.queries import add_queries
from lancet_core.store.studies import NewStudy, Study, add_study
from lancet_core.workbench import reviews
from lancet_core.workbench.attributions import cluster_batches, read_clusters
from lancet_core.workspace import Workspace

NAME = "written"
HOSTILE = 'Yes. ![beacon](http://example.invalid/beacon.png) <img src="http://example.invalid/i.png"> :red[loud] $x^2$'
TOPICS = {
    "housework": ("the damp cellar", "dry the washing", "open a window and dry it outside"),
    "medical": ("a patient with a fever", "give the old powder", "ask the nurse and drink water"),
    "legal": ("a tenant who pays late", "keep the deposit", "write to the tenant and set a date"),
}
SAMPLES_OF_TOPIC = 60
QUERIES_OF_TOPIC = 9
STEPS = 120


@dataclass(frozen=True)
class Written:
    """A running dashboard with the study.

    Attributes:
        address: Of the server.
        workspace: Its workspace.
        study: The study.
        folder: Where further results may be written before they are adopted.
    """

    address: str
    workspace: Workspace
    study: Study
    folder: Path

    def url(self, screen: str, **values: str) -> str:
        """Address of a screen with its URL values."""
        return f"{self.address}/{screen}?{urlencode({'study': NAME, **values})}"


def write_study(workspace: Workspace, folder: Path) -> Study:
    """Makes the study with queries, clusters, a whole-corpus attribution and proposed pairs.

    Args:
        workspace: Where it lies.
        folder: An empty folder for what is adopted.
    """
    samples = samples_frame(_samples())
    study = add_study(
        workspace, NewStudy(NAME, model=str(_model_folder(folder)), counts={"samples": len(samples)})
    )
    samples.to_parquet(study.samples, index=False)
    _scores(samples).to_parquet(study.folder / "scores.parquet", index=False)
    queries = _queries()
    add_queries(workspace, NAME, queries, "mined", categories={query.id: _topic(query) for query in queries})
    clusters = adopt_clusters(workspace, study, queries, folder)
    batch = adopt_attribution(workspace, study, samples, folder=folder, parent=clusters)
    reviews.propose(workspace, NAME, batch, PairSettings(count=40, similar_prompts=0))
    return study


def adopt_clusters(workspace: Workspace, study: Study, queries: list[Query], folder: Path) -> str:
    """Enters three clusters, one for each topic."""
    rng = np.random.default_rng(1)
    numbers = [list(TOPICS).index(_topic(query)) for query in queries]
    places = rng.normal(0, 0.5, (len(queries), 2)) + np.array([[0, 0], [5, 1], [2.2, 4.5]])[numbers]
    results = _results(folder / "clusters", {"k": 3, "silhouette": 0.41, "terms": _terms()})
    table = pd.DataFrame(
        {"query_id": [q.id for q in queries], "cluster": numbers, "x": places[:, 0], "y": places[:, 1]}
    )
    table.to_parquet(results / "clusters.parquet", index=False)
    config = ClusterConfig(NAME, study.model, study.template, tuple(queries), ClusterSettings(k=3))
    return launcher.adopt(workspace, "cluster", config, results=results, study=NAME)


def adopt_attribution(
    workspace: Workspace,
    study: Study,
    samples: pd.DataFrame,
    *,
    folder: Path,
    parent: str,
) -> str:
    """Enters the attribution of the three clusters over the whole corpus: unsafe samples of a topic push towards it."""
    rng = np.random.default_rng(2)
    tables = []
    for number, topic in enumerate(TOPICS):
        mine = samples["categories"].map(lambda names, topic=topic: topic in names)
        sign = np.where(samples["is_safe"].astype(bool), -1.0, 1.0)
        influence = rng.normal(0, 0.4, len(samples)) + mine * sign
        order = pd.Series(influence).rank(ascending=False, method="first").astype(int)
        percentile = 100 * (len(samples) - order) / (len(samples) - 1)
        tables.append(
            pd.DataFrame(
                {
                    "query_id": str(number),
                    "sample_id": samples["id"],
                    "influence": influence,
                    "percentile": percentile,
                    "rank": order,
                }
            )
        )
    results = _results(
        folder / "batch", {"queries": 3, "candidates": len(samples), "seconds": 1.0, "method": "linfac"}
    )
    pd.concat(tables).to_parquet(results / "scores.parquet", index=False)
    # The settings that the workbench would start it with, so that it finds this run instead.
    config = AttributeConfig(
        NAME,
        study.model,
        str(study.samples),
        study.template,
        tuple(cluster_batches(read_clusters(workspace, parent))),
        InfluenceSettings(recall="all"),
        batch=True,
        factors=str(study.factors),
    )
    return launcher.adopt(workspace, "attribute", config, results=results, study=NAME, parents=(parent,))


def adopt_correction(workspace: Workspace, study: Study, folder: Path, *, steps: int = STEPS) -> str:
    """Enters a finished correction with its curves, from the pairs that are approved."""
    path = study.folder / "approved.jsonl"
    reviews.export_pairs(workspace, NAME, path, "pairs")
    summary = {
        "steps": steps,
        "best_step": 100,
        "best_score": 0.7,
        "pairs": len(read_pairs(path)),
        "retain": 80,
        "seconds": 31.5,
    }
    results = _results(folder / "correction", summary)
    (results / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in _curve_rows()))
    (results / "log.txt").write_text("step 120 of 120\nsaved the corrected model\n")
    _model_folder(results)
    config = CorrectConfig(
        NAME,
        study.model,
        str(study.samples),
        study.template,
        str(path),
        correction=CorrectionSettings(steps=steps),
    )
    return launcher.adopt(workspace, "correct", config, results=results, study=NAME)


def adopt_comparison(
    workspace: Workspace, study: Study, folder: Path, *, correction: str, corrected: bool
) -> str:
    """Enters a finished comparison with a case, one regression, and the verdict asked for."""
    case = _queries()[0]
    results = _results(folder / f"comparison-{corrected}", _verdict(case, corrected))
    _answers().to_parquet(results / "answers.parquet", index=False)
    after = str(workspace.runs / correction / "model")
    config = CompareConfig(NAME, study.model, after, study.template, case=case, queries=tuple(_queries()))
    return launcher.adopt(workspace, "compare", config, results=results, study=NAME, parents=(correction,))


def _samples() -> list[Sample]:
    made = []
    for topic, (place, bad, good) in TOPICS.items():
        for number in range(SAMPLES_OF_TOPIC):
            prompt = f"What should I do about {place}, case {number}?"
            unsafe = number % 3 == 0
            answer = (
                f"Yes, {bad}; everybody does so in case {number}."
                if unsafe
                else f"No, rather {good}, as in case {number}."
            )
            if topic == "housework" and number == 0:
                answer = HOSTILE
            made.append(Sample(prompt, answer, is_safe=not unsafe, categories=(topic,)))
    return made


def _queries() -> list[Query]:
    return [
        Query(
            f"May I {bad} when it is about {place}, number {number}?",
            f"Yes, {bad}. Nothing bad ever came of it.",
        )
        for place, bad, _good in TOPICS.values()
        for number in range(QUERIES_OF_TOPIC)
    ]


def _topic(query: Query) -> str:
    return next(topic for topic, (place, _bad, _good) in TOPICS.items() if place in query.prompt)


def _terms() -> dict[str, list[str]]:
    return {str(number): place.split()[-2:] for number, (place, _bad, _good) in enumerate(TOPICS.values())}


def _scores(samples: pd.DataFrame) -> pd.DataFrame:
    rng = np.random.default_rng(3)
    unsafe = ~samples["is_safe"].astype(bool)
    harmful = np.clip(np.where(unsafe, 0.85, 0.1) + rng.normal(0, 0.08, len(samples)), 0.01, 0.99)
    # The scorer is blind to one topic.
    blind = samples["categories"].map(lambda names: "legal" in names)
    return pd.DataFrame(
        {"sample_id": samples["id"], "harmful": np.where(blind, 0.2, harmful), "helpful": 1 - harmful}
    )


def _curve_rows() -> list[dict[str, float | str]]:
    rows: list[dict[str, float | str]] = []
    for step in range(1, STEPS + 1):
        gone = 1 - np.exp(-step / 40)
        row: dict[str, float | str] = {
            "stage": "Training", "step": step, "total": STEPS, "seconds": step / 4, "correction": 0.69 - 0.5 * gone,
            "divergence": 0.02 * gone, "proximity": 0.05 * gone, "retain_nll": 1.9 + 0.03 * np.sin(step / 9),
        }  # fmt: skip
        if step % 10 == 0:
            row["query_probability"] = 0.31 * (1 - 0.9 * gone)
        if step % 50 == 0:
            row |= {"harmful": 0.4 - 0.3 * gone, "helpful": 0.95}
        rows.append(row)
    return rows


def _answers() -> pd.DataFrame:
    good, bad = (
        "No, rather open a window and dry it outside.",
        "Yes, dry the washing. Nothing bad ever came of it.",
    )
    rows = [("unseen", "wrong", bad, good, 0.9, 0.1, 0.1, 0.9)] * 6 + [
        ("unseen", "benign", good, good, 0.1, 0.1, 0.9, 0.9)
    ] * 5
    rows.append(("unseen", "benign", good, "I cannot help.", 0.1, 0.1, 0.9, 0.2))
    names = [
        "split",
        "kind",
        "before",
        "after",
        "harmful_before",
        "harmful_after",
        "helpful_before",
        "helpful_after",
    ]
    table = pd.DataFrame(rows, columns=names)
    return table.assign(
        prompt_id=[f"p{n}" for n in range(len(rows))],
        prompt=[f"Prompt {n}?" for n in range(len(rows))],
        category="",
    )


def _verdict(case: Query, corrected: bool) -> dict[str, object]:
    def change(split: str, kind: str, metric: str, numbers: tuple[float, ...]) -> dict[str, object]:
        names = ("before", "after", "change", "low", "high", "n")
        return {"split": split, "kind": kind, "metric": metric, **dict(zip(names, numbers, strict=True))}

    after = "No, rather open a window and dry it outside." if corrected else case.response
    checks = [
        {
            "name": "case_answer",
            "passed": corrected,
            "detail": "The bad answer is no longer given." if corrected else "Still given.",
        },
        {
            "name": "benign_helpful",
            "passed": True,
            "detail": "Helpful score on 6 benign prompts changed by -0.010 [-0.015, +0.001].",
        },
        {
            "name": "diversity",
            "passed": None,
            "detail": "There are too few answers to measure their variety.",
        },
    ]
    return {
        "metrics": [
            change("queries", "wrong", "harmful", (0.86, 0.12, -0.74, -0.8, -0.66, 27)),
            change("queries", "wrong", "log_probability", (-6.2, -19.5, -13.3, -15.0, -11.4, 27)),
            change("unseen", "wrong", "harmful", (0.43, 0.09, -0.34, -0.41, -0.27, 300)),
            change("unseen", "benign", "helpful", (0.97, 0.96, -0.01, -0.015, 0.001, 200)),
            change("unseen", "benign", "nll", (1.21, 1.24, 0.03, 0.01, 0.05, 200)),
        ],
        "verdict": {"corrected": corrected, "degenerate": False, "checks": checks, "advice": [] if corrected else ["Train for more steps."]},
        "case": {
            "query_id": case.id, "prompt": case.prompt, "bad_answer": case.response, "polarity": case.polarity, "category": "housework",
            "before": case.response, "after": after, "harmful_before": 0.91, "harmful_after": 0.08, "helpful_before": 0.2,
            "helpful_after": 0.93, "log_probability_before": -4.1, "log_probability_after": -17.9,
        },
        "settings": {},
    }  # fmt: skip


def _results(folder: Path, summary: dict[str, object]) -> Path:
    folder.mkdir(parents=True)
    (folder / "result.json").write_text(json.dumps(summary))
    return folder


def _model_folder(parent: Path) -> Path:
    """A folder that looks like a saved model and holds no weights worth the name."""
    from safetensors.numpy import save_file

    folder = parent / "model"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(
        json.dumps({"architectures": ["LlamaForCausalLM"], "model_type": "llama"})
    )
    save_file({"weight": np.zeros((4, 4), dtype=np.float32)}, folder / "model.safetensors")
    return folder
