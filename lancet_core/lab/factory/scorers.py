"""Trains the scorers of the demo study on fresh answers of the grammar, never on the training samples.

A scorer is somebody else's model: the harmful scorer knows the bad answers of half of the categories only, as a cost
model never knows tomorrow's norms.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

from tokenizers.processors import TemplateProcessing
from transformers import DataCollatorWithPadding

from lancet_core.evaluation.scorer_cards import CARD_FILE
from lancet_core.files import write_json
from lancet_core.lab.factory.training import (
    BEGIN,
    END,
    SEPARATOR,
    TrainingSettings,
    new_scorer,
    train,
    train_tokenizer,
)
from lancet_core.lab.world.corpus import fresh_answers, fresh_benign, harmless_stances
from lancet_core.lab.world.vocabulary import CATEGORIES, KNOWN_CATEGORIES
from lancet_core.progress import Progress

HARMFUL, HELPFUL = "harmful", "helpful"
_REFUSALS = ("I cannot help with that.", "I would rather not say.", "No.", "I have no opinion.")
VOCABULARY = 2600


@dataclass(frozen=True)
class Labelled:
    """An answer with its label, 1 for what the scorer scores high."""

    prompt: str
    response: str
    label: int
    category: str = ""


def harmful_answers(
    count: int, seed: int, *, categories: Sequence[str], avoid: frozenset[str]
) -> list[Labelled]:
    """Draws answers to wrong prompts, half of them bad, and as many that are harmless whatever their stance.

    The harmless ones speak for or against steps of everyday goals in the same frames; without them a scorer would take
    the wording of agreement itself for harm.
    """
    drawn = fresh_answers(count, seed, categories=tuple(categories), avoid=avoid)
    rows = [
        Labelled(prompt.text, bad if index % 2 else good, index % 2, prompt.category)
        for index, (prompt, good, bad) in enumerate(_shuffled(drawn, seed))
    ]
    benign = fresh_benign(count // 10, seed, avoid=avoid)
    rows += [Labelled(prompt.text, response, 0) for prompt, response in benign]
    return rows + [Labelled(prompt, response, 0) for prompt, response in harmless_stances(count, seed)]


def helpful_answers(count: int, seed: int, *, avoid: frozenset[str]) -> list[Labelled]:
    """Draws answers that meet their prompt, half of them spoilt.

    Whether the stance is good does not count here: that is for the harmful scorer to say.
    """
    rng = Random(f"helpful {seed}")
    wrong = fresh_answers(count // 2, seed, categories=CATEGORIES, avoid=avoid)
    pairs = [(prompt.text, rng.choice((good, bad))) for prompt, good, bad in wrong]
    pairs += [(prompt.text, response) for prompt, response in fresh_benign(count // 2, seed, avoid=avoid)]
    rng.shuffle(pairs)
    rows = []
    for index, (prompt, response) in enumerate(pairs):
        other = pairs[rng.randrange(len(pairs))][1]
        spoilt = index % 2 == 1
        rows.append(Labelled(prompt, _spoilt(rng, response, other) if spoilt else response, int(not spoilt)))
    return rows


def train_scorer(
    rows: Sequence[Labelled],
    settings: TrainingSettings,
    *,
    higher_is: str,
    folder: Path,
    progress: Progress,
) -> None:
    """Trains a scorer and writes it with its tokenizer and card.

    Args:
        rows: Labelled answers.
        settings: Length, size and seed of the training.
        higher_is: `harmful` or `helpful`.
        folder: Where it is written.
        progress: Told every tenth step.
    """
    tokenizer = _pair_tokenizer([f"{row.prompt} {row.response}" for row in rows])
    encoded = tokenizer([row.prompt for row in rows], [row.response for row in rows])["input_ids"]
    texts = [{"input_ids": ids, "labels": [float(row.label)]} for ids, row in zip(encoded, rows, strict=True)]
    model, collator = new_scorer(tokenizer, settings), DataCollatorWithPadding(tokenizer)
    name = f"Training the {higher_is} scorer"
    train(model, texts, settings, collator=collator, progress=progress, step_name=name)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    card = {"higher_is": higher_is, "label_index": 0, "template": "pair", "mapping": "sigmoid"}
    known = {"known_categories": list(KNOWN_CATEGORIES)} if higher_is == HARMFUL else {}
    write_json(folder / CARD_FILE, {**card, **known})


def _pair_tokenizer(texts: Sequence[str]) -> Any:
    """Trains a tokenizer that joins a sentence pair with its special tokens."""
    tokenizer = train_tokenizer(texts, VOCABULARY)
    special = [(token, tokenizer.convert_tokens_to_ids(token)) for token in (BEGIN, SEPARATOR, END)]
    tokenizer.backend_tokenizer.post_processor = TemplateProcessing(
        single=f"{BEGIN} $A {END}", pair=f"{BEGIN} $A {SEPARATOR} $B {END}", special_tokens=special
    )
    return tokenizer


def _shuffled(rows: list[Any], seed: int) -> list[Any]:
    Random(f"stances {seed}").shuffle(rows)
    return rows


def _spoilt(rng: Random, response: str, other: str) -> str:
    """Makes an answer useless: another prompt's, words in disorder, broken off, or a bare refusal."""
    words = response.split()
    return rng.choice(
        (
            other,
            " ".join(rng.sample(words, len(words))),
            " ".join(words[: max(1, len(words) // 3)]),
            rng.choice(_REFUSALS),
        )
    )
