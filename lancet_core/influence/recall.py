"""Recall: choosing candidates by TF-IDF before exact scoring. Torch-free."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from lancet_core.errors import DataError

RECALL_TEXTS = ("prompt+response", "prompt")


@dataclass(frozen=True)
class TfidfIndex:
    """Training samples as TF-IDF vectors of unit length.

    Attributes:
        vectorizer: A fitted scikit-learn `TfidfVectorizer`.
        matrix: Sparse matrix of shape (samples, words).
        text: Which text is compared, one of `RECALL_TEXTS`.
    """

    vectorizer: Any
    matrix: Any
    text: str


def build_tfidf(samples: pd.DataFrame, text: str = "prompt+response") -> TfidfIndex:
    """Fits TF-IDF on training samples: words of any length, lower case, 1 + log of counts, cosine length.

    Args:
        samples: Columns `prompt` and `response`.
        text: `prompt+response` or `prompt`.

    Raises:
        DataError: The samples hold no word.
    """
    from sklearn.feature_extraction.text import TfidfVectorizer

    vectorizer = TfidfVectorizer(sublinear_tf=True, token_pattern=r"(?u)\b\w+\b", dtype=np.float32)
    try:
        matrix = vectorizer.fit_transform(_texts(list(samples["prompt"]), list(samples["response"]), text))
    except ValueError as error:
        raise DataError(
            f"the training samples hold no word that TF-IDF could compare ({error}); set recall to 0 to score all of them"
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


def most_similar(similarity: NDArray[np.float64], count: int) -> NDArray[np.int64]:
    """Chooses a query's candidates: the most similar samples that share a word with it.

    Args:
        similarity: Similarity of the query to each sample, shape (samples,).
        count: Candidates wanted; 0 takes all samples, similar or not.

    Returns:
        Indices of samples, most similar first; fewer than `count` where fewer share a word. The first of equals comes first.

    Raises:
        DataError: No sample shares a word with the query.
    """
    if count == 0:
        return np.arange(len(similarity))
    order = np.argsort(-similarity, kind="stable")[:count]
    chosen = order[similarity[order] > 0]
    if not len(chosen):
        raise DataError(
            "no training sample shares a word with the query, so there is no candidate; set recall to 0 to score all of them"
        )
    return chosen


def _texts(prompts: Sequence[str], responses: Sequence[str], text: str) -> list[str]:
    if text == "prompt":
        return list(prompts)
    return [f"{prompt} {response}" for prompt, response in zip(prompts, responses, strict=True)]
