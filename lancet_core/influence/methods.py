"""Names: of the methods of attribution, and of the choices that their settings have. Torch-free."""

LINFAC, LINFAC_EXPAND, LINFAC_HEAD, PAPER = "linfac", "linfac-expand", "linfac-head", "paper"
EKFAC, GRADDOT = "ekfac", "graddot"
TFIDF, BM25, EMBEDDING, RANDOM = "tfidf", "bm25", "embedding", "random"
GRADIENT_METHODS = (LINFAC_HEAD, LINFAC, LINFAC_EXPAND, PAPER, EKFAC, GRADDOT)
METHODS = (*GRADIENT_METHODS, TFIDF, BM25, EMBEDDING, RANDOM)
"""All methods, the default first; those without gradients compare words or hidden states, or draw lots."""
ALL, INDEX = "all", "index"
RECALLS = (TFIDF, BM25, INDEX, ALL)
SUBLAYERS, LINEARS = "sublayers", "linears"
REDUCE, EXPAND = "reduce", "expand"
KRONECKER, CORRECTED, IDENTITY = "kronecker", "corrected", "identity"
SAMPLED, GENERATED, EMPIRICAL = "sampled", "generated", "empirical"
UNNORMALISED, SELF = "none", "self"
