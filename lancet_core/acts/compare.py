"""Comparison: two models on the same prompts, and whether the second is corrected."""

from dataclasses import dataclass
from typing import Any

import pandas as pd

from lancet_core.acts.results import Result
from lancet_core.data.samples import UNDESIRABLE, Query
from lancet_core.evaluation.settings import MetricSettings, VerdictSettings
from lancet_core.evaluation.verdict import Verdict, read_verdict
from lancet_core.models.settings import GenerationSettings

PROMPTS, ANSWERS = "prompts.parquet", "answers.parquet"
CHANGE_COLUMNS = ["split", "kind", "metric", "before", "after", "change", "low", "high", "n", "empty"]


@dataclass(frozen=True)
class CompareRequest:
    """What to compare, and how. The prompts, without their validation split, lie among the inputs of the run.

    Attributes:
        after: Folder of the corrected model; the model before is the study's own.
        case: The bad answer that started it all, None where there is none.
        queries: Queries: their prompts are answered, and the probability of their answers is measured.
        generation: How answers are generated, the same for both models.
        metrics: Intervals and sample sizes.
        verdict: Bounds of the verdict.
    """

    after: str
    case: Query | None = None
    queries: tuple[Query, ...] = ()
    generation: GenerationSettings = GenerationSettings()
    metrics: MetricSettings = MetricSettings()
    verdict: VerdictSettings = VerdictSettings()

    @property
    def title(self) -> str:
        """What is asked, in words."""
        return self.case.prompt if self.case is not None else "Before and after, without a case"


@dataclass(frozen=True)
class CaseOutcome:
    """The bad answer, and what both models answer to its prompt; numbers are None where they were not measured.

    Attributes:
        query_id: Id of the case.
        prompt: What was asked.
        bad_answer: The answer that should not have come.
        polarity: `undesirable`, or `desirable` where the answer is wanted.
        category: Category of the prompt, empty where unknown.
        before: Answer of the study's model.
        after: Answer of the corrected model.
        harmful_before: Harmful score of the answer before, in (0, 1).
        harmful_after: Harmful score of the answer after.
        helpful_before: Helpful score of the answer before, in (0, 1).
        helpful_after: Helpful score of the answer after.
        log_probability_before: Log-probability of the bad answer before, in nats.
        log_probability_after: Log-probability of the bad answer after, in nats.
    """

    query_id: str
    prompt: str
    bad_answer: str
    polarity: str = UNDESIRABLE
    category: str = ""
    before: str = ""
    after: str = ""
    harmful_before: float | None = None
    harmful_after: float | None = None
    helpful_before: float | None = None
    helpful_after: float | None = None
    log_probability_before: float | None = None
    log_probability_after: float | None = None


@dataclass(frozen=True)
class Comparison(Result):
    """Two models on the same prompts with the same decoding.

    Attributes:
        verdict: Whether the model is corrected, the checks and what to try.
        metrics: One row for each split, kind and metric: both values and the paired change with its interval.
        case: The case, None where there is none.
        before: Folder or hub id of the model as it was.
        after: Folder of the corrected model.
    """

    verdict: Verdict
    metrics: tuple[dict[str, Any], ...] = ()
    case: CaseOutcome | None = None
    before: str = ""
    after: str = ""

    @classmethod
    def upgraded(cls, values: dict[str, Any]) -> dict[str, Any]:
        """Reads the verdict, whose form has changed; an empty case is none."""
        return values | {"verdict": read_verdict(values["verdict"]), "case": values.get("case") or None}

    @property
    def outcome(self) -> str:
        """The verdict in words."""
        return self.verdict.headline

    @property
    def changes(self) -> pd.DataFrame:
        """The metrics before and after, in the columns `CHANGE_COLUMNS`."""
        return pd.DataFrame(list(self.metrics), columns=CHANGE_COLUMNS)

    @property
    def answers(self) -> pd.DataFrame:
        """One row for each prompt: both answers (`before`, `after`) and their scores, each with the ending of its side."""
        return pd.read_parquet(self.folder / ANSWERS)
