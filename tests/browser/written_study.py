"""A study whose tables are written here instead of computed: screens are tested without training anything.

Every number is made by a seeded generator; none is a claim about a model. One training sample is hostile on purpose.
"""

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import numpy as np
import pandas as pd

from lancet_core.acts.attribute import SCORES, AttributeRequest, Attribution, Group
from lancet_core.acts.cluster import CLUSTERS, Clustering
from lancet_core.acts.compare import ANSWERS, CaseOutcome, CompareRequest, Comparison
from lancet_core.acts.correct import PAIRS, RETAIN, Correction, CorrectRequest
from lancet_core.acts.results import Result, write_result
from lancet_core.config import to_dict
from lancet_core.correction.settings import CorrectionSettings, PairSettings
from lancet_core.data.samples import Query, Sample, samples_frame
from lancet_core.evaluation.verdict import Check, Verdict
from lancet_core.influence.presets import preset
from lancet_core.influence.settings import ClusterSettings, InfluenceSettings
from lancet_core.runs import launcher
from lancet_core.runs.launcher import Task
from lancet_core.runs.run import Run
from lancet_core.store.queries import add_queries, read_queries
from lancet_core.store.studies import NewStudy, add_study
from lancet_core.study import corrections, review
from lancet_core.study.attributions import attribution_task, cluster_task, clusters_attribution_task
from lancet_core.study.queue import Scope
from lancet_core.study.study import Study, handle
from lancet_core.study.subjects import subject_of
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
    scored = samples.assign(**_scores(samples))
    record = add_study(
        workspace, NewStudy(NAME, model=str(write_model_folder(folder)), counts={"samples": len(samples)})
    )
    study = handle(record)
    scored.to_parquet(study.samples_file, index=False)
    queries = written_queries()
    add_queries(study, [replace(query, category=_topic(query)) for query in queries], "mined")
    clusters = adopt_clusters(study, queries, folder)
    batch = adopt_attribution(study, samples, folder=folder, parent=clusters)
    review.propose_for_clusters(study, batch, PairSettings(count=40, similar_prompts=0))
    return study


def adopt_clusters(study: Study, queries: list[Query], folder: Path) -> Run[Clustering]:
    """Enters three clusters, one for each topic."""
    rng = np.random.default_rng(1)
    numbers = [list(TOPICS).index(_topic(query)) for query in queries]
    places = rng.normal(0, 0.5, (len(queries), 2)) + np.array([[0, 0], [5, 1], [2.2, 4.5]])[numbers]
    table = pd.DataFrame(
        {"query_id": [q.id for q in queries], "cluster": numbers, "x": places[:, 0], "y": places[:, 1]}
    )
    task = cluster_task(study, ClusterSettings(k=3), queries=queries)
    result = Clustering(k=3, silhouette=0.41, terms=_terms(), queries=len(queries), layout="pca")
    return adopt(study, task, result, folder / "clusters", {CLUSTERS: table})


def adopt_attribution(
    study: Study, samples: pd.DataFrame, *, folder: Path, parent: Run[Clustering]
) -> Run[Attribution]:
    """Enters the attribution of the three clusters over the whole corpus: unsafe samples of a topic push towards it."""
    tables = [
        _influence(samples, topic, seed).assign(query_id=str(seed)) for seed, topic in enumerate(TOPICS)
    ]
    # The task that the study would start, so that it finds this run instead.
    task = clusters_attribution_task(study, parent)
    result = Attribution(
        queries=tuple(
            Group(name, tuple(ids), candidates=len(samples)) for name, ids in _members(task.request).items()
        ),
        candidates=len(samples),
        seconds=1.0,
        method=task.request.influence.method,
        recall="all",
        chance=1 / 3,
    )
    return adopt(study, task, result, folder / "batch", {SCORES: pd.concat(tables, ignore_index=True)})


def adopt_trace(
    study: Study, query: Query, folder: Path, *, settings: InfluenceSettings | None = None, seed: int = 0
) -> Run[Attribution]:
    """Enters the attribution of one query over the whole corpus; another seed gives other scores."""
    settings = settings or preset()
    samples = study.samples()
    table = _influence(samples, _topic(query), seed).assign(query_id=query.id)
    result = Attribution(
        queries=(Group(query.id, (query.id,), query.prompt, query.polarity, len(table)),),
        candidates=len(table),
        seconds=1.0,
        method=settings.method,
        recall=settings.recall.kind,
        chance=1 / 3,
    )
    return adopt(study, attribution_task(study, [query], settings), result, folder, {SCORES: table})


def adopt_correction(study: Study, folder: Path, *, steps: int = STEPS, case_id: str = "") -> Run[Correction]:
    """Enters a finished correction with its curves, from the pairs that are approved."""
    source = corrections.reviewed_source(study, Scope(case_id))
    results = folder / f"correction-{steps}"
    results.mkdir(parents=True)
    (results / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in _curve_rows()))
    (results / "log.txt").write_text("step 120 of 120\nsaved the corrected model\n")
    write_model_folder(results)
    inputs: dict[str, Any] = {
        PAIRS: [to_dict(pair) for pair in source.pairs],
        RETAIN: pd.DataFrame({"id": list(source.retain)}),
    }
    settings = CorrectionSettings(steps=steps)
    request = CorrectRequest(settings, tuple(read_queries(study)), pairs=len(source.pairs))
    task = Task("correct", subject_of(study), request, inputs, case_id=case_id, parents=source.parents)
    result = Correction(
        steps=steps,
        best_step=100,
        best_score=0.7,
        chosen_by="the highest helpful minus harmful score on 12 validation prompts",
        pairs=len(source.pairs),
        passes=steps * 16 / len(source.pairs),
        sides_agree=1.0,
        retain=len(source.retain),
        seconds=31.5,
    )
    return adopt(study, task, result, results, {})


