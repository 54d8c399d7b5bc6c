import numpy as np
import pytest
from nltk.translate.bleu_score import SmoothingFunction, sentence_bleu
from scipy.stats import entropy as scipy_entropy

from lancet_core.errors import NumericalError
from lancet_core.evaluation import diversity

WORDS = ["yes", "no", "keep", "the", "old", "kettle", "in", "a", "barn", "."]


def random_texts(count, seed=0):
    generator = np.random.default_rng(seed)
    return [generator.choice(WORDS, size=generator.integers(1, 15)).tolist() for _ in range(count)]


def test_words_are_lower_case_word_tokens():
    assert diversity.words_of("Don't go. It's LATE!") == ["do", "n't", "go.", "it", "'s", "late", "!"]


def test_msttr_by_hand():
    # Windows of 4: a b a b has 2 types, c d e f has 4, the last short one is dropped.
    texts = [["a", "b", "a"], ["b", "c", "d", "e", "f", "g"]]
    assert diversity.msttr(texts, window=4) == pytest.approx((2 / 4 + 4 / 4) / 2)
    with pytest.raises(NumericalError, match="9 tokens; it needs at least 50"):
        diversity.msttr(texts)


def test_entropy_agrees_with_scipy():
    texts = random_texts(5)
    each = [scipy_entropy(np.unique(text, return_counts=True)[1], base=2) for text in texts]
    assert diversity.entropy(texts) == pytest.approx(np.mean(each))
    together = np.unique(np.concatenate(texts), return_counts=True)[1]
    assert diversity.corpus_entropy(texts) == pytest.approx(scipy_entropy(together, base=2))


@pytest.mark.parametrize("order", [3, 4])
def test_self_bleu_is_nltk_sentence_bleu_against_all_others(order):
    texts = random_texts(12, seed=order)
    smoothing = SmoothingFunction().method1
    each = [
        sentence_bleu(
            texts[:place] + texts[place + 1 :], text, [1 / order] * order, smoothing_function=smoothing
        )
        for place, text in enumerate(texts)
    ]
    assert diversity.self_bleu(texts, order) == pytest.approx(np.mean(each))


def test_self_bleu_is_high_where_answers_repeat():
    same = [["no", ",", "it", "is", "not", "wise"]] * 5
    assert diversity.self_bleu(same) == pytest.approx(1)
    assert diversity.distinct_share(same) == pytest.approx(0.2)


@pytest.mark.parametrize("measure", [diversity.entropy, diversity.corpus_entropy, diversity.self_bleu])
def test_answers_without_words_are_undefined(measure):
    with pytest.raises(NumericalError):
        measure([[], []])
