"""Pairs for one answer: the samples that push towards it, each with the sample away from it that fits best. Free of torch."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from lancet_core.errors import DataError

TRACED, PICKED = "trace", "picked"
_PICKED, _SAME_PROMPT, _SAME_CATEGORY = 8.0, 4.0, 2.0


def pairs_of_case(scored: pd.DataFrame, *, count: int, picked: Sequence[str] = ()) -> pd.DataFrame:
    """Pairs what a trace shows: its strongest samples towards the answer, in their order, each with a fitting one away from it.

    Where all samples push towards the answer, as texts of one manner do, the weaker half of them stands on the other side.

    Samples towards the answer for whose prompt there is a sample away from it come before the others. A sample away fits best where it answers the same prompt, then where it is of the same category, then by n-grams of characters that the prompts
    share (cosine of TF-IDF); the stronger one wins among equals. Each sample stands in at most one pair.

    Args:
        scored: One row for each scored sample: `sample_id`, `influence`, `prompt`, and `categories` (lists) where known.
        count: Pairs to make, as far as there are samples on both sides.
        picked: Ids of samples that a person chose: those towards the answer come first, those away from it are taken first.

    Returns:
        Columns `positive_id`, `negative_id`, `origin` (`picked` or `trace`), `rank` (1 = strongest towards), `scored` (how many were),
        and the influence of both, scaled by the largest magnitude and raw.

    Raises:
        DataError: No sample pushes towards the answer, or there is one sample only.
    """
    ranked = scored.sort_values(["influence", "sample_id"], ascending=[False, True], ignore_index=True)
    towards, away = _sides(ranked)
    if towards.empty or away.empty:
        raise DataError(
            f"no pair can be made: of the {len(scored)} scored samples {len(towards)} push towards this answer, and {len(away)} can stand "
            "on the other side; score more samples, or all of them"
        )
    answered = towards["prompt"].map(away["prompt"].value_counts()).fillna(0)
    chosen = towards.assign(
        is_picked=towards["sample_id"].isin(list(picked)),
        has_equal=towards.groupby("prompt").cumcount() < answered,
    )
    chosen = chosen.sort_values(["is_picked", "has_equal", "rank"], ascending=[False, False, True])
    chosen = chosen.head(max(count, int(chosen["is_picked"].sum()))).head(len(away)).reset_index(drop=True)
    fit = _fit(chosen, away) + _PICKED * away["sample_id"].isin(list(picked)).to_numpy(np.float64)
    partners = away.iloc[_assign(fit)].reset_index(drop=True)
    largest = float(scored["influence"].abs().max())
    return pd.DataFrame(
        {
            "positive_id": chosen["sample_id"],
            "negative_id": partners["sample_id"],
            "origin": np.where(chosen["is_picked"], PICKED, TRACED),
            "rank": chosen["rank"],
            "scored": len(scored),
            "positive_influence": chosen["influence"] / largest,
            "negative_influence": partners["influence"] / largest,
            "positive_raw": chosen["influence"],
            "negative_raw": partners["influence"],
        }
    )


def _sides(ranked: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The samples of either side, strongest first; `rank` counts those that push towards the answer."""
    towards = ranked[ranked["influence"] > 0]
    away = ranked[ranked["influence"] < 0]
    if away.empty:
        half = (len(ranked) + 1) // 2
        towards, away = towards.head(half), ranked.iloc[half:]
    numbered = towards.assign(rank=np.arange(1, len(towards) + 1))
    return numbered, away.iloc[::-1].reset_index(drop=True)


def _fit(towards: pd.DataFrame, away: pd.DataFrame) -> NDArray[np.float64]:
    """How well each sample away fits each sample towards, shape (towards, away)."""
    from sklearn.feature_extraction.text import TfidfVectorizer

    prompts = [*towards["prompt"], *away["prompt"]]
    try:
        vectors = TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 4)).fit_transform(prompts)
        likeness = (vectors[: len(towards)] @ vectors[len(towards) :].T).toarray()
    except ValueError:  # prompts without a word
        likeness = np.zeros((len(towards), len(away)))
    same_prompt = towards["prompt"].to_numpy()[:, None] == away["prompt"].to_numpy()[None, :]
    fit = likeness + _SAME_PROMPT * same_prompt
    if "categories" in towards:
        shared = [[bool(set(a) & set(b)) for b in away["categories"]] for a in towards["categories"]]
        fit = fit + _SAME_CATEGORY * np.array(shared, dtype=np.float64)
    return np.asarray(fit, dtype=np.float64)


def _assign(fit: NDArray[np.float64]) -> list[int]:
    """Gives each row in turn its best column that is still free; columns stand strongest first, so that ties go to the stronger."""
    free = np.ones(fit.shape[1], dtype=bool)
    partners = []
    for row in fit:
        best = int(np.argmax(np.where(free, row, -np.inf)))
        free[best] = False
        partners.append(best)
    return partners
