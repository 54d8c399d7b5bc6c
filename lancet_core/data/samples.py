"""Training samples, queries and prompts: the records that everything else passes around."""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow
from pyarrow import parquet

from lancet_core.data.conversations import (
    ASSISTANT,
    LAST,
    Conversation,
    as_json,
    conversation_of,
    read_messages,
    split_messages,
)
from lancet_core.errors import DataError

UNDESIRABLE = "undesirable"
DESIRABLE = "desirable"


def content_id(*texts: str) -> str:
    """Hashes texts to the 16 hexadecimal digits that name a sample, query or pair."""
    return hashlib.sha256("\x1f".join(texts).encode()).hexdigest()[:16]


def corpus_id(ids: Iterable[str]) -> str:
    """Hashes the ids of training samples, in order, to the 16 hexadecimal digits that name them all."""
    return hashlib.sha256("".join(ids).encode()).hexdigest()[:16]


@dataclass(frozen=True)
class Sample:
    """A prompt and response that the model was fine-tuned on.

    Attributes:
        prompt: What was asked; may be a whole dialogue.
        response: What was answered.
        is_safe: Label of the data set, None where it has none.
        categories: Names of the harm categories, empty where unknown.
        pair_id: Joins the two samples of one preference row.
        source_file: File the row was read from.
        source_row: Row number in it, counted from 1.
        extra: Columns that were read and not used, as JSON text.
        messages: The whole conversation as JSON where it is more than one prompt and its response, else empty.
        turns: Which of the assistant's turns count: `last` or `all`.
    """

    prompt: str
    response: str
    is_safe: bool | None = None
    categories: tuple[str, ...] = ()
    pair_id: str | None = None
    source_file: str = ""
    source_row: int = 0
    extra: str = "{}"
    messages: str = ""
    turns: str = LAST

    @property
    def id(self) -> str:
        """Hash of prompt and response, or of the whole conversation."""
        return content_id(*([self.messages] if self.messages else [self.prompt, self.response]))


@dataclass(frozen=True)
class Query:
    """A prompt and response whose cause is sought.

    Attributes:
        prompt: What was asked.
        response: What the model answered.
        polarity: `undesirable`, or `desirable` where the answer is wanted.
        group: Name of the query batch it is attributed with; its own id where empty.
        span: Part of the response whose cause is sought, as it stands there; empty asks about all of it.
        messages: The whole conversation as JSON where it is more than one prompt and its response, else empty.
        category: Name of its category, empty where unknown.
    """

    prompt: str
    response: str
    polarity: str = UNDESIRABLE
    group: str = ""
    span: str = ""
    messages: str = ""
    category: str = ""

    @classmethod
    def of(cls, messages: Any, **fields: str) -> "Query":
        """Makes a query of a conversation whose last message is the answer; further fields by name.

        Raises:
            DataError: It is no list of messages that ends with an answer of the assistant.
        """
        read = read_messages(messages)
        prompt, response, whole = split_messages(read)
        if read[-1]["role"] != ASSISTANT:
            raise DataError(
                f"the conversation ends with a message of the {read[-1]['role']}; its last message is to be the answer whose cause "
                "is sought"
            )
        return cls(prompt, response, messages=whole, **fields)

    @property
    def id(self) -> str:
        """Hash of prompt and response, or of the whole conversation, and of the part that is asked about."""
        texts = [self.messages] if self.messages else [self.prompt, self.response]
        return content_id(*texts, *([self.span] if self.span else []))

    @property
    def conversation(self) -> Conversation:
        """The conversation whose last answer is asked about."""
        return conversation_of(self.prompt, self.response, self.messages)

    @property
    def history(self) -> str:
        """What stands before the answer as JSON messages where it is more than one prompt, else empty."""
        return as_json(self.conversation.messages[:-1]) if self.messages else ""


