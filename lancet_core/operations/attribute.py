"""Attribution: which training samples push a model towards or away from some answers."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from lancet_core.config import fingerprint, to_dict
from lancet_core.data.samples import content_id
from lancet_core.errors import ConfigError, DataError
from lancet_core.files import write_table
from lancet_core.influence import scores
from lancet_core.influence.methods import BM25, EMBEDDING, INDEX, TFIDF
from lancet_core.influence.results import SCORE_COLUMNS, TOKEN_COLUMNS, ends, ends_by_sign, score_table
from lancet_core.influence.shards import Arrays, Shards, split
from lancet_core.models.encoding import Encoded, encode, encode_all, encode_query
from lancet_core.models.loading import Loader
from lancet_core.models.pooling import mean_hidden_states
from lancet_core.models.token_text import token_texts
from lancet_core.operations.attribution_task import Task, prepare_task, text_similarities
from lancet_core.operations.configs import AttributeConfig
from lancet_core.operations.engine import Engine, Source, load_model, open_engine
from lancet_core.operations.index import choose_by_index
from lancet_core.progress import Progress, silent

STAGE = "Scoring training samples"
READING = "Reading training samples"
SHARD_SAMPLES = 1024


@dataclass(frozen=True)
class _Pass:
    """What every step of a pass with gradients needs.

    Attributes:
        config: What to attribute and how.
        task: Queries and candidates.
        engine: Model and curvature.
        progress: Told at every batch.
        lengths: Length of each sample's whitened gradient, shape (samples,), where an index keeps it.
    """

    config: AttributeConfig
    task: Task
    engine: Engine
    progress: Progress
    lengths: NDArray[np.float32] | None = None

    def normaliser(self, rows: Sequence[int]) -> scores.Normaliser | None:
        """What divides the scores of some samples; lengths that an index keeps are not measured again."""
        if self.engine.normaliser is None or self.lengths is None:
            return self.engine.normaliser
        return scores.KnownLengths(
            torch.from_numpy(self.lengths[list(rows)]).to(self.engine.network.lm.device)
        )


_Spread = dict[int, scores.Decomposition]


@dataclass(frozen=True)
class _Outcome:
    """Scores and their decompositions.

    Attributes:
        task: What was attributed: with recall by the gradient index its candidates are known only now.
        tables: One ranked table for each group.
        tokens: Rows of the token table.
        too_long: Candidates whose response exceeds the model's context, and which are therefore not scored.
        cut: Candidates whose prompt was cut from its left.
        notes: What a person should know about these scores.
    """

    task: Task
    tables: list[pd.DataFrame]
    tokens: list[dict[str, Any]]
    too_long: int = 0
    cut: int = 0
    notes: tuple[str, ...] = ()


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
        Summary: `queries`, `candidates`, `seconds`, `method`, `recall`, `chance` (share of unsafe among labelled candidates, None
        without labels), `too_long`, `cut`, `notes`.

    Raises:
        DataError: There is no query, an empty recall, or a group mixes desirable and undesirable answers.
        ConfigError: No unit is tracked, the factors would not fit, or there is no gradient index.
        ModelError: The model cannot be loaded or its layout is unknown, or kept factors belong to another.
        NumericalError: The curvature is singular or a result is not finite.
    """
    started = time.perf_counter()
    progress("Choosing candidates")
    task = prepare_task(config)
    if config.influence.takes_gradients:
        outcome = _by_influence(config, task, folder, progress=progress, load=load)
    else:
        outcome = _by_likeness(config, task, progress, load)
    kept = [ends_by_sign(table, config.top) if config.top else table for table in outcome.tables]
    write_table(folder / "tokens.parquet", pd.DataFrame(outcome.tokens, columns=TOKEN_COLUMNS))
    write_table(folder / "scores.parquet", pd.concat(kept, ignore_index=True)[SCORE_COLUMNS])
    task = outcome.task
    labels = task.samples["is_safe"].iloc[task.all_candidates].dropna().astype(bool)
    return {
        "queries": [task.describe(number) for number in range(len(task.names))],
        "candidates": len(task.all_candidates),
        "seconds": round(time.perf_counter() - started, 3),
        "method": config.influence.method,
        "recall": config.influence.recall,
        "chance": float((~labels).mean()) if len(labels) else None,
        "too_long": outcome.too_long,
        "cut": outcome.cut,
        "notes": list(outcome.notes),
    }


