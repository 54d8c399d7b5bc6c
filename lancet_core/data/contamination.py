"""Contaminates safe samples with few and different unsafe ones, as the paper does to get a model whose bad answers have known causes.

Source: section 4.1 and appendix D.1. K-Means clusters the unsafe samples, within each harm category or over all where there are none;
those nearest to each centre are mixed into the safe samples, the other members of the clusters are what influence queries are mined
from. D.1 says 5 samples a cluster for Safe RLHF, but only 10 gives the 1,890 of Table 1 (19 categories, 10 clusters each, 1,900 before
equal samples are made one), as its 1,350 of BeaverTails follow from 14 categories: 10 it is.
"""

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from lancet_core.config import setting
from lancet_core.data.adapters import ANSWER_MARK, QUESTION_MARK
from lancet_core.data.conversations import USER, conversation_of
from lancet_core.errors import DataError

AUTO, BY_CATEGORY, OVER_ALL = GROUPINGS = ("auto", "category", "all")
TFIDF, HIDDEN = ENCODERS = ("tfidf", "hidden")
CLUSTERS_IN_CATEGORY, CLUSTERS_OVER_ALL = 10, 100
# More than this share of the prompts with unsafe answers is never held out: what is left must contaminate.
MOST_HELD_OUT = 0.5
VALIDATION, UNSEEN = "validation", "unseen"
_NO_WORD = re.compile(r"[\W_]+")
Vectors = NDArray[np.float64]


@dataclass(frozen=True)
class ContaminationSettings:
    """Which unsafe samples are mixed into the safe ones, and which prompts are kept from both."""

    grouping: str = setting(
        AUTO,
        "Cluster the unsafe samples of each category, or all at once, where clusters with fewer members than are taken are dropped; "
        "auto takes the categories where there are some.",
        choices=GROUPINGS,
    )
    k: int | None = setting(
        None,
        "Clusters; empty makes 10 in each category, and over all 100, or as many as there are members for.",
        minimum=1,
    )
    nearest: int = setting(10, "Samples nearest to each centre that contaminate.", minimum=1)
    encoder: str = setting(
        TFIDF,
        "What is compared: words (TF-IDF, reduced to 100 directions), or hidden, the mean hidden states of a model.",
        choices=ENCODERS,
    )
    unseen_prompts: int = setting(
        100,
        "Prompts with an unsafe answer that are kept for evaluation and stand in no training set.",
        minimum=0,
    )
    validation_prompts: int = setting(
        60, "Prompts kept likewise, on which the best checkpoint of a correction is chosen.", minimum=0
    )
    safe_samples: int = setting(0, "Safe samples to train on, drawn by the seed; 0 takes all.", minimum=0)
    seed: int = setting(0, "Seed of K-Means and of all draws.", minimum=0)


@dataclass(frozen=True)
class Counts:
    """A row of Table 1: samples and prompts of a contaminated study."""

    safe: int
    unsafe: int
    queries: int
    unseen: int


CONTAMINATION_PRESETS = {
    "usual": ContaminationSettings(),
    "hh": ContaminationSettings(grouping=OVER_ALL, unseen_prompts=2000),
    "beavertails": ContaminationSettings(unseen_prompts=1000),
    "pku-saferlhf": ContaminationSettings(unseen_prompts=91),
}
TABLE_1 = {
    "hh": Counts(43724, 1000, 100, 2000),
    "beavertails": Counts(11604, 1350, 135, 1000),
    "pku-saferlhf": Counts(39819, 1890, 92, 91),
}
"""What the paper counts with the whole data sets."""


def prompt_key(prompt: str, messages: str = "") -> str:
    """Names what a sample asks, so that one question never stands on both sides of a split.

    Case, punctuation and white space do not count. A dialogue is named by its first question: data sets hold one dialogue at several
    lengths.

    Args:
        prompt: What was asked, which may be a whole dialogue.
        messages: The conversation as JSON, empty where it is one prompt and its response.
    """
    if messages:
        asked = [
            message for message in conversation_of(prompt, "", messages).messages if message["role"] == USER
        ]
        question = str(asked[0]["content"] or "") if asked else prompt
    elif prompt.startswith(QUESTION_MARK):
        question = prompt.removeprefix(QUESTION_MARK).partition(ANSWER_MARK)[0]
    else:
        question = prompt
    plain = _NO_WORD.sub(" ", unicodedata.normalize("NFKC", question).casefold()).strip()
    return plain or question


