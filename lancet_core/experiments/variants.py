"""What is measured: every method, and single settings of the gradient methods moved one at a time. Torch-free."""

from collections.abc import Sequence
from dataclasses import replace

from lancet_core.errors import ConfigError
from lancet_core.influence.methods import (
    ALL,
    CORRECTED,
    CURVATURES,
    EKFAC,
    EMPIRICAL,
    EXPAND,
    GENERATED,
    GRADDOT,
    KRONECKER,
    LINEARS,
    LINFAC,
    LINFAC_EXPAND,
    LINFAC_HEAD,
    METHODS,
    REDUCE,
    SAMPLED,
)
from lancet_core.influence.settings import TRACKED, InfluenceSettings

_FACTORED = (LINFAC, LINFAC_EXPAND, LINFAC_HEAD, EKFAC)
_GRADIENT = (*_FACTORED, GRADDOT)

VARIANTS = {
    "linfac, corrected": InfluenceSettings(method=LINFAC, eigenvalues=CORRECTED),
    "linfac, linear layers": InfluenceSettings(method=LINFAC, units=LINEARS),
    "linfac, two MLP blocks merged": InfluenceSettings(method=LINFAC, merge_blocks=2),
    "linfac, all samples in the factors": InfluenceSettings(method=LINFAC, factor_samples=0),
    "linfac-expand, corrected": InfluenceSettings(method=LINFAC_EXPAND, eigenvalues=CORRECTED),
    "linfac-head, corrected": InfluenceSettings(method=LINFAC_HEAD, eigenvalues=CORRECTED),
    **{
        f"{method}, with the head": InfluenceSettings(method=method, head=TRACKED)
        for method in (LINFAC, EKFAC, GRADDOT)
    },
    "ekfac, kronecker": InfluenceSettings(method=EKFAC, eigenvalues=KRONECKER),
    "ekfac, reduce": InfluenceSettings(method=EKFAC, pooling=REDUCE),
    "graddot, linear layers": InfluenceSettings(method=GRADDOT, units=LINEARS, pooling=EXPAND),
    **{
        f"{method}, {fisher} Fisher": InfluenceSettings(method=method, fisher=fisher)
        for method in _FACTORED
        for fisher in (SAMPLED, EMPIRICAL, GENERATED)
        if fisher != CURVATURES[method].fisher
    },
    **{
        f"{method}, damping {damping}": InfluenceSettings(method=method, damping=damping)
        for method in _FACTORED
        for damping in (0.001, 0.01, 0.1, 1.0)
        if damping != CURVATURES[method].damping
    },
    **{
        f"{method}, normalised by self-influence": InfluenceSettings(method=method, normalise="self")
        for method in _GRADIENT
        if method != LINFAC_HEAD
    },
    "linfac-head, the head alone": InfluenceSettings(method=LINFAC_HEAD, tracked="head"),
    **{
        f"ekfac, {eigenvalues}, all else as linfac-head": InfluenceSettings(
            method=EKFAC,
            eigenvalues=eigenvalues,
            head=TRACKED,
            normalise="self",
            fisher=EMPIRICAL,
            damping=CURVATURES[LINFAC_HEAD].damping,
        )
        for eigenvalues in (CORRECTED, KRONECKER)
    },
    "linfac-head, not normalised": InfluenceSettings(method=LINFAC_HEAD, normalise="none"),
    **{
        f"{method}, 3 conjugate-gradient steps": InfluenceSettings(method=method, refine_steps=3)
        for method in _FACTORED
    },
    **{
        f"{method}, {name}": InfluenceSettings(method=method, **chosen)  # type: ignore[arg-type]
        for method in _FACTORED
        for name, chosen in {
            "last block": {"last_blocks": 1},
            "last two blocks": {"last_blocks": 2},
            "attention": {"tracked": "attention"},
            "MLPs": {"tracked": "mlp"},
        }.items()
    },
}
"""Name of each variant to its settings; what is not named is at its default."""


def chosen_settings(
    methods: Sequence[str], *, variants: bool = False, named: str = ""
) -> dict[str, InfluenceSettings]:
    """Lists what to measure, over the whole corpus.

    Args:
        methods: Methods, the default settings of each.
        variants: Whether the variants of these methods follow them.
        named: Only those variants follow whose name holds this text.

    Returns:
        Name of each row to its settings.

    Raises:
        ConfigError: There is no method, one is unknown, or no variant has such a name.
    """
    unknown = [method for method in methods if method not in METHODS]
    if unknown or not methods:
        raise ConfigError(
            f"{', '.join(unknown) or 'nothing'} is no method of attribution; known are {', '.join(METHODS)}"
        )
    rows = {method: InfluenceSettings(method=method) for method in dict.fromkeys(methods)}
    if variants or named:
        own = [name for name, settings in VARIANTS.items() if settings.method in rows]
        chosen = [name for name in own if named in name]
        if named and not chosen:
            raise ConfigError(
                f"no variant's name holds {named!r}; known are {'; '.join(own) or 'none, of these methods'}"
            )
        rows |= {name: VARIANTS[name] for name in chosen}
    return {name: replace(settings, recall=ALL) for name, settings in rows.items()}
