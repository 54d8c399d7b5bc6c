"""Slow, literal influence: everything formed densely, one sample at a time, no padding, modules named by hand."""

import torch

# Reader and writer of the two sublayers of a block, written down from the source of each architecture.
LLAMA = ("model.layers.{}", [("self_attn", "self_attn"), ("mlp", "mlp")])
OPT = ("model.decoder.layers.{}", [("self_attn", "self_attn"), ("fc1", "fc2")])
NEOX = ("gpt_neox.layers.{}", [("attention", "attention"), ("mlp", "mlp")])
GPT = ("transformer.h.{}", [("attn", "attn"), ("mlp", "mlp")])
FALCON = ("transformer.h.{}", [("self_attention", "self_attention"), ("mlp", "mlp")])
SUBLAYERS = {
    "llama": LLAMA,
    "mistral": LLAMA,
    "qwen2": LLAMA,
    "qwen3": LLAMA,
    "gemma": LLAMA,
    "gemma2": (
        "model.layers.{}",
        [("self_attn", "post_attention_layernorm"), ("mlp", "post_feedforward_layernorm")],
    ),
    "phi": LLAMA,
    "phi3": LLAMA,
    "opt": OPT,
    "opt-post-norm": OPT,
    "opt-projected": OPT,
    "gpt2": GPT,
    "gpt_neox": NEOX,
    "gpt_neox-sequential": NEOX,
    "gptj": GPT,
    "falcon": FALCON,
    "falcon-new": FALCON,
    "falcon-old": FALCON,
    "bloom": (
        "transformer.h.{}",
        [("self_attention", "self_attention.dense"), ("mlp", "mlp.dense_4h_to_h")],
    ),
    "stablelm": LLAMA,
    "stablelm-parallel": LLAMA,
    "granite": LLAMA,
    "mixtral": LLAMA,
    "qwen2_moe": LLAMA,
    "olmo2": (
        "model.layers.{}",
        [("self_attn", "post_attention_layernorm"), ("mlp", "post_feedforward_layernorm")],
    ),
    "olmoe": LLAMA,
}


def modules_of(model, architecture, layers):
    """(reader, writer) of each sublayer, block by block; of a model in LoRA those of the model inside."""
    path, pairs = SUBLAYERS[architecture]
    model = model.get_base_model() if hasattr(model, "get_base_model") else model
    blocks = [model.get_submodule(path.format(number)) for number in range(layers)]
    return [
        (block.get_submodule(reader), block.get_submodule(writer))
        for block in blocks
        for reader, writer in pairs
    ]


def log_likelihood(model, text):
    """Σ log p of the response tokens of one text, by a loop."""
    logits = model(input_ids=torch.tensor([text.input_ids])).logits[0]
    terms = [
        logits[place - 1].log_softmax(0)[text.input_ids[place]]
        for place in range(text.response_start, len(text.input_ids))
    ]
    return sum(terms)


def modular_gradients(model, modules, text):
    """∂ℓ/∂Z at Z = 0, where Z·a is added to what each sublayer writes."""
    weights, handles, seen = [], [], {}
    for number, (reader, writer) in enumerate(modules):
        width = model.config.hidden_size
        Z = torch.zeros(width, width, dtype=torch.float64, requires_grad=True)
        weights.append(Z)

        def read(_module, arguments, keywords, number=number):
            seen[number] = next(
                v for v in (*arguments, *keywords.values()) if torch.is_tensor(v) and v.is_floating_point()
            )

        def write(_module, _arguments, output, number=number, Z=Z):
            added = seen[number] @ Z.T
            return (output[0] + added, *output[1:]) if isinstance(output, tuple) else output + added

        handles += [
            reader.register_forward_pre_hook(read, with_kwargs=True),
            writer.register_forward_hook(write),
        ]
    try:
        return torch.autograd.grad(log_likelihood(model, text), weights)
    finally:
        for handle in handles:
            handle.remove()


def linear_gradients(model, linears, text):
    """∂ℓ/∂W of linear layers, shape (outputs, inputs), with ∂ℓ/∂b as a last column where there is a bias."""
    owned = [[module.weight] + ([] if module.bias is None else [module.bias]) for module in linears]
    parameters = [parameter for pair in owned for parameter in pair]
    trained = [parameter.requires_grad for parameter in parameters]
    for parameter in parameters:
        parameter.requires_grad_(True)
    try:
        found = iter(torch.autograd.grad(log_likelihood(model, text), parameters))
    finally:
        for parameter, required in zip(parameters, trained, strict=True):
            parameter.requires_grad_(required)
    gradients = []
    for module, pair in zip(linears, owned, strict=True):
        # A Conv1D of transformers, unlike nn.Linear, keeps its weight as (inputs, outputs).
        weight = next(found) if isinstance(module, torch.nn.Linear) else next(found).T
        gradients.append(torch.cat([weight, *(next(found)[:, None] for _ in pair[1:])], dim=1))
    return gradients


def dense_solve(activation, gradient, damping, modular):
    """(A ⊗ S + λ)⁻¹ vec(g) with the dense Kronecker product; vec stacks columns, so that it is A ⊗ S."""
    dense = torch.kron(activation, gradient)
    vector = torch.linalg.solve(
        dense + damping * torch.eye(len(dense), dtype=dense.dtype), modular.T.reshape(-1)
    )
    return vector.reshape(modular.shape[1], modular.shape[0]).T
