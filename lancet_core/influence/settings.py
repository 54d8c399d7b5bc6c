"""Settings of attribution and clustering: torch-free, so that forms and command lines can read them."""

from dataclasses import dataclass

from lancet_core.config import setting
from lancet_core.influence.methods import (
    ALL,
    BM25,
    CORRECTED,
    CURVATURES,
    EMPIRICAL,
    EXPAND,
    GENERATED,
    INDEX,
    KRONECKER,
    LINEARS,
    LINFAC_HEAD,
    METHODS,
    REDUCE,
    SAMPLED,
    SUBLAYERS,
    TFIDF,
    Curvature,
)
from lancet_core.models.settings import DEVICES, DTYPES

RECALLS = (TFIDF, BM25, INDEX, ALL)
AS_METHOD, TRACKED, LEFT_OUT = "as the method", "tracked", "left out"
# On a CPU 1,024 to 2,048 tokens at once are scored fastest (60,000 tokens: 5.1 s; 4,096: 5.7 s; 8,192: 6.5 s): they fit the cache.
TOKENS_AT_ONCE = {"cpu": 2048, "cuda": 32768}
CANDIDATES_BY_WORDS, CANDIDATES_BY_INDEX = 100, 120


@dataclass(frozen=True)
class InfluenceSettings:
    """How influence scores are computed."""

    method: str = setting(
        LINFAC_HEAD,
        "linfac-head: factors of attention and MLP blocks and of the output head over tokens, each score divided by the root of "
        "the sample's influence on itself; linfac: of blocks alone, over whole sequences (the paper); linfac-expand: over tokens; "
        "ekfac: factors of each linear layer; graddot: gradients without curvature; tfidf, bm25: words in common; "
        "embedding: mean hidden states; random: the control",
        choices=METHODS,
    )
    recall: str = setting(
        TFIDF,
        "How candidates are chosen before scoring: tfidf or bm25 by words, index by the study's gradient index, all takes "
        "every training sample",
        choices=RECALLS,
    )
    candidates: int | None = setting(
        None,
        f"Candidates for each query; empty takes {CANDIDATES_BY_WORDS} by words and {CANDIDATES_BY_INDEX} by the index, half of "
        "them of either sign; without meaning where all are taken",
        minimum=1,
    )
    recall_text: str = setting(
        "prompt+response", "Text that recall by words compares", choices=("prompt+response", "prompt")
    )
    units: str = setting(
        AS_METHOD,
        "What is treated as one linear map: sublayers or linears",
        choices=(AS_METHOD, SUBLAYERS, LINEARS),
    )
    pooling: str = setting(
        AS_METHOD,
        "Factors over whole sequences (reduce) or over tokens (expand)",
        choices=(AS_METHOD, REDUCE, EXPAND),
    )
    eigenvalues: str = setting(
        AS_METHOD,
        "Eigenvalues of the curvature: kronecker (from the factors) or corrected (measured in a second pass)",
        choices=(AS_METHOD, KRONECKER, CORRECTED),
    )
    head: str = setting(
        AS_METHOD,
        "Whether the output head, from hidden states to logits, counts as a unit",
        choices=(AS_METHOD, TRACKED, LEFT_OUT),
    )
    tracked: str = setting(
        "all",
        "Units that count: all, those in attention, those in MLPs, or the output head alone, which needs no backward pass",
        choices=("all", "attention", "mlp", "head"),
    )
    last_blocks: int = setting(0, "Only the last blocks of the network; 0 takes all", minimum=0)
    merge_blocks: int = setting(
        1, "Consecutive MLP blocks merged into one unit (paper, section 4.4)", minimum=1
    )
    fisher: str = setting(
        AS_METHOD,
        "Labels behind the curvature: sampled from the model at each position, generated (whole responses), or "
        "empirical (the data's own); as the method is empirical for linfac-head, sampled for others and for refinement",
        choices=(AS_METHOD, SAMPLED, GENERATED, EMPIRICAL),
    )
    damping: float | None = setting(
        None,
        "Added to the curvature's eigenvalues before inverting: less foretells retrained models better, more ranks unsafe samples "
        f"higher; empty takes the method's, {CURVATURES[LINFAC_HEAD].damping:g} for linfac-head and 0.1 for others",
        minimum=0.0,
    )
    damping_kind: str = setting(
        "relative",
        "relative: in units of each unit's mean eigenvalue; absolute: as it is",
        choices=("relative", "absolute"),
    )
    refine_steps: int = setting(
        0,
        "Conjugate-gradient steps towards the exact solve, each one more pass over the factor samples",
        minimum=0,
    )
    normalise: str = setting(
        AS_METHOD,
        "self: divide by the root of each sample's influence on itself, so that outliers do not lead every ranking",
        choices=(AS_METHOD, "none", "self"),
    )
    factor_samples: int = setting(
        2000, "Training samples that the curvature is estimated from; 0 takes all", minimum=0
    )
    max_tokens: int = setting(
        0,
        "Tokens in one forward pass, padding included; 0 takes 2,048 on a CPU and 32,768 on a GPU; lower it where memory is short",
        minimum=0,
    )
    seed: int = setting(
        0, "Seed of the sampled labels, of the choice of factor samples and of the random control", minimum=0
    )
    dtype: str = setting("float32", "Precision of the model", choices=DTYPES)
    device: str = setting("auto", "Where to compute; auto takes a GPU where there is one", choices=DEVICES)

    @property
    def curvature(self) -> Curvature:
        """Units, pooling, eigenvalues and all else: the method's, where they are not chosen apart."""
        preset = CURVATURES[self.method]
        return Curvature(
            units=preset.units if self.units == AS_METHOD else self.units,
            pooling=preset.pooling if self.pooling == AS_METHOD else self.pooling,
            eigenvalues=preset.eigenvalues if self.eigenvalues == AS_METHOD else self.eigenvalues,
            head=preset.head or self.tracked == "head" if self.head == AS_METHOD else self.head == TRACKED,
            normalise=preset.normalise if self.normalise == AS_METHOD else self.normalise == "self",
            fisher=preset.fisher if self.fisher == AS_METHOD else self.fisher,
            damping=preset.damping if self.damping is None else self.damping,
        )

    @property
    def candidate_count(self) -> int:
        """Candidates for each query: as chosen, or as many as the recall takes."""
        return self.candidates or (CANDIDATES_BY_INDEX if self.recall == INDEX else CANDIDATES_BY_WORDS)

    @property
    def takes_gradients(self) -> bool:
        """Whether scores come from gradients, and so spread over tokens and units."""
        return self.method in CURVATURES


@dataclass(frozen=True)
class IndexSettings:
    """How much the gradient index keeps of each sample."""

    numbers_per_sample: int = setting(
        1024,
        "Numbers kept of each sample; more find more of the exact top, and cost as many bytes in int8",
        minimum=8,
    )
    precision: str = setting("int8", "How each number is stored", choices=("int8", "float16"))
    buckets: int = setting(
        16384,
        "Sums that the coordinates of a gradient are added up in, with random signs; the numbers are made of these",
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
