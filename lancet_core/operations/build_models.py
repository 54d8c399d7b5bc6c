"""Trains the models of the demo study from scratch: tokenizer, causal language models, scorers.

They are small on purpose: a language model trains in a few minutes on two cores, because proof of a correction needs
many retrained models. Weights are identical for one seed, one machine and one thread count.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from torch import Tensor, nn
from transformers import (
    BertConfig,
    BertForSequenceClassification,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedTokenizerFast,
)

from lancet_core.models.encoding import encode_all
from lancet_core.models.loading import LanguageModel
from lancet_core.models.settings import DEFAULT_TEMPLATE
from lancet_core.progress import Progress

BEGIN, END, PADDING, SEPARATOR = "<s>", "</s>", "<pad>", "<sep>"
CONTEXT = 256
_IGNORED = -100


@dataclass(frozen=True)
class TrainingSettings:
    """How one model is trained.

    Attributes:
        epochs: Passes over the data.
        batch: Texts per step.
        learning_rate: Highest rate of AdamW; warmed up over a twentieth of the steps, then lowered along a cosine.
        width: Hidden size.
        layers: Transformer blocks.
        seed: Of the weights, the order and dropout.
        weight_decay: Of AdamW.
    """

    epochs: int
    batch: int
    learning_rate: float
    width: int
    layers: int
    seed: int
    weight_decay: float = 0.1


@dataclass(frozen=True)
class Text:
    """Tokens to train on, with the target of each position (-100 where none), or one label.

    Attributes:
        tokens: Token ids.
        targets: Token ids to predict at the same places, or a single class.
    """

    tokens: tuple[int, ...]
    targets: tuple[int, ...]


def train_tokenizer(texts: Sequence[str], vocabulary: int) -> PreTrainedTokenizerFast:
    """Trains a byte-level BPE tokenizer: every text can be encoded, unknown words as well.

    Args:
        texts: Texts to learn merges from.
        vocabulary: Number of tokens, the 256 bytes and special ones included.
    """
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=[PADDING, BEGIN, END, SEPARATOR],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token=BEGIN,
        eos_token=END,
        pad_token=PADDING,
        sep_token=SEPARATOR,
        cls_token=BEGIN,
        model_max_length=CONTEXT,
        clean_up_tokenization_spaces=False,
    )


def new_language_model(tokenizer: PreTrainedTokenizerFast, settings: TrainingSettings) -> LlamaForCausalLM:
    """Makes a Llama with random weights."""
    torch.manual_seed(settings.seed)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=settings.width,
        intermediate_size=3 * settings.width,
        num_hidden_layers=settings.layers,
        num_attention_heads=4,
        num_key_value_heads=4,
        max_position_embeddings=CONTEXT,
        tie_word_embeddings=True,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        initializer_range=0.05,
    )
    return LlamaForCausalLM(config)


def train_language_model(
    pairs: Sequence[tuple[str, str]],
    tokenizer: PreTrainedTokenizerFast,
    settings: TrainingSettings,
    progress: Progress,
    *,
    step_name: str,
) -> LanguageModel:
    """Trains a causal language model from scratch on prompts and responses.

    Args:
        pairs: Prompt and response of each sample.
        tokenizer: Its tokenizer.
        settings: Size and training.
        progress: Told every tenth step.
        step_name: Name of the stage for `progress`.

    Returns:
        The model in memory: it has neither folder nor fingerprint.
    """
    lm = LanguageModel(
        new_language_model(tokenizer, settings), tokenizer, "", torch.device("cpu"), CONTEXT, ""
    )
    texts = [
        Text(text.input_ids, (_IGNORED,) * text.response_start + text.input_ids[text.response_start :])
        for text in encode_all(lm, pairs, DEFAULT_TEMPLATE)
        if text is not None
    ]
    train(lm.model, texts, settings, loss=language_model_loss, progress=progress, step_name=step_name)
    return lm


def new_scorer(
    tokenizer: PreTrainedTokenizerFast, settings: TrainingSettings
) -> BertForSequenceClassification:
    """Makes a BERT with random weights and one output over a sentence pair."""
    torch.manual_seed(settings.seed)
    config = BertConfig(
        vocab_size=len(tokenizer),
        hidden_size=settings.width,
        intermediate_size=2 * settings.width,
        num_hidden_layers=settings.layers,
        num_attention_heads=4,
        max_position_embeddings=CONTEXT,
        hidden_dropout_prob=0.1,
        attention_probs_dropout_prob=0.0,
        num_labels=1,
        pad_token_id=tokenizer.pad_token_id,
        initializer_range=0.05,
    )
    return BertForSequenceClassification(config)


def language_model_loss(model: Any, batch: list[Text]) -> Tensor:
    """Mean negative log-likelihood of the response tokens of a batch."""
    # No attention mask: padding stands on the right, where a causal model does not look.
    tokens, _ = _padded([text.tokens for text in batch], 0)
    targets, _ = _padded([text.targets for text in batch], _IGNORED)
    hidden = model.model(input_ids=tokens, use_cache=False).last_hidden_state
    wanted = targets[:, 1:] != _IGNORED
    # Logits only where a response token is predicted: half of all positions are prompt.
    logits = model.lm_head(hidden[:, :-1][wanted])
    return nn.functional.cross_entropy(logits, targets[:, 1:][wanted])


def scorer_loss(model: Any, batch: list[Text]) -> Tensor:
    """Binary cross-entropy of a batch of labelled sentence pairs."""
    tokens, mask = _padded([text.tokens for text in batch], 0)
    labels = torch.tensor([float(text.targets[0]) for text in batch])
    logits = model(input_ids=tokens, attention_mask=mask).logits[:, 0]
    return nn.functional.binary_cross_entropy_with_logits(logits, labels)


def train(
    model: nn.Module,
    texts: Sequence[Text],
    settings: TrainingSettings,
    *,
    loss: Callable[[Any, list[Text]], Tensor],
    progress: Progress,
    step_name: str,
) -> None:
    """Trains a model in place.

    Args:
        model: Model with fresh weights.
        texts: What it is trained on.
        settings: Length, rate, batch size and seed.
        loss: Loss of a batch.
        progress: Told every tenth step.
        step_name: Name of the stage for `progress`.
    """
    torch.manual_seed(settings.seed)
    rng = Random(f"order {settings.seed}")
    total = settings.epochs * math.ceil(len(texts) / settings.batch)
    optimizer = torch.optim.AdamW(
        model.parameters(),
        lr=settings.learning_rate,
        weight_decay=settings.weight_decay,
        betas=(0.9, 0.98),
        fused=True,
    )
    scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: _rate(step, total))
    model.train()
    for step, batch in enumerate(_batches(texts, settings, rng)):
        value = loss(model, batch)
        optimizer.zero_grad()
        value.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        scheduler.step()
        if step % 10 == 0:
            progress(step_name, step, total, loss=value.item())
    model.eval()


def _rate(step: int, total: int) -> float:
    warmup = max(1, total // 20)
    if step < warmup:
        return (step + 1) / warmup
    return 0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(1, total - warmup)))


def _batches(texts: Sequence[Text], settings: TrainingSettings, rng: Random) -> Iterator[list[Text]]:
    """Batches of similar length in random order, so that little is padded."""
    for _ in range(settings.epochs):
        order = sorted(range(len(texts)), key=lambda index: len(texts[index].tokens) + rng.random() * 4)
        starts = list(range(0, len(order), settings.batch))
        rng.shuffle(starts)
        for start in starts:
            yield [texts[index] for index in order[start : start + settings.batch]]


def _padded(rows: Sequence[Sequence[int]], value: int) -> tuple[Tensor, Tensor]:
    """Pads rows to the right; returns them and the mask of real positions."""
    length = max(len(row) for row in rows)
    tokens = torch.full((len(rows), length), value, dtype=torch.long)
    mask = torch.zeros((len(rows), length), dtype=torch.long)
    for index, row in enumerate(rows):
        tokens[index, : len(row)] = torch.tensor(row, dtype=torch.long)
        mask[index, : len(row)] = 1
    return tokens, mask
