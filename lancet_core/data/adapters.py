"""Turns the rows of data sets into training samples, each row by what stands in it.

| format | columns |
|---|---|
| `plain` | a prompt (`prompt`, `question`, `instruction`, `query`, `input`, with `input` or `context` as what it is about) and a response (`response`, `completion`, `answer`, `output`) |
| `messages` | `messages`, `conversations`, `conversation` or one other column that holds some (OpenAI's or ShareGPT's form), or `prompt` and `completion` as messages |
| `preference` | `chosen` and `rejected`, as texts beside a prompt or as messages: two samples for each row |
| `hh` | whole dialogues of Anthropic's: `chosen` and `rejected`, or one text; `prompt` may hold their beginning |
| `date-lm` | `prompt`, `response` and `type` (*Unsafe*, or what is safe), or a fact: `true_entity` with `counterfactual_entity`, or `facts` |
| `pku` | `response_0` and `response_1` beside `prompt`, with their labels (PKU-SafeRLHF): two samples for each row |

`system` (or `system_prompt`), earlier turns in `history` and the `tools` that could be called belong to what was asked. Names of columns are
read without regard to capitals and spaces. Labels and categories are read where there are some (`labels`). A row that cannot be used is
rejected with its number and the reason; the others are kept.
"""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any

from lancet_core.data.columns import ColumnMap
from lancet_core.data.conversations import (
    ASSISTANT,
    SYSTEM,
    TOOLS,
    Message,
    is_list_of_texts,
    looks_like_messages,
    read_messages,
    split_messages,
)
from lancet_core.data.labels import CATEGORY_COLUMNS, LABEL_COLUMNS, categories_of, label_of
from lancet_core.data.reading import Row
from lancet_core.data.rows import (
    HISTORY,
    MESSAGES_COLUMNS,
    PKU_SIDES,
    PROMPT_COLUMNS,
    RESPONSE_COLUMNS,
    SIDES,
    TEXTS_COLUMNS,
    framed,
    has_text,
    missing_column,
    read_asked,
    text_of,
    with_known_names,
)
from lancet_core.data.samples import Sample, content_id
from lancet_core.errors import DataError

AUTO = "auto"
ANSWER_MARK = "\n\nAssistant:"
QUESTION_MARK = "\n\nHuman:"
_ENTITIES = ("true_entity", "counterfactual_entity")
_DATE_LM_TYPES = ("Unsafe", "Safe")
_MAP_HINT = "name others with --map"


def detect_format(row: Mapping[str, Any]) -> str | None:
    """Names the format of a row by what stands in its columns, None where it is none."""
    if all(has_text(row, side) for side in PKU_SIDES):
        return "pku"
    if all(row.get(side) for side in SIDES):
        return "hh" if _dialogues(row) else "preference"
    if _messages_column(row) or _is_chat_apart(row):
        return "messages"
    if _dialogues(row):
        return "hh"
    if _plain_columns(row):
        return "date-lm" if _is_date_lm(row) else "plain"
    # What is wrong with it says its reader.
    if any(row.get(name) for name in MESSAGES_COLUMNS):
        return "messages"
    halves = {"pku": PKU_SIDES, "preference": SIDES}
    return next((name for name, sides in halves.items() if all(side in row for side in sides)), None)


def samples_of(row: Row, format: str, columns: ColumnMap | None, file_name: str) -> tuple[str, list[Sample]]:
    """Gives the format of a row and its samples, which know where they were read.

    Raises:
        DataError: The row cannot be used.
    """
    if row.problem:
        raise DataError(row.problem)
    values = with_known_names(row.values if columns is None else columns.applied(row.values))
    name = format if format != AUTO else _format_by_hand(values, columns) or detect_format(values)
    if name is None:
        raise DataError(_no_format(values))
    made = [replace(sample, source_file=file_name, source_row=row.number) for sample in FORMATS[name](values)]
    return name, made


def _format_by_hand(row: Mapping[str, Any], columns: ColumnMap | None) -> str | None:
    """The format of what was named by hand: a sample is made of it, whatever else stands in the row."""
    named = {name: row[name] for name in columns.columns if name in row} if columns else {}
    return detect_format(named) if named else None


def _no_format(row: Mapping[str, Any]) -> str:
    """Says why a row is of no format: what is wrong with the columns that it has, else what is missing."""
    asked, answered = (
        next((name for name in names if name in row), "") for names in (PROMPT_COLUMNS, RESPONSE_COLUMNS)
    )
    try:
        for name in filter(None, (asked, answered)):
            text_of(row, name)
    except DataError as error:
        return str(error)
    chats = _other_chats(row)
    if len(chats) > 1:
        return f"{', '.join(chats)} hold conversations; name the one that was trained on: --map messages={chats[0]}"
    if not asked and any(name in row for name in MESSAGES_COLUMNS):
        return f"{next(name for name in MESSAGES_COLUMNS if name in row)} is empty"
    if asked and not answered:
        return f"{missing_column(row, 'response')}; {_MAP_HINT} response=…"
    if answered and not asked:
        return f"{missing_column(row, 'prompt')}; {_MAP_HINT} prompt=…"
    return (
        f"the columns {', '.join(map(str, row)) or '(none)'} are of no known format; accepted are prompt and response, "
        "question and answer, instruction and output, messages, conversations, chosen and rejected, response_0 and "
        f"response_1; {_MAP_HINT} prompt=…,response=…"
    )


