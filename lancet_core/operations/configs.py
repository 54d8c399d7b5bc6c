"""The config of each long operation: complete, replayable, torch-free."""

from dataclasses import dataclass

from lancet_core.config import setting
from lancet_core.correction.settings import CorrectionSettings
from lancet_core.data.samples import Query
from lancet_core.evaluation.settings import MetricSettings, VerdictSettings
from lancet_core.influence.settings import ClusterSettings, IndexSettings, InfluenceSettings
from lancet_core.models.settings import GenerationSettings


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
        index: Folder of the gradient index, for recall by it.
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
    index: str = ""


@dataclass(frozen=True)
class IndexConfig:
    """A gradient index over all training samples.

    Attributes:
        study: Name of the study.
        model: Model folder, or id on the Hub.
        samples: Path of the study's training samples (parquet).
        template: How prompt and response become one text.
        to: Folder that the index is written to.
        influence: Method and curvature that queries will be answered with.
        index: What is kept of each sample.
        factors: Folder where factors are kept for the next run; empty keeps none.
    """

    study: str
    model: str
    samples: str
    template: str
    to: str
    influence: InfluenceSettings = InfluenceSettings()
    index: IndexSettings = IndexSettings()
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


@dataclass(frozen=True)
class ScoreConfig:
    """Harmful and helpful scores of the training samples.

    Attributes:
        study: Name of the study.
        samples: Path of the study's training samples (parquet).
        harmful_scorer: Folder of the harmful scorer; empty where there is none.
        helpful_scorer: Folder of the helpful scorer; empty where there is none.
    """

    study: str
    samples: str
    harmful_scorer: str = ""
    helpful_scorer: str = ""


@dataclass(frozen=True)
class CorrectConfig:
    """A correction of a model by pairs of its training samples.

    Attributes:
        study: Name of the study.
        model: Folder or id of the model to correct.
        samples: Path of the study's training samples (parquet).
        template: How prompt and response become one text.
        pairs: Path of the pairs (`pairs.jsonl`); approved ones are used, all where nobody reviewed any.
        retain: Path of the retain set (parquet, column `id`); empty takes every sample in no pair.
        correction: Objective and training.
        queries: Answers whose probability is watched; their polarity decides the sign of the correction.
        prompts: Path of validation prompts (parquet) on which the best checkpoint is chosen; empty keeps the last.
        harmful_scorer: Folder of the harmful scorer; empty keeps the last checkpoint.
        helpful_scorer: Folder of the helpful scorer; empty keeps the last checkpoint.
        generation: How validation prompts are answered.
    """

    study: str
    model: str
    samples: str
    template: str
    pairs: str
    retain: str = ""
    correction: CorrectionSettings = CorrectionSettings()
    queries: tuple[Query, ...] = ()
    prompts: str = ""
    harmful_scorer: str = ""
    helpful_scorer: str = ""
    generation: GenerationSettings = GenerationSettings()


@dataclass(frozen=True)
class EvaluateConfig:
    """Answers of one model, scored and measured.

    Attributes:
        study: Name of the study.
        model: Folder or id of the model.
        template: How prompt and response become one text.
        prompts: Path of the prompts to answer (parquet); empty answers the queries only.
        queries: Queries whose prompts are answered too.
        harmful_scorer: Folder of the harmful scorer; empty where there is none.
        helpful_scorer: Folder of the helpful scorer; empty where there is none.
        generation: How answers are generated.
        metrics: Intervals and sample sizes.
    """

    study: str
    model: str
    template: str
    prompts: str = ""
    queries: tuple[Query, ...] = ()
    harmful_scorer: str = ""
    helpful_scorer: str = ""
    generation: GenerationSettings = GenerationSettings()
    metrics: MetricSettings = MetricSettings()


@dataclass(frozen=True)
class CompareConfig:
    """Two models on the same prompts, and the verdict.

    Attributes:
        study: Name of the study.
        before: Folder or id of the study's model.
        after: Folder of the corrected model.
        template: How prompt and response become one text.
        prompts: Path of the prompts to answer (parquet), without its validation split; empty answers the queries only.
        queries: Queries: their prompts are answered, and the probability of their answers is measured.
        case: The bad answer that started it all, None where there is none.
        harmful_scorer: Folder of the harmful scorer; empty where there is none.
        helpful_scorer: Folder of the helpful scorer; empty where there is none.
        generation: How answers are generated, the same for both models.
        metrics: Intervals and sample sizes.
        verdict: Bounds of the verdict.
    """

    study: str
    before: str
    after: str
    template: str
    prompts: str = ""
    queries: tuple[Query, ...] = ()
    case: Query | None = None
    harmful_scorer: str = ""
    helpful_scorer: str = ""
    generation: GenerationSettings = GenerationSettings()
    metrics: MetricSettings = MetricSettings()
    verdict: VerdictSettings = VerdictSettings()


@dataclass(frozen=True)
class BuildDemoConfig:
    """The demo study, remade from code."""

    seed: int = setting(0, "Seed of the corpus and of all models", minimum=0)
    samples: int = setting(9000, "Training samples", minimum=200)
    pool: int = setting(480, "Wrong prompts that influence queries are mined from", minimum=24)
    queries: int = setting(6, "Influence queries mined in each category, at most", minimum=1)
    validation: int = setting(120, "Validation prompts of each kind", minimum=1)
    unseen_wrong: int = setting(360, "Unseen wrong prompts", minimum=1)
    unseen_benign: int = setting(220, "Unseen benign prompts", minimum=1)
    epochs: int = setting(5, "Passes of each language model over its samples", minimum=1)
    width: int = setting(128, "Hidden size of the language models, a multiple of 8", minimum=16)
    scorer_answers: int = setting(9000, "Answers that each scorer is trained on", minimum=50)
    scorer_epochs: int = setting(4, "Passes of each scorer over its answers", minimum=1)
    attribution: bool = setting(True, "Attribute the mined queries' clusters over the whole corpus")
    threads: int = setting(2, "Threads of every computation; weights are equal for equal numbers", minimum=1)
