"""Reads the small files that a person gives along with a study: influence queries and evaluation prompts."""

from pathlib import Path
from typing import Any

import pandas as pd

from lancet_core.data.adapters import FORMATS, detect_format
from lancet_core.data.conversations import SYSTEM, USER, looks_like_messages, read_messages, split_history
from lancet_core.data.labels import categories_of
from lancet_core.data.reading import Row, read_rows
from lancet_core.data.rows import MESSAGES_COLUMNS, framed, read_asked, with_known_names
from lancet_core.data.samples import DESIRABLE, UNDESIRABLE, Prompt, Query, prompts_frame
from lancet_core.errors import DataError

KINDS = ("wrong", "benign", "unknown")
SPLITS = ("queries", "validation", "unseen")

# XSTest marks each prompt by whether a safe model should answer it.
KIND_OF_LABEL = {"safe": "benign", "unsafe": "wrong"}


def load_queries(path: str | Path) -> list[Query]:
    """Reads influence queries: a prompt and an answer, or a conversation that ends with it; optional `polarity`, `group`, `span`, `category`.

    Args:
        path: A file that `read_rows` reads; each row holds one answer, in any form that training samples have.

    Returns:
        The queries in the order of the file, equal ones once.

    Raises:
        DataError: The file cannot be read, holds no query, or a row of it is wrong. One wrong row refuses the file: a
            query left out in silence would change what its batch means.
    """
    queries: dict[tuple[str, str], Query] = {}
    for row in read_rows(path):
        query = _query(path, row)
        queries.setdefault((query.id, query.group), query)
    if not queries:
        raise DataError(f"{path} holds no query; at least one row with prompt and response is needed")
    return list(queries.values())


def load_prompts(path: str | Path) -> pd.DataFrame:
    """Reads evaluation prompts: `prompt` (a text or messages) or `messages`, optional `split`, `kind`, `category` and `reference`.

    XSTest's `label` (safe, unsafe) is read as `kind` (benign, wrong).

    Args:
        path: A file that `read_rows` reads.

    Returns:
        The prompts, equal ones once, columns of `Prompt`.

    Raises:
        DataError: The file cannot be read, holds no prompt, or a row of it is wrong.
    """
    prompts = []
    for row in read_rows(path):
        prompt, history = _asked(path, row)
        label = KIND_OF_LABEL.get(str(row.values.get("label")).strip().lower())
        kind = label if label and not row.values.get("kind") else _choice(path, row, "kind", KINDS[::-1])
        split = _choice(path, row, "split", SPLITS[::-1])
        reference = row.values.get("reference") or None
        if reference is not None and not isinstance(reference, str):
            raise DataError(
                f"{path}, row {row.number}: reference is {reference!r:.60}; accepted is a text or nothing"
            )
        category = next(iter(categories_of(with_known_names(row.values))), "")
        prompts.append(Prompt(prompt, split, kind, category, reference, history=history))
    if not prompts:
        raise DataError(f"{path} holds no prompt; at least one row with the column prompt is needed")
    return prompts_frame(prompts)


def _query(path: str | Path, row: Row) -> Query:
    polarity = _choice(path, row, "polarity", (UNDESIRABLE, DESIRABLE))
    named = {name: str(row.values.get(name) or "") for name in ("group", "span")}
    values = with_known_names(row.values)
    format = None if row.problem else detect_format(values)
    if format is None:
        return Query(_required(path, row, "prompt"), _required(path, row, "response"), polarity, **named)
    try:
        samples = list(FORMATS[format](values))
    except DataError as error:
        raise DataError(f"{path}, row {row.number}: {error}") from error
    if len(samples) > 1:
        raise DataError(
            f"{path}, row {row.number}: the row holds {len(samples)} answers ({format}); a query is one prompt and one response"
        )
    (sample,) = samples
    category = next(iter(sample.categories), "")
    return Query(
        sample.prompt, sample.response, polarity, messages=sample.messages, category=category, **named
    )


def _asked(path: str | Path, row: Row) -> tuple[str, str]:
    """Reads what is to be answered: its text, and its messages as JSON where they are more than one prompt.

    Raises:
        DataError: It is neither a text nor messages that end with a question.
    """
    values = with_known_names(row.values)
    chat = next((name for name in MESSAGES_COLUMNS if looks_like_messages(values.get(name))), "")
    try:
        messages, _used = ([], set()) if row.problem else read_asked(values)
        if chat and not any(message["role"] == USER for message in messages):
            messages, _used = framed(read_messages(values[chat], chat), values)
        if any(message["role"] != SYSTEM for message in messages):
            return split_history(messages)
    except DataError as error:
        raise DataError(f"{path}, row {row.number}: {error}") from error
    return _required(path, row, "prompt"), ""


def _required(path: str | Path, row: Row, column: str) -> str:
    if row.problem:
        raise DataError(f"{path}, row {row.number}: {row.problem}")
    if column not in row.values:
        raise DataError(
            f"{path}, row {row.number}: no column {column!r}; columns found: {', '.join(map(str, row.values))}"
        )
    value: Any = row.values[column]
    if not isinstance(value, str) or not value.strip():
        raise DataError(
            f"{path}, row {row.number}: {column} is {value!r:.60}; a text that is not empty is needed"
        )
    return value


def _choice(path: str | Path, row: Row, column: str, accepted: tuple[str, ...]) -> str:
    """Reads a column with a fixed list of values; the first of them stands for an empty one."""
    value = str(row.values.get(column) or accepted[0])
    if value not in accepted:
        raise DataError(
            f"{path}, row {row.number}: {column} is {value!r:.60}; accepted are {', '.join(accepted)}"
        )
    return value
