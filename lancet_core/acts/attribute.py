"""Attribution: which training samples push a model towards or away from some answers."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from lancet_core.acts.results import Result
from lancet_core.config import setting
from lancet_core.data.samples import DESIRABLE, Query, read_samples
from lancet_core.errors import NumericalError, StoreError
from lancet_core.evaluation.ranking import RankingReport, ranking_report
from lancet_core.evaluation.retrieval import Retrieval, measure_retrieval
from lancet_core.evaluation.settings import MetricSettings
from lancet_core.files import read_json
from lancet_core.influence.methods import GRADIENT_METHODS
from lancet_core.influence.presets import preset
from lancet_core.influence.settings import InfluenceSettings

SCORES, TOKENS = "scores.parquet", "tokens.parquet"
WHOLE_BATCH = "batch"
COLUMNS = [
    "query_id",
    "sample_id",
    "prompt",
    "response",
    "influence",
    "percentile",
    "rank",
    "harmful",
    "is_safe",
]


IMPORTED = "imported: "


@dataclass(frozen=True)
class Imported:
    """Where scores come from that another tool made.

    Attributes:
        tool: Its name; empty where the scores are our own.
        content: Fingerprint of the scores, so that a run of them answers for nothing else.
    """

    tool: str = ""
    content: str = ""


@dataclass(frozen=True)
class AttributeRequest:
    """What to attribute, and how.

    Attributes:
        queries: Answers whose cause is sought.
        influence: Method and its settings.
        batch: Whether the queries of each group are attributed as one.
        top: Scores kept of each sign for each query or group; 0 keeps all.
        index: Key of the gradient index that recall searches; empty where it searches none.
        imported: Who made the scores instead of us; then the settings of influence mean nothing.
    """

    queries: tuple[Query, ...]
    influence: InfluenceSettings = preset()
    batch: bool = setting(False, "Attribute the queries of each group as one, by their mean gradient")
    top: int = setting(0, "Scores kept of each sign for each query; 0 keeps all", minimum=0)
    index: str = ""
    imported: Imported = Imported()

    @property
    def method(self) -> str:
        """Name of the method, ours or another tool's."""
        return f"{IMPORTED}{self.imported.tool}" if self.imported.tool else self.influence.method

    @property
    def title(self) -> str:
        """What is asked, in words."""
        if len(self.queries) == 1:
            return f"{self.queries[0].prompt} · {self.method}"
        groups = len({group for _, group in self.grouped_queries}) if self.batch else 0
        return f"{len(self.queries)} queries{f' in {groups} groups' if groups else ''} · {self.method}"

    @property
    def grouped_queries(self) -> tuple[tuple[str, str], ...]:
        """Id of each query with the name of its group: its own id where it is attributed alone, `WHOLE_BATCH` where no group is named."""
        named = any(query.group for query in self.queries)
        return tuple(
            (query.id, ((query.group or query.id) if named else WHOLE_BATCH) if self.batch else query.id)
            for query in self.queries
        )


@dataclass(frozen=True)
class Group:
    """A query, or a batch of queries, that was attributed as one.

    Attributes:
        query_id: Id of the query, or name of the batch.
        members: Ids of its queries.
        prompt: Prompt of the first.
        polarity: `undesirable` or `desirable`.
        candidates: Samples that were scored for it.
    """

    query_id: str
    members: tuple[str, ...] = ()
    prompt: str = ""
    polarity: str = "undesirable"
    candidates: int = 0


@dataclass(frozen=True)
class TokenHeat:
    """How a sample's influence is spread over its tokens and over the units of the network.

    Attributes:
        tokens: Tokens of prompt and response, as text.
        heat: Influence of each position; they add up to the sample's influence.
        response_start: Index of the first response token.
        units: Names of the units.
        unit_influence: Influence through each unit; they add up to the sample's influence too.
    """

    tokens: tuple[str, ...]
    heat: NDArray[np.float64]
    response_start: int
    units: tuple[str, ...]
    unit_influence: NDArray[np.float64]


def read_heat(path: Path, query_id: str, sample_id: str) -> TokenHeat | None:
    """Reads one sample from a table of tokens; None where there is no table, or the sample is not in it."""
    if not path.is_file():
        return None
    rows = pd.read_parquet(path, filters=[("query_id", "==", query_id), ("sample_id", "==", sample_id)])
    if rows.empty:
        return None
    row = rows.iloc[0]
    return TokenHeat(
        tokens=tuple(row["tokens"]),
        heat=np.asarray(row["heat"], dtype=np.float64),
        response_start=int(row["response_start"]),
        units=tuple(row["units"]),
        unit_influence=np.asarray(row["unit_influence"], dtype=np.float64),
    )


