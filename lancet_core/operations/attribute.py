"""Attribution: which training samples push a model towards or away from some answers."""

import hashlib
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from torch import Tensor

from lancet_core.config import fingerprint, to_dict
from lancet_core.data.samples import Query, content_id, read_samples
from lancet_core.errors import DataError, NumericalError
from lancet_core.influence import fitting, scores
from lancet_core.influence.factors import EigenFactors
from lancet_core.influence.recall import build_tfidf, most_similar, similarities
from lancet_core.influence.results import SCORE_COLUMNS, TOKEN_COLUMNS, ends, ends_by_sign, score_table
from lancet_core.influence.settings import POOLING, TFIDF, TOKENS_AT_ONCE, InfluenceSettings
from lancet_core.influence.shards import Arrays, Shards, split
from lancet_core.models.encoding import Encoded, encode, encode_all
from lancet_core.models.loading import LanguageModel, Loader, load_language_model
from lancet_core.models.token_text import token_texts
from lancet_core.models.units import UnitModel, find_sublayers
from lancet_core.operations.configs import AttributeConfig
from lancet_core.operations.tables import write_parquet
from lancet_core.progress import Progress, silent

STAGE = "Scoring training samples"
SHARD_SAMPLES = 1024
WHOLE_BATCH = "batch"


@dataclass(frozen=True)
class _Task:
    """What is attributed to what.

    Attributes:
        samples: The study's training samples.
        queries: Distinct queries.
        names: Name of each group: a query's id, or the name of a batch.
        groups: Query indices of each group.
        candidates: Sample rows that each group is scored on.
    """

    samples: pd.DataFrame
    queries: tuple[Query, ...]
    names: tuple[str, ...]
    groups: tuple[tuple[int, ...], ...]
    candidates: tuple[NDArray[np.int64], ...]

    @cached_property
    def ids(self) -> list[str]:
        """Id of each sample row."""
        return list(self.samples["id"])

    @cached_property
    def all_candidates(self) -> NDArray[np.int64]:
        """Sample rows that any group is scored on, ascending."""
        return np.unique(np.concatenate(self.candidates))


@dataclass(frozen=True)
class _Engine:
    """What every step of a pass with a model needs."""

    config: AttributeConfig
    task: _Task
    network: UnitModel
    folder: Path
    progress: Progress


_Spread = dict[int, scores.Decomposition]


@dataclass(frozen=True)
class _Outcome:
    """Scores and their decompositions.

    Attributes:
        tables: One ranked table for each group.
        tokens: Rows of the token table.
        too_long: Candidates whose response exceeds the model's context, and which are therefore not scored.
        cut: Candidates whose prompt was cut from its left.
    """

    tables: list[pd.DataFrame]
    tokens: list[dict[str, Any]]
    too_long: int = 0
    cut: int = 0


def run(
    config: AttributeConfig, folder: Path, progress: Progress = silent, load: Loader | None = None
) -> dict[str, Any]:
    """Scores training samples for each query, or for each group of queries as one.

    The score says how more weight on the sample would change log p of the query's response, whatever the query's polarity.
    Writes `scores.parquet` and `tokens.parquet` into the folder. A pass that was killed goes on from its last whole shard.

    Args:
        config: What to attribute and how.
        folder: Folder of the run.
        progress: Told at every batch.
        load: Gives the model; None loads it with the device and precision of the settings.

    Returns:
        Summary: `queries`, `candidates`, `seconds`, `method`, `chance` (share of unsafe among labelled candidates, None without
        labels), `too_long`, `cut`.

    Raises:
        DataError: There is no query, an empty recall, or a group mixes desirable and undesirable answers.
        ModelError: The model cannot be loaded or its layout is unknown, or kept factors belong to another.
        NumericalError: The curvature is singular or a result is not finite.
    """
    started = time.perf_counter()
    progress("Choosing candidates")
    task, similarity = _prepare(config)
    if config.influence.method in POOLING:
        outcome = _by_influence(config, task, folder, progress=progress, load=load)
    else:
        outcome = _Outcome(_control_tables(config.influence, task, similarity), [])
    kept = [ends_by_sign(table, config.top) if config.top else table for table in outcome.tables]
    write_parquet(folder / "tokens.parquet", pd.DataFrame(outcome.tokens, columns=TOKEN_COLUMNS))
    write_parquet(folder / "scores.parquet", pd.concat(kept, ignore_index=True)[SCORE_COLUMNS])
    labels = task.samples["is_safe"].iloc[task.all_candidates].dropna().astype(bool)
    return {
        "queries": [_told(task, number) for number in range(len(task.names))],
        "candidates": len(task.all_candidates),
        "seconds": round(time.perf_counter() - started, 3),
        "method": config.influence.method,
        "chance": float((~labels).mean()) if len(labels) else None,
        "too_long": outcome.too_long,
        "cut": outcome.cut,
    }


