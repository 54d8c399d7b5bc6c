"""What each optimizer step trains on: a batch of pairs and a batch of retain samples, with the start model's log-probabilities.

A step's samples depend on the seed and the step alone, so that a resumed run sees what an uninterrupted one would have.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from lancet_core.correction.pair_files import ReviewedPair
from lancet_core.correction.settings import PAIRED, CorrectionSettings
from lancet_core.data.conversations import Conversation
from lancet_core.errors import DataError
from lancet_core.models.encoding import Batch, Encoded, encode_all, encode_conversation, pack, usable
from lancet_core.models.likelihood import token_log_likelihoods, tokens_at_once
from lancet_core.models.loading import LanguageModel
from lancet_core.progress import Progress

TOKENS_EACH_FORWARD = 1536
POSITIVES, NEGATIVES, RETAINED = 0, 1, 2


@dataclass(frozen=True)
class TrainingTexts:
    """Everything a correction trains on, as tokens.

    Attributes:
        positive: Samples that push towards the queries, one for each pair.
        negative: Samples that push away from them, one for each pair.
        positive_weight: Weight of each positive sample, above 0.
        negative_weight: Weight of each negative sample, below 0.
        retain: Samples that must stay as they are.
        retain_rows: Where each of them stood among those that were given.
    """

    positive: list[Encoded]
    negative: list[Encoded]
    positive_weight: Tensor
    negative_weight: Tensor
    retain: list[Encoded]
    retain_rows: list[int]


def encode_texts(
    lm: LanguageModel,
    pairs: Sequence[ReviewedPair],
    *,
    retain: Sequence[Conversation],
    template: str,
    settings: CorrectionSettings,
) -> TrainingTexts:
    """Tokenises pairs and retain samples and sets the weights of Eq. 15 (the literal form always weighs by influence).

    Args:
        lm: The study's model.
        pairs: Approved pairs.
        retain: The retain samples; those that cannot be encoded are left out.
        template: How prompt and response become one text.
        settings: Form and weighting.

    Raises:
        DataError: There is no pair or no retain sample, or a sample of a pair cannot be encoded.
    """
    positive, negative = (
        [encode_conversation(lm, side.conversation, template) for side in sides]
        for sides in ([pair.positive for pair in pairs], [pair.negative for pair in pairs])
    )
    encoded = encode_all(lm, retain, template)
    retained = usable(encoded)
    if not positive or not retained:
        raise DataError(
            f"a correction needs pairs and retain samples; there are {len(positive)} pairs and {len(retained)} retain samples that fit "
            f"the context of {lm.context} tokens"
        )
    by_influence = settings.weighting == "influence" or settings.form == "literal"
    return TrainingTexts(
        positive=positive,
        negative=negative,
        positive_weight=torch.tensor([pair.positive.influence if by_influence else 1.0 for pair in pairs]),
        negative_weight=torch.tensor([pair.negative.influence if by_influence else -1.0 for pair in pairs]),
        retain=retained,
        retain_rows=[row for row, text in enumerate(encoded) if isinstance(text, Encoded)],
    )


def reference_log_likelihoods(model: Any, texts: Sequence[Encoded], progress: Progress) -> list[Tensor]:
    """Log-probability of each response token under the start model, computed once: no second model stays in memory.

    Returns:
        For each text a vector over its response tokens, on the CPU.
    """
    references: list[Tensor] = [torch.empty(0)] * len(texts)
    done = 0
    device = next(model.parameters()).device
    model.eval()
    with torch.no_grad():
        for batch in pack(texts, tokens_at_once(model)):
            values = token_log_likelihoods(model, batch.to(device)).float().cpu()
            for row, index in enumerate(batch.indices):
                references[index] = values[row][batch.response_mask[row]]
            done += len(batch.indices)
            progress("Measuring the start model", done, len(texts))
    return references


def draw(count: int, size: int, *, step: int, key: Sequence[int]) -> list[int]:
    """Draws the items of one step: successive shuffles of all items, so that each is seen equally often.

    Args:
        count: Number of items.
        size: Items in a step.
        step: Number of the step, from 0.
        key: Seeds that name the stream.

    Returns:
        `size` indices below `count`.
    """
    places = range(step * size, (step + 1) * size)
    shuffles = {
        epoch: np.random.default_rng([*key, epoch]).permutation(count)
        for epoch in range(places[0] // count, places[-1] // count + 1)
    }
    return [int(shuffles[place // count][place % count]) for place in places]


def draw_retained(count: int, *, step: int, settings: CorrectionSettings) -> list[int]:
    """Draws the retain samples of one step; arguments as in `draw`."""
    return draw(count, min(settings.retain_batch, count), step=step, key=(settings.seed, RETAINED))


class CorrectionSteps(Dataset[dict[str, Any]]):
    """One item for each optimizer step.

    An item holds `groups`, right-padded batches of similar length that together carry the step's positives, negatives and retain
    samples, each with its `role`, its place in that role and its reference log-probabilities, and the `weights` of the pairs.
    `references` are the start model's log-probabilities by role.
    """

    def __init__(
        self, texts: TrainingTexts, references: dict[int, list[Tensor]], settings: CorrectionSettings
    ) -> None:
        self.texts, self.references, self.settings = texts, references, settings

    def __len__(self) -> int:
        """Number of optimizer steps."""
        return self.settings.steps

    def __getitem__(self, step: int) -> dict[str, Any]:
        """Draws a step's samples and packs them by length."""
        chosen = self._draw_roles(step)
        sources = {
            POSITIVES: self.texts.positive,
            NEGATIVES: self.texts.negative,
            RETAINED: self.texts.retain,
        }
        rows = [
            (role, place, index) for role, indices in chosen.items() for place, index in enumerate(indices)
        ]
        encoded = [sources[role][index] for role, _, index in rows]
        groups = [self._group(batch, rows) for batch in pack(encoded, TOKENS_EACH_FORWARD)]
        return {
            "groups": groups,
            "positive_weight": self.texts.positive_weight[chosen[POSITIVES]],
            "negative_weight": self.texts.negative_weight[chosen[NEGATIVES]],
        }

    def _draw_roles(self, step: int) -> dict[int, list[int]]:
        """Pairs stay together, except in the literal form, which draws both sides independently as printed."""
        settings, pairs = self.settings, len(self.texts.positive)
        size = min(settings.pair_batch, pairs)
        positive = draw(pairs, size, step=step, key=(settings.seed, POSITIVES))
        negative = positive
        if settings.form == "literal":
            negative = draw(pairs, size, step=step, key=(settings.seed, NEGATIVES))
        retained = draw_retained(len(self.texts.retain), step=step, settings=settings)
        read = negative if settings.objective in PAIRED else []
        return {POSITIVES: positive, NEGATIVES: read, RETAINED: retained}

    def _group(self, batch: Batch, rows: list[tuple[int, int, int]]) -> dict[str, Any]:
        members = [rows[index] for index in batch.indices]
        reference = torch.zeros(batch.response_mask.shape)
        reference[batch.response_mask] = torch.cat(
            [self.references[role][index] for role, _, index in members]
        )
        return {
            "batch": batch,
            "role": torch.tensor([role for role, _, _ in members]),
            "place": torch.tensor([place for _, place, _ in members]),
            "reference": reference,
        }
