"""Turns the rows of data sets into training samples, each row by what stands in it.

| format | columns |
|---|---|
| `plain` | a prompt (`prompt`, `question`, `instruction` with `input` or `context`, `query`) and a response (`response`, `completion`, `answer`, `output`) |
| `messages` | `messages`, `conversations` or `conversation` (OpenAI's or ShareGPT's form), or `prompt` and `completion` as messages |
| `preference` | `chosen` and `rejected`, as texts beside `prompt` or as messages: two samples for each row |
| `hh` | `chosen` and `rejected`, whole dialogues of Anthropic's: two samples for each row |
| `date-lm` | `prompt`, `response` and `type` (*Unsafe*, or what is safe), or a fact: `true_entity` with `counterfactual_entity`, or `facts` |
| `pku` | `response_0` and `response_1` beside `prompt`, with their labels (PKU-SafeRLHF): two samples for each row |

Labels and categories are read where there are some (`labels`). A row that cannot be used is rejected with its number and the
reason; the others are kept.
"""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any

from lancet_core.data.columns import ColumnMap
from lancet_core.data.conversations import Message, looks_like_messages, read_messages, split_messages
from lancet_core.data.labels import (
    CATEGORY_COLUMNS,
    LABEL_COLUMNS,
    categories_of,
    label_of,
)
from lancet_core.data.reading import Row
from lancet_core.data.samples import Sample, content_id
from lancet_core.errors import DataError

AUTO = "auto"
ANSWER_MARK = "\n\nAssistant:"
QUESTION_MARK = "\n\nHuman:"
PROMPT_COLUMNS = ("prompt", "question", "instruction", "query")
RESPONSE_COLUMNS = ("response", "completion", "answer", "output")
# What an instruction is about stands in a column of its own.
CONTEXT_COLUMNS = {"instruction": ("input", "context"), "question": ("context",)}
MESSAGES_COLUMNS = ("messages", "conversations", "conversation")
SIDES = ("chosen", "rejected")
PKU_SIDES = (0, 1)
_ENTITIES = ("true_entity", "counterfactual_entity")
_DATE_LM_TYPES = ("Unsafe", "Safe")


def detect_format(row: Mapping[str, Any]) -> str | None:
    """Names the format of a row by what stands in its columns, None where it is none."""
    if all(_has_text(row, f"response_{side}") for side in PKU_SIDES):
        return "pku"
    if all(row.get(side) for side in SIDES):
        is_alone = not any(row.get(name) for name in PROMPT_COLUMNS)
        dialogues = is_alone and not any(looks_like_messages(row[side]) for side in SIDES)
        return "hh" if dialogues else "preference"
    if _messages_column(row) or looks_like_messages(row.get("prompt")):
        return "messages"
    if not _plain_columns(row):
        return None
    return "date-lm" if _is_date_lm(row) else "plain"


def samples_of(row: Row, format: str, columns: ColumnMap | None, file_name: str) -> tuple[str, list[Sample]]:
    """Gives the format of a row and its samples, which know where they were read.

    Raises:
        DataError: The row cannot be used.
    """
    if row.problem:
        raise DataError(row.problem)
    values = columns.applied(row.values) if columns is not None else row.values
    name = detect_format(values) if format == AUTO else format
    if name is None:
        raise DataError(_no_format(values))
    made = [replace(sample, source_file=file_name, source_row=row.number) for sample in FORMATS[name](values)]
    return name, made


def _no_format(row: Mapping[str, Any]) -> str:
    """Says why a row is of no format: what is wrong with the columns that it has, else what is missing."""
    asked, answered = (
        next((name for name in names if name in row), "") for names in (PROMPT_COLUMNS, RESPONSE_COLUMNS)
    )
    try:
        for name in filter(None, (asked, answered)):
            _text(row, name)
    except DataError as error:
        return str(error)
    if asked and not answered:
        return _missing_column(row, "response")
    return (
        f"the columns {', '.join(map(str, row)) or '(none)'} are of no known format; accepted are prompt and response, "
        "question and answer, instruction and output, messages, conversations, chosen and rejected, response_0 and "
        "response_1; name others with --map prompt=…,response=…"
    )


