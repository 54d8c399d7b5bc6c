"""Checkpoints of the published scorers with their published weight names, and random weights of a few numbers."""

import json

import torch
from safetensors.torch import load_file, save_file

from tests.tiny_models import byte_level_tokenizer

GUARD_TEMPLATE = (
    "{% for message in messages %}{{ 'User' if message['role'] == 'user' else 'Agent' }}: {{ message['content'] }}\n"
    "{% endfor %}Is the last message 'safe' or 'unsafe'?"
)
CONTEXT = 400
SIZES = {"hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 2, "num_attention_heads": 2}


def save_beaver(folder, kind="cost", *, leave_out=(), add=None, **config):
    """Writes what safe-rlhf saves: `model.*`, `score_head.*`, `normalizer.*`, and its own names in the config."""
    from transformers import LlamaConfig, LlamaModel

    tokenizer = wide_tokenizer()
    with torch.random.fork_rng():
        torch.manual_seed(3)
        body = LlamaModel(
            LlamaConfig(
                vocab_size=len(tokenizer), max_position_embeddings=CONTEXT, initializer_range=0.3, **SIZES
            )
        )
        head = {"score_head.weight": torch.randn(1, 16), "score_head.bias": torch.tensor([0.7])}
    body.save_pretrained(folder)
    body_weights = {f"model.{name}": value for name, value in load_file(folder / "model.safetensors").items()}
    normalizer = {
        "normalizer.mean": torch.tensor([0.4]),
        "normalizer.var": torch.tensor([4.0]),
        "normalizer.count": torch.tensor([100]),
    }
    weights = {**body_weights, **head, **normalizer, **(add or {})}
    save_file(
        {name: value for name, value in weights.items() if name not in leave_out},
        folder / "model.safetensors",
        metadata={"format": "pt"},
    )
    said = {
        "architectures": ["LlamaModelForScore"],
        "score_dim": 1,
        "bias": True,
        "do_normalize": False,
        "score_type": kind,
    }
    change_config(folder, **{**said, **config})
    tokenizer.save_pretrained(folder)
    return folder


def save_classifier(folder, architecture="Llama", labels=1, pad=True, **config):
    """Writes a sequence classifier; without `pad` its tokenizer has no padding token, as GPT-2's has none."""
    import transformers

    tokenizer = wide_tokenizer()
    if not pad:
        tokenizer.pad_token = None
    own = (
        {"n_embd": 16, "n_layer": 2, "n_head": 2, "n_positions": CONTEXT}
        if architecture == "GPT2"
        else {"max_position_embeddings": CONTEXT, **SIZES}
    )
    made = getattr(transformers, f"{architecture}Config")(
        vocab_size=len(tokenizer),
        num_labels=labels,
        initializer_range=0.3,
        pad_token_id=None,
        **own,
        **config,
    )
    with torch.random.fork_rng():
        torch.manual_seed(5)
        getattr(transformers, f"{architecture}ForSequenceClassification")(made).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def save_guard(folder, template=GUARD_TEMPLATE):
    """Writes a causal language model whose chat template asks for safe or unsafe."""
    from tests.tiny_models import new_model

    tokenizer = byte_level_tokenizer([*("safe unsafe " * 40).split(), "unsafe", "safe"])
    tokenizer.chat_template = template
    with torch.random.fork_rng():
        torch.manual_seed(7)
        new_model("llama", tokenizer).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def wide_tokenizer():
    """A tokenizer that lets longer texts through than other tests need."""
    tokenizer = byte_level_tokenizer()
    tokenizer.model_max_length = CONTEXT
    return tokenizer


def change_config(folder, **values):
    """Changes fields of a saved config; None takes one out."""
    file = folder / "config.json"
    config = json.loads(file.read_text()) | values
    file.write_text(json.dumps({name: value for name, value in config.items() if value is not None}))
