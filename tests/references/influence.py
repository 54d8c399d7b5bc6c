"""Slow, literal influence: everything formed densely, one sample at a time, no padding, modules named by hand."""

import torch

# Reader and writer of the two sublayers of a block, written down from the source of each architecture.
SUBLAYERS = {
    "llama": ("model.layers.{}", [("self_attn", "self_attn"), ("mlp", "mlp")]),
    "qwen2": ("model.layers.{}", [("self_attn", "self_attn"), ("mlp", "mlp")]),
    "opt": ("model.decoder.layers.{}", [("self_attn", "self_attn"), ("fc1", "fc2")]),
    "opt-post-norm": ("model.decoder.layers.{}", [("self_attn", "self_attn"), ("fc1", "fc2")]),
    "gpt2": ("transformer.h.{}", [("attn", "attn"), ("mlp", "mlp")]),
    "gpt_neox": ("gpt_neox.layers.{}", [("attention", "attention"), ("mlp", "mlp")]),
    "gpt_neox-sequential": ("gpt_neox.layers.{}", [("attention", "attention"), ("mlp", "mlp")]),
}


def modules_of(model, architecture, layers):
    """(reader, writer) of each sublayer, block by block."""
    path, pairs = SUBLAYERS[architecture]
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


def dense_solve(activation, gradient, damping, modular):
    """(A ⊗ S + λ)⁻¹ vec(g) with the dense Kronecker product; vec stacks columns, so that it is A ⊗ S."""
    dense = torch.kron(activation, gradient)
    vector = torch.linalg.solve(
        dense + damping * torch.eye(len(dense), dtype=dense.dtype), modular.T.reshape(-1)
    )
    return vector.reshape(modular.shape[1], modular.shape[0]).T
