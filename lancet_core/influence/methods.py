"""The methods of attribution, and what makes one gradient method differ from another. Torch-free."""

from dataclasses import dataclass

LINFAC, LINFAC_EXPAND, LINFAC_HEAD = "linfac", "linfac-expand", "linfac-head"
EKFAC, GRADDOT = "ekfac", "graddot"
TFIDF, BM25, EMBEDDING, RANDOM = "tfidf", "bm25", "embedding", "random"
METHODS = (LINFAC_HEAD, LINFAC, LINFAC_EXPAND, EKFAC, GRADDOT, TFIDF, BM25, EMBEDDING, RANDOM)
ALL, INDEX = "all", "index"
SUBLAYERS, LINEARS = "sublayers", "linears"
REDUCE, EXPAND = "reduce", "expand"
KRONECKER, CORRECTED, IDENTITY = "kronecker", "corrected", "identity"
SAMPLED, GENERATED, EMPIRICAL = "sampled", "generated", "empirical"


@dataclass(frozen=True)
class Curvature:
    """What makes one gradient method differ from another.

    Attributes:
        units: `sublayers` (attention and MLP blocks taken whole) or `linears` (each linear layer).
        pooling: `reduce` (one vector for each sequence) or `expand` (one for each token).
        eigenvalues: `kronecker` (λ_S λ_Aᵀ), `corrected` (measured in the eigenbasis), or `identity` (no curvature at all).
        head: Whether the output head, from hidden states to logits, is a unit too.
        normalise: Whether each score is divided by the root of the sample's influence on itself.
        fisher: Labels behind the curvature: `sampled` from the model, `generated` responses, or `empirical`, the data's own.
        damping: What is added to eigenvalues before inverting, in units of each unit's mean eigenvalue or as it is.
    """

    units: str
    pooling: str
    eigenvalues: str
    head: bool = False
    normalise: bool = False
    fisher: str = SAMPLED
    damping: float = 0.1


CURVATURES = {
    LINFAC_HEAD: Curvature(
        SUBLAYERS, EXPAND, KRONECKER, head=True, normalise=True, fisher=EMPIRICAL, damping=0.01
    ),
    LINFAC: Curvature(SUBLAYERS, REDUCE, KRONECKER),
    LINFAC_EXPAND: Curvature(SUBLAYERS, EXPAND, KRONECKER),
    EKFAC: Curvature(LINEARS, EXPAND, CORRECTED),
    GRADDOT: Curvature(SUBLAYERS, REDUCE, IDENTITY),
}
"""Methods that take gradients; the others compare words or hidden states."""
