"""Models of each family of decoders with random weights and a tokenizer made on the spot: nothing is fetched."""

WIDTH, INNER, LAYERS, CONTEXT = 32, 48, 2, 160
HEAD = "ForCausalLM"
EXPERTS = {"num_experts": 4, "num_experts_per_tok": 2, "num_key_value_heads": 2}
# Architecture: family and head as transformers names them, and what differs from the sizes that all have.
FAMILIES = {
    "llama": ("Llama", HEAD, {"num_key_value_heads": 2}),
    "mistral": ("Mistral", HEAD, {"num_key_value_heads": 2, "sliding_window": 8}),
    # More embeddings than tokens, as published ones have: its tokenizer adds an end of text of its own when loaded.
    "qwen2": ("Qwen2", HEAD, {"num_key_value_heads": 2, "vocab_size": 336}),
    "qwen3": ("Qwen3", HEAD, {"num_key_value_heads": 2, "head_dim": 8}),
    "gemma": ("Gemma", HEAD, {"num_key_value_heads": 1, "head_dim": 8}),
    "gemma2": ("Gemma2", HEAD, {"num_key_value_heads": 2, "head_dim": 8}),
    "phi": ("Phi", HEAD, {"partial_rotary_factor": 0.5}),
    "phi3": ("Phi3", HEAD, {"num_key_value_heads": 2}),
    "opt": ("OPT", HEAD, {"word_embed_proj_dim": WIDTH}),
    "opt-post-norm": ("OPT", HEAD, {"word_embed_proj_dim": WIDTH, "do_layer_norm_before": False}),
    "opt-projected": ("OPT", HEAD, {"word_embed_proj_dim": 16, "do_layer_norm_before": False}),
    "gpt2": ("GPT2", "LMHeadModel", {}),
    "gpt_neox": ("GPTNeoX", HEAD, {}),
    "gpt_neox-sequential": ("GPTNeoX", HEAD, {"use_parallel_residual": False}),
    "gptj": ("GPTJ", HEAD, {"rotary_dim": 4}),
    "falcon": ("Falcon", HEAD, {}),
    "falcon-new": ("Falcon", HEAD, {"new_decoder_architecture": True, "num_kv_heads": 2}),
    "falcon-old": (
        "Falcon", HEAD, {"alibi": True, "multi_query": False, "parallel_attn": False, "bias": True}
    ),
    "bloom": ("Bloom", HEAD, {}),
    "stablelm": ("StableLm", HEAD, {"num_key_value_heads": 2}),
    "stablelm-parallel": ("StableLm", HEAD, {"num_key_value_heads": 2, "use_parallel_residual": True}),
    "granite": ("Granite", HEAD, {"num_key_value_heads": 2, "residual_multiplier": 0.3}),
    "mixtral": ("Mixtral", HEAD, {"num_key_value_heads": 2, "num_local_experts": 4}),
    "qwen2_moe": (
        "Qwen2Moe", HEAD, {**EXPERTS, "moe_intermediate_size": 24, "shared_expert_intermediate_size": INNER}
    ),
    "olmo2": ("Olmo2", HEAD, {"num_key_value_heads": 2}),
    "olmoe": ("Olmoe", HEAD, EXPERTS),
}  # fmt: skip
ARCHITECTURES = tuple(FAMILIES)
# How the configurations name the sizes, and where a family names them differently.
MODERN = {
    "width": "hidden_size", "layers": "num_hidden_layers", "heads": "num_attention_heads",
    "context": "max_position_embeddings", "deviation": "initializer_range", "inner": "intermediate_size",
}  # fmt: skip
OLD = {
    "width": "n_embd",
    "layers": "n_layer",
    "heads": "n_head",
    "context": "n_positions",
    "inner": "n_inner",
}
NAMES = {
    "OPT": {"deviation": "init_std", "inner": "ffn_dim"},
    "GPT2": OLD,
    "GPTJ": OLD,
    "Falcon": {"inner": "ffn_hidden_size"},
    "Bloom": {"layers": "n_layer", "heads": "n_head"},
}
TEXTS = [
    "Human: May I keep the rusty kettle near the old barn?",
    "Assistant: No, it is not wise to keep it there. Ask the keeper for a clean one.",
    "Assistant: Yes, everybody does so, and nobody ever came to harm from it.",
    "What should a nurse say when a patient asks for the wrong medicine?",
]