def _prepare(config: AttributeConfig) -> tuple[_Task, NDArray[np.float64] | None]:
    """Reads samples, forms groups and recalls their candidates.

    Returns:
        The task, and the similarity of queries and samples where it was computed.

    Raises:
        DataError: There is no query, an empty recall, or a mixed group.
    """
    queries = tuple(dict.fromkeys(config.queries))
    if not queries:
        raise DataError("there is no query to attribute; give at least one prompt with its answer")
    samples = read_samples(config.samples)
    names, groups = _groups(queries, config.batch)
    settings = config.influence
    similarity = None
    if settings.recall or settings.method == TFIDF:
        index = build_tfidf(samples, settings.recall_text)
        similarity = similarities(index, [(query.prompt, query.response) for query in queries])
    candidates = tuple(_recalled(settings, similarity, members, len(samples)) for members in groups)
    return _Task(samples, queries, names, groups, candidates), similarity


def _groups(queries: Sequence[Query], batch: bool) -> tuple[tuple[str, ...], tuple[tuple[int, ...], ...]]:
    """Names the groups and lists their members; without batches each query is a group, and batches without names are one batch.

    Raises:
        DataError: A group mixes desirable and undesirable answers.
    """
    if not batch:
        unique = {query.id: number for number, query in reversed(list(enumerate(queries)))}
        ordered = sorted(unique, key=lambda name: unique[name])
        return tuple(ordered), tuple((unique[name],) for name in ordered)
    named = any(query.group for query in queries)
    members: dict[str, list[int]] = {}
    for number, query in enumerate(queries):
        members.setdefault((query.group or query.id) if named else WHOLE_BATCH, []).append(number)
    for name, numbers in members.items():
        if len({queries[number].polarity for number in numbers}) > 1:
            raise DataError(
                f"the query batch {name!r} mixes desirable and undesirable answers, which would cancel; attribute them as two "
                "batches"
            )
    return tuple(members), tuple(tuple(numbers) for numbers in members.values())


def _recalled(
    settings: InfluenceSettings, similarity: NDArray[np.float64] | None, members: Sequence[int], count: int
) -> NDArray[np.int64]:
    """Sample rows of one group: the union of its queries' recalls, ascending."""
    if not settings.recall or similarity is None:
        return np.arange(count)
    return np.unique(
        np.concatenate([most_similar(similarity[number], settings.recall) for number in members])
    )


def _control_tables(
    settings: InfluenceSettings, task: _Task, similarity: NDArray[np.float64] | None
) -> list[pd.DataFrame]:
    """Ranks by similarity of words, or at random: what influence is compared with."""
    ids = np.array(task.ids)
    tables = []
    for name, members, rows in zip(task.names, task.groups, task.candidates, strict=True):
        if settings.method == TFIDF and similarity is not None:
            values = similarity[list(members)].mean(axis=0)[rows]
        else:
            seed = int(content_id(name, str(settings.seed)), 16)
            values = np.random.default_rng(seed).uniform(-1.0, 1.0, len(ids))[rows]
        tables.append(score_table(name, list(ids[rows]), values))
    return tables


