"""Settings of attribution and clustering, nested by what they decide: torch-free, so that forms and command lines can read them."""

from dataclasses import dataclass, fields

from lancet_core.config import REQUIRED, fingerprint, setting
from lancet_core.errors import ConfigError
from lancet_core.influence.methods import (
    CORRECTED,
    EMPIRICAL,
    EXPAND,
    GENERATED,
    GRADIENT_METHODS,
    IDENTITY,
    INDEX,
    KRONECKER,
    LINEARS,
    METHODS,
    RECALLS,
    REDUCE,
    SAMPLED,
    SELF,
    SUBLAYERS,
    TFIDF,
    UNNORMALISED,
)
from lancet_core.models.settings import DEVICES, DTYPES

# On a CPU 1,024 to 2,048 tokens at once are scored fastest (60,000 tokens: 5.1 s; 4,096: 5.7 s; 8,192: 6.5 s): they fit the cache.
TOKENS_AT_ONCE = {"cpu": 2048, "cuda": 32768}
CANDIDATES_BY_WORDS, CANDIDATES_BY_INDEX = 100, 120


@dataclass(frozen=True)
class RecallSettings:
    """Which training samples are scored."""

    kind: str = setting(
        TFIDF,
        "How candidates are chosen: tfidf or bm25 by words, index by the gradient index, all takes every sample",
        name="recall",
        choices=RECALLS,
    )
    candidates: int | None = setting(
        None,
        f"Candidates for each query; unset: {CANDIDATES_BY_WORDS} by words, {CANDIDATES_BY_INDEX} by the index, half of either sign",
        minimum=1,
    )
    text: str = setting(
        "prompt+response",
        "Text that recall by words compares",
        name="recall_text",
        choices=("prompt+response", "prompt"),
    )

    @property
    def count(self) -> int:
        """Candidates for each query: as chosen, or as many as the recall takes."""
        return self.candidates or (CANDIDATES_BY_INDEX if self.kind == INDEX else CANDIDATES_BY_WORDS)


@dataclass(frozen=True)
class UnitSettings:
    """Which parts of the network count, and what is treated as one linear map."""

    kind: str = setting(
        REQUIRED,
        "What is one linear map: sublayers (attention and MLP blocks) or linears",
        name="units",
        choices=(SUBLAYERS, LINEARS),
    )
    head: bool = setting(REQUIRED, "Whether the output head, from hidden states to logits, is a unit")
    tracked: str = setting(
        "all",
        "Units that count; head takes the output head alone, which needs no backward pass",
        choices=("all", "attention", "mlp", "head"),
    )
    last_blocks: int = setting(0, "Only the last blocks of the network; 0 takes all", minimum=0)
    merge_blocks: int = setting(1, "Consecutive MLP blocks merged into one unit (paper, 4.4)", minimum=1)

    @property
    def has_head(self) -> bool:
        """Whether the output head is a unit: chosen, or the only one that is tracked."""
        return self.head or self.tracked == "head"


@dataclass(frozen=True)
class CurvatureSettings:
    """How the curvature is estimated from training samples."""

    pooling: str = setting(
        REQUIRED, "Factors over whole sequences (reduce) or over tokens (expand)", choices=(REDUCE, EXPAND)
    )
    eigenvalues: str = setting(
        REQUIRED,
        "kronecker (from the factors), corrected (measured in a second pass) or identity (no curvature)",
        choices=(KRONECKER, CORRECTED, IDENTITY),
    )
    fisher: str = setting(
        REQUIRED,
        "Labels: sampled by the model, generated (whole responses), or empirical (the data's)",
        choices=(SAMPLED, GENERATED, EMPIRICAL),
    )
    factor_samples: int = setting(
        2000, "Training samples that the curvature is estimated from; 0 takes all", minimum=0
    )
    seed: int = setting(
        0, "Seed of sampled labels, of the choice of these samples, and of the random control", minimum=0
    )


@dataclass(frozen=True)
class SolveSettings:
    """How the curvature is damped before it is inverted."""

    damping: float = setting(
        REQUIRED,
        "Added to the eigenvalues: less predicts retrained models better, more ranks unsafe samples higher",
        minimum=0.0,
    )
    damping_kind: str = setting(
        "relative",
        "relative: in units of each unit's mean eigenvalue; absolute: as it is",
        choices=("relative", "absolute"),
    )