def _by_likeness(config: AttributeConfig, task: Task, progress: Progress, load: Loader | None) -> _Outcome:
    """Ranks by likeness of words or hidden states, or at random: what influence is compared with."""
    settings = config.influence
    ids = np.array(task.ids)
    if settings.method in {TFIDF, BM25}:
        likeness = text_similarities(settings.method, settings, task.samples, task.queries)
    elif settings.method == EMBEDDING:
        likeness = _embedding_similarities(config, task, progress, load)
    else:
        seeds = [int(content_id(query.id, str(settings.seed)), 16) for query in task.queries]
        likeness = np.stack([np.random.default_rng(seed).uniform(-1.0, 1.0, len(ids)) for seed in seeds])
    tables = [
        score_table(name, list(ids[rows]), likeness[list(members)].mean(axis=0)[rows])
        for name, members, rows in zip(task.names, task.groups, task.candidates, strict=True)
    ]
    return _Outcome(task, tables, [])


def _embedding_similarities(
    config: AttributeConfig, task: Task, progress: Progress, load: Loader | None
) -> NDArray[np.float64]:
    """Cosine of mean hidden states, centred on the candidates' mean, shape (queries, samples).

    Hidden states share one large direction; uncentred, every sample is like every other. Samples that do not fit the context
    are as unlike as can be.

    Raises:
        DataError: No candidate fits the model's context.
    """
    progress("Loading the model")
    lm = load_model(config.model, config.influence, load)
    chosen = task.samples.iloc[task.all_candidates]
    encoded = encode_all(lm, list(zip(chosen["prompt"], chosen["response"], strict=True)), config.template)
    fitting = [place for place, text in enumerate(encoded) if text is not None]
    if not fitting:
        raise DataError(
            "no candidate fits the model's context; take a model with a longer one, or shorter samples"
        )
    states = mean_hidden_states(lm, [text for text in encoded if text is not None], progress, READING)
    asked = [encode(lm, query.prompt, query.response, config.template) for query in task.queries]
    queries = mean_hidden_states(lm, asked, progress)
    centre = states.mean(axis=0)
    states, queries = _unit_length(states - centre), _unit_length(queries - centre)
    likeness = np.full((len(task.queries), len(task.samples)), -1.0)
    likeness[:, task.all_candidates[fitting]] = queries @ states.T
    return likeness


def _unit_length(vectors: NDArray[np.float64]) -> NDArray[np.float64]:
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    scaled: NDArray[np.float64] = vectors / np.where(lengths > 0, lengths, 1.0)
    return scaled


