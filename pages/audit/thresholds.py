"""Where to cut a ranking: what the samples above a threshold hold, and which ones enter or leave there."""

from dataclasses import dataclass

import pandas as pd

from lancet_core.errors import DataError


@dataclass(frozen=True)
class Cut:
    """A ranking cut after its first samples.

    Attributes:
        taken: Samples above the cut.
        candidates: Samples in all.
        threshold: Score of the last sample taken.
        unsafe: Samples above the cut that are labelled unsafe.
        precision: Share of unsafe among the labelled samples above the cut, NaN where none is labelled.
        share_found: Share of all unsafe candidates that lie above the cut, NaN where no candidate is unsafe.
        leaving: The last samples above the cut, which leave first when it rises; nearest to the cut first.
        entering: The first samples below it, which enter first when it falls; nearest to the cut first.
    """

    taken: int
    candidates: int
    threshold: float
    unsafe: int
    precision: float
    share_found: float
    leaving: pd.DataFrame
    entering: pd.DataFrame


def cut_after(rows: pd.DataFrame, count: int, *, desirable: bool = False, shown: int = 5) -> Cut:
    """Cuts a ranking after its first `count` samples.

    Args:
        rows: Scored samples of one query, with `influence` and `is_safe` (missing where unknown).
        count: Samples to take, at least 1.
        desirable: Whether the query's answer is wanted: then the samples that push away come first.
        shown: Rows kept on each side of the cut.

    Raises:
        DataError: `count` is less than 1 or more than there are candidates.
    """
    if not 1 <= count <= len(rows):
        raise DataError(f"cannot take {count} of {len(rows)} candidates; take between 1 and {len(rows)}")
    ranked = rows.sort_values("influence", ascending=desirable, kind="stable", ignore_index=True)
    known = ranked["is_safe"].notna()
    unsafe = known & ~ranked["is_safe"].astype("boolean").fillna(True)
    above = int(unsafe.iloc[:count].sum())
    labelled, total = int(known.iloc[:count].sum()), int(unsafe.sum())
    return Cut(
        taken=count,
        candidates=len(ranked),
        threshold=float(ranked["influence"].iloc[count - 1]),
        unsafe=above,
        precision=above / labelled if labelled else float("nan"),
        share_found=above / total if total else float("nan"),
        leaving=ranked.iloc[max(0, count - shown) : count].iloc[::-1],
        entering=ranked.iloc[count : count + shown],
    )
