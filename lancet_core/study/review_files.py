"""The files that a review can be taken out as."""

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd

from lancet_core.correction.pair_files import PairSide, ReviewedPair, write_pairs
from lancet_core.data.conversations import TOOLS, Conversation, Message
from lancet_core.errors import DataError, StoreError
from lancet_core.files import replacing, table_as_csv, write_json_lines
from lancet_core.models.template_names import has_chat_template
from lancet_core.models.templates import split_text

Split = Callable[[Conversation], tuple[Any, Any]]
FORMATS = ("pairs", "kto", "dpo", "csv", "parquet", "decisions")
SIDE_COLUMNS = ("prompt", "response", "harmful", "is_safe")


def reviewed_pairs(samples: pd.DataFrame, pairs: pd.DataFrame) -> Iterable[ReviewedPair]:
    """Joins pairs with the texts, labels and scores of their samples.

    Args:
        samples: The training samples of the study.
        pairs: Columns of the queue, at least the ids, influences, `cluster`, `verdict` and `decided_by`.

    Yields:
        The pairs, in their order.
    """
    texts = samples.set_index("id")
    for pair in pairs.to_dict("records"):
        yield ReviewedPair(
            pair_id=pair["pair_id"],
            cluster=str(pair["cluster"]),
            positive=_side(texts, pair, "positive"),
            negative=_side(texts, pair, "negative"),
            verdict=pair["verdict"],
            reviewer=pair["decided_by"],
        )


def _side(texts: pd.DataFrame, pair: dict[Any, Any], sign: str) -> PairSide:
    sample_id = pair[f"{sign}_id"]
    if sample_id not in texts.index:
        raise DataError(
            f"sample {sample_id} of pair {pair['pair_id']} is not in the study any more; propose pairs again"
        )
    sample = texts.loc[sample_id]
    return PairSide(
        sample_id=sample_id,
        prompt=sample["prompt"],
        response=sample["response"],
        influence=float(pair[f"{sign}_influence"]),
        harmful=None if pd.isna(sample["harmful"]) else float(sample["harmful"]),
        is_safe=None if pd.isna(sample["is_safe"]) else bool(sample["is_safe"]),
        messages=sample["messages"],
        turns=sample["turns"],
    )


def pair_table(samples: pd.DataFrame, pairs: pd.DataFrame) -> pd.DataFrame:
    """Joins pairs with their samples: one row each, the columns of both sides named `positive_…` and `negative_…`."""
    texts = samples.set_index("id")[list(SIDE_COLUMNS)]
    table = pairs.drop(columns=["position", "current"])
    for sign in ("positive", "negative"):
        table = table.join(texts.add_prefix(f"{sign}_"), on=f"{sign}_id")
    return table


def write_pair_lines(path: str | Path, pairs: Iterable[ReviewedPair]) -> int:
    """Writes `pairs.jsonl`.

    Raises:
        DataError: The file cannot be written.
    """
    return _written(path, lambda target: write_pairs(target, pairs))


def write_table(path: str | Path, table: pd.DataFrame, format: str) -> int:
    """Writes a table as `csv` or `parquet`.

    Raises:
        DataError: The file cannot be written.
    """

    def write(target: Path) -> int:
        with replacing(target) as temporary:
            if format == "csv":
                temporary.write_bytes(table_as_csv(table))
            else:
                table.to_parquet(temporary, index=False)
        return len(table)

    return _written(path, write)


def write_rows(path: str | Path, table: pd.DataFrame) -> int:
    """Writes a table as JSON lines, times as ISO text, what is missing as null.

    Raises:
        DataError: The file cannot be written.
    """
    rows = table.to_dict("records")
    return _write_lines(path, [{str(name): _plain(value) for name, value in row.items()} for row in rows])


def write_preferences(
    path: str | Path, pairs: Sequence[ReviewedPair], format: str, *, model: Path, template: str
) -> int:
    """Writes approved pairs in a format of TRL: `kto` (unpaired, positive samples false) or `dpo` (the negative is chosen).

    A trainer gets the texts as the study has them: as messages where the model has a chat template, else with the study's template
    written around the prompt.

    Args:
        path: The file.
        pairs: The pairs.
        format: `kto` or `dpo`.
        model: Folder of the model's tokenizer.
        template: The study's template.

    Raises:
        StoreError: No pair is approved, or none has two equal prompts where the format needs that.
        DataError: The file cannot be written.
    """
    if not pairs:
        raise StoreError("no pair is approved yet; approve at least one in the review")
    split = _messages if has_chat_template(model, template) else partial(split_text, template=template)
    if format == "kto":
        return _write_lines(path, [line for pair in pairs for line in _unpaired(pair, split)])
    lines = [_preference(pair, split) for pair in pairs if pair.positive.prompt == pair.negative.prompt]
    if not lines:
        raise StoreError(
            f"none of the {len(pairs)} approved pairs has two equal prompts, as a preference needs; export as kto instead"
        )
    return _write_lines(path, lines)


def _messages(conversation: Conversation) -> tuple[list[Message], list[Message]]:
    """Splits a conversation before its last answer."""
    place = conversation.answers[-1]
    first, *others = conversation.messages[:place]
    asked = [{name: value for name, value in first.items() if name != TOOLS}, *others]
    return asked, [conversation.messages[place]]


def _tools(conversation: Conversation) -> dict[str, Any]:
    """The column in which trainers look for the tools that could be called."""
    tools = conversation.messages[0].get(TOOLS)
    return {TOOLS: tools} if tools else {}


def _unpaired(pair: ReviewedPair, split: Split) -> list[dict[str, Any]]:
    rows = []
    for side, label in ((pair.positive, False), (pair.negative, True)):
        prompt, completion = split(side.conversation)
        rows.append({"prompt": prompt, "completion": completion, "label": label, **_tools(side.conversation)})
    return rows


def _preference(pair: ReviewedPair, split: Split) -> dict[str, Any]:
    prompt, rejected = split(pair.positive.conversation)
    _prompt, chosen = split(pair.negative.conversation)
    return {"prompt": prompt, "chosen": chosen, "rejected": rejected, **_tools(pair.positive.conversation)}


def _write_lines(path: str | Path, rows: Sequence[dict[str, Any]]) -> int:
    def write(target: Path) -> int:
        write_json_lines(target, list(rows))
        return len(rows)

    return _written(path, write)


def _written(path: str | Path, write: Callable[[Path], int]) -> int:
    try:
        return write(Path(path))
    except OSError as error:
        raise DataError(
            f"{path} cannot be written: {error.strerror or error}; choose another place"
        ) from error


def _plain(value: Any) -> Any:
    if value is None or value is pd.NaT or pd.isna(value):
        return None
    if isinstance(value, pd.Timestamp):
        return value.isoformat()
    return value.item() if hasattr(value, "item") else value