def read_plain(row: Mapping[str, Any]) -> Iterator[Sample]:
    """Reads a row as users bring it: `{"prompt": "Is tea warm?", "response": "Yes.", "is_safe": true, "category": "food"}`.

    Raises:
        DataError: A column is missing or no text.
    """
    columns = _plain_columns(row)
    if not columns:
        raise DataError(_no_format(row))
    asked, used = read_asked(row)
    answer = [{"role": ASSISTANT, "content": text_of(row, columns[1])}]
    yield _labelled(_sample([*asked, *answer]), row, {*used, columns[1]})


def read_date_lm(row: Mapping[str, Any]) -> Iterator[Sample]:
    """Reads a row of the benchmark DATE-LM: `{"prompt": "Hi?", "response": "Die.", "type": "Unsafe"}`.

    What is not *Unsafe* is safe, as the benchmark counts it. Rows of facts have no label: `true_entity` and `counterfactual_entity`
    together, or each of `facts`, are categories, by which a query finds the samples behind it.

    Raises:
        DataError: A column is missing or no text.
    """
    used, facts = {"prompt", "response"}, row.get("facts") or []
    sample = Sample(text_of(row, "prompt"), text_of(row, "response"))
    if has_text(row, "type"):
        sample, used = replace(sample, is_safe=row["type"].strip().lower() != "unsafe"), {*used, "type"}
    if all(has_text(row, name) for name in _ENTITIES):
        facts = [" / ".join(row[name] for name in _ENTITIES)]
    sample = replace(sample, categories=tuple(map(str, facts if isinstance(facts, list) else [facts])))
    extra = {name: value for name, value in row.items() if name not in used}
    yield replace(sample, extra=json.dumps(extra, default=str, ensure_ascii=True))


def read_conversation(row: Mapping[str, Any]) -> Iterator[Sample]:
    """Reads a chat: `{"messages": [{"role": "user", "content": "One?"}, {"role": "assistant", "content": "Yes."}]}`.

    Raises:
        DataError: It is malformed, or the assistant says nothing.
    """
    name = _messages_column(row) or next((name for name in MESSAGES_COLUMNS if row.get(name)), "")
    if name:
        messages, used = framed(read_messages(row[name], name), row)
        yield _labelled(_sample(messages), row, {*used, name})
        return
    asked, used = read_asked(row)
    answer = next((column for column in RESPONSE_COLUMNS if row.get(column)), None)
    if not asked or answer is None:
        raise DataError(_no_format(row))
    yield _labelled(_sample([*asked, *_turns(row[answer], answer)]), row, {*used, answer})


def read_preference(row: Mapping[str, Any]) -> Iterator[Sample]:
    """Reads `{"prompt": "Hi?", "chosen": "Hello.", "rejected": "Go away."}`, or sides that are messages, with their prompt or without.

    The label stays unknown: *chosen* means preferred, not safe.

    Raises:
        DataError: A side is missing or malformed.
    """
    before, used = read_asked(row)
    sides = {}
    for side in SIDES:
        if not row.get(side):
            raise DataError(missing_column(row, *SIDES) if side not in row else f"{side} is empty")
        turns = _turns(row[side], side)
        is_whole = turns[0]["role"] != ASSISTANT
        if not is_whole and not any(message["role"] != SYSTEM for message in before):
            raise DataError(f"{side} is an answer without a prompt; {_MAP_HINT} prompt=…")
        # A side that begins with a question is the whole conversation.
        sides[side] = framed(turns, row)[0] if is_whole else [*before, *turns]
    yield from _pair({side: _sample(messages) for side, messages in sides.items()}, row, {*SIDES, *used})


def read_hh(row: Mapping[str, Any]) -> Iterator[Sample]:
    r"""Reads Anthropic's `{"chosen": "\n\nHuman: …\n\nAssistant: …", "rejected": "\n\nHuman: …\n\nAssistant: …"}`, or one dialogue.

    Each dialogue is split at its own last "\n\nAssistant:", since some rows have different prompts on their two sides.
    The label stays unknown: *chosen* means preferred, not safe.

    Raises:
        DataError: A side is missing, no text, or no dialogue that ends with an answer.
    """
    names = _dialogues(row) or SIDES
    if any(name not in row for name in names):
        raise DataError(missing_column(row, *names))
    begun = _is_begun(row)
    before, used = (row["prompt"], {*names, "prompt"}) if begun else ("", set(names))
    read = {name: Sample(*split_dialogue(before + text_of(row, name), name)) for name in names}
    if len(names) == 1:
        yield _labelled(read[names[0]], row, used)
        return
    yield from _pair(read, row, used, content_id(row["chosen"], row["rejected"]))


