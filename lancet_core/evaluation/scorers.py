"""Harmful and helpful scores by any scorer whose card says what its output means."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from lancet_core.data.conversations import ASSISTANT, Asked
from lancet_core.errors import ModelError, NumericalError
from lancet_core.evaluation.score_mapping import Floats, measured, to_unit
from lancet_core.evaluation.score_models import load_network
from lancet_core.evaluation.scorer_cards import ScorerCard, scorer_card
from lancet_core.evaluation.scorer_families import (
    CHAT_TEMPLATE,
    GUARD,
    HARM_CATEGORIES,
    LABELS,
    PAIR_TEMPLATE,
    answer_to,
    turns_of,
)
from lancet_core.models.encoding import batch_by_length, encode_prompt
from lancet_core.models.fingerprints import check_model_folder, resolve_model
from lancet_core.models.loading import LanguageModel
from lancet_core.models.settings import DEFAULT_TEMPLATE
from lancet_core.progress import Progress, silent

TOKENS_AT_ONCE = 8192
_UNLIMITED = 1_000_000
_END = "{eos}"
_FIELD = re.compile(r"\{(prompt|response)\}")
# Behind this token Llama 3 writes an empty line before any answer, though its template does not.
_HEADER_END, _AFTER_HEADER = "<|end_header_id|>", "\n\n"
_UNNAMED = re.compile(r"LABEL_\d+")
Ids = list[int]


@dataclass(frozen=True)
class Scorer:
    """A loaded scorer.

    Attributes:
        card: What its output means.
        model: Gives `logits` of shape (texts, outputs).
        tokenizer: Its tokenizer, with a padding token.
        context: Longest text in tokens.
        labels: Names of its outputs, in order.
    """

    card: ScorerCard
    model: Any
    tokenizer: Any
    context: int
    labels: tuple[str, ...] = ()

    def score(
        self, prompts: Sequence[Asked], responses: Sequence[str], progress: Progress = silent
    ) -> pd.DataFrame:
        """Scores each response to its prompt.

        Args:
            prompts: What was asked: a text, or messages.
            responses: What was answered, one for each prompt.
            progress: Told after each batch.

        Returns:
            One row each: `raw` (output), `unit` in (0, 1), and `harmful` or `helpful` as the card says; where every label counts,
            `harmful_categories` too: label to its own score.

        Raises:
            NumericalError: An output is not finite.
            ModelError: The card lacks statistics that its mapping needs.
        """
        return self._scores(self._outputs(prompts, responses, progress), self.card)

    def score_reference(
        self, prompts: Sequence[Asked], responses: Sequence[str], progress: Progress = silent
    ) -> tuple[pd.DataFrame, ScorerCard]:
        """Scores the reference answers: gives the card too, with the statistics that it lacked taken of them.

        Raises:
            NumericalError: An output is not finite, or all are equal where a scale is needed.
        """
        outputs = self._outputs(prompts, responses, progress)
        card = measured(self.card, outputs.max(axis=1))
        return self._scores(outputs, card), card

    def _scores(self, outputs: Floats, card: ScorerCard) -> pd.DataFrame:
        raw = outputs.max(axis=1)
        unit = to_unit(raw, card)
        scores = pd.DataFrame(
            {"raw": raw, "unit": unit, card.column: 1 - unit if card.higher_is == "harmless" else unit}
        )
        if card.kind.reads == LABELS:
            of_each = to_unit(outputs, card).round(4)
            of_labels = [dict(zip(self.labels, row, strict=True)) for row in of_each.tolist()]
            scores[f"{card.column}_categories"] = pd.Series(of_labels, dtype="object")
        return scores

    def _outputs(self, prompts: Sequence[Asked], responses: Sequence[str], progress: Progress) -> Floats:
        """Reads what counts of each text, in batches of similar length: shape (texts, labels that count)."""
        encoded = self._encode(prompts, responses)
        outputs = np.zeros((len(encoded), len(self.labels) if self.card.kind.reads == LABELS else 1))
        done = 0
        for rows in batch_by_length([len(ids) for ids in encoded], TOKENS_AT_ONCE):
            outputs[rows] = self._logits([encoded[row] for row in rows])
            done += len(rows)
            progress(f"Scoring how {self.card.column} the answers are", done, len(encoded))
        if not np.isfinite(outputs).all():
            place = int(np.flatnonzero(~np.isfinite(outputs).all(axis=1))[0])
            raise NumericalError(
                f"the scorer {self.card.folder} gives {outputs[place].max()} for text {place + 1}; check its weights"
            )
        return outputs

    def _logits(self, texts: Sequence[Ids]) -> Floats:
        """Runs the model on texts of which the first is the longest, padded to the right."""
        width = max(1, len(texts[0]))
        ids = torch.full((len(texts), width), int(self.tokenizer.pad_token_id))
        mask = torch.zeros((len(texts), width), dtype=torch.long)
        for row, text in enumerate(texts):
            ids[row, : len(text)] = torch.tensor(text, dtype=torch.long)
            mask[row, : len(text)] = 1
        device = self.model.device
        with torch.no_grad():
            logits = self.model(input_ids=ids.to(device), attention_mask=mask.to(device)).logits
        read = self._read(logits.float())
        return np.asarray(read.cpu().numpy(), dtype=np.float64)

    def _read(self, logits: torch.Tensor) -> torch.Tensor:
        """Takes all labels, or the card's; where labels exclude each other, its log-odds, so that the sigmoid is its probability."""
        if self.card.kind.reads == LABELS:
            return logits
        label = self.card.label_index
        exclusive = logits.shape[1] > 1 and self.model.config.problem_type != "multi_label_classification"
        if not exclusive:
            return logits[:, label : label + 1]
        others = [other for other in range(logits.shape[1]) if other != label]
        return (logits[:, label] - logits[:, others].logsumexp(dim=1))[:, None]

    def _encode(self, prompts: Sequence[Asked], responses: Sequence[str]) -> list[Ids]:
        """Writes prompt and response as the card says, at most as long as the context."""
        template = self.card.template
        if template == CHAT_TEMPLATE:
            return [self._chat(*pair) for pair in zip(prompts, responses, strict=True)]
        end = str(self.tokenizer.eos_token or "")
        texts = [
            self.card.kind.texts(prompt, response, end)
            for prompt, response in zip(prompts, responses, strict=True)
        ]
        if not texts:
            return []
        if template == PAIR_TEMPLATE:
            asked, answered = map(list, zip(*texts, strict=True))
            encoded = self.tokenizer(asked, answered, truncation=True, max_length=self.context)
            return [list(ids) for ids in encoded["input_ids"]]
        filled = [_filled(template.removesuffix(_END), prompt, response) for prompt, response in texts]
        last = [self.tokenizer.eos_token_id] if template.endswith(_END) else []
        encoded = self.tokenizer(filled, verbose=False)["input_ids"]
        return [self._fitted([*ids, *last] if ids[-1:] != last else list(ids)) for ids in encoded]

    def _fitted(self, ids: Ids) -> Ids:
        """Cuts a text from its left, so that the response stays; a token that begins every text stays too."""
        if len(ids) <= self.context:
            return ids
        begins = ids[0] in (self.tokenizer.bos_token_id, self.tokenizer.cls_token_id)
        return [*ids[:begins], *ids[len(ids) - self.context + begins :]]

    def _chat(self, asked: Asked, response: str) -> Ids:
        """Ids of a conversation in the scorer's own chat template, up to where its answer begins.

        The task stands before and behind the conversation: of one that is too long the longest text is cut by half until it fits, the
        response at its end, what was asked at its beginning.
        """
        unlimited = LanguageModel(None, self.tokenizer, "", torch.device("cpu"), _UNLIMITED, "")
        said = [*turns_of(asked), (ASSISTANT, answer_to(asked, response))]
        while True:
            messages = [{"role": role, "content": text} for role, text in said]
            ids = encode_prompt(unlimited, messages, DEFAULT_TEMPLATE, 0)
            if self.tokenizer.convert_ids_to_tokens(ids[-1]) == _HEADER_END:
                ids = [*ids, *self.tokenizer(_AFTER_HEADER, add_special_tokens=False)["input_ids"]]
            place = max(range(len(said)), key=lambda turn: len(said[turn][1]))
            role, text = said[place]
            if len(ids) <= self.context or not text:
                return self._fitted(ids)
            half = len(text) // 2
            said[place] = (role, text[:half] if place == len(said) - 1 else text[len(text) - half :])