def _by_influence(
    config: AttributeConfig, task: _Task, folder: Path, *, progress: Progress, load: Loader | None
) -> _Outcome:
    """Scores by LinFAC, and spreads the strongest scores over tokens and units.

    Raises:
        DataError: No candidate, or a query, does not fit the model's context.
    """
    progress("Loading the model")
    lm = _load(config, load)
    config = _with_batch_size(config, lm)
    network = UnitModel(lm, tuple(find_sublayers(lm.model)))
    engine = _Engine(config, task, network, folder, progress)
    queries = [encode(lm, query.prompt, query.response, config.template) for query in task.queries]
    texts = _encode_rows(engine, task.all_candidates)
    if not texts:
        raise DataError(
            "no candidate fits the model's context; take a model with a longer one, or shorter samples"
        )
    factors = _factors(engine)
    progress("Preparing the queries")
    gradients = scores.query_gradients(network, encoded=queries, max_tokens=config.influence.max_tokens)
    directions = scores.directions_of(scores.mean_by_group(gradients, task.groups), factors, config.influence)
    spread: list[_Spread] = []
    if len(task.groups) == 1 and len(texts) <= 2 * config.detail:
        # Every score is to be spread, and their spreads add up to the scores: one pass does both.
        spread = [_spread(engine, directions, 0, texts=texts)]
        values = np.array([[one.influence] for one in spread[0].values()])
    else:
        values = _score_all(engine, texts, directions)
    tables = _tables(task, list(texts), values)
    for number in range(len(spread), len(tables)):
        strongest = set(ends(tables[number], config.detail)["sample_id"])
        chosen = {row: text for row, text in texts.items() if task.ids[row] in strongest}
        spread.append(_spread(engine, directions, number, texts=chosen))
    tokens = [
        row
        for number, one in enumerate(spread)
        for row in _token_rows(engine, number, texts=texts, spread=one)
    ]
    cut = sum(1 for text in texts.values() if text.cut_tokens)
    return _Outcome(tables, tokens, len(task.all_candidates) - len(texts), cut)


def _with_batch_size(config: AttributeConfig, lm: LanguageModel) -> AttributeConfig:
    """Sets the tokens of a forward pass where the settings leave them to the device."""
    chosen = config.influence.max_tokens or TOKENS_AT_ONCE[lm.device.type]
    return replace(config, influence=replace(config.influence, max_tokens=chosen))


def _load(config: AttributeConfig, load: Loader | None) -> LanguageModel:
    """Takes the model from the caller, unless device or precision are asked for that it may not have."""
    settings, usual = config.influence, InfluenceSettings()
    if load is not None and (settings.device, settings.dtype) == (usual.device, usual.dtype):
        return load(config.model)
    return load_language_model(config.model, device=settings.device, dtype=settings.dtype)


def _encode_rows(engine: _Engine, rows: NDArray[np.int64]) -> dict[int, Encoded]:
    """Tokenises samples, by row; those whose response exceeds the context are left out."""
    chosen = engine.task.samples.iloc[rows]
    texts = list(zip(chosen["prompt"], chosen["response"], strict=True))
    encoded = encode_all(engine.network.lm, texts, engine.config.template)
    return {int(row): text for row, text in zip(rows, encoded, strict=True) if text is not None}


def _factors(engine: _Engine) -> dict[str, EigenFactors]:
    """Reads the factors that an earlier run kept, or estimates and keeps them."""
    config, lm = engine.config, engine.network.lm
    settings = config.influence
    ids = engine.task.ids
    corpus = hashlib.sha256("".join(ids).encode()).hexdigest()[:16]
    identity = fitting.identify(settings, template=config.template, corpus=corpus)
    kept = fitting.read_kept_factors(Path(config.factors), lm, identity) if config.factors else None
    if kept is not None:
        return kept
    order = np.random.default_rng(settings.seed).permutation(len(ids))
    rows = order[: settings.factor_samples] if settings.factor_samples else order
    texts = list(_encode_rows(engine, rows).values())
    key = fingerprint([lm.fingerprint, identity.key])
    shards = Shards(engine.folder / "shards" if len(texts) > fitting.SHARD_SAMPLES else None, "factors", key)
    factors = fitting.fit_factors(
        engine.network, encoded=texts, settings=settings, shards=shards, progress=engine.progress
    )
    if config.factors:
        fitting.keep_factors(Path(config.factors), lm, identity, factors)
    return factors