@dataclass(frozen=True)
class Prompt:
    """A prompt that a model is to answer in an evaluation.

    Attributes:
        prompt: What is asked; of a conversation all turns as one text.
        split: `queries`, `validation` or `unseen`.
        kind: `wrong` (a good answer refuses or corrects), `benign`, or `unknown`.
        category: Name of the category, empty where unknown.
        reference: A good answer, None where there is none.
        id: Its name; made of its content unless it is given.
        history: The messages to be answered as JSON where they are more than one prompt, else empty.
    """

    prompt: str
    split: str = "unseen"
    kind: str = "unknown"
    category: str = ""
    reference: str | None = None
    id: str = field(default="")
    history: str = ""

    def __post_init__(self) -> None:
        """Names the prompt by its content."""
        if not self.id:
            object.__setattr__(self, "id", content_id(self.history or self.prompt))


def samples_frame(samples: Iterable[Sample]) -> pd.DataFrame:
    """Lists samples as a table, one row each, first column `id`; the first of equal samples stays."""
    rows = [{"id": sample.id, **vars(sample), "categories": list(sample.categories)} for sample in samples]
    columns = ["id", *Sample.__dataclass_fields__]
    frame = pd.DataFrame(rows, columns=columns).drop_duplicates("id", ignore_index=True)
    frame["is_safe"] = frame["is_safe"].astype("boolean")
    return frame


def read_samples(path: str | Path, *, whole: bool = True) -> pd.DataFrame:
    """Reads a samples table written by `samples_frame(...).to_parquet(path)`.

    Args:
        path: The file.
        whole: All columns; else id, prompt, response, is_safe and messages alone, which takes a third of the time.

    Raises:
        DataError: The file is missing, broken or has no sample.
    """
    needed = ("id", "prompt", "response", "is_safe")
    return _read_table(path, needed, "training samples", whole=whole, added={"messages": "", "turns": LAST})


def conversations_of(samples: pd.DataFrame) -> list[Conversation]:
    """Gives samples as conversations, in the order of their rows."""
    columns = (samples[name] for name in ("prompt", "response", "messages", "turns"))
    return [conversation_of(*values) for values in zip(*columns, strict=True)]


def count_characters(samples: pd.DataFrame) -> int:
    """Counts the characters of all texts: how long reading them takes goes by it, before they are tokens."""
    alone = samples["messages"] == ""
    texts = samples["messages"].where(~alone, samples["prompt"] + samples["response"])
    return int(texts.str.len().sum())


def read_prompts(path: str | Path) -> pd.DataFrame:
    """Reads a prompts table with the columns of `Prompt`.

    Raises:
        DataError: The file is missing, broken or has no prompt.
    """
    return _read_table(path, ("id", "prompt", "split", "kind", "category"), "prompts", added={"history": ""})


def prompts_frame(prompts: Sequence[Prompt]) -> pd.DataFrame:
    """Lists prompts as a table, one row each; the first of equal prompts stays."""
    columns = ["id", "prompt", "split", "kind", "category", "reference", "history"]
    frame = pd.DataFrame([asdict(prompt) for prompt in prompts], columns=columns)
    return frame.drop_duplicates("id", ignore_index=True)


def _read_table(
    path: str | Path,
    columns: tuple[str, ...],
    what: str,
    *,
    whole: bool = True,
    added: Mapping[str, str] = {},
) -> pd.DataFrame:
    """Reads a table; columns that older versions did not write are added with the value that stands for none."""
    if not Path(path).is_file():
        raise DataError(
            f"the file of {what} {path} does not exist; create the study again or restore the file"
        )
    try:
        present = parquet.read_schema(path).names
        missing = [column for column in columns if column not in present]
        if missing:
            raise DataError(
                f"{path} has no column {missing[0]!r}; its columns are {', '.join(present)}; create the study again"
            )
        known = [*columns, *(column for column in added if column in present)]
        frame = pd.read_parquet(path, columns=None if whole else known)
    except (pyarrow.ArrowException, OSError, ValueError) as error:
        raise DataError(
            f"the file of {what} {path} cannot be read ({error}); create the study again or restore the file"
        ) from error
    if frame.empty:
        raise DataError(f"{path} holds no {what}; at least one is needed")
    return frame.assign(**{column: value for column, value in added.items() if column not in frame})
