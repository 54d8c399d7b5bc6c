"""Settings of attribution and clustering: torch-free, so that forms and command lines can read them."""

from dataclasses import dataclass

from lancet_core.config import setting
from lancet_core.models.settings import DEVICES, DTYPES

LINFAC, LINFAC_EXPAND, TFIDF, RANDOM = "linfac", "linfac-expand", "tfidf", "random"
METHODS = (LINFAC, LINFAC_EXPAND, TFIDF, RANDOM)
# On a CPU 1,024 to 2,048 tokens at once are scored fastest (60,000 tokens: 5.1 s; 4,096: 5.7 s; 8,192: 6.5 s): they fit the cache.
TOKENS_AT_ONCE = {"cpu": 2048, "cuda": 32768}
POOLING = {LINFAC: "reduce", LINFAC_EXPAND: "expand"}


@dataclass(frozen=True)
class InfluenceSettings:
    """How influence scores are computed."""

    method: str = setting(
        LINFAC,
        "linfac: factors over whole sequences (the paper); linfac-expand: factors over tokens; "
        "tfidf: similarity of words; random: the control",
        choices=METHODS,
    )
    fisher: str = setting(
        "sampled",
        "Labels behind the curvature: sampled from the model at each position, or empirical (the data's own)",
        choices=("sampled", "empirical"),
    )
    damping: float = setting(0.1, "Added to the curvature's eigenvalues before inverting", minimum=0.0)
    damping_kind: str = setting(
        "relative",
        "relative: in units of each unit's mean eigenvalue; absolute: as it is",
        choices=("relative", "absolute"),
    )
    factor_samples: int = setting(
        2000, "Training samples that the curvature is estimated from; 0 takes all", minimum=0
    )
    recall: int = setting(
        100, "Candidates per query, chosen by TF-IDF before scoring; 0 scores the whole corpus", minimum=0
    )
    recall_text: str = setting(
        "prompt+response", "Text that TF-IDF compares", choices=("prompt+response", "prompt")
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