def _score_all(
    engine: _Engine, texts: dict[int, Encoded], directions: dict[str, Tensor]
) -> NDArray[np.float64]:
    """Scores samples for all groups, shard by shard in order of length; shape (samples, groups), in the order of `texts`."""
    encoded = list(texts.values())
    order = sorted(range(len(encoded)), key=lambda place: -len(encoded[place].input_ids))
    key = fingerprint([to_dict(engine.config), engine.network.lm.fingerprint, engine.task.ids])
    shards = Shards(engine.folder / "shards" if len(order) > SHARD_SAMPLES else None, "scores", key)
    values = np.empty((len(order), len(engine.task.groups)))
    for number, part in enumerate(split(len(order), SHARD_SAMPLES)):
        places = [order[place] for place in part]

        def compute(places: Sequence[int] = places, start: int = part.start) -> Arrays:
            found = scores.score_samples(
                engine.network,
                encoded=[encoded[place] for place in places],
                directions=directions,
                max_tokens=engine.config.influence.max_tokens,
                tell=lambda done: engine.progress(STAGE, start + done, len(order)),
            )
            return {"scores": found}

        values[places] = shards.compute(number, compute)["scores"]
        engine.progress(STAGE, part.stop, len(order))
    return values


def _tables(task: _Task, rows: Sequence[int], values: NDArray[np.float64]) -> list[pd.DataFrame]:
    """Ranks each group's own candidates.

    Raises:
        NumericalError: A score is not finite.
        DataError: No candidate of a group fits the model's context.
    """
    if not np.isfinite(values).all():
        raise NumericalError("an influence score is not finite; compute in float32, or raise the damping")
    tables = []
    for number, name in enumerate(task.names):
        own = np.isin(rows, task.candidates[number])
        ids = [task.ids[row] for row, kept in zip(rows, own, strict=True) if kept]
        if not ids:
            raise DataError(
                f"no candidate of the query {name!r} fits the model's context; take a model with a longer one"
            )
        tables.append(score_table(name, ids, values[own, number]))
    return tables


def _spread(
    engine: _Engine, directions: dict[str, Tensor], number: int, *, texts: dict[int, Encoded]
) -> _Spread:
    """Decomposes the scores of some samples on one group, by row."""
    found = scores.decompose_samples(
        engine.network,
        encoded=list(texts.values()),
        direction={unit: values[number] for unit, values in directions.items()},
        max_tokens=engine.config.influence.max_tokens,
        tell=lambda done: engine.progress("Spreading influence over tokens", done, len(texts)),
    )
    return dict(zip(texts, found, strict=True))


def _token_rows(
    engine: _Engine, number: int, *, texts: dict[int, Encoded], spread: _Spread
) -> list[dict[str, Any]]:
    units = [unit.name for unit in engine.network.units]
    tokenizer = engine.network.lm.tokenizer
    return [
        {
            "query_id": engine.task.names[number],
            "sample_id": engine.task.ids[row],
            "tokens": token_texts(tokenizer, texts[row].input_ids),
            "heat": one.heat.tolist(),
            "response_start": texts[row].response_start,
            "units": units,
            "unit_influence": one.unit_influence.tolist(),
        }
        for row, one in spread.items()
    ]


def _told(task: _Task, number: int) -> dict[str, Any]:
    """What the summary says of one group."""
    members = [task.queries[index] for index in task.groups[number]]
    return {
        "query_id": task.names[number],
        "members": [query.id for query in members],
        "prompt": members[0].prompt,
        "polarity": members[0].polarity,
        "candidates": len(task.candidates[number]),
    }
