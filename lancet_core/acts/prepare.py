"""Preparing a study: which samples fit the model, and how harmful and helpful they are."""

from dataclasses import dataclass

import pandas as pd

from lancet_core.acts.results import Result

SAMPLES, REJECTED = "samples.parquet", "rejected.parquet"


@dataclass(frozen=True)
class PrepareRequest:
    """Nothing but the subject: its samples are measured with its model and scored with its scorers."""

    @property
    def title(self) -> str:
        """What is asked, in words."""
        return "Samples measured and scored"


@dataclass(frozen=True)
class Prepared(Result):
    """The samples that a study is made of.

    Attributes:
        context: Longest text of the model, in tokens.
        samples: Samples that fit.
        rejected: Samples whose response alone exceeds the context.
        cut: Samples whose prompt is cut from its left.
        units: Sublayers of the model that influence is computed on.
    """

    context: int = 0
    samples: int = 0
    rejected: int = 0
    cut: int = 0
    units: int = 0

    @property
    def outcome(self) -> str:
        """How many samples fit."""
        return f"{self.samples:,} samples"

    @property
    def table(self) -> pd.DataFrame:
        """The samples that fit, with `harmful` and `helpful` in (0, 1), NaN without a scorer."""
        return pd.read_parquet(self.folder / SAMPLES)

    @property
    def rejected_rows(self) -> pd.DataFrame:
        """The samples that do not: `row` of the training file and `reason`."""
        return pd.read_parquet(self.folder / REJECTED)
