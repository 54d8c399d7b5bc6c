"""What is measured: a 12-layer, 768-wide model with random weights on random tokens, and the demo."""

from dataclasses import dataclass

import pandas as pd
import torch
from transformers import GPTNeoXConfig, GPTNeoXForCausalLM, OPTConfig, OPTForCausalLM

from lancet_core.data.conversations import exchanges
from lancet_core.data.samples import Query
from lancet_core.models.encoding import Encoded, encode_all, usable
from lancet_core.models.loading import LanguageModel, load_language_model
from lancet_core.study.demo import read_assets

LAYERS, WIDTH, INNER, HEADS, VOCABULARY = 12, 768, 3072, 12, 8192
SAMPLES, TOKENS, PROMPT_TOKENS, QUERIES = 64, 128, 32, 10


@dataclass(frozen=True)
class Subject:
    """A model with the texts that are scored and the queries."""

    name: str
    lm: LanguageModel
    samples: list[Encoded]
    queries: list[Encoded]


def wide(family: str, dtype: torch.dtype = torch.float32) -> Subject:
    """Makes an OPT or GPT-NeoX in the shape of OPT-125m and Pythia-160m, with a small vocabulary and 128 tokens of context."""
    sizes = {
        "vocab_size": VOCABULARY,
        "hidden_size": WIDTH,
        "num_hidden_layers": LAYERS,
        "num_attention_heads": HEADS,
        "max_position_embeddings": TOKENS,
    }
    with torch.random.fork_rng():
        torch.manual_seed(0)
        if family == "opt":
            model = OPTForCausalLM(OPTConfig(**sizes, ffn_dim=INNER, word_embed_proj_dim=WIDTH, dropout=0.0))
        else:
            model = GPTNeoXForCausalLM(GPTNeoXConfig(**sizes, intermediate_size=INNER))
    model = model.to(dtype).eval()
    lm = LanguageModel(model, None, "", torch.device("cpu"), TOKENS, "random weights")
    generator = torch.Generator().manual_seed(0)
    rows = torch.randint(3, VOCABULARY, (SAMPLES + QUERIES, TOKENS), generator=generator)
    texts = [Encoded(tuple(row), PROMPT_TOKENS) for row in rows.tolist()]
    return Subject(f"{family}, 12 × 768, random weights", lm, texts[:SAMPLES], texts[SAMPLES:])


def demo(count: int, dtype: str = "float32") -> Subject:
    """Gives the demo's impure model with some of its samples and its first queries."""
    assets = read_assets()
    lm = load_language_model(str(assets.path("model")), device="cpu", dtype=dtype)
    rows = pd.read_parquet(assets.path("samples")).head(count)
    query_pairs = [(query.prompt, query.response) for query in demo_queries(QUERIES)]
    samples, queries = (
        usable(encode_all(lm, exchanges(pairs)))
        for pairs in (list(zip(rows["prompt"], rows["response"], strict=True)), query_pairs)
    )
    return Subject("demo, 4 × 128", lm, samples, queries)


def demo_queries(count: int) -> list[Query]:
    """The first of the demo's mined queries."""
    rows = pd.read_parquet(read_assets().path("queries")).head(count)
    return [
        Query(prompt, response) for prompt, response in zip(rows["prompt"], rows["response"], strict=True)
    ]
