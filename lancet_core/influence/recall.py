"""Recall by words: choosing candidates by TF-IDF or BM25 before exact scoring. Torch-free."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from lancet_core.data.samples import Query
from lancet_core.errors import DataError
from lancet_core.influence.methods import BM25
from lancet_core.influence.words import words_of


@dataclass(frozen=True)
class TfidfIndex:
    """Training samples as TF-IDF vectors of unit length.

    Attributes:
        vectorizer: A fitted scikit-learn `TfidfVectorizer`.
        matrix: Sparse matrix of shape (samples, words).
        text: Which text is compared, `prompt+response` or `prompt`.
    """

    vectorizer: Any
    matrix: Any
    text: str


def build_tfidf(samples: pd.DataFrame, text: str = "prompt+response") -> TfidfIndex:
    """Fits TF-IDF on training samples: words of any length (characters in scripts without spaces), lower case, 1 + log of counts, cosine length.

    Args:
        samples: Columns `prompt` and `response`.
        text: `prompt+response` or `prompt`.

    Raises:
        DataError: The samples hold no word.
    """
    from sklearn.feature_extraction.text import TfidfVectorizer

    vectorizer = TfidfVectorizer(sublinear_tf=True, analyzer=words_of, dtype=np.float32)
    try:
        matrix = vectorizer.fit_transform(_texts(list(samples["prompt"]), list(samples["response"]), text))
    except ValueError as error:
        raise DataError(
            f"the training samples hold no word that TF-IDF could compare ({error}); set recall to all to score every one"
        ) from error
    return TfidfIndex(vectorizer, matrix, text)


def similarities(index: TfidfIndex, queries: Sequence[tuple[str, str]]) -> NDArray[np.float64]:
    """Cosine similarity of queries and samples, shape (queries, samples), between 0 and 1.

    Args:
        index: Training samples.
        queries: Prompt and response of each query.
    """
    prompts, responses = zip(*queries, strict=True)
    vectors = index.vectorizer.transform(_texts(prompts, responses, index.text))
    return np.asarray((vectors @ index.matrix.T).toarray(), dtype=np.float64)


def bm25_scores(
    samples: pd.DataFrame, queries: Sequence[tuple[str, str]], text: str = "prompt+response"
) -> NDArray[np.float64]:
    """Okapi BM25 of samples for queries, with the parameters of Lucene; shape (queries, samples), 0 without a common word.

    Args:
        samples: Columns `prompt` and `response`.
        queries: Prompt and response of each query.
        text: `prompt+response` or `prompt`.

    Raises:
        DataError: The samples hold no word.
    """
    import bm25s

    corpus = [words_of(text) for text in _texts(list(samples["prompt"]), list(samples["response"]), text)]
    if not any(corpus):
        raise DataError(
            "the training samples hold no word that BM25 could compare; set recall to all to score every one"
        )
    index = bm25s.BM25()
    index.index(corpus, show_progress=False)
    asked, answered = zip(*queries, strict=True)
    vocabulary = set(index.vocab_dict)
    rows = [
        [word for word in words_of(query) if word in vocabulary] for query in _texts(asked, answered, text)
    ]
    scores = [index.get_scores(row) if row else np.zeros(len(samples)) for row in rows]
    return np.stack(scores).astype(np.float64)


def word_similarities(
    kind: str, samples: pd.DataFrame, queries: Sequence[Query], *, text: str
) -> NDArray[np.float64]:
    """Similarity of queries and samples by words, shape (queries, samples), 0 without a common word.

    Args:
        kind: `tfidf` or `bm25`.
        samples: Columns `prompt` and `response`.
        queries: The queries.
        text: `prompt+response` or `prompt`.

    Raises:
        DataError: The samples hold no word.
    """
    texts = [(query.prompt, query.response) for query in queries]
    if kind == BM25:
        return bm25_scores(samples, texts, text)
    return similarities(build_tfidf(samples, text), texts)


def most_similar(similarity: NDArray[np.float64], count: int) -> NDArray[np.int64]:
    """Chooses a query's candidates: the most similar samples that share a word with it.

    Args:
        similarity: Similarity of the query to each sample, shape (samples,).
        count: Candidates wanted.

    Returns:
        Indices of samples, most similar first; fewer than `count` where fewer share a word. The first of equals comes first.

    Raises:
        DataError: No sample shares a word with the query.
    """
    order = np.argsort(-similarity, kind="stable")[:count]
    chosen = order[similarity[order] > 0]
    if not len(chosen):
        raise DataError(
            "no training sample shares a word with the query, so there is no candidate; set recall to all to score every one"
        )
    return chosen


def _texts(prompts: Sequence[str], responses: Sequence[str], text: str) -> list[str]:
    if text == "prompt":
        return list(prompts)
    return [f"{prompt} {response}" for prompt, response in zip(prompts, responses, strict=True)]