def read_pku(row: Mapping[str, Any]) -> Iterator[Sample]:
    """Reads PKU-SafeRLHF: `{"prompt": "…", "response_0": "…", "response_1": "…", "is_response_0_safe": true, …}`.

    Each response has the label and the categories of its own; which one is better or safer stays beside it.

    Raises:
        DataError: A column is missing or no text.
    """
    prompt = text_of(row, "prompt")
    pair = content_id(prompt, *(text_of(row, answer) for answer in PKU_SIDES))
    for side, answer in enumerate(PKU_SIDES):
        named = {name: name.replace(f"{answer}_", "") for name in row if f"{answer}_" in name}
        own = {short: row[name] for name, short in named.items()}
        shared = {name: value for name, value in row.items() if not any(other in name for other in PKU_SIDES)}
        sample = Sample(prompt, text_of(row, answer), pair_id=pair)
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
    # What the human says behind the last answer is no part of it.
    response = response.partition(QUESTION_MARK)[0]
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


def _turns(value: Any, name: str) -> list[Message]:
    """Reads an answer: messages, or a text that is one of the assistant's."""
    if looks_like_messages(value):
        return read_messages(value, name)
    return [{"role": ASSISTANT, "content": text_of({name: value}, name)}]


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
    if any(name in row for name in (*LABEL_COLUMNS, *CATEGORY_COLUMNS)) or not has_text(row, "response"):
        return False
    has_fact = all(has_text(row, name) for name in _ENTITIES) or isinstance(row.get("facts"), list)
    return has_fact or row.get("type") in _DATE_LM_TYPES


def _messages_column(row: Mapping[str, Any]) -> str:
    """Names the column that holds the conversation of a row: one of the known ones, else the only other one that holds some."""
    for name in MESSAGES_COLUMNS:
        if looks_like_messages(row.get(name)):
            return name
    for name in TEXTS_COLUMNS:
        if is_list_of_texts(row.get(name)):
            return name
    chats = [] if _plain_columns(row) else _other_chats(row)
    return chats[0] if len(chats) == 1 else ""


def _is_chat_apart(row: Mapping[str, Any]) -> bool:
    """Whether the messages before an answer, or the answer as messages, stand in columns of their own."""
    if looks_like_messages(row.get("prompt")):
        return True
    answered = any(looks_like_messages(row.get(name)) for name in RESPONSE_COLUMNS)
    return answered and any(has_text(row, name) for name in PROMPT_COLUMNS)


def _other_chats(row: Mapping[str, Any]) -> list[str]:
    known = {*PROMPT_COLUMNS, *RESPONSE_COLUMNS, *SIDES, HISTORY, TOOLS}
    return [name for name, value in row.items() if name not in known and looks_like_messages(value)]


def _dialogues(row: Mapping[str, Any]) -> tuple[str, ...]:
    """Names the columns that hold dialogues of Anthropic's, or their ends where the prompt holds the beginning."""
    marked = [name for name in row if has_text(row, name) and ANSWER_MARK in row[name]]
    if all(has_text(row, side) for side in SIDES):
        is_alone = not any(row.get(name) for name in PROMPT_COLUMNS)
        return SIDES if _is_begun(row) or (is_alone and any(side in marked for side in SIDES)) else ()
    if _is_begun(row):
        return tuple(name for name in RESPONSE_COLUMNS if has_text(row, name))[:1]
    whole = [name for name in marked if row[name].lstrip().startswith(QUESTION_MARK.lstrip())]
    return tuple(whole) if len(whole) == 1 and not _plain_columns(row) else ()


def _is_begun(row: Mapping[str, Any]) -> bool:
    """Whether the prompt is a dialogue of Anthropic's up to its answer."""
    if not has_text(row, "prompt"):
        return False
    prompt = row["prompt"].strip()
    return bool(prompt.startswith(QUESTION_MARK.lstrip()) and prompt.endswith(ANSWER_MARK.lstrip()))


def _plain_columns(row: Mapping[str, Any]) -> tuple[str, str] | None:
    """Names the columns of prompt and response, those first that hold a text."""
    asked, answered = (
        next((name for name in names if has_text(row, name)), None)
        for names in (PROMPT_COLUMNS, RESPONSE_COLUMNS)
    )
    return None if asked is None or answered is None else (asked, answered)


FORMATS: dict[str, Callable[[Mapping[str, Any]], Iterable[Sample]]] = {
    "plain": read_plain,
    "messages": read_conversation,
    "preference": read_preference,
    "hh": read_hh,
    "pku": read_pku,
    "date-lm": read_date_lm,
}