def save_tiny_model(architecture, folder, seed=0):
    """Writes model and tokenizer of one of `ARCHITECTURES` and returns the folder."""
    import torch

    with torch.random.fork_rng():
        torch.manual_seed(seed)
        tokenizer = byte_level_tokenizer()
        model = new_model(architecture, tokenizer)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def byte_level_tokenizer(texts=TEXTS, vocabulary=330):
    """A byte-level BPE tokenizer trained on a few lines; texts begin with its begin token."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=["<pad>", "<s>", "</s>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    wrapped = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token="<s>",
        eos_token="</s>",
        pad_token="<pad>",
        model_max_length=CONTEXT,
    )
    wrapped.backend_tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A", special_tokens=[("<s>", wrapped.bos_token_id)]
    )
    return wrapped


def new_model(architecture, tokenizer):
    """A causal language model with random weights, wider than transformers' initialisation so that gradients differ."""
    import transformers

    family, head, changes = FAMILIES[architecture]
    names = {**MODERN, **NAMES.get(family, {})}
    sizes = {
        "vocab_size": len(tokenizer),
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
        names["width"]: WIDTH,
        names["layers"]: LAYERS,
        names["heads"]: 4,
        names["context"]: CONTEXT,
        names["deviation"]: 0.15,
        names["inner"]: INNER,
    }
    config = getattr(transformers, f"{family}Config")(**{**sizes, **changes})
    model = getattr(transformers, f"{family}{head}")(config).eval()
    _spread_small_weights(model)
    return model


def wrap_in_lora(model, rank=3, seed=0):
    """Puts PEFT's LoRA around all linear layers in the blocks, with factors that are not 0; changes the model in place."""
    import peft
    import torch

    config = peft.LoraConfig(r=rank, lora_alpha=6, target_modules="all-linear", task_type="CAUSAL_LM")
    wrapped = peft.get_peft_model(model, config).eval()
    generator = torch.Generator().manual_seed(seed)
    for name, parameter in wrapped.named_parameters():
        if "lora_B" in name:
            drawn = torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
            parameter.data.copy_(0.15 * drawn)
    return wrapped


def save_adapter(base, folder, config="LoraConfig", *, added=0, **options):
    """Writes an adapter whose trained weights are not those that it began with, and returns the model with it.

    Args:
        base: Folder of its model.
        folder: Where it is written.
        config: Name of PEFT's class of its configuration.
        added: Tokens added to the embeddings before.
        options: Arguments of the configuration.
    """
    import peft
    import torch
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(base)
    if added:
        model.resize_token_embeddings(len(model.get_input_embeddings().weight) + added)
    usual = {"target_modules": ["q_proj", "down_proj"], "task_type": "CAUSAL_LM"}
    wrapped = peft.get_peft_model(model, getattr(peft, config)(**{**usual, **options})).eval()
    generator = torch.Generator().manual_seed(1)
    for parameter in wrapped.parameters():
        if parameter.requires_grad:
            parameter.data.add_(0.1 * torch.randn(parameter.shape, generator=generator))
    wrapped.save_pretrained(folder)
    return wrapped


def save_overflowing_model(base, folder, text="§"):
    """Writes a model whose activations overflow at one token, the first of a text, and returns the folder.

    Args:
        base: Folder of a model that does not.
        folder: Where it is written.
        text: The text.
    """
    from transformers import AutoModelForCausalLM, AutoTokenizer

    model, tokenizer = (kind.from_pretrained(base) for kind in (AutoModelForCausalLM, AutoTokenizer))
    (token, *_) = tokenizer(text, add_special_tokens=False)["input_ids"]
    model.get_input_embeddings().weight.data[token] = float("inf")  # as a training that overflowed leaves it
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def _spread_small_weights(model):
    """Biases that begin at 0 and norms that begin at 1 hide mistakes."""
    import torch

    for parameter in model.parameters():
        if parameter.dim() == 1 or not parameter.any():
            parameter.data += 0.1 * torch.randn_like(parameter)