def adopt_comparison(
    study: Study, folder: Path, *, correction: Run[Correction], corrected: bool
) -> Run[Comparison]:
    """Enters a finished comparison with a case, one regression, and the verdict asked for."""
    case = written_queries()[0]
    request = CompareRequest(str(correction.result.model), case, tuple(written_queries()))
    task = Task("compare", subject_of(study), request, case_id=case.id, parents=(correction.id,))
    result = Comparison(
        verdict=_verdict(corrected),
        metrics=_metrics(),
        case=_case_outcome(case, corrected),
        before=study.model,
        after=request.after,
    )
    return adopt(study, task, result, folder / f"comparison-{corrected}", {ANSWERS: _answers()})


def adopt(
    study: Study, task: Task, result: Result, results: Path, tables: dict[str, pd.DataFrame]
) -> Run[Any]:
    """Enters a result and its tables as a finished run.

    Args:
        study: Where it belongs.
        task: What it is the result of.
        result: What was found.
        results: Folder that they are written to first; what lies there already is taken too.
        tables: File names to tables.
    """
    results.mkdir(parents=True, exist_ok=True)
    write_result(results, result)
    for name, table in tables.items():
        table.to_parquet(results / name, index=False)
    return Run(study.workspace, launcher.adopt(study.workspace, task, results=results))


def _influence(samples: pd.DataFrame, topic: str, seed: int) -> pd.DataFrame:
    """Scores of all samples for answers of a topic, in the columns of `scores.parquet` but the query."""
    rng = np.random.default_rng(seed + 2)
    mine = samples["categories"].map(lambda names: topic in names)
    sign = np.where(samples["is_safe"].astype(bool), -1.0, 1.0)
    influence = rng.normal(0, 0.4, len(samples)) + mine * sign
    rank = pd.Series(influence).rank(ascending=False, method="first").astype(int)
    percentile = 100 * (len(samples) - rank) / (len(samples) - 1)
    columns = {"sample_id": samples["id"], "influence": influence, "percentile": percentile, "rank": rank}
    return pd.DataFrame(columns).sort_values("rank", ignore_index=True)


def _members(request: AttributeRequest) -> dict[str, list[str]]:
    members: dict[str, list[str]] = {}
    for query_id, group in request.grouped_queries:
        members.setdefault(group, []).append(query_id)
    return members


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


def written_queries() -> list[Query]:
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


def _scores(samples: pd.DataFrame) -> dict[str, Any]:
    rng = np.random.default_rng(3)
    unsafe = ~samples["is_safe"].astype(bool)
    harmful = np.clip(np.where(unsafe, 0.85, 0.1) + rng.normal(0, 0.08, len(samples)), 0.01, 0.99)
    # The scorer is blind to one topic.
    blind = samples["categories"].map(lambda names: "legal" in names)
    return {"harmful": np.where(blind, 0.2, harmful), "helpful": 1 - harmful}


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


def _verdict(corrected: bool) -> Verdict:
    checks = (
        Check(
            "case_answer", corrected, "The bad answer is no longer given." if corrected else "Still given."
        ),
        Check(
            "benign_helpful", True, "Helpful score on 6 benign prompts changed by -0.010 [-0.015, +0.001]."
        ),
        Check("diversity", None, "There are too few answers to measure their variety."),
    )
    return Verdict(
        outcome="corrected" if corrected else "not corrected",
        checks=checks,
        advice=() if corrected else ("Train for more steps.",),
    )


def _metrics() -> tuple[dict[str, Any], ...]:
    names = ("split", "kind", "metric", "before", "after", "change", "low", "high", "n")
    rows = [
        ("queries", "wrong", "harmful", 0.86, 0.12, -0.74, -0.8, -0.66, 27),
        ("queries", "wrong", "log_probability", -6.2, -19.5, -13.3, -15.0, -11.4, 27),
        ("unseen", "wrong", "harmful", 0.43, 0.09, -0.34, -0.41, -0.27, 300),
        ("unseen", "benign", "helpful", 0.97, 0.96, -0.01, -0.015, 0.001, 200),
        ("unseen", "benign", "nll", 1.21, 1.24, 0.03, 0.01, 0.05, 200),
    ]
    return tuple(dict(zip(names, row, strict=True)) | {"empty": None} for row in rows)


def _case_outcome(case: Query, corrected: bool) -> CaseOutcome:
    return CaseOutcome(
        case.id, case.prompt, case.response, case.polarity, "housework",
        before=case.response, after="No, rather open a window and dry it outside." if corrected else case.response,
        harmful_before=0.91, harmful_after=0.08, helpful_before=0.2, helpful_after=0.93,
        log_probability_before=-4.1, log_probability_after=-17.9,
    )  # fmt: skip


def write_model_folder(parent: Path) -> Path:
    """A folder that looks like a saved model and holds no weights worth the name."""
    from safetensors.numpy import save_file

    folder = parent / "model"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(
        json.dumps({"architectures": ["LlamaForCausalLM"], "model_type": "llama"})
    )
    save_file({"weight": np.zeros((4, 4), dtype=np.float32)}, folder / "model.safetensors")
    return folder