@dataclass(frozen=True)
class Attribution(Result):
    """Influence scores of training samples.

    Attributes:
        queries: What was attributed.
        candidates: Samples that were scored for any of them.
        seconds: How long it took.
        method: Name of the method.
        recall: How the candidates were chosen.
        chance: Share of unsafe samples among the labelled candidates, None without labels.
        too_long: Candidates that the template refuses, and are not scored.
        cut: Candidates that were cut to the model's context.
        notes: What a person should know about these scores.
        left_out: Samples that are not scored or not in the curvature, since what is computed of them is not finite: ids to reasons.
    """

    queries: tuple[Group, ...] = ()
    candidates: int = 0
    seconds: float = 0.0
    method: str = ""
    recall: str = ""
    chance: float | None = None
    too_long: int = 0
    cut: int = 0
    notes: tuple[str, ...] = ()
    left_out: dict[str, str] = field(default_factory=dict)

    @classmethod
    def upgraded(cls, values: dict[str, Any]) -> dict[str, Any]:
        """Leaves out queries that were only counted."""
        queries = values.get("queries")
        return values | {"queries": queries if isinstance(queries, list) else ()}

    @property
    def outcome(self) -> str:
        """How many samples were scored."""
        if not self.left_out:
            return f"{self.candidates:,} samples scored"
        return f"{self.candidates:,} samples scored, {len(self.left_out):,} left out"

    @property
    def takes_gradients(self) -> bool:
        """Whether the scores come from gradients, and so spread over tokens and units."""
        return self.method in GRADIENT_METHODS

    @property
    def scores(self) -> pd.DataFrame:
        """The scored samples: `query_id`, `sample_id`, `influence`, `percentile`, `rank`."""
        return pd.read_parquet(self.folder / SCORES)

    @property
    def table(self) -> pd.DataFrame:
        """The scored samples beside their texts, labels and harmful scores, in the columns `COLUMNS`."""
        return self.read()

    def read(self, query_id: str | None = None) -> pd.DataFrame:
        """Reads scored samples beside their texts.

        Args:
            query_id: Only this query (or group of a batch); None reads all.

        Returns:
            Columns `COLUMNS`, each query's most positive sample first.

        Raises:
            StoreError: The query was not attributed in this run.
            DataError: The study's samples are missing.
        """
        scores = self.scores
        if query_id is not None:
            scores = scores[scores["query_id"] == query_id]
            if scores.empty:
                raise StoreError(
                    f"run {self.folder.name} did not attribute the query {query_id!r}; trace it first"
                )
        samples = read_samples(self.samples_file).set_index("id")
        joined = scores.join(samples[["prompt", "response", "harmful", "is_safe"]], on="sample_id")
        order = joined.groupby("query_id", sort=False).ngroup()
        return joined.assign(order=order).sort_values(["order", "rank"], ignore_index=True)[COLUMNS]

    def tokens(self, query_id: str, sample_id: str) -> TokenHeat | None:
        """Reads how a sample's influence is spread; None where the run did not keep it: then the act `heat` makes it."""
        return read_heat(self.folder / TOKENS, query_id, sample_id)

    @property
    def worth(self) -> str:
        """What the ranking is worth for finding unsafe samples, in words; empty where no candidate is labelled unsafe."""
        try:
            return self.audit().worth
        except NumericalError:
            return ""

    def audit(self, query_id: str | None = None, settings: MetricSettings | None = None) -> RankingReport:
        """Measures how the scores rank the samples that are labelled unsafe.

        Args:
            query_id: Only this query (or group); None takes all.
            settings: Draws and confidence of the intervals.

        Returns:
            Average precision beside chance and the harmful scorer alone, curve and band.

        Raises:
            NumericalError: No candidate is labelled unsafe.
            StoreError: The query was not attributed in this run.
        """
        scores = self.read(query_id)
        samples = scores[["sample_id", "is_safe", "harmful"]].drop_duplicates("sample_id")
        wanted = {group.query_id for group in self.queries if group.polarity == DESIRABLE}
        return ranking_report(scores, samples.rename(columns={"sample_id": "id"}), settings, desirable=wanted)

    def retrieval(self, query_id: str | None = None) -> Retrieval:
        """Measures the scores as the benchmark DATE-LM does: AUPRC, Recall@50, MRR.

        Args:
            query_id: Only this query (or group); None takes all.

        Raises:
            StoreError: The query was not attributed in this run.
            DataError: The study's samples are missing.
        """
        scores = self.read(query_id)
        wanted = {group.query_id for group in self.queries if group.polarity == DESIRABLE}
        turned = np.where(scores["query_id"].isin(list(wanted)), -1.0, 1.0)
        asked = [Query(**each) for each in read_json(self.folder / "config.json")["request"]["queries"]]
        of_query = {query.id: query.category for query in asked}
        categories = {
            group.query_id: {of_query.get(member, "") for member in group.members} for group in self.queries
        }
        samples = read_samples(self.samples_file)
        return measure_retrieval(scores.assign(influence=turned * scores["influence"]), samples, categories)
