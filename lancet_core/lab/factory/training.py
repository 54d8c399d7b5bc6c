"""Trains the models of the demo study from scratch on transformers' Trainer: tokenizer, causal language models, scorers.

They are small on purpose: a language model trains in a few minutes on two cores, because proof of a correction needs
many retrained models. Weights are identical for one seed, one machine and one thread count.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from tempfile import TemporaryDirectory
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import (
    BertConfig,
    BertForSequenceClassification,
    DataCollatorForSeq2Seq,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedTokenizerFast,
    PrinterCallback,
    Trainer,
    TrainerCallback,
    TrainingArguments,
)

from lancet_core.data.conversations import exchanges
from lancet_core.models.encoding import encode_all, usable
from lancet_core.models.loading import LanguageModel
from lancet_core.models.settings import DEFAULT_TEMPLATE
from lancet_core.progress import Progress

BEGIN, END, PADDING, SEPARATOR = "<s>", "</s>", "<pad>", "<sep>"
CONTEXT = 256
WARMUP, LOWEST_RATE = 0.05, 0.02  # share of the steps; share of the highest learning rate


@dataclass(frozen=True)
class TrainingSettings:
    """How one model is trained; a language model of the demo where nothing is given.

    Attributes:
        epochs: Passes over the data.
        batch: Texts per step.
        learning_rate: Highest rate of AdamW; warmed up over a twentieth of the steps, then lowered along a cosine to a fiftieth.
        width: Hidden size.
        layers: Transformer blocks.
        seed: Of the weights, the order and dropout.
        weight_decay: Of AdamW.
    """

    epochs: int = 5
    batch: int = 32
    learning_rate: float = 3e-3
    width: int = 128
    layers: int = 4
    seed: int = 0
    weight_decay: float = 0.1


def train_tokenizer(texts: Sequence[str], vocabulary: int) -> PreTrainedTokenizerFast:
    """Trains a byte-level BPE tokenizer: every text can be encoded, unknown words as well, and begins with the begin token.

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
    wrapped = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token=BEGIN,
        eos_token=END,
        pad_token=PADDING,
        sep_token=SEPARATOR,
        cls_token=BEGIN,
        model_max_length=CONTEXT,
        clean_up_tokenization_spaces=False,
    )
    wrapped.backend_tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{BEGIN} $A", special_tokens=[(BEGIN, wrapped.bos_token_id)]
    )
    return wrapped


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
        {
            "input_ids": list(text.input_ids),
            "labels": text.labels,
        }
        for text in usable(encode_all(lm, exchanges(pairs), DEFAULT_TEMPLATE))
    ]
    collator = DataCollatorForSeq2Seq(tokenizer)
    train(lm.model, texts, settings, collator=collator, progress=progress, step_name=step_name)
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
        problem_type="multi_label_classification",  # binary cross-entropy of the one label
        pad_token_id=tokenizer.pad_token_id,
        initializer_range=0.05,
    )
    return BertForSequenceClassification(config)


def train(
    model: Any,
    texts: Sequence[Mapping[str, Any]],
    settings: TrainingSettings,
    *,
    collator: Any,
    progress: Progress,
    step_name: str,
) -> None:
    """Trains a model in place by its own loss, in random order.

    Batches of similar length would save padding, but the Trainer puts them in order of length: scorers then learn nothing.

    Args:
        model: Model with fresh weights.
        texts: `input_ids` and `labels` of each text.
        settings: Length, rate, batch size and seed.
        collator: Makes a batch of texts.
        progress: Told every tenth step.
        step_name: Name of the stage for `progress`.
    """
    with TemporaryDirectory() as folder:
        arguments = TrainingArguments(
            output_dir=folder,
            num_train_epochs=settings.epochs,
            per_device_train_batch_size=settings.batch,
            learning_rate=settings.learning_rate,
            lr_scheduler_type="cosine_with_min_lr",
            lr_scheduler_kwargs={"min_lr_rate": LOWEST_RATE},
            warmup_steps=WARMUP,
            weight_decay=settings.weight_decay,
            adam_beta2=0.98,
            optim="adamw_torch_fused",
            logging_steps=10,
            save_strategy="no",
            disable_tqdm=True,
            report_to="none",
            dataloader_pin_memory=False,
            use_cpu=True,
            seed=settings.seed,
        )
        trainer = Trainer(
            model=model,
            args=arguments,
            train_dataset=list(texts),
            data_collator=collator,
            callbacks=[_Reporter(progress, step_name)],
        )
        trainer.remove_callback(PrinterCallback)
        trainer.train()
    model.eval()


class _Reporter(TrainerCallback):  # type: ignore[misc]  # transformers carries no types that mypy follows here
    """Tells the mean loss of the last steps."""

    def __init__(self, progress: Progress, step_name: str) -> None:
        self.progress, self.step_name = progress, step_name

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, float], **kwargs: Any) -> None:
        """Tells the loss; the summary at the end has none."""
        if "loss" in logs:
            self.progress(self.step_name, state.global_step, state.max_steps, loss=logs["loss"])
