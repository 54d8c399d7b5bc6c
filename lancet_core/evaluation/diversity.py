"""How varied a set of answers is: MSTTR, entropy, Self-BLEU, share of distinct answers.

Tokens are nltk's word tokens in lower case. A model that gives one answer to everything can look harmless; these numbers show it.
"""

import math
from collections import Counter
from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np

from lancet_core.errors import NumericalError

SMOOTHING_EPSILON = 0.1
Words = Sequence[str]


def words_of(text: str) -> list[str]:
    """Splits a text into nltk word tokens in lower case."""
    return [word.lower() for word in _tokenizer().tokenize(text)]


@cache
def _tokenizer() -> Any:
    from nltk.tokenize import NLTKWordTokenizer  # takes a second, and the list of acts needs none of it

    return NLTKWordTokenizer()


def msttr(texts: Sequence[Words], window: int = 50) -> float:
    """Mean segmental type-token ratio: distinct words of a window divided by its length, over windows that do not overlap.

    Args:
        texts: Word tokens of each answer; they are read as one text, in order, and the last short window is dropped.
        window: Tokens in a window.

    Returns:
        A ratio in (0, 1].

    Raises:
        NumericalError: The texts together are shorter than one window.
    """
    tokens = [word for text in texts for word in text]
    if len(tokens) < window:
        raise NumericalError(
            f"MSTTR-{window} is undefined on {len(tokens)} tokens; it needs at least {window}"
        )
    starts = range(0, len(tokens) - window + 1, window)
    return float(np.mean([len(set(tokens[start : start + window])) / window for start in starts]))


def entropy(texts: Sequence[Words]) -> float:
    """Unigram entropy of each answer in bits, averaged over the answers that hold a word.

    Raises:
        NumericalError: No answer holds a word.
    """
    values = [_bits(Counter(text)) for text in texts if text]
    if not values:
        raise NumericalError(f"the entropy of {len(texts)} answers without a word is undefined")
    return float(np.mean(values))


def corpus_entropy(texts: Sequence[Words]) -> float:
    """Unigram entropy of all answers together, in bits.

    Raises:
        NumericalError: No answer holds a word.
    """
    counts = Counter(word for text in texts for word in text)
    if not counts:
        raise NumericalError(f"the entropy of {len(texts)} answers without a word is undefined")
    return _bits(counts)


def distinct_share(texts: Sequence[Words]) -> float:
    """Different answers divided by all answers.

    Raises:
        NumericalError: There is no answer.
    """
    if not texts:
        raise NumericalError("the share of distinct answers is undefined where there is none")
    return len({tuple(text) for text in texts}) / len(texts)


def self_bleu(texts: Sequence[Words], order: int = 3, *, seed: int = 0, sample: int = 500) -> float:
    """BLEU of each answer against all others, averaged; high where answers repeat each other.

    Equal to nltk's `sentence_bleu` with uniform weights and smoothing method 1. The largest count of each n-gram over the other
    answers is looked up instead of counted anew, so that the cost grows with the number of answers and not with its square.

    Args:
        texts: Word tokens of each answer.
        order: Longest n-gram.
        seed: Seed of the sample.
        sample: Answers that are compared; a seeded sample is drawn from more.

    Returns:
        A number in [0, 1].

    Raises:
        NumericalError: Fewer than two answers hold a word.
    """
    full = [list(text) for text in texts if text]
    if len(full) < 2:
        raise NumericalError(f"Self-BLEU is undefined on {len(full)} answers with words; it needs two")
    if len(full) > sample:
        chosen = np.random.default_rng(seed).choice(len(full), size=sample, replace=False)
        full = [full[index] for index in sorted(chosen)]
    counts = [[_ngrams(text, size) for text in full] for size in range(1, order + 1)]
    largest = [_two_largest(level) for level in counts]
    lengths = [len(text) for text in full]
    return float(np.mean([_bleu(index, counts, largest, lengths) for index in range(len(full))]))


def _bits(counts: Counter[str]) -> float:
    shares = np.array(list(counts.values()), dtype=np.float64) / counts.total()
    return float(-(shares * np.log2(shares)).sum())


def _ngrams(text: Words, size: int) -> Counter[tuple[str, ...]]:
    return Counter(tuple(text[start : start + size]) for start in range(len(text) - size + 1))


def _two_largest(level: list[Counter[tuple[str, ...]]]) -> dict[tuple[str, ...], tuple[int, int, int]]:
    """Maps each n-gram to its largest count, the answer that has it, and the largest count of the others."""
    largest: dict[tuple[str, ...], tuple[int, int, int]] = {}
    for index, counts in enumerate(level):
        for ngram, count in counts.items():
            first, owner, second = largest.get(ngram, (0, -1, 0))
            if count > first:
                largest[ngram] = (count, index, first)
            elif count > second:
                largest[ngram] = (first, owner, count)
    return largest


def _bleu(
    index: int,
    counts: list[list[Counter[tuple[str, ...]]]],
    largest: list[dict[tuple[str, ...], tuple[int, int, int]]],
    lengths: list[int],
) -> float:
    """BLEU of one answer against all others."""
    logs: list[float] = []
    for level, best in zip(counts, largest, strict=True):
        mine = level[index]
        matched = 0
        for ngram, count in mine.items():
            first, owner, second = best[ngram]
            matched += min(count, second if owner == index else first)
        if matched == 0 and not logs:
            return 0.0
        logs.append(math.log((matched or SMOOTHING_EPSILON) / max(1, mine.total())))
    length = lengths[index]
    closest = min((abs(other - length), other) for place, other in enumerate(lengths) if place != index)[1]
    penalty = 1.0 if length > closest else math.exp(1 - closest / length)
    return penalty * math.exp(sum(logs) / len(logs))
