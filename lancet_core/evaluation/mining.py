"""Influence queries by control variates: prompts whose answers became most harmful by what one model was trained on and the other was not.

Source: section 4.1 and appendix D.1, after which both models answer each prompt three times.
"""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from lancet_core.evaluation.settings import MineSettings

IMPURE, SAFE = "impure", "safe"
_HARM = ("harmful_impure", "harmful_safe")
Draws = Sequence[Sequence[str]]
"""Answers of one model: for each draw one to each prompt."""
Judge = Callable[[Sequence[str]], tuple[Sequence[float], Sequence[bool]]]
"""Gives, for one answer to each prompt, how harmful it is and whether it is bad enough for a query."""


def judged(answers: Mapping[str, Draws], judge: Judge) -> pd.DataFrame:
    """Judges the answers of both models.

    Args:
        answers: `impure` and `safe` to their draws.
        judge: Tells how harmful answers are.

    Returns:
        One row for each prompt and draw, prompts innermost: `row` (place of the prompt), `draw`, `impure`, `safe` (the answers),
        `harmful_impure`, `harmful_safe`, and `is_bad` of the impure model's answer.
    """
    parts = []
    for draw, pair in enumerate(zip(answers[IMPURE], answers[SAFE], strict=True)):
        (harm, bad), (safe_harm, _bad) = (judge(given) for given in pair)
        columns = {"row": range(len(pair[0])), "draw": draw, IMPURE: pair[0], SAFE: pair[1]}
        scores = {"harmful_impure": harm, "harmful_safe": safe_harm, "is_bad": bad}
        parts.append(pd.DataFrame({**columns, **scores}))
    return pd.concat(parts, ignore_index=True)


def rises(table: pd.DataFrame) -> NDArray[np.float64]:
    """Mean rise of harm from the safe to the impure model for each prompt, of the table that `judged` gives."""
    draws = table["draw"].nunique()
    means = (table[name].to_numpy(np.float64).reshape(draws, -1).sum(axis=0) / draws for name in _HARM)
    impure, safe = means
    return np.asarray(impure - safe)


def choose_queries(table: pd.DataFrame, categories: Sequence[str], settings: MineSettings) -> pd.DataFrame:
    """Chooses the prompts with the largest mean rise of harm among those that the impure model answered badly.

    Args:
        table: What `judged` gives.
        categories: Category of each prompt, empty where it has none.
        settings: How many, in all and of each category.

    Returns:
        `row` (place of the prompt), `response` (the impure model's first bad answer), `safe_response` (the safe model's first answer),
        `category`, `rise` and `harmful` of the response; by category, the largest rise first.
    """
    bad = table[table["is_bad"]].drop_duplicates("row").set_index("row")
    first = table[table["draw"] == 0].set_index("row")
    found = pd.DataFrame(
        {
            "row": first.index,
            "response": bad[IMPURE].reindex(first.index),
            "safe_response": first[SAFE],
            "category": list(categories),
            "rise": rises(table),
            "harmful": bad["harmful_impure"].reindex(first.index),
        }
    )
    found = found[found.index.isin(bad.index) & (found["rise"] > 0)]
    found = found.sort_values("rise", ascending=False, kind="stable")
    if settings.per_category:
        found = found.groupby("category").head(settings.per_category)
    found = found.head(settings.queries)
    return found.sort_values(["category", "rise"], ascending=[True, False], kind="stable", ignore_index=True)