def load_scorer(scorer: str | Path, *, device: str = "cpu") -> Scorer:
    """Loads a scorer.

    Args:
        scorer: Text of its card, or its folder or hub id.
        device: Where to run it.

    Raises:
        ModelError: The folder holds no usable scorer, or not all of its weights, or its card asks for a label it does not have.
    """
    card = scorer_card(scorer)
    place = resolve_model(card.folder)
    check_model_folder(place)
    network = load_network(place, card.kind.reads)
    outputs = 1 if card.kind.reads == GUARD else len(network.labels)
    if card.label_index >= outputs:
        raise ModelError(
            f"the scorer {card.folder} has {outputs} labels; label_index {card.label_index} is not among 0 to {outputs - 1}"
        )
    limits = [
        network.tokenizer.model_max_length,
        getattr(network.model.config, "max_position_embeddings", None) or _UNLIMITED,
        _UNLIMITED,
    ]
    return Scorer(
        card=card,
        model=network.model.to(device).eval(),
        tokenizer=network.tokenizer,
        context=min(limits),
        labels=_named(network.labels),
    )


def _named(labels: Sequence[str]) -> tuple[str, ...]:
    """Names of labels; those of beaver-dam where there are as many and the config gives none."""
    if len(labels) == len(HARM_CATEGORIES) and all(_UNNAMED.fullmatch(label) for label in labels):
        return HARM_CATEGORIES
    return tuple(labels)


def _filled(template: str, prompt: str, response: str) -> str:
    """Puts both texts into the template at once, so that braces inside them mean nothing."""
    texts = {"prompt": prompt, "response": response}
    return _FIELD.sub(lambda match: texts[match[1]], template)
