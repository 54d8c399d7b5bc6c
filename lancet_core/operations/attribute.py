"""Attribution: which training samples push a model towards or away from some answers."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from lancet_core.acts.attribute import SCORES, TOKENS, AttributeRequest, Attribution
from lancet_core.acts.subject import Subject
from lancet_core.config import fingerprint, to_dict
from lancet_core.data.samples import content_id, conversations_of
from lancet_core.errors import ConfigError, DataError, NumericalError
from lancet_core.files import write_table
from lancet_core.influence import scores
from lancet_core.influence.curved_model import (
    CurvedModel,
    Source,
    left_out_note,
    load_model,
    open_curved_model,
)
from lancet_core.influence.methods import BM25, EMBEDDING, INDEX, TFIDF
from lancet_core.influence.recall import word_similarities
from lancet_core.influence.results import SCORE_COLUMNS, TOKEN_COLUMNS, ends, ends_by_sign, score_table
from lancet_core.influence.settings import ComputeSettings
from lancet_core.influence.shards import Arrays, Shards, split
from lancet_core.models.encoding import Encoded, encode_all, encode_conversation, encode_query, usable
from lancet_core.models.loading import Loader
from lancet_core.models.pooling import mean_hidden_states
from lancet_core.operations.attribution_task import Task, prepare_task
from lancet_core.operations.index import choose_by_index
from lancet_core.progress import Progress, silent

STAGE = "Scoring training samples"
READING = "Reading training samples"
SHARD_SAMPLES = 1024
STRONGEST = 50
"""Samples at either end whose tokens are kept where they cost nothing."""


@dataclass(frozen=True)
class _Pass:
    """What every step of a pass with gradients needs; `norms` of whitened gradients, shape (samples,), where an index keeps them."""

    request: AttributeRequest
    task: Task
    curved: CurvedModel
    progress: Progress
    norms: NDArray[np.float32] | None = None

    def normaliser(self, rows: Sequence[int]) -> scores.Normaliser | None:
        """What divides the scores of some samples; norms that an index keeps are not measured again."""
        measured = self.curved.normaliser(self.request.influence.score.normalise)
        if measured is None or self.norms is None:
            return measured
        return scores.KnownNorms(torch.from_numpy(self.norms[list(rows)]).to(self.curved.network.lm.device))


_Decompositions = dict[int, scores.Decomposition]
"""Decompositions of the scores of some samples on one group, by row."""


@dataclass(frozen=True)
class _Outcome:
    """One ranked table for each group, rows of the token table, and the task: the gradient index chooses its candidates late."""

    task: Task
    tables: list[pd.DataFrame]
    tokens: list[dict[str, Any]]
    too_long: int = 0
    cut: int = 0
    notes: tuple[str, ...] = ()
    left_out: Mapping[str, str] = field(default_factory=dict)


def run(
    subject: Subject,
    request: AttributeRequest,
    *,
    folder: Path,
    progress: Progress = silent,
    load: Loader | None = None,
) -> Attribution:
    """Scores training samples for each query, or for each group of queries as one.

    The score says how more weight on the sample would change log p of the query's response, whatever the query's polarity.
    Writes `scores.parquet` and `tokens.parquet` into the folder. A pass that was killed goes on from its last whole shard.

    Raises:
        DataError: There is no query, an empty recall, or a group mixes desirable and undesirable answers.
        ConfigError: No unit is tracked, the factors would not fit, or there is no gradient index.
        ModelError: The model cannot be loaded or its layout is unknown, or kept factors belong to another.
        NumericalError: The curvature is singular, or what is computed of a query or of all samples is not finite.
    """
    started = time.perf_counter()
    progress("Choosing candidates")
    task = prepare_task(subject, request)
    if request.influence.takes_gradients:
        outcome = _by_influence(subject, request, task, folder=folder, progress=progress, load=load)
    else:
        outcome = _by_likeness(subject, request, task, progress=progress, load=load)
    shortened = [ends_by_sign(table, request.top) if request.top else table for table in outcome.tables]
    write_table(folder / TOKENS, pd.DataFrame(outcome.tokens, columns=TOKEN_COLUMNS))
    write_table(folder / SCORES, pd.concat(shortened, ignore_index=True)[SCORE_COLUMNS])
    task = outcome.task
    labels = task.samples["is_safe"].iloc[task.all_candidates].dropna().astype(bool)
    return Attribution(
        queries=tuple(task.describe(number) for number in range(len(task.names))),
        candidates=len(task.all_candidates),
        seconds=round(time.perf_counter() - started, 3),
        method=request.influence.method,
        recall=request.influence.recall.kind,
        chance=float((~labels).mean()) if len(labels) else None,
        too_long=outcome.too_long,
        cut=outcome.cut,
        notes=(*left_out_note(outcome.left_out), *outcome.notes),
        left_out=dict(outcome.left_out),
    )


def _by_likeness(
    subject: Subject, request: AttributeRequest, task: Task, *, progress: Progress, load: Loader | None
) -> _Outcome:
    """Ranks by likeness of words or hidden states, or at random: what influence is compared with."""
    settings = request.influence
    ids = np.array(task.ids)
    left_out: dict[str, str] = {}
    if settings.method in {TFIDF, BM25}:
        likeness = word_similarities(settings.method, task.samples, task.queries, text=settings.recall.text)
    elif settings.method == EMBEDDING:
        likeness, left_out = _embedding_similarities(
            subject, task, settings.compute, progress=progress, load=load
        )
        task = task.without(left_out)
    else:
        seeds = [int(content_id(query.id, str(settings.curvature.seed)), 16) for query in task.queries]
        likeness = np.stack([np.random.default_rng(seed).uniform(-1.0, 1.0, len(ids)) for seed in seeds])
    tables = [
        score_table(name, list(ids[rows]), likeness[list(members)].mean(axis=0)[rows])
        for name, members, rows in zip(task.names, task.groups, task.candidates, strict=True)
    ]
    return _Outcome(task, tables, [], left_out=left_out)


def _embedding_similarities(
    subject: Subject, task: Task, compute: ComputeSettings, *, progress: Progress, load: Loader | None
) -> tuple[NDArray[np.float64], dict[str, str]]:
    """Cosine of mean hidden states, centred on the candidates' mean, shape (queries, samples), and the samples without one.

    Hidden states share one large direction; uncentred, every sample is like every other. Samples that cannot be encoded
    are as unlike as can be.

    Raises:
        DataError: No candidate can be encoded.
        NumericalError: The hidden states of all candidates, or of a query, are not finite.
    """
    from sklearn.preprocessing import normalize

    progress("Loading the model")
    lm = load_model(subject.model, compute, load)
    chosen = task.samples.iloc[task.all_candidates]
    encoded = encode_all(lm, conversations_of(chosen), subject.template)
    fitting = np.array([place for place, text in enumerate(encoded) if isinstance(text, Encoded)], dtype=int)
    if not fitting.size:
        raise DataError(
            "no candidate can be encoded: the chat template refuses them; give the study another template"
        )
    states = mean_hidden_states(lm, usable(encoded), progress, READING)
    finite = np.isfinite(states).all(axis=1)
    encoded_queries = [
        encode_conversation(lm, query.conversation, subject.template) for query in task.queries
    ]
    queries = mean_hidden_states(lm, encoded_queries, progress)
    if not finite.any() or not np.isfinite(queries).all():
        raise NumericalError(
            f"the hidden states of {'a query' if finite.any() else 'all candidates'} are not finite; compute in float32"
        )
    centre = states[finite].mean(axis=0)
    states, queries = normalize(states[finite] - centre), normalize(queries - centre)
    likeness = np.full((len(task.queries), len(task.samples)), -1.0)
    likeness[:, task.all_candidates[fitting[finite]]] = queries @ states.T
    broken = task.all_candidates[fitting[~finite]]
    return likeness, {task.ids[row]: "its hidden states are not finite" for row in broken}


def _by_influence(
    subject: Subject,
    request: AttributeRequest,
    task: Task,
    *,
    folder: Path,
    progress: Progress,
    load: Loader | None,
) -> _Outcome:
    """Scores by gradients; a single answer's strongest scores are spread over tokens and units along the way."""
    settings = request.influence
    source = Source(subject.model, task.samples, subject.template, settings, subject.factors, folder)
    curved = open_curved_model(source, progress, load)
    queries = [encode_query(curved.network.lm, query, subject.template) for query in task.queries]
    directions = curved.directions(
        queries, task.groups, refine_steps=settings.score.refine_steps, progress=progress
    )
    norms = None
    if settings.recall.kind == INDEX:
        if not request.index:
            raise ConfigError(
                "recall by the gradient index needs an index; build it with: lancet index build STUDY"
            )
        task, norms = choose_by_index(
            curved, task, directions, settings=settings, folder=Path(subject.indexes) / settings.gradient_key
        )
    step = _Pass(request, task, curved, progress, norms)
    texts = curved.encode_rows(task.all_candidates)
    if not texts:
        raise DataError(
            "no candidate can be encoded: the chat template refuses them; give the study another template"
        )
    refused = len(task.all_candidates) - len(texts)
    known: _Decompositions = {}
    if len(task.groups) == 1 and len(texts) <= SHARD_SAMPLES:
        # Decompositions add up to the scores and cost as much: one pass gives both. Else a sample's is made when it is opened.
        known = _decompose(step, directions, texts)
        values = np.array([[each.influence] for each in known.values()])
    else:
        values = _score_all(step, texts, directions)
    finite = np.isfinite(values).all(axis=1)
    rows = np.array(list(texts))
    broken = curved.broken_samples(texts, rows[~finite].tolist())
    task = task.without(broken)
    tables = _tables(task, rows[finite].tolist(), values[finite])
    strongest = set(ends(tables[0], STRONGEST)["sample_id"]) if known else set()
    tokens = [
        scores.token_row(
            curved.network, texts[row], known[row], query_id=task.names[0], sample_id=task.ids[row]
        )
        for row in known
        if task.ids[row] in strongest
    ]
    cut = sum(1 for text in texts.values() if text.cut_tokens or text.lost_tokens)
    left_out = {**curved.left_out, **broken}
    return _Outcome(task, tables, tokens, refused, cut, curved.notes, left_out)


