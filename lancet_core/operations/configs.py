"""The config of each long operation: complete, replayable, torch-free."""

from dataclasses import dataclass

from lancet_core.config import setting
from lancet_core.data.samples import Query
from lancet_core.influence.settings import ClusterSettings, InfluenceSettings


@dataclass(frozen=True)
class AttributeConfig:
    """Which training samples push a model towards or away from some answers.

    Attributes:
        study: Name of the study.
        model: Model folder, or id on the Hub.
        samples: Path of the study's training samples (parquet).
        template: How prompt and response become one text.
        queries: Answers whose cause is sought.
        influence: Method and its settings.
        batch: Whether the queries of each group are attributed as one.
        top: Scores kept of each sign for each query or group; 0 keeps all.
        detail: Samples of each sign that get their influence by token and by unit.
        factors: Folder where factors are kept for the next run; empty keeps none.
    """

    study: str
    model: str
    samples: str
    template: str
    queries: tuple[Query, ...]
    influence: InfluenceSettings = InfluenceSettings()
    batch: bool = setting(False, "Attribute the queries of each group as one, by their mean gradient")
    top: int = setting(0, "Scores kept of each sign for each query; 0 keeps all", minimum=0)
    detail: int = setting(50, "Samples of each sign that get their influence by token and by unit", minimum=0)
    factors: str = ""


@dataclass(frozen=True)
class ClusterConfig:
    """Queries that resemble each other.

    Attributes:
        study: Name of the study.
        model: Model folder, or id on the Hub.
        template: How prompt and response become one text.
        queries: What is clustered.
        cluster: Number of clusters, encoder and seed.
    """

    study: str
    model: str
    template: str
    queries: tuple[Query, ...]
    cluster: ClusterSettings = ClusterSettings()


@dataclass(frozen=True)
class PrepareConfig:
    """How the samples of a new study fit the model.

    Attributes:
        study: Name of the study.
        model: Model folder, or id on the Hub.
        samples: Path of the samples as they were read (parquet).
        template: How prompt and response become one text.
    """

    study: str
    model: str
    samples: str
    template: str
