"""Tables of influence scores. Torch-free."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

SCORE_COLUMNS = ["query_id", "sample_id", "influence", "percentile", "rank"]
TOKEN_COLUMNS = ["query_id", "sample_id", "tokens", "heat", "response_start", "units", "unit_influence"]


def score_table(query_id: str, sample_ids: Sequence[str], influence: NDArray[np.float64]) -> pd.DataFrame:
    """Ranks the candidates of one query, most positive first.

    Args:
        query_id: The query, or the group that was attributed as one.
        sample_ids: Its candidates.
        influence: Their scores, shape (candidates,).

    Returns:
        Columns `SCORE_COLUMNS`; `percentile` is the share of candidates, in percent, that score no higher; `rank` counts from
        1, equal scores in the order of their sample ids, so that tables of one corpus agree.
    """
    frame = pd.DataFrame({"query_id": query_id, "sample_id": list(sample_ids), "influence": influence})
    frame = frame.sort_values(["influence", "sample_id"], ascending=[False, True], ignore_index=True)
    frame["percentile"] = frame["influence"].rank(method="max", pct=True) * 100.0
    frame["rank"] = np.arange(1, len(frame) + 1)
    return frame[SCORE_COLUMNS]


def ends(table: pd.DataFrame, count: int) -> pd.DataFrame:
    """Keeps the `count` first and the `count` last rows of a ranked table, each row once; 0 keeps none."""
    if 2 * count >= len(table):
        return table
    return pd.concat([table.head(count), table.tail(count)])


def ends_by_sign(table: pd.DataFrame, count: int) -> pd.DataFrame:
    """Keeps the `count` most positive and the `count` most negative scores of a ranked table.

    Fewer where fewer have that sign; a score of 0 has none. Rank and percentile stay those among all candidates.
    """
    positive = table[table["influence"] > 0].head(count)
    negative = table[table["influence"] < 0].tail(count)
    return pd.concat([positive, negative])
