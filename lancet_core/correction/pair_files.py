"""Reads and writes `pairs.jsonl`, what a review hands to a correction."""

import json
import math
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from lancet_core.data.samples import content_id
from lancet_core.errors import DataError
from lancet_core.files import write_json_lines

APPROVED = "approve"


@dataclass(frozen=True)
class PairSide:
    """One sample of a pair.

    Attributes:
        sample_id: Its id; the hash of prompt and response where the file gives none.
        prompt: What was asked.
        response: What was answered.
        influence: Influence scaled within the cluster: above 0 on the positive side, below 0 on the negative, in [-1, 1].
        harmful: Harmful score in (0, 1), None where there is no scorer.
        is_safe: Label of the data set, None where it has none.
    """

    sample_id: str
    prompt: str
    response: str
    influence: float
    harmful: float | None = None
    is_safe: bool | None = None


@dataclass(frozen=True)
class ReviewedPair:
    """A pair with the reviewer's verdict.

    Attributes:
        pair_id: Hash of the ids of both samples.
        cluster: Query cluster it comes from, as text.
        positive: Sample that pushes towards the queries.
        negative: Sample that pushes away from them.
        verdict: `approve`, `reject`, `skip`, `flag`, or empty where nobody reviewed it.
        reviewer: Who decided.
    """

    pair_id: str
    cluster: str
    positive: PairSide
    negative: PairSide
    verdict: str = ""
    reviewer: str = ""


def write_pairs(path: str | Path, pairs: Iterable[ReviewedPair]) -> int:
    """Writes pairs whole or not at all, one JSON object each line, and returns their number."""
    rows = [asdict(pair) for pair in pairs]
    write_json_lines(path, rows)
    return len(rows)


def read_pairs(path: str | Path) -> list[ReviewedPair]:
    """Reads a file of pairs.

    Raises:
        DataError: The file is missing, is not UTF-8 text, holds no pair, or a line cannot be used; the message names the line.
    """
    try:
        text = Path(path).read_text(encoding="utf-8")
    except OSError as error:
        raise DataError(
            f"the file of pairs {path} cannot be read: {error.strerror}; export the pairs again"
        ) from error
    except UnicodeDecodeError as error:
        raise DataError(
            f"{path} is not UTF-8 text (byte {error.start}); pairs are read from JSON lines"
        ) from error
    pairs = [
        _read_line(line, f"{path}, line {number}")
        for number, line in enumerate(text.split("\n"), start=1)
        if line.strip()
    ]
    if not pairs:
        raise DataError(f"{path} holds no pair; approve pairs in the review and export them again")
    return pairs


def usable_pairs(pairs: list[ReviewedPair]) -> list[ReviewedPair]:
    """Keeps the pairs that a correction may train on: approved ones, and all where nobody reviewed any.

    Raises:
        DataError: Pairs were reviewed and none was approved.
    """
    if not any(pair.verdict for pair in pairs):
        return pairs
    approved = [pair for pair in pairs if pair.verdict == APPROVED]
    if not approved:
        raise DataError(f"none of the {len(pairs)} pairs is approved; approve at least one in the review")
    return approved


def _read_line(line: str, place: str) -> ReviewedPair:
    try:
        record = json.loads(line)
    except json.JSONDecodeError as error:
        raise DataError(
            f"{place}: broken JSON ({error.msg} at column {error.colno}); mend the line or export again"
        ) from error
    if not isinstance(record, dict):
        raise DataError(
            f"{place}: a pair is a JSON object with positive and negative, found {type(record).__name__}"
        )
    positive = _read_side(record, "positive", place)
    negative = _read_side(record, "negative", place)
    if positive.influence <= 0 or negative.influence >= 0:
        raise DataError(
            f"{place}: influence is {positive.influence} on the positive side and {negative.influence} on the negative; "
            "the first must be above 0 and the second below"
        )
    return ReviewedPair(
        pair_id=str(record.get("pair_id") or content_id(positive.sample_id, negative.sample_id)),
        cluster=str(record.get("cluster", "")),
        positive=positive,
        negative=negative,
        verdict=str(record.get("verdict") or ""),
        reviewer=str(record.get("reviewer") or ""),
    )


def _read_side(record: dict[str, Any], side: str, place: str) -> PairSide:
    values = record.get(side)
    if not isinstance(values, dict):
        raise DataError(
            f"{place}: {side} is missing; each pair needs an object with prompt and response under positive and negative"
        )
    for column in ("prompt", "response"):
        if not isinstance(values.get(column), str) or not values[column].strip():
            raise DataError(
                f"{place}: {side}.{column} is {values.get(column)!r}; it takes a text that is not empty"
            )
    influence = values.get("influence", 1.0 if side == "positive" else -1.0)
    harmful = values.get("harmful")
    if not _is_number(influence) or not (harmful is None or _is_number(harmful)):
        raise DataError(
            f"{place}: {side}.influence is {influence!r} and harmful {harmful!r}; both take numbers"
        )
    return PairSide(
        sample_id=str(values.get("sample_id") or content_id(values["prompt"], values["response"])),
        prompt=values["prompt"],
        response=values["response"],
        influence=float(influence),
        harmful=None if harmful is None else float(harmful),
        is_safe=values.get("is_safe"),
    )


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
