"""Turns the rows of known data sets into training samples.

| format | columns | note |
|---|---|---|
| `plain` | `prompt`, `response` | or `instruction` (with `input`) and `output`, or chat `messages`; `is_safe`, `category` optional |
| `beavertails` | `prompt`, `response`, `is_safe`, `category` | category is a table of 14 yes/no values; some copies lack it |
| `hh` | `chosen`, `rejected` | whole dialogues: two samples for each row, label unknown |

A row that cannot be used is rejected with its number and the reason; the others are kept.
"""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from lancet_core.data.reading import Row, read_rows
from lancet_core.data.samples import Sample, content_id, samples_frame
from lancet_core.errors import DataError

AUTO = "auto"
ANSWER_MARK = "\n\nAssistant:"
QUESTION_MARK = "\n\nHuman:"
LABELS = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False, "": None}

# Columns that name the prompt and the response in plain files, first match wins.
PLAIN_COLUMNS = (("prompt", "response"), ("instruction", "output"), ("messages",))


@dataclass(frozen=True)
class Rejected:
    """A row that cannot be used.

    Attributes:
        row: Row number in the file, counted from 1.
        reason: What is wrong with it.
    """

    row: int
    reason: str


@dataclass(frozen=True)
class Loaded:
    """Training samples read from a file.

    Attributes:
        frame: The samples, one row each, columns of `samples_frame`.
        rejected: Rows that cannot be used.
        format: Name of the adapter that read them.
        rows: Rows in the file.
        duplicates: Samples left out because an equal one stands before them.
    """

    frame: pd.DataFrame
    rejected: list[Rejected]
    format: str
    rows: int
    duplicates: int


def load_samples(path: str | Path, format: str = AUTO) -> Loaded:
    """Reads training samples from a file.

    Args:
        path: A file that `read_rows` reads.
        format: Name of an adapter, or `auto` to detect it by the columns.

    Returns:
        The samples that can be used, and the rows that cannot.

    Raises:
        DataError: The file cannot be read, its columns fit no adapter, or no row can be used.
    """
    rows = list(read_rows(path))
    chosen = _choose_format(path, rows, format)
    samples: list[Sample] = []
    rejected: list[Rejected] = []
    for row in rows:
        try:
            samples.extend(_samples_of(row, adapter=ADAPTERS[chosen], file_name=Path(path).name))
        except DataError as error:
            rejected.append(Rejected(row.number, str(error)))
    if not samples:
        first = f"; first: row {rejected[0].row}: {rejected[0].reason}" if rejected else ""
        raise DataError(
            f"{path} (format {chosen}) holds no row that can be used: {len(rejected)} of {len(rows)} rows "
            f"were rejected{first}"
        )
    frame = samples_frame(samples)
    return Loaded(frame, rejected, chosen, len(rows), len(samples) - len(frame))


def detect_format(row: Mapping[str, Any]) -> str | None:
    """Names the adapter that fits the columns of a row, None where none does."""
    if {"chosen", "rejected"} <= set(row):
        return "hh"
    if {"prompt", "response", "is_safe"} <= set(row) and isinstance(row.get("category"), Mapping):
        return "beavertails"
    return "plain" if _plain_columns(row) else None


def _choose_format(path: str | Path, rows: list[Row], format: str) -> str:
    if format != AUTO and format not in ADAPTERS:
        raise DataError(f"unknown format {format!r}; accepted are {AUTO}, {', '.join(ADAPTERS)}")
    if not rows:
        raise DataError(f"{path} is empty; at least one row is needed")
    readable = [row for row in rows if not row.problem]
    if not readable:
        raise DataError(f"{path}: {rows[0].problem}; no row of {len(rows)} can be read")
    if format != AUTO:
        return format
    detected = next((name for row in readable if (name := detect_format(row.values))), None)
    if detected is None:
        raise DataError(
            f"{path} has the columns {', '.join(map(str, readable[0].values)) or '(none)'}; accepted are prompt and "
            "response, instruction and output, messages (plain), prompt, response, is_safe and category "
            "(beavertails), or chosen and rejected (hh); rename the columns"
        )
    return detected


def _samples_of(
    row: Row, *, adapter: Callable[[Mapping[str, Any]], Iterable[Sample]], file_name: str
) -> Iterator[Sample]:
    """Makes the samples of one row and notes where they were read."""
    if row.problem:
        raise DataError(row.problem)
    for sample in list(adapter(row.values)):
        yield Sample(**{**sample.__dict__, "source_file": file_name, "source_row": row.number})


def read_plain(row: Mapping[str, Any]) -> Iterator[Sample]:
    """Reads a row as users bring it: `{"prompt": "Is tea warm?", "response": "Yes.", "is_safe": true, "category": "food"}`.

    Raises:
        DataError: A column is missing or no text.
    """
    columns = _plain_columns(row)
    if not columns:
        raise DataError(_missing_column(row, "prompt", "response"))
    if columns == ("messages",):
        prompt, response = _last_turn(row["messages"])
    else:
        prompt, response = (_text(row, column) for column in columns)
        if columns[0] == "instruction" and row.get("input"):
            prompt = f"{prompt}\n\n{_text(row, 'input')}"
    used = {
        *columns,
        "is_safe",
        "category",
        "categories",
        *(("input",) if columns[0] == "instruction" else ()),
    }
    yield Sample(
        prompt,
        response,
        is_safe=_label(row.get("is_safe")),
        categories=_categories(row.get("categories") if row.get("category") is None else row.get("category")),
        extra=_extra(row, used),
    )


