"""Settings of language models: torch-free, so that forms and command lines can read them."""

from dataclasses import dataclass

from lancet_core.config import setting

DEFAULT_TEMPLATE = "auto"
RAW_TEMPLATE = "raw"
ENCODING = "whole"
"""Names the way in which texts become ids; part of the key of whatever is kept of them."""
DEVICES = ("auto", "cpu", "cuda")
DTYPES = ("float32", "bfloat16", "float64")


@dataclass(frozen=True)
class GenerationSettings:
    """How answers are generated."""

    max_new_tokens: int = setting(64, "Longest answer, in tokens", minimum=1, maximum=4096)
    temperature: float = setting(
        0.0,
        "0 always takes the most likely token; above 0 tokens are drawn, wilder the higher",
        minimum=0.0,
        maximum=5.0,
    )
    top_p: float = setting(
        1.0, "Draw only from the likeliest tokens that add up to this probability", minimum=0.01, maximum=1.0
    )
    seed: int = setting(0, "Seed of the drawn tokens", minimum=0)
    batch_size: int = setting(32, "Prompts answered at once", minimum=1)
