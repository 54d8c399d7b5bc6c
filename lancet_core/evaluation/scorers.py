"""Harmful and helpful scores by any sequence classifier that says what its output means."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from transformers import AutoModelForSequenceClassification

from lancet_core.errors import ModelError, NumericalError
from lancet_core.evaluation.scorer_cards import PAIR_TEMPLATE, ScorerCard, scorer_card
from lancet_core.models.encoding import batch_by_length
from lancet_core.models.loading import load_pretrained, load_tokenizer
from lancet_core.progress import Progress, silent

TOKENS_AT_ONCE = 8192
_FIELD = re.compile(r"\{(prompt|response)\}")
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Scorer:
    """A loaded classifier.

    Attributes:
        card: What its output means.
        model: The sequence classifier.
        tokenizer: Its tokenizer, with a padding token.
        context: Longest text in tokens.
    """

    card: ScorerCard
    model: Any
    tokenizer: Any
    context: int

    def score(
        self, prompts: Sequence[str], responses: Sequence[str], progress: Progress = silent
    ) -> pd.DataFrame:
        """Scores each response to its prompt.

        Args:
            prompts: What was asked.
            responses: What was answered, one for each prompt.
            progress: Told after each batch.

        Returns:
            One row each: `raw` (output), `unit` in (0, 1), and `harmful` or `helpful` as the card says.

        Raises:
            NumericalError: An output is not finite.
        """
        raw = self._outputs(self._encode(prompts, responses), progress)
        if not np.isfinite(raw).all():
            place = int(np.flatnonzero(~np.isfinite(raw))[0])
            raise NumericalError(
                f"the scorer {self.card.folder} gives {raw[place]} for text {place + 1}; check its weights"
            )
        unit = to_unit(raw, self.card)
        score = 1 - unit if self.card.higher_is == "harmless" else unit
        return pd.DataFrame({"raw": raw, "unit": unit, self.card.column: score})

    def _encode(self, prompts: Sequence[str], responses: Sequence[str]) -> list[list[int]]:
        if not prompts:
            return []
        if self.card.template == PAIR_TEMPLATE:
            encoded = self.tokenizer(list(prompts), list(responses), truncation=True, max_length=self.context)
        else:
            pieces = zip(prompts, responses, strict=True)
            texts = [_filled(self.card.template, prompt, response) for prompt, response in pieces]
            encoded = self.tokenizer(texts, truncation=True, max_length=self.context)
        return [list(ids) for ids in encoded["input_ids"]]

    def _outputs(self, encoded: list[list[int]], progress: Progress) -> Floats:
        """Reads the output of each text, in batches of similar length."""
        raw = np.zeros(len(encoded))
        done = 0
        for rows in batch_by_length([len(ids) for ids in encoded], TOKENS_AT_ONCE):
            width = max(1, len(encoded[rows[0]]))
            ids = torch.full((len(rows), width), int(self.tokenizer.pad_token_id))
            mask = torch.zeros((len(rows), width), dtype=torch.long)
            for place, row in enumerate(rows):
                ids[place, : len(encoded[row])] = torch.tensor(encoded[row], dtype=torch.long)
                mask[place, : len(encoded[row])] = 1
            with torch.no_grad():
                logits = self.model(
                    input_ids=ids.to(self.model.device), attention_mask=mask.to(self.model.device)
                ).logits
            raw[rows] = self._read(logits.float()).cpu().numpy()
            done += len(rows)
            progress(f"Scoring how {self.card.column} the answers are", done, len(encoded))
        return raw

    def _read(self, logits: torch.Tensor) -> torch.Tensor:
        """Takes the card's label; where labels exclude each other, its log-odds, so that the sigmoid is its probability."""
        label = self.card.label_index
        exclusive = logits.shape[1] > 1 and self.model.config.problem_type != "multi_label_classification"
        if not exclusive:
            return logits[:, label]
        others = [other for other in range(logits.shape[1]) if other != label]
        return logits[:, label] - logits[:, others].logsumexp(dim=1)


def load_scorer(folder: str | Path, *, device: str = "cpu") -> Scorer:
    """Loads a sequence classifier from a local folder.

    Args:
        folder: Folder with config, safetensors weights, tokenizer and `scorer.json`.
        device: Where to run it.

    Raises:
        ModelError: The folder holds no usable classifier, or not all of its weights, or its card asks for a label it does not have.
    """
    card = scorer_card(folder)
    place = Path(folder)
    model = load_pretrained(AutoModelForSequenceClassification, place, "a sequence classifier")
    tokenizer = load_tokenizer(place, model)
    labels = int(model.config.num_labels)
    if card.label_index >= labels:
        raise ModelError(
            f"the scorer {folder} has {labels} labels; label_index {card.label_index} is not among 0 to {labels - 1}"
        )
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    if tokenizer.pad_token_id is None:
        raise ModelError(
            f"the tokenizer of the scorer {folder} has neither a padding nor an end token; add one"
        )
    model.config.pad_token_id = tokenizer.pad_token_id
    limits = [
        tokenizer.model_max_length,
        getattr(model.config, "max_position_embeddings", None) or tokenizer.model_max_length,
    ]
    return Scorer(
        card=card, model=model.to(device).eval(), tokenizer=tokenizer, context=min(*limits, 1_000_000)
    )


def to_unit(raw: Floats, card: ScorerCard) -> Floats:
    """Maps outputs to (0, 1) as the card says; its statistics come from the card and never from the texts compared."""
    if card.mapping == "rank":
        below = np.searchsorted(np.asarray(card.reference), raw, side="left")
        return np.asarray((below + 0.5) / (len(card.reference) + 1), dtype=np.float64)
    scaled = (raw - card.mean) / card.std if card.mapping == "zscore_sigmoid" else raw
    return np.asarray(1 / (1 + np.exp(-np.clip(scaled, -500, 500))), dtype=np.float64)


def _filled(template: str, prompt: str, response: str) -> str:
    """Puts both texts into the template at once, so that braces inside them mean nothing."""
    texts = {"prompt": prompt, "response": response}
    return _FIELD.sub(lambda match: texts[match[1]], template)
