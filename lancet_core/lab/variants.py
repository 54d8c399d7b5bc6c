"""What is measured: every method, and single settings of the gradient methods moved one at a time. Torch-free."""

from collections.abc import Sequence

from lancet_core.config import changed
from lancet_core.errors import ConfigError
from lancet_core.influence.methods import (
    ALL,
    CORRECTED,
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
    REDUCE,
    SAMPLED,
)
from lancet_core.influence.presets import PRESETS, preset
from lancet_core.influence.settings import InfluenceSettings

_FACTORED = (LINFAC, LINFAC_EXPAND, LINFAC_HEAD, EKFAC)
_GRADIENT = (*_FACTORED, GRADDOT)

VARIANTS = {
    "linfac, corrected": preset(LINFAC, eigenvalues=CORRECTED),
    "linfac, linear layers": preset(LINFAC, units=LINEARS),
    "linfac, two MLP blocks merged": preset(LINFAC, merge_blocks=2),
    "linfac, all samples in the factors": preset(LINFAC, factor_samples=0),
    "linfac-expand, corrected": preset(LINFAC_EXPAND, eigenvalues=CORRECTED),
    "linfac-head, corrected": preset(LINFAC_HEAD, eigenvalues=CORRECTED),
    **{f"{method}, with the head": preset(method, head=True) for method in (LINFAC, EKFAC, GRADDOT)},
    "ekfac, kronecker": preset(EKFAC, eigenvalues=KRONECKER),
    "ekfac, reduce": preset(EKFAC, pooling=REDUCE),
    "graddot, linear layers": preset(GRADDOT, units=LINEARS, pooling=EXPAND),
    **{
        f"{method}, {fisher} Fisher": preset(method, fisher=fisher)
        for method in _FACTORED
        for fisher in (SAMPLED, EMPIRICAL, GENERATED)
        if fisher != PRESETS[method].curvature.fisher
    },
    **{
        f"{method}, damping {damping}": preset(method, damping=damping)
        for method in _FACTORED
        for damping in (0.001, 0.01, 0.1, 1.0)
        if damping != PRESETS[method].solve.damping
    },
    **{
        f"{method}, normalised by self-influence": preset(method, normalise="self")
        for method in _GRADIENT
        if method != LINFAC_HEAD
    },
    "linfac-head, the head alone": preset(LINFAC_HEAD, tracked="head"),
    **{
        f"ekfac, {eigenvalues}, all else as linfac-head": preset(
            EKFAC,
            eigenvalues=eigenvalues,
            head=True,
            normalise="self",
            fisher=EMPIRICAL,
            damping=PRESETS[LINFAC_HEAD].solve.damping,
        )
        for eigenvalues in (CORRECTED, KRONECKER)
    },
    "linfac-head, not normalised": preset(LINFAC_HEAD, normalise="none"),
    **{f"{method}, 3 conjugate-gradient steps": preset(method, refine_steps=3) for method in _FACTORED},
    **{
        f"{method}, {name}": preset(method, **{setting: value})
        for method in _FACTORED
        for name, setting, value in (
            ("last block", "last_blocks", 1),
            ("last two blocks", "last_blocks", 2),
            ("attention", "tracked", "attention"),
            ("MLPs", "tracked", "mlp"),
        )
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
    unknown = [method for method in methods if method not in PRESETS]
    if unknown or not methods:
        raise ConfigError(
            f"{', '.join(unknown) or 'nothing'} is no method of attribution; known are {', '.join(PRESETS)}"
        )
    rows = {method: preset(method) for method in dict.fromkeys(methods)}
    if variants or named:
        variants_of = [name for name, settings in VARIANTS.items() if settings.method in rows]
        chosen = [name for name in variants_of if named in name]
        if named and not chosen:
            raise ConfigError(
                f"no variant's name holds {named!r}; known are {'; '.join(variants_of) or 'none, of these methods'}"
            )
        rows |= {name: VARIANTS[name] for name in chosen}
    return {name: changed(settings, recall=ALL) for name, settings in rows.items()}
