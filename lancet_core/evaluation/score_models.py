"""The networks that scorers are read from; each gives `logits` of shape (texts, outputs) for a padded batch."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification, LlamaConfig
from transformers.modeling_outputs import SequenceClassifierOutput
from transformers.models.llama.modeling_llama import LlamaModel, LlamaPreTrainedModel

from lancet_core.errors import ModelError
from lancet_core.evaluation.scorer_families import GUARD, LABELS, ONE_LABEL, SCORE_HEAD, Checkpoint
from lancet_core.models.loading import load_pretrained, load_tokenizer

WORDS = UNSAFE, SAFE = ("unsafe", "safe")


class Normalizer(nn.Module):
    """Brings outputs to one scale, by statistics that were taken in training (safe-rlhf's `Normalizer`)."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(1))
        self.register_buffer("var", torch.ones(1))
        self.register_buffer("count", torch.ones(1, dtype=torch.long))

    def forward(self, scores: Tensor, centre: bool) -> Tensor:
        """Divides by the standard deviation; a reward is centred before, a cost keeps its zero."""
        mean, var = (getattr(self, name).to(scores.dtype) for name in ("mean", "var"))
        scaled: Tensor = (scores - mean if centre else scores) / var.sqrt()
        return scaled


class ScoreModel(LlamaPreTrainedModel):  # type: ignore[misc]
    """Llama with a linear head that scores the last token: safe-rlhf's `LlamaModelForScore`, which does not import any more.

    Dai et al. 2024, *Safe RLHF*; weights are named `model.*`, `score_head.*` and `normalizer.*`. The normalizer is used, and its
    weights wanted, only where the config says `do_normalize`; the published checkpoints do not.
    """

    config_class = LlamaConfig
    base_model_prefix = "model"
    _keys_to_ignore_on_load_unexpected: ClassVar[list[str]] = [r"rotary_emb\.inv_freq", r"^normalizer\."]

    def __init__(self, config: LlamaConfig) -> None:
        super().__init__(config)
        self.model = LlamaModel(config)
        self.score_head = nn.Linear(config.hidden_size, 1, bias=getattr(config, "bias", True))
        self.normalizer = Normalizer() if getattr(config, "do_normalize", False) else None
        self.post_init()

    @classmethod
    def from_config(cls, config: LlamaConfig) -> "ScoreModel":
        """Makes one without weights, as transformers' own classes are made."""
        made: ScoreModel = cls._from_config(config)
        return made

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> SequenceClassifierOutput:
        """Scores texts, padded on either side: `logits` of shape (texts, 1)."""
        mask = attention_mask.long()
        hidden = self.model(
            input_ids=input_ids,
            attention_mask=mask,
            position_ids=(mask.cumsum(dim=1) - 1).clamp(min=0),
            use_cache=False,
        ).last_hidden_state
        scores = self.score_head(hidden[torch.arange(len(hidden), device=hidden.device), last_places(mask)])
        if self.normalizer is not None:
            scores = self.normalizer(scores, centre=getattr(self.config, "score_type", "reward") == "reward")
        return SequenceClassifierOutput(logits=scores)


class GuardModel:
    """A causal language model that answers *safe* or *unsafe*: the log-odds of the first token of its answer (Llama Guard)."""

    def __init__(self, model: Any, tokenizer: Any) -> None:
        """Finds the tokens that the two words begin with.

        Raises:
            ModelError: Both begin with the same token.
        """
        self.model, self.config = model, model.config
        first = [tokenizer(word, add_special_tokens=False)["input_ids"][0] for word in WORDS]
        if first[0] == first[1]:
            raise ModelError(
                f"the guard {tokenizer.name_or_path} begins {UNSAFE} and {SAFE} with the same token, so that its answers cannot be told "
                "apart; give another scorer"
            )
        self.first = first

    @property
    def device(self) -> torch.device:
        """Where its weights lie."""
        return torch.device(self.model.device)

    def to(self, device: str) -> "GuardModel":
        """Moves its weights."""
        self.model = self.model.to(device)
        return self

    def eval(self) -> "GuardModel":
        """Turns dropout off."""
        self.model.eval()
        return self

    def __call__(self, input_ids: Tensor, attention_mask: Tensor) -> SequenceClassifierOutput:
        """Scores texts that end where the answer begins: `logits` of shape (texts, 1)."""
        places = last_places(attention_mask)
        # Few places: the vocabulary is wide.
        kept, columns = torch.unique(places, return_inverse=True)
        logits = self.model(
            input_ids=input_ids, attention_mask=attention_mask, use_cache=False, logits_to_keep=kept
        ).logits
        answers = logits[torch.arange(len(places), device=logits.device), columns].float()
        return SequenceClassifierOutput(
            logits=(answers[:, self.first[0]] - answers[:, self.first[1]])[:, None]
        )


def last_places(mask: Tensor) -> Tensor:
    """Place of the last real token of each text, whichever side is padded: shape (texts,)."""
    places = torch.arange(mask.shape[1], device=mask.device)
    return (mask.long() * places).argmax(dim=1)


@dataclass(frozen=True)
class Network:
    """A loaded network.

    Attributes:
        model: Gives `logits` of shape (texts, outputs) for `input_ids` and `attention_mask`.
        tokenizer: Its tokenizer, with a padding token.
        labels: Names of its outputs, in order.
    """

    model: Any
    tokenizer: Any
    labels: Sequence[str]


def load_network(folder: Path, reads: str) -> Network:
    """Loads what a scorer is read from.

    Args:
        folder: Its folder.
        reads: What is read of it, as its family says.

    Raises:
        ModelError: The folder holds no such network, or not all of its weights, or its tokenizer cannot pad.
    """
    auto, kind = _CLASSES[reads]
    options = {"config": _score_config(folder)} if reads == SCORE_HEAD else {}
    model = load_pretrained(auto, folder, kind, **options)
    tokenizer = load_tokenizer(folder, model)
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    if tokenizer.pad_token_id is None:
        raise ModelError(
            f"the tokenizer of the scorer {folder} has neither a padding nor an end token; add one"
        )
    model.config.pad_token_id = tokenizer.pad_token_id
    labels = [str(name) for _number, name in sorted((model.config.id2label or {}).items())]
    return Network(GuardModel(model, tokenizer) if reads == GUARD else model, tokenizer, labels)


def _score_config(folder: Path) -> LlamaConfig:
    """The config of a score head; where it does not say whether the head has a bias, its weights do."""
    config = LlamaConfig.from_pretrained(folder, local_files_only=True)
    if not hasattr(config, "bias"):
        config.bias = "score_head.bias" in Checkpoint(str(folder), folder).tensors
    return config


_CLASSES: dict[str, tuple[Any, str]] = {
    ONE_LABEL: (AutoModelForSequenceClassification, "a sequence classifier"),
    LABELS: (AutoModelForSequenceClassification, "a sequence classifier"),
    SCORE_HEAD: (ScoreModel, "a score model (Llama with a score_head)"),
    GUARD: (AutoModelForCausalLM, "a guard that answers safe or unsafe"),
}
