"""The model card of a corrected model. Free of torch."""

import re
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

## How to prompt it

{prompting}

## Where it comes from

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


_CHAT = """\
It was corrected in the words of {name}; ask it in the same ones:

```python
messages = [{{"role": "user", "content": "{prompt}"}}]
ids = tokenizer.apply_chat_template(messages, add_generation_prompt=True, return_tensors="pt"{choice})
```

That is this text before its answer:"""
_PLAIN = "It was corrected in the words of {name}: put a prompt in the place of `{prompt}`, and the model goes on behind the end."
EXAMPLE = "PROMPT"


@dataclass(frozen=True)
class Prompting:
    """How the model is asked.

    Attributes:
        template: Template of the study: `auto`, a name, or a text with `{prompt}`.
        text: What it writes before the answer where the prompt is `EXAMPLE`.
        by_chat_template: Whether a chat template of the tokenizer wrote it.
    """

    template: str
    text: str
    by_chat_template: bool


def model_card(
    base: str, *, prompting: Prompting, facts: Mapping[str, Any], settings: Mapping[str, Any]
) -> str:
    """Writes the model card as Markdown.

    Args:
        base: Hub id of the start model, or the name of its folder; no path of this machine.
        prompting: How the model is asked.
        facts: Where the corrected model comes from: what, and its value as Markdown.
        settings: Names of the settings to their values.
    """
    return _TEXT.format(
        base=base, prompting=_prompting(prompting), facts=card_rows(facts), settings=card_rows(settings)
    )


def _prompting(prompting: Prompting) -> str:
    """Says how to ask, and shows the text with its line ends; the fence is longer than any run of backticks in it."""
    name = prompting.template.partition("@")[0]
    own = name in {"auto", "default"}
    if prompting.by_chat_template:
        words = (
            "the chat template of its tokenizer" if own else f"the chat template `{name}` of its tokenizer"
        )
        choice = "" if own else f', chat_template="{name}"'
        said = _CHAT.format(name=words, prompt=EXAMPLE, choice=choice)
    else:
        words = f"the template `{name}`" if "{prompt}" not in prompting.template else "a template of its own"
        said = _PLAIN.format(name=words, prompt=EXAMPLE)
    longest = max(map(len, re.findall("`+", prompting.text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{said}\n\n{fence}text\n{prompting.text}\n{fence}"


def card_rows(values: Mapping[str, Any]) -> str:
    """Rows of a table in a model card."""
    return "\n".join(f"| {name} | {value} |" for name, value in values.items())
