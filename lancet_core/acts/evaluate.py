"""Evaluation: answers of one model, scored and measured."""

from dataclasses import dataclass
from typing import Any

import pandas as pd

from lancet_core.acts.results import Result
from lancet_core.data.samples import Query
from lancet_core.evaluation.settings import MetricSettings
from lancet_core.models.settings import GenerationSettings

PROMPTS, ANSWERS = "prompts.parquet", "answers.parquet"
METRIC_COLUMNS = ["split", "kind", "metric", "value", "low", "high", "n"]


@dataclass(frozen=True)
class EvaluateRequest:
    """What to answer, and how. The prompts lie among the inputs of the run.

    Attributes:
        model: Folder of another model than the study's; empty takes the study's.
        queries: Queries whose prompts are answered too.
        generation: How answers are generated.
        metrics: Intervals and sample sizes.
    """

    model: str = ""
    queries: tuple[Query, ...] = ()
    generation: GenerationSettings = GenerationSettings()
    metrics: MetricSettings = MetricSettings()

    @property
    def title(self) -> str:
        """What is asked, in words."""
        return "Answers of another model" if self.model else "Answers of the study's model"


@dataclass(frozen=True)
class Evaluation(Result):
    """Answers of one model and what they measure.

    Attributes:
        metrics: One row for each split, kind and metric.
    """

    metrics: tuple[dict[str, Any], ...] = ()

    @property
    def outcome(self) -> str:
        """How many measures there are."""
        return f"{len(self.metrics)} measures"

    @property
    def measures(self) -> pd.DataFrame:
        """The metrics with their intervals, in the columns `METRIC_COLUMNS`."""
        return pd.DataFrame(list(self.metrics), columns=METRIC_COLUMNS)

    @property
    def answers(self) -> pd.DataFrame:
        """One row for each prompt: `prompt_id`, `prompt`, `split`, `kind`, `category`, `response`, `harmful`, `helpful`, `nll`."""
        return pd.read_parquet(self.folder / ANSWERS)
