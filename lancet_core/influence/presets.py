"""The methods as values of their settings: each preset is complete and says what it is. Torch-free."""

from dataclasses import replace
from typing import Any

from lancet_core.config import changed
from lancet_core.errors import ConfigError
from lancet_core.influence.methods import (
    BM25,
    CORRECTED,
    EKFAC,
    EMBEDDING,
    EMPIRICAL,
    EXPAND,
    GENERATED,
    GRADDOT,
    IDENTITY,
    KRONECKER,
    LINEARS,
    LINFAC,
    LINFAC_EXPAND,
    LINFAC_HEAD,
    METHODS,
    PAPER,
    RANDOM,
    REDUCE,
    SAMPLED,
    SELF,
    SUBLAYERS,
    TFIDF,
    UNNORMALISED,
)
from lancet_core.influence.settings import (
    ClusterSettings,
    CurvatureSettings,
    InfluenceSettings,
    RecallSettings,
    ScoreSettings,
    SolveSettings,
    UnitSettings,
)

USUAL = LINFAC_HEAD
_LINFAC_HEAD = InfluenceSettings(
    method=LINFAC_HEAD,
    units=UnitSettings(SUBLAYERS, head=True),
    curvature=CurvatureSettings(EXPAND, KRONECKER, EMPIRICAL),
    solve=SolveSettings(0.01),
    score=ScoreSettings(SELF),
)
_LINFAC = InfluenceSettings(
    method=LINFAC,
    units=UnitSettings(SUBLAYERS, head=False),
    curvature=CurvatureSettings(REDUCE, KRONECKER, SAMPLED),
    solve=SolveSettings(0.1),
    score=ScoreSettings(UNNORMALISED),
)
PRESETS: dict[str, InfluenceSettings] = {
    LINFAC_HEAD: _LINFAC_HEAD,
    LINFAC: _LINFAC,
    LINFAC_EXPAND: replace(
        _LINFAC, method=LINFAC_EXPAND, curvature=CurvatureSettings(EXPAND, KRONECKER, SAMPLED)
    ),
    PAPER: replace(
        _LINFAC,
        method=PAPER,
        recall=RecallSettings(TFIDF, candidates=100),
        curvature=CurvatureSettings(REDUCE, KRONECKER, GENERATED),
    ),
    EKFAC: replace(
        _LINFAC,
        method=EKFAC,
        units=UnitSettings(LINEARS, head=False),
        curvature=CurvatureSettings(EXPAND, CORRECTED, SAMPLED),
    ),
    GRADDOT: replace(_LINFAC, method=GRADDOT, curvature=CurvatureSettings(REDUCE, IDENTITY, SAMPLED)),
    **{method: replace(_LINFAC_HEAD, method=method) for method in (TFIDF, BM25, EMBEDDING, RANDOM)},
}
"""Name of each method to its settings. Of methods without gradients only the recall, the seed and the device have a meaning."""

# Section 4.4: K-Means with k = 10; what it compares is not printed.
PAPER_CLUSTERS = ClusterSettings(k=10, encoder="hidden")
CLUSTER_PRESETS = {"usual": ClusterSettings(), "paper": PAPER_CLUSTERS}


def preset(name: str = USUAL, **values: Any) -> InfluenceSettings:
    """Gives the settings of a method, with some values changed.

    Args:
        name: One of `PRESETS`.
        **values: Settings by the names of their command-line options: `preset("linfac", recall="all", damping=0.01)`.

    Raises:
        ConfigError: The preset or a name is unknown, or a value of the wrong type or out of range.
    """
    if name not in PRESETS:
        raise ConfigError(f"there is no method {name!r}; known are {', '.join(METHODS)}")
    return changed(PRESETS[name], **values)
