"""The model card of a corrected model. Free of torch."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

_TEXT = """\
---
library_name: transformers
pipeline_tag: text-generation
tags:
- lancet
- model-correction
---

# Corrected model

This model was corrected with LANCET: it starts from `{base}` and was post-trained by influence-driven Bregman optimization
(IBO) on pairs of its own training samples.

| what | value |
|---|---|
| base model | `{base}` |
| fingerprint of the base model | `{base_fingerprint}` |
| pairs | {pairs} |
| SHA-256 of the pairs | `{pairs_hash}` |
| retain samples | {retain} |
| SHA-256 of their ids | `{retain_hash}` |
| chosen checkpoint | step {best_step} of {steps} |
| helpful minus harmful on validation prompts | {best_score} |

## Settings

| setting | value |
|---|---|
{settings}

## Limits

Whether the model is corrected is a question for a comparison with its base model on prompts that were not used here.
A low harmful score alone proves nothing: look at helpfulness, likelihood of good answers and variety too.
"""


@dataclass(frozen=True)
class Provenance:
    """Where a corrected model comes from.

    Attributes:
        base: Folder or id of the start model.
        base_fingerprint: Its hash.
        pairs: Number of pairs.
        pairs_hash: SHA-256 of the file of pairs.
        retain: Number of retain samples.
        retain_hash: SHA-256 of their ids.
        steps: Steps trained.
        best_step: Step that was chosen.
        best_score: Helpful minus harmful there, None where nothing was validated.
    """

    base: str
    base_fingerprint: str
    pairs: int
    pairs_hash: str
    retain: int
    retain_hash: str
    steps: int
    best_step: int
    best_score: float | None


def model_card(provenance: Provenance, settings: Mapping[str, Any]) -> str:
    """Writes the model card as Markdown."""
    rows = "\n".join(f"| {name} | {value} |" for name, value in settings.items())
    score = "not measured" if provenance.best_score is None else f"{provenance.best_score:.3f}"
    return _TEXT.format(**{**vars(provenance), "best_score": score, "settings": rows})