def _score_all(step: _Pass, texts: dict[int, Encoded], directions: scores.Directions) -> NDArray[np.float64]:
    """Scores samples for all groups, shard by shard in order of length; shape (samples, groups), in the order of `texts`."""
    curved = step.curved
    rows, encoded = list(texts), list(texts.values())
    order = sorted(range(len(encoded)), key=lambda place: -len(encoded[place].input_ids))
    key = _score_key(step, rows)
    folder = curved.source.folder / "shards" if len(order) > SHARD_SAMPLES else None
    shards = Shards(folder, "scores", key)
    values = np.empty((len(order), len(step.task.groups)))
    for number, part in enumerate(split(len(order), SHARD_SAMPLES)):
        places = [order[place] for place in part]

        def compute(places: Sequence[int] = places, start: int = part.start) -> Arrays:
            shard_scores = scores.score_samples(
                curved.network,
                encoded=[encoded[place] for place in places],
                directions=directions,
                max_tokens=curved.source.settings.compute.max_tokens,
                tell=lambda done: step.progress(STAGE, start + done, len(order)),
                normaliser=step.normaliser([rows[place] for place in places]),
            )
            return {"scores": shard_scores}

        values[places] = shards.compute(number, compute)["scores"]
        step.progress(STAGE, part.stop, len(order))
    return values