def split_prompts(samples: pd.DataFrame, settings: ContaminationSettings) -> pd.Series:
    """Draws the prompts that are kept for validation and evaluation, each with all of its samples.

    Args:
        samples: Columns `key` (`prompt_key`) and `is_safe`.
        settings: How many, and the seed.

    Returns:
        `validation`, `unseen`, or empty for what is left, one for each sample.
    """
    keys = samples.loc[~samples["is_safe"], "key"].unique()
    wanted = min(settings.validation_prompts + settings.unseen_prompts, int(MOST_HELD_OUT * len(keys)))
    validation = min(settings.validation_prompts, wanted // 2 if settings.unseen_prompts else wanted)
    drawn = np.random.default_rng(settings.seed).permutation(keys)[:wanted]
    split = {key: VALIDATION if place < validation else UNSEEN for place, key in enumerate(drawn)}
    return samples["key"].map(split).fillna("")


def cluster_members(
    categories: Sequence[Sequence[str]], vectors: Vectors, settings: ContaminationSettings
) -> pd.DataFrame:
    """Clusters unsafe samples and marks those nearest to each centre.

    A sample of several categories is a member of a cluster in each of them.

    Args:
        categories: Names of the categories of each sample.
        vectors: One row for each sample.
        settings: Grouping, k, how many are taken, and the seed.

    Returns:
        One row for each sample and cluster: `row` (place of the sample), `category` (empty where all are clustered at once), `cluster`,
        `distance` to its centre, `chosen`, and `dropped`, where its cluster has too few members to be used.

    Raises:
        DataError: There is no sample, or every cluster has too few members.
    """
    if not len(vectors):
        raise DataError(
            "no unsafe sample is left to contaminate with; give a file with labels, or one with --unsafe"
        )
    together = settings.grouping == OVER_ALL or (settings.grouping == AUTO and not any(map(len, categories)))
    over_all = max(1, min(CLUSTERS_OVER_ALL, len(vectors) // settings.nearest))
    k = settings.k or (over_all if together else CLUSTERS_IN_CATEGORY)
    rows_of: dict[str, list[int]] = {}
    for row, names in enumerate(categories):
        for name in [""] if together else names or [""]:
            rows_of.setdefault(name, []).append(row)
    parts = [
        _clustered(name, rows, vectors, k=k, settings=settings) for name, rows in sorted(rows_of.items())
    ]
    members = pd.concat(parts, ignore_index=True)
    size = members.groupby(["category", "cluster"])["row"].transform("size")
    rank = members.groupby(["category", "cluster"])["distance"].rank(method="first")
    dropped = (size < settings.nearest) if together else size < 0
    if dropped.all():
        raise DataError(
            f"all {k} clusters of the {len(vectors):,} unsafe samples have fewer members than the {settings.nearest} that are taken from "
            "each; make fewer clusters (--k), or take fewer of each (--nearest)"
        )
    return members.assign(chosen=(rank <= settings.nearest) & ~dropped, dropped=dropped)


def _clustered(
    category: str, rows: Sequence[int], vectors: Vectors, *, k: int, settings: ContaminationSettings
) -> pd.DataFrame:
    """Clusters the samples of one category; no more clusters are made than samples differ."""
    from sklearn.cluster import KMeans

    chosen = vectors[list(rows)]
    possible = min(k, len(np.unique(chosen, axis=0)))
    fitted = KMeans(n_clusters=possible, n_init=3, random_state=settings.seed).fit(chosen)
    distances = np.linalg.norm(chosen - fitted.cluster_centers_[fitted.labels_], axis=1)
    # To nine digits: sums over threads differ in the last, and equal texts would change places.
    columns = {"row": rows, "cluster": fitted.labels_, "distance": distances.round(9)}
    return pd.DataFrame(columns).assign(category=category)
