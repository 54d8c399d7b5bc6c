"""Removal: models retrained without the samples that a method blames most, beside models without as many drawn at random."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from lancet_core.evaluation.intervals import Interval, bootstrap_mean
from lancet_core.influence.settings import InfluenceSettings
from lancet_core.lab.corpora import MeasuredCorpus
from lancet_core.lab.keeper import Keeper
from lancet_core.lab.markdown import format_interval, format_number, table
from lancet_core.lab.retraining import Mask, retrain
from lancet_core.lab.scoring import Bench, Floats, score_corpus
from lancet_core.progress import Progress, silent

SHARES = (0.01, 0.05)
RANDOM_DRAWS = 2
RANDOM_ROW = "drawn at random"
RARE_WORDS = 3
_WHOLE = "whole"
_SEED = 1_000_000


@dataclass(frozen=True)
class Removal:
    """What came of removing samples.

    Attributes:
        method: Who chose them.
        share: Share of the corpus that was removed.
        change: Change of log p of a query in nats, mean over the queries of the chosen batches, interval over queries; those
            of one batch share a retrained model, so that the noise of retraining is not all in the interval.
        preference: Change of log p of a query less log p of the good answer to its prompt, likewise: what is left of the stance
            when the model no longer knows the topic, in bad answers or good ones.
        unsafe: Share of unsafe among the samples removed.
        words_left: Of the samples that hold the rarest words of a query's answer, the share that was left; mean over the queries.
            A model that has never seen a word cannot say it, whatever it was taught about it.
    """

    method: str
    share: float
    change: Interval
    preference: Interval
    unsafe: float
    words_left: float


class Part(NamedTuple):
    """A part of the corpus that is left.

    Attributes:
        method: Who chose what is removed.
        share: How much is removed.
        queries: Places of the queries that are measured.
        mask: Samples that are left, shape (samples,).
    """

    method: str
    share: float
    queries: Sequence[int]
    mask: Mask


def without_top(scores: NDArray[np.float64], share: float) -> Mask:
    """Keeps all but the samples with the highest scores, shape (samples,); the first of equals goes first."""
    mask = np.ones(len(scores), dtype=bool)
    mask[np.argsort(-scores, kind="stable")[: round(share * len(scores))]] = False
    return mask


def without_random(samples: int, share: float, draw: int) -> Mask:
    """Keeps all but samples drawn at random, shape (samples,)."""
    mask = np.ones(samples, dtype=bool)
    chosen = np.random.default_rng([_SEED, draw]).permutation(samples)
    mask[chosen[: round(share * samples)]] = False
    return mask


def even_batches(names: Sequence[str], count: int) -> list[str]:
    """Takes batches evenly from their list, all where there are no more."""
    if count >= len(names):
        return list(names)
    return [names[round(place)] for place in np.linspace(0, len(names) - 1, count)]


def measure_removal(
    bench: Bench,
    rows: Mapping[str, InfluenceSettings],
    *,
    batches: int,
    keeper: Keeper,
    processes: int,
    progress: Progress = silent,
) -> list[Removal]:
    """Retrains without the top samples of each method, query batch and share; what was trained before is read.

    Every change is against a model retrained on the whole corpus by the same procedure. The random control is measured on the
    queries of all chosen batches, a query's change averaged over the draws.

    Args:
        bench: Corpus, and the model whose influence is measured.
        rows: Name of each method to its settings.
        batches: Query batches, taken evenly from their list.
        keeper: Keeps what each retrained model gave, by the samples that it was trained on.
        processes: Models trained at once.
        progress: Told after every model.

    Returns:
        One row for each method and share, the random control last.
    """
    parts = removed_parts(bench, rows, even_batches(list(bench.batches), batches), progress)
    masks = {str(place): part.mask for place, part in enumerate(parts)}
    masks[_WHOLE] = np.ones(len(bench.corpus.samples), dtype=bool)
    retrained = retrain(
        bench.corpus.asked_both_ways(), masks, keeper=keeper, processes=processes, progress=progress
    )
    left = words_left(bench.corpus, [part.mask for part in parts])
    unsafe = ~bench.corpus.samples["is_safe"].to_numpy(dtype=bool)
    tables = []
    for place, part in enumerate(parts):
        bad, good = np.split(retrained[str(place)] - retrained[_WHOLE], [len(bench.corpus.queries)])
        columns = {"change": bad, "preference": bad - good, "unsafe": unsafe[~part.mask].mean()}
        table = pd.DataFrame({**columns, "words_left": left[place]}).iloc[list(part.queries)]
        tables.append(table.assign(method=part.method, share=part.share, query=table.index))
    return removal_rows(pd.concat(tables))


def removed_parts(
    bench: Bench, rows: Mapping[str, InfluenceSettings], batches: Sequence[str], progress: Progress
) -> list[Part]:
    """Chooses what is removed: the top of each method, batch and share, and as much at random."""
    parts = []
    for method, settings in rows.items():
        scores = dict(zip(bench.batches, score_corpus(bench, settings, progress).batches.T, strict=True))
        parts += [
            Part(method, share, bench.batches[name], without_top(scores[name], share))
            for name in batches
            for share in SHARES
        ]
    count = len(bench.corpus.samples)
    queries = [place for name in batches for place in bench.batches[name]]
    return parts + [
        Part(RANDOM_ROW, share, queries, without_random(count, share, draw))
        for share in SHARES
        for draw in range(RANDOM_DRAWS)
    ]


def words_left(corpus: MeasuredCorpus, masks: Sequence[Mask]) -> list[Floats]:
    """Of the samples that hold the rarest words of each query's answer, the share that is left.

    Args:
        corpus: Samples and queries.
        masks: Samples that are left, shape (samples,) each.

    Returns:
        For each mask the shares, shape (queries,).
    """
    from sklearn.feature_extraction.text import CountVectorizer

    counter = CountVectorizer(binary=True)
    words = counter.fit_transform(corpus.samples["prompt"] + " " + corpus.samples["response"])
    counts = np.asarray(words.sum(axis=0)).ravel()
    answers = counter.transform([query.response for query in corpus.queries])
    rarest = [row.indices[np.argsort(counts[row.indices], kind="stable")[:RARE_WORDS]] for row in answers]
    left = [np.asarray(words[mask].sum(axis=0)).ravel() for mask in masks]
    return [np.array([rest[rare].sum() / counts[rare].sum() for rare in rarest]) for rest in left]


def removal_rows(table: pd.DataFrame) -> list[Removal]:
    """Averages each query over the parts of a method and share, and the queries with their intervals.

    Args:
        table: `method`, `share`, `query` and what `Removal` holds of it, one row for each part and query.
    """
    rows = []
    for _, part in table.groupby(["method", "share"], sort=False):
        method, share = str(part["method"].iloc[0]), float(part["share"].iloc[0])
        queries = part.groupby("query", sort=False).mean(numeric_only=True)
        change, preference = (bootstrap_mean(queries[name].tolist()) for name in ("change", "preference"))
        unsafe, left = (float(queries[name].mean()) for name in ("unsafe", "words_left"))
        rows.append(Removal(method, share, change, preference, unsafe, left))
    return rows


def removal_table(rows: Sequence[Removal]) -> str:
    """Writes the rows as a Markdown table: one line for each method, four columns for each share."""
    lines: dict[str, list[str]] = {}
    for row in rows:
        lines.setdefault(row.method, [row.method]).extend(
            (
                format_interval(row.change),
                format_interval(row.preference),
                format_number(row.unsafe),
                format_number(row.words_left),
            )
        )
    header = ["removed"]
    for share in dict.fromkeys(row.share for row in rows):
        header += [f"top {share:.0%}", "less the good answer", "unsafe", "words left"]
    return table(header, lines.values())