@dataclass(frozen=True)
class ScoreSettings:
    """What is done with the queries' directions and with the scores."""

    normalise: str = setting(
        REQUIRED,
        "self: divide by the root of each sample's influence on itself, so that outliers do not lead every ranking",
        choices=(UNNORMALISED, SELF),
    )
    refine_steps: int = setting(
        0,
        "Conjugate-gradient steps towards the exact solve, each a pass over the factor samples; never with the data's own labels",
        minimum=0,
    )


@dataclass(frozen=True)
class ComputeSettings:
    """Where and in what precision the model runs."""

    dtype: str = setting("float32", "Precision of the model", choices=DTYPES)
    device: str = setting("auto", "Where to compute; auto takes a GPU where there is one", choices=DEVICES)
    max_tokens: int = setting(
        0,
        f"Tokens in one forward pass, padding included; 0 takes {TOKENS_AT_ONCE['cpu']:,} on a CPU and "
        f"at most {TOKENS_AT_ONCE['cuda']:,} on a GPU, as its memory allows",
        minimum=0,
    )


@dataclass(frozen=True, kw_only=True)
class GradientSettings:
    """What gradients in the basis of the damped curvature depend on, and so what a gradient index depends on.

    Attributes:
        method: Name of the method (`methods.METHODS`): a label for gradient methods, whose parts say what is done.
        units: Parts of the network that count.
        curvature: Estimation of the curvature.
        solve: Damping.
        compute: Device and precision.

    Raises:
        ConfigError: The method is unknown.
    """

    method: str
    units: UnitSettings
    curvature: CurvatureSettings
    solve: SolveSettings
    compute: ComputeSettings = ComputeSettings()

    def __post_init__(self) -> None:
        if self.method not in METHODS:
            raise ConfigError(f"there is no method {self.method!r}; known are {', '.join(METHODS)}")

    @property
    def takes_gradients(self) -> bool:
        """Whether scores come from gradients, and so spread over tokens and units."""
        return self.method in GRADIENT_METHODS

    @property
    def can_be_indexed(self) -> bool:
        """Whether there are whitened gradients that an index could keep: not without gradients, nor without curvature."""
        return self.takes_gradients and self.curvature.eigenvalues != IDENTITY

    @property
    def factor_key(self) -> str:
        """Names what the factors depend on besides model and samples."""
        return fingerprint(self.units, self.curvature, self.compute.dtype)

    @property
    def gradient_key(self) -> str:
        """Names what whitened gradients depend on besides model and samples: one index answers all settings of one key."""
        return fingerprint(self.units, self.curvature, self.solve, self.compute.dtype)


@dataclass(frozen=True, kw_only=True)
class InfluenceSettings(GradientSettings):
    """How influence scores are computed; `presets.preset` gives those of a method by its name.

    Attributes:
        recall: Which training samples are scored.
        score: What is done with directions and scores.
    """

    recall: RecallSettings = RecallSettings()
    score: ScoreSettings

    @property
    def of_gradients(self) -> GradientSettings:
        """The part that gradients depend on, without recall and scores."""
        return GradientSettings(
            **{field.name: getattr(self, field.name) for field in fields(GradientSettings)}
        )


@dataclass(frozen=True)
class IndexSettings:
    """How much the gradient index keeps of each sample."""

    dimensions: int = setting(
        1024,
        "Dimensions kept of each sample; more find more of the exact top, and cost as many bytes in int8",
        minimum=8,
    )
    precision: str = setting("int8", "How each dimension is stored", choices=("int8", "float16"))
    sketch_dimensions: int = setting(
        16384,
        "Dimensions of the random sketch of a gradient whose principal directions are kept",
        minimum=64,
    )
    basis_samples: int = setting(8000, "Samples that choose the principal directions", minimum=16)


@dataclass(frozen=True)
class ClusterSettings:
    """How queries are clustered."""

    k: int = setting(10, "Number of clusters", minimum=1)
    seed: int = setting(0, "Seed of K-Means and of the map", minimum=0)
    encoder: str = setting(
        "hidden",
        "What is compared: hidden (the model's mean hidden state) or tfidf (words)",
        choices=("hidden", "tfidf"),
    )
