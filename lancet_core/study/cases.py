"""Cases: a prompt and the answer that should not have come, asked, pasted or known from the start."""

from collections.abc import Generator, Mapping, Sequence
from pathlib import Path
from typing import cast

import pandas as pd

from lancet_core.data.conversations import Asked, Message
from lancet_core.data.samples import UNDESIRABLE, Query, conversations_of, read_samples
from lancet_core.errors import DataError, StoreError
from lancet_core.models.fingerprints import check_model_folder
from lancet_core.models.settings import GenerationSettings
from lancet_core.models.token_list import TokenList
from lancet_core.runs import client
from lancet_core.store.queries import add_queries, list_queries
from lancet_core.store.studies import StudyRecord
from lancet_core.study.subjects import subject_of

TYPED = "case"
Question = Query | Sequence[str] | Sequence[Message] | Sequence[Query]
"""What may be asked about: a query, a prompt and its answer, a conversation, or several queries."""


def add_case(study: StudyRecord, prompt: str, response: str, *, polarity: str = UNDESIRABLE) -> Query:
    """Keeps a prompt and answer as a case of the study; a known one stays as it is.

    Args:
        study: The study.
        prompt: What was asked.
        response: What the model answered.
        polarity: `undesirable`, or `desirable` where the answer is wanted.

    Returns:
        The query.

    Raises:
        DataError: Prompt or response is empty.
    """
    for name, text in (("prompt", prompt), ("response", response)):
        if not text.strip():
            raise DataError(
                f"the {name} is empty; a case needs a prompt and the answer whose cause is sought"
            )
    query = Query(prompt, response, polarity)
    add_queries(study, [query], TYPED)
    return query


def list_cases(study: StudyRecord) -> pd.DataFrame:
    """Lists the queries that a person brought, newest first, in the columns of `store.queries.COLUMNS`."""
    queries = list_queries(study)
    return queries[queries["source"] == TYPED].iloc[::-1].reset_index(drop=True)


def sample_cases(study: StudyRecord, count: int = 3) -> pd.DataFrame:
    """Picks queries that came with the study to begin with: short ones, each of another category where there are enough.

    Returns:
        At most `count` rows in the columns of `store.queries.COLUMNS`, always the same ones.
    """
    queries = list_queries(study)
    queries = queries[queries["source"] != TYPED]
    length = queries["prompt"].str.len() + queries["response"].str.len()
    ordered = queries.assign(turn=queries.groupby("category").cumcount(), length=length)
    chosen = ordered.sort_values(["turn", "length"], kind="stable").head(count)
    return chosen.drop(columns=["turn", "length"]).reset_index(drop=True)


def stream_answer(
    study: StudyRecord, prompt: Asked, settings: GenerationSettings | None = None, *, model: str = ""
) -> Generator[str]:
    """Lets a model answer, piece by piece; closing the iterator stops it.

    Args:
        study: The study whose template formats the prompt.
        prompt: What is asked: a text, or messages.
        settings: Length, temperature and seed.
        model: Folder of another model than the study's, as a corrected one; empty takes the study's.

    Yields:
        Pieces of the answer.

    Raises:
        DataError: The prompt is empty.
        ModelError: The other model's folder cannot be used.
        JobError: The model host failed.
    """
    if not prompt or (isinstance(prompt, str) and not prompt.strip()):
        raise DataError("the prompt is empty; type what the model is to answer")
    if model:
        check_model_folder(Path(model).expanduser())
    yield from client.stream_answer(
        study.workspace,
        model or study.model,
        prompt=prompt,
        template=study.template,
        settings=settings or GenerationSettings(),
        how=subject_of(study).loading,
    )


def score_answer(study: StudyRecord, prompt: Asked, response: str) -> dict[str, float]:
    """Scores one answer with the scorers of the study.

    Returns:
        `harmful` and `helpful` in (0, 1), only those for which the study has a scorer.

    Raises:
        JobError: The model host failed.
        ModelError: A scorer cannot be loaded.
    """
    scorers = [folder for folder in (study.harmful_scorer, study.helpful_scorer) if folder]
    if not scorers:
        return {}
    return client.score_answer(study.workspace, scorers, prompt=prompt, response=response)


def list_tokens(study: StudyRecord, sample_id: str) -> TokenList:
    """Lists the tokens of a training sample as the model reads them, and which of them count.

    Raises:
        StoreError: The study has no such sample.
        DataError: The samples are missing.
        JobError: The model host failed.
        ModelError: The tokenizer cannot be loaded.
    """
    samples = read_samples(study.samples_file, whole=False)
    chosen = samples[samples["id"] == sample_id]
    if chosen.empty:
        raise StoreError(f"study {study.name!r} has no sample {sample_id!r}")
    (conversation,) = conversations_of(chosen)
    return client.list_tokens(study.workspace, study.model, conversation, study.template)


def as_queries(asked: Question) -> list[Query]:
    """Reads what is asked about: a query, `[prompt, response]`, messages that end with the answer, or several queries.

    Raises:
        DataError: It is none of these.
    """
    if isinstance(asked, Query):
        return [asked]
    if len(asked) == 2 and all(isinstance(text, str) for text in asked):
        return [Query(*cast(Sequence[str], asked))]
    if asked and all(isinstance(message, Mapping) for message in asked):
        return [Query.of(list(asked))]
    if asked and all(isinstance(query, Query) for query in asked):
        return list(cast(Sequence[Query], asked))
    raise DataError(
        "a query is given as Query(prompt, response), as [prompt, response], as messages that end with the answer, or as a list of "
        "queries"
    )