def _score_key(step: _Pass, rows: Sequence[int]) -> str:
    """Names what the scores of some samples depend on: whitened gradients, queries, and which samples in which order."""
    task = step.task
    queries = [[to_dict(task.queries[member]) for member in group] for group in task.groups]
    return fingerprint(
        step.curved.key, step.request.influence.score, queries, [task.ids[row] for row in rows]
    )


def _tables(task: Task, rows: Sequence[int], values: NDArray[np.float64]) -> list[pd.DataFrame]:
    """Ranks each group's own candidates."""
    tables = []
    for number, name in enumerate(task.names):
        members = np.isin(rows, task.candidates[number])
        ids = [task.ids[row] for row, member in zip(rows, members, strict=True) if member]
        if not ids:
            raise DataError(
                f"no candidate of the query {name!r} can be encoded: the chat template refuses them"
            )
        tables.append(score_table(name, ids, values[members, number]))
    return tables


def _decompose(step: _Pass, directions: scores.Directions, texts: dict[int, Encoded]) -> _Decompositions:
    """Decomposes the scores of some samples on the only group, by row."""
    decompositions = scores.decompose_samples(
        step.curved.network,
        encoded=list(texts.values()),
        direction=directions.query(0),
        max_tokens=step.curved.source.settings.compute.max_tokens,
        tell=lambda done: step.progress(STAGE, done, len(texts)),
        normaliser=step.normaliser(list(texts)),
    )
    return dict(zip(texts, decompositions, strict=True))
