"""Mining: influence queries among prompts, found with a second model that was not trained on the causes."""

from dataclasses import dataclass

import pandas as pd

from lancet_core.acts.results import Result
from lancet_core.data.conversations import answered, as_json, asked_of
from lancet_core.data.samples import Query
from lancet_core.evaluation.settings import MineSettings
from lancet_core.models.settings import GenerationSettings

PROMPTS, ANSWERS, QUERIES = "prompts.parquet", "answers.parquet", "queries.parquet"
SOURCE = "mined"
"""Where mined queries come from, as a study names it."""
MINING_GENERATION = GenerationSettings(temperature=1.0)


@dataclass(frozen=True)
class MineRequest:
    """How to mine. The prompts lie among the inputs of the run.

    Attributes:
        safe_model: Folder of the model that was trained without the causes.
        mine: How many, and which answers are bad.
        generation: How answers are drawn: the first of each prompt by this seed, the next by the following.
        prompts: How many prompts are answered.
    """

    safe_model: str = ""
    mine: MineSettings = MineSettings()
    generation: GenerationSettings = MINING_GENERATION
    prompts: int = 0

    @property
    def title(self) -> str:
        """What is asked, in words."""
        return f"Queries among {self.prompts:,} prompts"


@dataclass(frozen=True)
class Mined(Result):
    """Queries that were mined.

    Attributes:
        queries: How many.
        prompts: Prompts that both models answered.
        bad: Prompts to which an answer of the study's model was bad.
        unknown: Prompts that were left out, as the harmful scorer does not know their category.
        harmful: Mean harmful score of the study's model.
        harmful_safe: Mean harmful score of the safe model.
        rise: Mean over the prompts of what it rose by.
        rise_low: Lower end of its 95 % interval; None where there is one prompt.
        rise_high: Upper end.
    """

    queries: int = 0
    prompts: int = 0
    bad: int = 0
    unknown: int = 0
    harmful: float = 0.0
    harmful_safe: float = 0.0
    rise: float = 0.0
    rise_low: float | None = None
    rise_high: float | None = None

    @property
    def outcome(self) -> str:
        """How many queries there are."""
        return f"{self.queries:,} queries among {self.prompts:,} prompts"

    @property
    def differs(self) -> bool:
        """Whether the study's model is measurably more harmful than the safe one; else what was mined may be chance."""
        return self.rise_low is not None and self.rise_low > 0

    @property
    def table(self) -> pd.DataFrame:
        """The queries: `id`, `prompt`, `history`, `response`, `safe_response`, `category`, `rise`, `harmful`."""
        return pd.read_parquet(self.folder / QUERIES)

    @property
    def answers(self) -> pd.DataFrame:
        """All answers of both models: `prompt`, `category`, `draw`, `impure`, `safe`, `harmful_impure`, `harmful_safe`, `is_bad`."""
        return pd.read_parquet(self.folder / ANSWERS)

    @property
    def found(self) -> list[Query]:
        """The queries as a study takes them."""
        columns = ("prompt", "history", "response", "category")
        return [mined_query(*values) for values in self.table[list(columns)].values]


def mined_query(prompt: str, history: str, response: str, category: str) -> Query:
    """Makes a query of what was asked, as a prompts table has it, and the answer to it."""
    messages = as_json(answered(asked_of(prompt, history), response).messages) if history else ""
    return Query(prompt, response, messages=messages, category=category)
