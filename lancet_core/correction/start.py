"""What the start model says of the texts of a correction, measured once; texts at which it overflows are left out."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from lancet_core.correction.settings import CorrectionSettings
from lancet_core.correction.steps import (
    NEGATIVES,
    POSITIVES,
    RETAINED,
    TrainingTexts,
    draw_retained,
    reference_log_likelihoods,
)
from lancet_core.errors import NumericalError
from lancet_core.models.encoding import Encoded
from lancet_core.progress import Progress


@dataclass(frozen=True)
class Start:
    """The texts that can be trained on, as the start model sees them.

    Attributes:
        texts: The texts without those that are left out.
        references: Log-probabilities of their response tokens, by role.
        broken: Places, among the samples that were given, of those whose log-probability is not finite, by role. A pair with one of them
            is left out whole.
    """

    texts: TrainingTexts
    references: dict[int, list[Tensor]]
    broken: Mapping[int, tuple[int, ...]]


def measure_start(
    model: Any, texts: TrainingTexts, settings: CorrectionSettings, progress: Progress
) -> Start:
    """Measures the start model on the pairs and on those retain samples that some step will draw.

    One sample whose log-probability is not finite would spoil every step that draws it, and the parameters with it.

    Raises:
        NumericalError: Nothing is left to train on.
    """
    count = len(texts.positive)
    values = reference_log_likelihoods(model, [*texts.positive, *texts.negative], progress)
    positive, negative = values[:count], values[count:]
    broken = {POSITIVES: _broken(positive), NEGATIVES: _broken(negative)}
    pairs = [place for place in range(count) if place not in {*broken[POSITIVES], *broken[NEGATIVES]}]
    retained = _measure_retained(model, texts.retain, settings, progress)
    kept = [place for place in range(len(texts.retain)) if _is_finite(retained.get(place))]
    for left, given, what in ((pairs, count, "pairs"), (kept, len(texts.retain), "retain samples")):
        if not left:
            raise NumericalError(
                f"the model gives no finite log-probability to any of the {given} {what}: it overflows; train in float32, or start from "
                "another model"
            )
    chosen = replace(
        texts,
        positive=[texts.positive[place] for place in pairs],
        negative=[texts.negative[place] for place in pairs],
        positive_weight=texts.positive_weight[pairs],
        negative_weight=texts.negative_weight[pairs],
        retain=[texts.retain[place] for place in kept],
        retain_rows=[texts.retain_rows[place] for place in kept],
    )
    references = {
        POSITIVES: [positive[place] for place in pairs],
        NEGATIVES: [negative[place] for place in pairs],
        RETAINED: [retained.get(place, torch.empty(0)) for place in kept],
    }
    spoiled = sorted(set(retained) - set(kept))
    return Start(
        chosen, references, {**broken, RETAINED: tuple(texts.retain_rows[place] for place in spoiled)}
    )


def _measure_retained(
    model: Any, texts: Sequence[Encoded], settings: CorrectionSettings, progress: Progress
) -> dict[int, Tensor]:
    """Measures the retain samples that steps draw, by place; where one is left out, others are drawn, and measured too."""
    measured: dict[int, Tensor] = {}
    kept = list(range(len(texts)))
    while kept:
        rows = [row for row in _drawn(kept, settings) if row not in measured]
        if not rows:
            break
        values = reference_log_likelihoods(model, [texts[row] for row in rows], progress)
        measured |= dict(zip(rows, values, strict=True))
        kept = [row for row in kept if _is_finite(measured.get(row))]
    return measured


def _drawn(rows: Sequence[int], settings: CorrectionSettings) -> list[int]:
    """The retain samples that some step draws from these."""
    steps = range(settings.steps)
    places = {place for step in steps for place in draw_retained(len(rows), step=step, settings=settings)}
    return [rows[place] for place in sorted(places)]


def _broken(values: Sequence[Tensor]) -> tuple[int, ...]:
    return tuple(place for place, value in enumerate(values) if not _is_finite(value))


def _is_finite(values: Tensor | None) -> bool:
    """Whether all log-probabilities are; those that no step needs are not measured, and taken as finite."""
    return values is None or bool(values.isfinite().all())
