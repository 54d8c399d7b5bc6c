"""Training samples, queries and prompts: the records that everything else passes around."""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import pandas as pd
import pyarrow
from pyarrow import parquet

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
    """

    prompt: str
    response: str
    is_safe: bool | None = None
    categories: tuple[str, ...] = ()
    pair_id: str | None = None
    source_file: str = ""
    source_row: int = 0
    extra: str = "{}"

    @property
    def id(self) -> str:
        """Hash of prompt and response."""
        return content_id(self.prompt, self.response)


@dataclass(frozen=True)
class Query:
    """A prompt and response whose cause is sought.

    Attributes:
        prompt: What was asked.
        response: What the model answered.
        polarity: `undesirable`, or `desirable` where the answer is wanted.
        group: Name of the query batch it is attributed with; its own id where empty.
        span: Part of the response whose cause is sought, as it stands there; empty asks about all of it.
    """

    prompt: str
    response: str
    polarity: str = UNDESIRABLE
    group: str = ""
    span: str = ""

    @property
    def id(self) -> str:
        """Hash of prompt and response, and of the part that is asked about."""
        return content_id(self.prompt, self.response, *([self.span] if self.span else []))


@dataclass(frozen=True)
class Prompt:
    """A prompt that a model is to answer in an evaluation.

    Attributes:
        prompt: What is asked.
        split: `queries`, `validation` or `unseen`.
        kind: `wrong` (a good answer refuses or corrects), `benign`, or `unknown`.
        category: Name of the category, empty where unknown.
        reference: A good answer, None where there is none.
    """

    prompt: str
    split: str = "unseen"
    kind: str = "unknown"
    category: str = ""
    reference: str | None = None
    id: str = field(default="")

    def __post_init__(self) -> None:
        """Names the prompt by its content."""
        if not self.id:
            object.__setattr__(self, "id", content_id(self.prompt))


def samples_frame(samples: Iterable[Sample]) -> pd.DataFrame:
    """Lists samples as a table, one row each, first column `id`; the first of equal samples stays."""
    rows = [{"id": sample.id, **asdict(sample), "categories": list(sample.categories)} for sample in samples]
    columns = ["id", *Sample.__dataclass_fields__]
    frame = pd.DataFrame(rows, columns=columns).drop_duplicates("id", ignore_index=True)
    frame["is_safe"] = frame["is_safe"].astype("boolean")
    return frame


def read_samples(path: str | Path, *, whole: bool = True) -> pd.DataFrame:
    """Reads a samples table written by `samples_frame(...).to_parquet(path)`.

    Args:
        path: The file.
        whole: All columns; else id, prompt, response and is_safe alone, which takes a third of the time.

    Raises:
        DataError: The file is missing, broken or has no sample.
    """
    return _read_table(path, ("id", "prompt", "response", "is_safe"), "training samples", whole=whole)


def read_prompts(path: str | Path) -> pd.DataFrame:
    """Reads a prompts table with the columns of `Prompt`.

    Raises:
        DataError: The file is missing, broken or has no prompt.
    """
    return _read_table(path, ("id", "prompt", "split", "kind", "category"), "prompts")


def prompts_frame(prompts: Sequence[Prompt]) -> pd.DataFrame:
    """Lists prompts as a table, one row each; the first of equal prompts stays."""
    columns = ["id", "prompt", "split", "kind", "category", "reference"]
    frame = pd.DataFrame([asdict(prompt) for prompt in prompts], columns=columns)
    return frame.drop_duplicates("id", ignore_index=True)


def _read_table(path: str | Path, columns: tuple[str, ...], what: str, *, whole: bool = True) -> pd.DataFrame:
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
        frame = pd.read_parquet(path, columns=None if whole else list(columns))
    except (pyarrow.ArrowException, OSError, ValueError) as error:
        raise DataError(
            f"the file of {what} {path} cannot be read ({error}); create the study again or restore the file"
        ) from error
    if frame.empty:
        raise DataError(f"{path} holds no {what}; at least one is needed")
    return frame
