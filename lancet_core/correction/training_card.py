"""The model card of a model that was fine-tuned on samples. Free of torch."""

from collections.abc import Mapping
from typing import Any

from lancet_core.correction.model_card import card_rows

_TEXT = """\
---
library_name: transformers
pipeline_tag: text-generation
tags:
- lancet
---

# Fine-tuned model

This model starts from `{base}` and was fine-tuned with LANCET on the likelihood of the tokens that count in its samples. Texts must be
written by the same template.

| what | value |
|---|---|
{facts}

## Settings

| setting | value |
|---|---|
{settings}
"""


def training_card(base: str, *, facts: Mapping[str, Any], settings: Mapping[str, Any]) -> str:
    """Writes the model card as Markdown.

    Args:
        base: Name of the start model.
        facts: What it was trained on and how that went: what, and its value as Markdown.
        settings: Names of the settings to their values.
    """
    return _TEXT.format(base=base, facts=card_rows(facts), settings=card_rows(settings))
