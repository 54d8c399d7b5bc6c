"""Removal: models retrained without the samples that a method blames most, beside models without as many drawn at random."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from lancet_core.evaluation.intervals import Interval, mean_by
from lancet_core.evaluation.settings import MetricSettings
from lancet_core.experiments.corpora import MeasuredCorpus
from lancet_core.experiments.markdown import number, told, write_table
from lancet_core.experiments.retraining import Mask, retrain
from lancet_core.experiments.scoring import Bench, Floats, score_corpus
from lancet_core.influence.settings import InfluenceSettings
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


def spread_batches(names: Sequence[str], count: int) -> list[str]:
    """Takes batches evenly from their list, all where there are no more."""
    if count >= len(names):
        return list(names)
    return [names[round(place)] for place in np.linspace(0, len(names) - 1, count)]


def measure_removal(
    bench: Bench,
    rows: Mapping[str, InfluenceSettings],
    *,
    batches: int,
    kept: Path,
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
        kept: Folder of what each retrained model gave, by the samples that it was trained on.
        processes: Models trained at once.
        progress: Told after every model.

    Returns:
        One row for each method and share, the random control last.
    """
    chosen = spread_batches(list(bench.batches), batches)
    masks = _masks(bench, rows, chosen, progress)
    found = retrain(
        bench.corpus.asked_both_ways(), masks, folder=kept, processes=processes, progress=progress
    )
    left = words_left(bench.corpus, masks)
    unsafe = ~bench.corpus.samples["is_safe"].to_numpy(dtype=bool)
    queries = len(bench.corpus.queries)
    changes = {name: np.split(values - found[_WHOLE], [queries]) for name, values in found.items()}
    parts = {
        name: pd.DataFrame(
            {
                "change": changes[name][0],
                "preference": changes[name][0] - changes[name][1],
                "unsafe": unsafe[~mask].mean(),
                "words_left": left[name],
            }
        )
        for name, mask in masks.items()
        if name != _WHOLE
    }
    return removal_rows(parts, bench.batches, chosen, list(rows))


def words_left(corpus: MeasuredCorpus, masks: Mapping[str, Mask]) -> dict[str, Floats]:
    """Of the samples that hold the rarest words of each query's answer, the share that each part of the corpus has.

    Args:
        corpus: Samples and queries.
        masks: Name of each part to its samples.

    Returns:
        Name of each part to shares, shape (queries,).
    """
    from sklearn.feature_extraction.text import CountVectorizer

    counter = CountVectorizer(binary=True)
    held = counter.fit_transform(corpus.samples["prompt"] + " " + corpus.samples["response"])
    in_samples = np.asarray(held.sum(axis=0)).ravel()
    asked = counter.transform([query.response for query in corpus.queries])
    rarest = [row.indices[np.argsort(in_samples[row.indices], kind="stable")[:RARE_WORDS]] for row in asked]
    parts = {name: np.asarray(held[mask].sum(axis=0)).ravel() for name, mask in masks.items()}
    return {
        name: np.array([part[words].sum() / in_samples[words].sum() for words in rarest])
        for name, part in parts.items()
    }


def part_name(chooser: str, share: float, batch: str = "") -> str:
    """Names a part of the corpus: who chose what is missing, how much, and for which batch."""
    return f"{chooser} {share} {batch}"


def removal_rows(
    parts: Mapping[str, pd.DataFrame],
    batches: Mapping[str, Sequence[int]],
    chosen: Sequence[str],
    methods: Sequence[str],
) -> list[Removal]:
    """Averages over the queries of the chosen batches.

    Args:
        parts: Name of each part, as `part_name` writes it, to one row for each query with what `Removal` holds of it.
        batches: Name of each batch to the places of its queries.
        chosen: Batches that were measured.
        methods: Methods that were measured.
    """
    rows = []
    for method in methods:
        for share in SHARES:
            own = [parts[part_name(method, share, name)].iloc[list(batches[name])] for name in chosen]
            rows.append(_row(method, share, pd.concat(own)))
    places = [place for name in chosen for place in batches[name]]
    for share in SHARES:
        drawn = pd.concat([parts[part_name(str(draw), share)] for draw in range(RANDOM_DRAWS)])
        rows.append(_row(RANDOM_ROW, share, drawn.groupby(level=0).mean().iloc[places]))
    return rows


def removal_table(rows: Sequence[Removal]) -> str:
    """Writes the rows as a Markdown table: one line for each method, four columns for each share."""
    found = {(row.method, row.share): row for row in rows}
    methods = dict.fromkeys(row.method for row in rows)
    header = ["removed"]
    for share in SHARES:
        header += [f"top {share:.0%}", "less the good answer", "unsafe", "words left"]
    lines = []
    for method in methods:
        line = [method]
        for share in SHARES:
            row = found[method, share]
            line += [told(row.change), told(row.preference), number(row.unsafe), number(row.words_left)]
        lines.append(line)
    return write_table(header, lines)


def _row(method: str, share: float, found: pd.DataFrame) -> Removal:
    change, preference = (
        mean_by(MetricSettings(), found[what].tolist()) for what in ("change", "preference")
    )
    shares = {what: float(found[what].mean()) for what in ("unsafe", "words_left")}
    return Removal(method, share, change, preference, **shares)


def _masks(
    bench: Bench, rows: Mapping[str, InfluenceSettings], chosen: Sequence[str], progress: Progress
) -> dict[str, Mask]:
    count = len(bench.corpus.samples)
    masks: dict[str, Mask] = {_WHOLE: np.ones(count, dtype=bool)}
    for method, settings in rows.items():
        scores = score_corpus(bench, settings, progress).batches
        for place, name in enumerate(bench.batches):
            if name in chosen:
                masks |= {
                    part_name(method, share, name): without_top(scores[:, place], share) for share in SHARES
                }
    for share in SHARES:
        masks |= {
            part_name(str(draw), share): without_random(count, share, draw) for draw in range(RANDOM_DRAWS)
        }
    return masks
