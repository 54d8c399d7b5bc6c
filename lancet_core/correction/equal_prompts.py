"""Pairs whose two samples answer the same prompt: a preference (DPO) needs them, and a reviewer compares two answers alone."""

from collections.abc import Sequence

import pandas as pd


def equal_prompt_pairs(claims: pd.DataFrame, prompts: pd.Series) -> pd.DataFrame:
    """Pairs the samples of equal prompts: of each queue and prompt the i-th most positive with the i-th most negative.

    The queues draw in turn, one pair each, strongest positive minus negative first; a sample stands in at most one pair, that of
    the stronger claim within a turn.

    Args:
        claims: What queues want: `queue`, `sample_id`, `scaled` (influence in [-1, 1], not 0) and what else is to come along.
        prompts: Sample ids to prompts.

    Returns:
        One row for each pair, in order: the columns of `claims` (but `queue`) as `positive_…` and `negative_…`, and `rank`, the place
        of the positive sample among those of its queue (1 = strongest).
    """
    order = ["strength", "sample_id"]
    ranked = claims.assign(strength=claims["scaled"].abs(), prompt=claims["sample_id"].map(prompts))
    ranked = ranked.sort_values(order, ascending=[False, True]).assign(
        towards=lambda rows: rows["scaled"] > 0
    )
    ranked["rank"] = ranked.groupby(["queue", "towards"]).cumcount() + 1
    ranked["place"] = ranked.groupby(["queue", "towards", "prompt"]).cumcount()
    sides = (
        ranked[ranked["towards"] == side].set_index(["queue", "prompt", "place"]) for side in (True, False)
    )
    towards, away = (side.drop(columns="towards") for side in sides)
    pairs = towards.add_prefix("positive_").join(away.add_prefix("negative_"), how="inner").reset_index()
    pairs = pairs.assign(distance=pairs["positive_scaled"] - pairs["negative_scaled"])
    pairs = pairs.sort_values(
        ["distance", "positive_sample_id", "negative_sample_id"], ascending=[False, True, True]
    )
    pairs = pairs.assign(turn=pairs.groupby("queue").cumcount()).sort_values("turn", kind="stable")
    pairs = pairs.rename(columns={"positive_rank": "rank"})
    return without_clashes(pairs, ("positive_sample_id", "negative_sample_id"))


def without_clashes(
    pairs: pd.DataFrame, sides: Sequence[str] = ("positive_id", "negative_id")
) -> pd.DataFrame:
    """Leaves out pairs that share a sample with one that stays before them.

    Args:
        pairs: The pairs, in order.
        sides: Columns that name their samples.
    """
    taken: set[str] = set()
    kept = []
    for ids in pairs[list(sides)].itertuples(index=False):
        kept.append(taken.isdisjoint(ids))
        if kept[-1]:
            taken.update(ids)
    return pairs.loc[pd.Series(kept, index=pairs.index, dtype=bool)]