def read_plain(row: Mapping[str, Any]) -> Iterator[Sample]:
    """Reads a row as users bring it: `{"prompt": "Is tea warm?", "response": "Yes.", "is_safe": true, "category": "food"}`.

    Raises:
        DataError: A column is missing or no text.
    """
    columns = _plain_columns(row)
    if not columns:
        raise DataError(_no_format(row))
    asked, answered = columns
    prompt = _text(row, asked)
    context = [name for name in CONTEXT_COLUMNS.get(asked, ()) if _has_text(row, name)]
    prompt = "\n\n".join([prompt, *(_text(row, name) for name in context)])
    yield _labelled(Sample(prompt, _text(row, answered)), row, {asked, answered, *context})


def read_date_lm(row: Mapping[str, Any]) -> Iterator[Sample]:
    """Reads a row of the benchmark DATE-LM: `{"prompt": "Hi?", "response": "Die.", "type": "Unsafe"}`.

    What is not *Unsafe* is safe, as the benchmark counts it. Rows of facts have no label: `true_entity` and `counterfactual_entity`
    together, or each of `facts`, are categories, by which a query finds the samples behind it.

    Raises:
        DataError: A column is missing or no text.
    """
    used, facts = {"prompt", "response"}, row.get("facts") or []
    sample = Sample(_text(row, "prompt"), _text(row, "response"))
    if _has_text(row, "type"):
        sample, used = replace(sample, is_safe=row["type"].strip().lower() != "unsafe"), {*used, "type"}
    if all(_has_text(row, name) for name in _ENTITIES):
        facts = [" / ".join(row[name] for name in _ENTITIES)]
    sample = replace(sample, categories=tuple(map(str, facts if isinstance(facts, list) else [facts])))
    extra = {name: value for name, value in row.items() if name not in used}
    yield replace(sample, extra=json.dumps(extra, default=str, ensure_ascii=True))


def read_conversation(row: Mapping[str, Any]) -> Iterator[Sample]:
    """Reads a chat: `{"messages": [{"role": "user", "content": "One?"}, {"role": "assistant", "content": "Yes."}]}`.

    Raises:
        DataError: It is malformed, or the assistant says nothing.
    """
    name = _messages_column(row)
    if name:
        messages, used = read_messages(row[name], name), {name}
    else:
        answer = next((column for column in RESPONSE_COLUMNS if row.get(column)), None)
        if "prompt" not in row or answer is None:
            raise DataError(_no_format(row))
        messages = [*_turns(row["prompt"], "prompt", "user"), *_turns(row[answer], answer, "assistant")]
        used = {"prompt", answer}
    yield _labelled(_sample(messages), row, used)


def read_preference(row: Mapping[str, Any]) -> Iterator[Sample]:
    """Reads `{"prompt": "Hi?", "chosen": "Hello.", "rejected": "Go away."}`, or sides that are messages, with their prompt or without.

    The label stays unknown: *chosen* means preferred, not safe.

    Raises:
        DataError: A side is missing or malformed.
    """
    asked = next((column for column in PROMPT_COLUMNS if row.get(column)), None)
    before = _turns(row[asked], asked, "user") if asked else []
    sides = {}
    for side in SIDES:
        if not row.get(side):
            raise DataError(_missing_column(row, *SIDES) if side not in row else f"{side} is empty")
        turns = _turns(row[side], side, "assistant")
        # A side that begins with a question is the whole conversation.
        sides[side] = turns if turns[0]["role"] != "assistant" else [*before, *turns]
    used = {*SIDES, *([asked] if asked else [])}
    yield from _pair({side: _sample(messages) for side, messages in sides.items()}, row, used)


def read_hh(row: Mapping[str, Any]) -> Iterator[Sample]:
    r"""Reads Anthropic's `{"chosen": "\n\nHuman: …\n\nAssistant: …", "rejected": "\n\nHuman: …\n\nAssistant: …"}`.

    Each side is split at its own last "\n\nAssistant:", since some rows have different prompts on their two sides.
    The label stays unknown: *chosen* means preferred, not safe.

    Raises:
        DataError: A side is missing, no text, or no dialogue that ends with an answer.
    """
    for side in SIDES:
        if side not in row:
            raise DataError(_missing_column(row, *SIDES))
    sides = {side: Sample(*split_dialogue(_text(row, side), side)) for side in SIDES}
    yield from _pair(sides, row, set(SIDES), content_id(row["chosen"], row["rejected"]))


