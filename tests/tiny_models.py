"""Models of five architectures with random weights and a tokenizer made on the spot: nothing is fetched."""

ARCHITECTURES = ("llama", "opt", "opt-post-norm", "gpt2", "gpt_neox", "gpt_neox-sequential", "qwen2")
WIDTH, LAYERS, CONTEXT = 32, 2, 160
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
    """A byte-level BPE tokenizer trained on a few lines."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
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
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token="<s>",
        eos_token="</s>",
        pad_token="<pad>",
        model_max_length=CONTEXT,
    )


def new_model(architecture, tokenizer):
    """A causal language model with random weights, wider than transformers' initialisation so that gradients differ."""
    import transformers

    ends = {
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
    }
    modern = {
        "vocab_size": len(tokenizer), "hidden_size": WIDTH, "intermediate_size": 48, "num_hidden_layers": LAYERS,
        "num_attention_heads": 4, "max_position_embeddings": CONTEXT, "initializer_range": 0.15, **ends,
    }  # fmt: skip
    opt = {
        "vocab_size": len(tokenizer), "hidden_size": WIDTH, "ffn_dim": 48, "num_hidden_layers": LAYERS, "num_attention_heads": 4,
        "max_position_embeddings": CONTEXT, "word_embed_proj_dim": WIDTH, "init_std": 0.15, **ends,
    }  # fmt: skip
    gpt2 = {
        "vocab_size": len(tokenizer), "n_embd": WIDTH, "n_layer": LAYERS, "n_head": 4, "n_positions": CONTEXT,
        "initializer_range": 0.15, **ends,
    }  # fmt: skip
    makers = {
        "llama": lambda: transformers.LlamaForCausalLM(
            transformers.LlamaConfig(**modern, num_key_value_heads=2)
        ),
        "qwen2": lambda: transformers.Qwen2ForCausalLM(
            transformers.Qwen2Config(**modern, num_key_value_heads=2)
        ),
        "gpt_neox": lambda: transformers.GPTNeoXForCausalLM(transformers.GPTNeoXConfig(**modern)),
        "gpt_neox-sequential": lambda: transformers.GPTNeoXForCausalLM(
            transformers.GPTNeoXConfig(**modern, use_parallel_residual=False)
        ),
        "opt": lambda: transformers.OPTForCausalLM(transformers.OPTConfig(**opt)),
        "opt-post-norm": lambda: transformers.OPTForCausalLM(
            transformers.OPTConfig(**opt, do_layer_norm_before=False)
        ),
        "gpt2": lambda: transformers.GPT2LMHeadModel(transformers.GPT2Config(**gpt2)),
    }
    return makers[architecture]().eval()
