"""Reads and writes `pairs.jsonl`, what a review hands to a correction."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from lancet_core.data.conversations import LAST, TURNS, Conversation, as_json, conversation_of, read_messages
from lancet_core.data.samples import content_id
from lancet_core.errors import DataError
from lancet_core.files import is_number, parse_json, read_text, write_json_lines

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
        messages: The whole conversation as JSON where it is more than one prompt and its response, else empty.
        turns: Which of the assistant's turns count.
    """

    sample_id: str
    prompt: str
    response: str
    influence: float
    harmful: float | None = None
    is_safe: bool | None = None
    messages: str = ""
    turns: str = LAST

    @property
    def conversation(self) -> Conversation:
        """The sample as a conversation."""
        return conversation_of(self.prompt, self.response, self.messages, self.turns)


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
        DataError: The file cannot be read, holds no pair, or a line cannot be used; the message names the line.
    """
    text = read_text(path)
    pairs = [
        _read_pair(line, f"{path}, line {number}")
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


def _read_pair(line: str, place: str) -> ReviewedPair:
    record = parse_json(line, place)
    if not isinstance(record, dict):
        raise DataError(
            f"{place}: a pair is a JSON object with positive and negative, found {type(record).__name__}"
        )
    positive = _read_side(record, "positive", place)
    negative = _read_side(record, "negative", place)
    if positive.influence <= max(0, negative.influence):
        raise DataError(
            f"{place}: influence is {positive.influence} on the positive side and {negative.influence} on the negative; "
            "the first must be above 0 and above the second"
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
                f"{place}: {side}.{column} is {values.get(column)!r:.60}; it takes a text that is not empty"
            )
    is_safe = values.get("is_safe")
    if is_safe is not None and not isinstance(is_safe, bool):
        raise DataError(f"{place}: {side}.is_safe is {is_safe!r:.60}; it takes true, false or null")
    influence = values.get("influence", 1.0 if side == "positive" else -1.0)
    harmful = values.get("harmful")
    if not is_number(influence) or not (harmful is None or is_number(harmful)):
        raise DataError(
            f"{place}: {side}.influence is {influence!r:.60} and harmful {harmful!r:.60}; both take numbers"
        )
    messages, turns = values.get("messages") or "", values.get("turns") or LAST
    if messages and not isinstance(messages, str):
        raise DataError(f"{place}: {side}.messages is {messages!r:.60}; it takes a JSON list as a text")
    if messages:
        messages = as_json(read_messages(messages, f"{place}: {side}.messages"))
    if turns not in TURNS:
        raise DataError(f"{place}: {side}.turns is {turns!r:.60}; accepted are {', '.join(TURNS)}")
    texts = [messages] if messages else [values["prompt"], values["response"]]
    return PairSide(
        sample_id=str(values.get("sample_id") or content_id(*texts)),
        prompt=values["prompt"],
        response=values["response"],
        influence=float(influence),
        harmful=None if harmful is None else float(harmful),
        is_safe=is_safe,
        messages=messages,
        turns=turns,
    )