def _by_influence(
    config: AttributeConfig, task: Task, folder: Path, *, progress: Progress, load: Loader | None
) -> _Outcome:
    """Scores by gradients, and spreads the strongest scores over tokens and units.

    Raises:
        DataError: No candidate, or a query, does not fit the model's context.
        ConfigError: There is no gradient index although recall needs it.
    """
    source = Source(config.model, task.samples, config.template, config.influence, config.factors, folder)
    engine = open_engine(source, progress, load)
    queries = [encode_query(engine.network.lm, query, config.template) for query in task.queries]
    directions = engine.directions(queries, task.groups, progress)
    lengths = None
    if config.influence.recall == INDEX:
        if not config.index:
            raise ConfigError(
                "recall by the gradient index needs an index; build it with: lancet index build STUDY"
            )
        task, lengths = choose_by_index(engine, task, directions, Path(config.index))
    step = _Pass(config, task, engine, progress, lengths)
    texts = engine.encode_rows(task.all_candidates)
    if not texts:
        raise DataError(
            "no candidate fits the model's context; take a model with a longer one, or shorter samples"
        )
    known: _Spread = {}
    if len(task.groups) == 1 and len(texts) <= SHARD_SAMPLES and config.detail:
        # Spreads add up to the scores and cost as much: one pass gives both.
        known = _spread(step, directions, 0, texts=texts)
        values = np.array([[one.influence] for one in known.values()])
    else:
        values = _score_all(step, texts, directions)
    tables = _tables(task, list(texts), values)
    tokens = []
    for number, table in enumerate(tables):
        strongest = set(ends(table, config.detail)["sample_id"])
        chosen = {row: text for row, text in texts.items() if task.ids[row] in strongest}
        spread = (
            {row: known[row] for row in chosen} if known else _spread(step, directions, number, texts=chosen)
        )
        tokens += _token_rows(step, number, texts=chosen, spread=spread)
    cut = sum(1 for text in texts.values() if text.cut_tokens)
    return _Outcome(task, tables, tokens, len(task.all_candidates) - len(texts), cut, engine.notes)


def _score_all(step: _Pass, texts: dict[int, Encoded], directions: scores.Directions) -> NDArray[np.float64]:
    """Scores samples for all groups, shard by shard in order of length; shape (samples, groups), in the order of `texts`."""
    engine, settings = step.engine, step.engine.source.settings
    rows, encoded = list(texts), list(texts.values())
    order = sorted(range(len(encoded)), key=lambda place: -len(encoded[place].input_ids))
    key = fingerprint([to_dict(step.config), engine.network.lm.fingerprint, step.task.ids])
    folder = engine.source.folder / "shards" if len(order) > SHARD_SAMPLES else None
    shards = Shards(folder, "scores", key)
    values = np.empty((len(order), len(step.task.groups)))
    for number, part in enumerate(split(len(order), SHARD_SAMPLES)):
        places = [order[place] for place in part]

        def compute(places: Sequence[int] = places, start: int = part.start) -> Arrays:
            found = scores.score_samples(
                engine.network,
                encoded=[encoded[place] for place in places],
                directions=directions,
                max_tokens=settings.max_tokens,
                tell=lambda done: step.progress(STAGE, start + done, len(order)),
                normaliser=step.normaliser([rows[place] for place in places]),
            )
            return {"scores": found}

        values[places] = shards.compute(number, compute)["scores"]
        step.progress(STAGE, part.stop, len(order))
    return values


def _tables(task: Task, rows: Sequence[int], values: NDArray[np.float64]) -> list[pd.DataFrame]:
    """Ranks each group's own candidates.

    Raises:
        DataError: No candidate of a group fits the model's context.
    """
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


def _spread(step: _Pass, directions: scores.Directions, number: int, *, texts: dict[int, Encoded]) -> _Spread:
    """Decomposes the scores of some samples on one group, by row."""
    found = scores.decompose_samples(
        step.engine.network,
        encoded=list(texts.values()),
        direction=directions.query(number),
        max_tokens=step.engine.source.settings.max_tokens,
        tell=lambda done: step.progress("Spreading influence over tokens", done, len(texts)),
        normaliser=step.normaliser(list(texts)),
    )
    return dict(zip(texts, found, strict=True))


def _token_rows(
    step: _Pass, number: int, *, texts: dict[int, Encoded], spread: _Spread
) -> list[dict[str, Any]]:
    network = step.engine.network
    units = [unit.name for unit in network.units]
    return [
        {
            "query_id": step.task.names[number],
            "sample_id": step.task.ids[row],
            "tokens": token_texts(network.lm.tokenizer, texts[row].input_ids),
            "heat": one.heat.tolist(),
            "response_start": texts[row].response_start,
            "units": units,
            "unit_influence": one.unit_influence.tolist(),
        }
        for row, one in spread.items()
    ]