def read_beavertails(row: Mapping[str, Any]) -> Iterator[Sample]:
    """Reads `{"prompt": "…", "response": "…", "category": {"animal_abuse": false, …}, "is_safe": true}`.

    Raises:
        DataError: A column is missing or no text, or the label is missing.
    """
    for column in ("prompt", "response", "is_safe"):
        if column not in row:
            raise DataError(_missing_column(row, "prompt", "response", "is_safe", "category"))
    label = _label(row["is_safe"])
    if label is None:
        raise DataError("is_safe is empty; accepted are true and false")
    yield Sample(
        _text(row, "prompt"),
        _text(row, "response"),
        is_safe=label,
        categories=_categories(row.get("category")),
        extra=_extra(row, {"prompt", "response", "is_safe", "category"}),
    )


def read_hh(row: Mapping[str, Any]) -> Iterator[Sample]:
    r"""Reads Anthropic's `{"chosen": "\n\nHuman: …\n\nAssistant: …", "rejected": "\n\nHuman: …\n\nAssistant: …"}`.

    Each side is split at its own last "\n\nAssistant:", since some rows have different prompts on their two sides.
    The label stays unknown: *chosen* means preferred, not safe.

    Raises:
        DataError: A side is missing, no text, or no dialogue that ends with an answer.
    """
    for side in ("chosen", "rejected"):
        if side not in row:
            raise DataError(_missing_column(row, "chosen", "rejected"))
    pair_id = content_id(_text(row, "chosen"), _text(row, "rejected"))
    for side in ("chosen", "rejected"):
        prompt, response = split_dialogue(row[side], side)
        extra = json.dumps({"side": side, **json.loads(_extra(row, {"chosen", "rejected"}))})
        yield Sample(prompt, response, pair_id=pair_id, extra=extra)


def split_dialogue(dialogue: str, name: str) -> tuple[str, str]:
    r"""Splits a dialogue after its last "\n\nAssistant:".

    Args:
        dialogue: Turns that begin "\n\nHuman:" and "\n\nAssistant:".
        name: What to call it in an error.

    Returns:
        The prompt, its mark included, and the response as it stands (most begin with one space).

    Raises:
        DataError: There is no answer mark, no question, or an empty response.
    """
    before, mark, response = dialogue.rpartition(ANSWER_MARK)
    if not mark:
        raise DataError(f"{name} holds no turn that begins {ANSWER_MARK!r}")
    if not before.removeprefix(QUESTION_MARK).strip():
        raise DataError(f"{name} has an empty prompt")
    if not response.strip():
        raise DataError(f"{name} has an empty response")
    return before + mark, response


def _plain_columns(row: Mapping[str, Any]) -> tuple[str, ...]:
    return next((columns for columns in PLAIN_COLUMNS if set(columns) <= set(row)), ())


def _last_turn(messages: Any) -> tuple[str, str]:
    """Splits chat messages into what stands before the last answer, and that answer.

    Turns before the last question are written in the default template's own marks.

    Raises:
        DataError: The messages are malformed, or do not end with a question and its answer.
    """
    if not isinstance(messages, list) or not all(_is_message(message) for message in messages):
        raise DataError("messages is no list of {role, content} with texts")
    if len(messages) < 2 or messages[-1]["role"] != "assistant" or messages[-2]["role"] != "user":
        raise DataError("messages does not end with one of the user and one of the assistant")
    prompt = ""
    for message in messages[:-1]:
        mark = {"user": QUESTION_MARK, "assistant": ANSWER_MARK}.get(message["role"], "")
        prompt += f"{mark} {message['content']}" if mark else f"{message['content']}"
    response = messages[-1]["content"]
    if not messages[-2]["content"].strip() or not response.strip():
        raise DataError("the last message of the user or of the assistant is empty")
    return prompt.removeprefix(f"{QUESTION_MARK} "), response


def _is_message(message: Any) -> bool:
    return (
        isinstance(message, Mapping)
        and isinstance(message.get("role"), str)
        and isinstance(message.get("content"), str)
    )


def _text(row: Mapping[str, Any], column: str) -> str:
    value = row[column]
    if not isinstance(value, str) and value is not None:
        raise DataError(f"{column} is {value!r:.60} ({type(value).__name__}); accepted is a text")
    if not value or not value.strip():
        raise DataError(f"{column} is empty")
    return value


def _label(value: Any) -> bool | None:
    if value is None or isinstance(value, bool):
        return value
    text = str(value).strip().lower()
    if text not in LABELS:
        raise DataError(f"is_safe is {value!r:.60}; accepted are true, false or nothing")
    return LABELS[text]


def _categories(value: Any) -> tuple[str, ...]:
    if not value:
        return ()
    if isinstance(value, Mapping):
        return tuple(str(name) for name, holds in value.items() if holds)
    if isinstance(value, str):
        return (value,)
    if isinstance(value, list):
        return tuple(str(name) for name in value)
    raise DataError(
        f"category is {value!r:.60}; accepted is a text, a list of texts or a table of yes and no"
    )


def _extra(row: Mapping[str, Any], used: set[str]) -> str:
    return json.dumps({name: value for name, value in row.items() if name not in used}, default=str)


def _missing_column(row: Mapping[str, Any], *columns: str) -> str:
    missing = next(column for column in columns if column not in row)
    return f"no column {missing!r}; columns found: {', '.join(map(str, row)) or '(none)'}"


ADAPTERS: dict[str, Callable[[Mapping[str, Any]], Iterable[Sample]]] = {
    "plain": read_plain,
    "beavertails": read_beavertails,
    "hh": read_hh,
}
