"""From a scorer's outputs to scores in (0, 1). Statistics are taken once, of a study's samples, and never of texts that are compared."""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from lancet_core.errors import ModelError, NumericalError
from lancet_core.evaluation.scorer_cards import ScorerCard

MOST_REFERENCES = 512
Floats = NDArray[np.float64]


def measured(card: ScorerCard, raw: Floats) -> ScorerCard:
    """Takes the statistics that a card's mapping lacks.

    Args:
        card: The card; one that lacks nothing is given back.
        raw: Outputs over the reference answers.

    Raises:
        NumericalError: All outputs are equal, so that there is no scale.
    """
    if card.is_measured:
        return card
    if np.ptp(raw) == 0:
        raise NumericalError(
            f"the scorer {card.folder} gives {raw[0]:g} for each of {len(raw)} answers, so that {card.mapping} has no scale; "
            "check its weights and template"
        )
    if card.mapping == "rank":
        quantiles = np.quantile(raw, np.linspace(0, 1, min(len(raw), MOST_REFERENCES)))
        return replace(card, reference=tuple(map(float, quantiles)), measured_on=len(raw))
    return replace(card, mean=float(raw.mean()), std=float(raw.std()), measured_on=len(raw))


def to_unit(raw: Floats, card: ScorerCard) -> Floats:
    """Maps outputs to (0, 1) as the card says.

    Raises:
        ModelError: The card lacks the statistics that its mapping needs.
    """
    if not card.is_measured:
        needed = "reference, the outputs" if card.mapping == "rank" else "mean and std of the outputs"
        raise ModelError(
            f"{card.folder}: {card.mapping} needs {needed} over the reference answers; a study measures them on its training samples "
            "when it is made with this scorer, or give them in scorer.json"
        )
    if card.mapping == "rank":
        below = np.searchsorted(np.asarray(card.reference), raw, side="left")
        return np.asarray((below + 0.5) / (len(card.reference) + 1), dtype=np.float64)
    scaled = raw
    if card.mapping == "zscore_sigmoid" and card.mean is not None and card.std is not None:
        scaled = (raw - card.mean) / card.std
    return np.asarray(1 / (1 + np.exp(-np.clip(scaled, -500, 500))), dtype=np.float64)


def to_score(raw: Floats, card: ScorerCard) -> Floats:
    """Maps outputs to the score that is shown: harmful or helpful.

    Raises:
        ModelError: The card lacks the statistics that its mapping needs.
    """
    unit = to_unit(raw, card)
    return 1 - unit if card.higher_is == "harmless" else unit
