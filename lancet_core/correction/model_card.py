"""The model card of a corrected model. Free of torch."""

from collections.abc import Mapping
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
{facts}

## Settings

| setting | value |
|---|---|
{settings}

## Limits

Whether the model is corrected is a question for a comparison with its base model on prompts that were not used here.
A low harmful score alone proves nothing: look at helpfulness, likelihood of good answers and variety too.
"""


def model_card(base: str, *, facts: Mapping[str, Any], settings: Mapping[str, Any]) -> str:
    """Writes the model card as Markdown.

    Args:
        base: Folder or id of the start model.
        facts: Where the corrected model comes from: what, and its value as Markdown.
        settings: Names of the settings to their values.
    """
    return _TEXT.format(base=base, facts=_rows(facts), settings=_rows(settings))


def _rows(values: Mapping[str, Any]) -> str:
    return "\n".join(f"| {name} | {value} |" for name, value in values.items())
