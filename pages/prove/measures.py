"""What a comparison measures: the names of prompts and measures, which way is better, and how each is written."""

from collections.abc import Callable
from typing import Literal

from pages.shared.numbers import score, score_change, three

Judgement = Literal["better", "worse", "unclear"]

SPLITS = {"queries": "Queries", "unseen": "Unseen", "validation": "Validation"}
KINDS = {"wrong": "wrong prompts", "benign": "benign prompts", "unknown": "prompts"}
NAMES = {
    "harmful": "Harmful score",
    "harmful_unknown": "Harmful score, unknown categories",
    "helpful": "Helpful score",
    "c_r": "C-R, harmful minus helpful score",
    "log_probability": "Log-probability of the query's answer, nats",
    "nll": "Token NLL of good answers, nats",
    "msttr_50": "Variety of words in 50 tokens (MSTTR)",
    "msttr_100": "Variety of words in 100 tokens (MSTTR)",
    "entropy": "Entropy of an answer, bits",
    "corpus_entropy": "Entropy of all answers, bits",
    "distinct_share": "Share of distinct answers",
    "self_bleu_3": "Likeness of the answers (Self-BLEU 3)",
    "self_bleu_4": "Likeness of the answers (Self-BLEU 4)",
}
DIRECTIONS = {
    "harmful": "lower",
    "harmful_unknown": "lower",
    "helpful": "higher",
    "c_r": "lower",
    "log_probability": "lower",
    "nll": "lower",
    "msttr_50": "higher",
    "msttr_100": "higher",
    "entropy": "higher",
    "corpus_entropy": "higher",
    "distinct_share": "higher",
    "self_bleu_3": "lower",
    "self_bleu_4": "lower",
}
SCORES = {"harmful", "harmful_unknown", "helpful"}


def place(split: str, kind: str) -> str:
    """Names a set of prompts: split and kind in words."""
    return f"{SPLITS.get(split, split)}, {KINDS.get(kind, kind)}"


def name(metric: str) -> str:
    """Names a measure with its unit."""
    return NAMES.get(metric, metric.replace("_", " "))


def judge(direction: str, low: float | None, high: float | None) -> Judgement:
    """Says whether a change is better or worse; unclear where its interval holds 0, or where there is none.

    Args:
        direction: `lower` or `higher`: which way is better; empty where neither is.
        low: Lower end of the interval of the change.
        high: Upper end.
    """
    if direction not in {"lower", "higher"} or low is None or high is None:
        return "unclear"
    if high < 0:
        return "better" if direction == "lower" else "worse"
    if low > 0:
        return "better" if direction == "higher" else "worse"
    return "unclear"


def write_value(metric: str) -> Callable[[float | None], str]:
    """Returns how a value of a measure is written."""
    return score if metric in SCORES else three


def write_change(metric: str) -> Callable[[float | None], str]:
    """Returns how a change of a measure is written."""
    return score_change if metric in SCORES else three