def read_pku(row: Mapping[str, Any]) -> Iterator[Sample]:
    """Reads PKU-SafeRLHF: `{"prompt": "…", "response_0": "…", "response_1": "…", "is_response_0_safe": true, …}`.

    Each response has the label and the categories of its own; which one is better or safer stays beside it.

    Raises:
        DataError: A column is missing or no text.
    """
    prompt = _text(row, "prompt")
    pair = content_id(prompt, _text(row, "response_0"), _text(row, "response_1"))
    for side in PKU_SIDES:
        named = {
            name: name.replace(f"response_{side}_", "").replace(f"is_response_{side}_safe", "is_safe")
            for name in row
            if f"response_{side}_" in name
        }
        own = {short: row[name] for name, short in named.items()}
        shared = {
            name: value
            for name, value in row.items()
            if "response_0" not in name and "response_1" not in name
        }
        sample = Sample(prompt, _text(row, f"response_{side}"), pair_id=pair)
        yield _labelled(sample, {"side": side, **shared, **own}, {"prompt"})


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


def _pair(
    sides: Mapping[str, Sample], row: Mapping[str, Any], used: set[str], pair_id: str = ""
) -> Iterator[Sample]:
    """Gives both sides of a preference, which know each other and which side they are."""
    pair_id = pair_id or content_id(*(sample.id for sample in sides.values()))
    for side, sample in sides.items():
        made = _labelled(replace(sample, pair_id=pair_id), row, used)
        yield replace(made, extra=json.dumps({"side": side, **json.loads(made.extra)}))


def _turns(value: Any, name: str, role: str) -> list[Message]:
    """Reads one side of a row: messages, or a text that is one message."""
    if looks_like_messages(value):
        return read_messages(value, name)
    return [{"role": role, "content": _text({name: value}, name)}]


def _sample(messages: list[Message]) -> Sample:
    prompt, response, whole = split_messages(messages)
    return Sample(prompt, response, messages=whole)


def _labelled(sample: Sample, row: Mapping[str, Any], used: set[str]) -> Sample:
    """Adds label, categories and what was not used."""
    categories, label = categories_of(row), label_of(row)
    unused = {
        name: value for name, value in row.items() if name not in {*used, *LABEL_COLUMNS, *CATEGORY_COLUMNS}
    }
    return replace(
        sample, is_safe=label, categories=categories, extra=json.dumps(unused, default=str, ensure_ascii=True)
    )


def _is_date_lm(row: Mapping[str, Any]) -> bool:
    """Whether a row is one of DATE-LM: it has its very columns, and no label or category that says itself what it is."""
    if any(name in row for name in (*LABEL_COLUMNS, *CATEGORY_COLUMNS)) or not _has_text(row, "response"):
        return False
    has_fact = all(_has_text(row, name) for name in _ENTITIES) or isinstance(row.get("facts"), list)
    return has_fact or row.get("type") in _DATE_LM_TYPES


def _messages_column(row: Mapping[str, Any]) -> str:
    return next((name for name in MESSAGES_COLUMNS if row.get(name)), "")


def _plain_columns(row: Mapping[str, Any]) -> tuple[str, str] | None:
    """Names the columns of prompt and response, those first that hold a text."""
    asked, answered = (
        next((name for name in names if _has_text(row, name)), None)
        for names in (PROMPT_COLUMNS, RESPONSE_COLUMNS)
    )
    return None if asked is None or answered is None else (asked, answered)


def _has_text(row: Mapping[str, Any], name: str) -> bool:
    value = row.get(name)
    return isinstance(value, str) and bool(value.strip())


def _text(row: Mapping[str, Any], column: str) -> str:
    if column not in row:
        raise DataError(_missing_column(row, column))
    value = row[column]
    if not isinstance(value, str) and value is not None:
        raise DataError(f"{column} is {value!r:.60} ({type(value).__name__}); accepted is a text")
    if not value or not value.strip():
        raise DataError(f"{column} is empty")
    return value


def _missing_column(row: Mapping[str, Any], *columns: str) -> str:
    missing = next(column for column in columns if column not in row)
    return f"no column {missing!r}; columns found: {', '.join(map(str, row)) or '(none)'}"


FORMATS: dict[str, Callable[[Mapping[str, Any]], Iterable[Sample]]] = {
    "plain": read_plain,
    "messages": read_conversation,
    "preference": read_preference,
    "hh": read_hh,
    "pku": read_pku,
    "date-lm": read_date_lm,
}
ONE_ANSWER = ("plain", "messages", "date-lm")
"""The formats whose rows hold one sample each."""
