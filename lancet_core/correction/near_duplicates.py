"""Finds prompts that are nearly the same, so that a review queue does not ask the same thing many times."""

import math
import re
from collections import Counter, defaultdict
from collections.abc import Sequence

SIMILARITY = 0.8
FREQUENT_SHARE = 0.05
FREQUENT_COUNT = 20
_WORD = re.compile(r"\w+")


def admit_distinct(prompts: Sequence[str], limit: int) -> list[bool]:
    """Lets each prompt in unless `limit` nearly equal ones were let in before it.

    Two prompts are nearly the same when the Jaccard similarity of their word sets is at least 0.8. Words in more than 5 %
    of the prompts (and in more than 20) carry the sentence and not its content: they are not compared.

    Args:
        prompts: Prompts, the one with the first claim first.
        limit: Nearly equal prompts that may enter; 0 lets all in.

    Returns:
        One flag for each prompt, True where it enters.
    """
    if limit == 0:
        return [True] * len(prompts)
    sets, rarity = _content_words(prompts)
    entered: dict[str, list[int]] = defaultdict(list)
    flags = []
    for index, words in enumerate(sets):
        prefix = _prefix(words, rarity)
        similar = {
            other for word in prefix for other in entered[word] if _jaccard(words, sets[other]) >= SIMILARITY
        }
        flags.append(len(similar) < limit)
        if flags[-1]:
            for word in prefix:
                entered[word].append(index)
    return flags


def _content_words(prompts: Sequence[str]) -> tuple[list[frozenset[str]], Counter[str]]:
    """Word set of each prompt without the frequent words, and the number of prompts that hold each word."""
    sets = [frozenset(_WORD.findall(prompt.lower())) for prompt in prompts]
    counts = Counter(word for words in sets for word in words)
    bound = max(FREQUENT_COUNT, FREQUENT_SHARE * len(prompts))
    frequent = {word for word, count in counts.items() if count > bound}
    return [(words - frequent) or words for words in sets], counts


def _prefix(words: frozenset[str], rarity: Counter[str]) -> list[str]:
    """The rarest words of a set, of which two similar sets share at least one.

    Prefix filter of similarity joins (Chaudhuri et al. 2006): sets of Jaccard similarity t or more share a word among the
    |s| - ceil(t |s|) + 1 first words of one common order. It makes the search exact without comparing every two prompts.
    """
    ordered = sorted(words, key=lambda word: (rarity[word], word))
    return ordered[: len(ordered) - math.ceil(SIMILARITY * len(ordered)) + 1]


def _jaccard(left: frozenset[str], right: frozenset[str]) -> float:
    return len(left & right) / len(left | right) if left or right else 1.0
