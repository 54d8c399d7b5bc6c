"""What is measured: a 12-layer, 768-wide model with random weights on random tokens, and the demo."""

import json
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import torch

from lancet_core.data.samples import Query
from lancet_core.models.encoding import Encoded, encode_all
from lancet_core.models.loading import LanguageModel, load_language_model

DEMO = Path(__file__).parents[3] / "assets" / "demo"
LAYERS, WIDTH, INNER, HEADS, VOCABULARY = 12, 768, 3072, 12, 8192
SAMPLES, TOKENS, PROMPT_TOKENS, QUERIES = 64, 128, 32, 10


@dataclass(frozen=True)
class Subject:
    """A model with the texts that are scored and the queries."""

    name: str
    lm: LanguageModel
    samples: list
    queries: list

    @property
    def tokens(self):
        return sum(len(text.input_ids) for text in self.samples)


def wide(family, dtype=torch.float32):
    """OPT or GPT-NeoX in the shape of OPT-125m and Pythia-160m, with a small vocabulary and 128 tokens of context."""
    from transformers import GPTNeoXConfig, GPTNeoXForCausalLM, OPTConfig, OPTForCausalLM

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
    texts = random_texts(SAMPLES + QUERIES)
    return Subject(f"{family}, 12 × 768, random weights", lm, texts[:SAMPLES], texts[SAMPLES:])


def random_texts(count, seed=0):
    """Random tokens of one length; the first 32 are the prompt."""
    generator = torch.Generator().manual_seed(seed)
    rows = torch.randint(3, VOCABULARY, (count, TOKENS), generator=generator)
    return [Encoded(tuple(row), PROMPT_TOKENS) for row in rows.tolist()]


def demo(count, dtype="float32"):
    """The demo's impure model with some of its samples and its first queries."""
    lm = load_language_model(str(DEMO / "impure"), device="cpu", dtype=dtype)
    rows = pd.read_parquet(DEMO / "samples.parquet").head(count)
    asked = demo_queries(QUERIES)
    encoded = encode_all(lm, list(zip(rows["prompt"], rows["response"], strict=True)))
    queries = encode_all(lm, [(query.prompt, query.response) for query in asked])
    return Subject("demo, 4 × 128", lm, encoded, queries)


def demo_queries(count):
    rows = pd.read_parquet(DEMO / "queries.parquet").head(count)
    return [Query(row.prompt, row.response) for row in rows.itertuples()]


def demo_template():
    return json.loads((DEMO / "demo.json").read_text(encoding="utf-8"))["template"]
