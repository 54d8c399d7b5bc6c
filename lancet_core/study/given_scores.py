"""Harmful and helpful scores that were made elsewhere, read from a file or a table and given to the samples that they belong to.

| the rows hold | a row belongs to |
|---|---|
| `id` | the sample of this id |
| `prompt` and `response` | the sample with these texts, white space around them aside |
| neither | the training row of the same place; the file has as many rows as the training file |

Scores are `harmful` and `helpful` in (0, 1). Outputs of a model (these columns, or `score`) become scores as is declared:
`mapping=zscore_sigmoid,higher_is=harmless`; statistics are those of the whole file.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from lancet_core.data.reading import Row, read_rows
from lancet_core.errors import ConfigError, DataError
from lancet_core.evaluation.score_mapping import measured, to_score
from lancet_core.evaluation.scorer_cards import (
    COLUMNS,
    HARMFUL,
    HIGHER_IS,
    Declared,
    ScorerCard,
    check_said,
    parse_declaration,
)
from lancet_core.files import is_number, read_json, write_json, write_table

KEPT_SCORES, KEPT_CARDS = "given_scores.parquet", "given_scores.json"
SCORE, TEXTS = "score", ("prompt", "response")
COUNTED = ("scored", "scores_unmatched", "scores_unusable")
SAYABLE = ("higher_is", "mapping", "mean", "std", "reference")
GivenScores = str | Path | pd.DataFrame


@dataclass(frozen=True)
class ScoreTable:
    """Scores as they were read.

    Attributes:
        table: One row each: `row` (from 1), `id`, `prompt`, `response` (None where not given), and `harmful`, `helpful` in (0, 1).
        name: Where they come from.
        unusable: Rows without a number.
        cards: How outputs became scores, by score; empty where they were scores already, or are kept so.
    """

    table: pd.DataFrame
    name: str
    unusable: int
    cards: dict[str, ScorerCard]

    @property
    def scores(self) -> list[str]:
        """Which of `harmful` and `helpful` there are."""
        return [score for score in COLUMNS if score in self.table]

    def write(self, folder: Path) -> None:
        """Keeps the scores, and how outputs became scores, with a study."""
        write_table(folder / KEPT_SCORES, self.table)
        cards = {score: asdict(card) for score, card in self.cards.items()}
        write_json(folder / KEPT_CARDS, {"name": self.name, "unusable": self.unusable, "cards": cards})


def kept_scores(folder: Path) -> ScoreTable | None:
    """Reads the scores that a study keeps; None where none were given."""
    if not (folder / KEPT_SCORES).is_file():
        return None
    facts = read_json(folder / KEPT_CARDS)
    return ScoreTable(pd.read_parquet(folder / KEPT_SCORES), facts["name"], facts["unusable"], {})


def forget_scores(folder: Path) -> None:
    """Removes the scores that a study keeps."""
    for name in (KEPT_SCORES, KEPT_CARDS):
        (folder / name).unlink(missing_ok=True)


def load_scores(given: GivenScores, declared: Declared = "") -> ScoreTable:
    """Reads scores.

    Args:
        given: A file that `read_rows` reads, or a table.
        declared: How outputs become scores, for what is none yet: `higher_is`, `mapping`, `mean`, `std`.

    Raises:
        DataError: The file cannot be read, has no column of scores, or a value is no score.
        ConfigError: What is declared cannot be used.
    """
    said = parse_declaration(declared) if isinstance(declared, str) else dict(declared)
    check_said(said, "what is said of the scores", SAYABLE)
    name = "the table of scores" if isinstance(given, pd.DataFrame) else str(given)
    rows = [row for row in _rows(given) if not row.problem]
    columns = {column for row in rows for column in row.values}
    sources = _sources(columns, said, name)
    numbers = {score: [_number(row.values.get(column)) for row in rows] for score, column in sources.items()}
    raw = pd.DataFrame(numbers, dtype="float64")
    kept = raw.notna().any(axis=1)
    if not kept.any():
        raise DataError(f"{name}: no row holds a number in {', '.join(sources.values())}")
    texts = {column: [_text(row.values.get(column)) for row in rows] for column in ("id", *TEXTS)}
    table = pd.DataFrame({"row": [row.number for row in rows], **texts}, index=raw.index)
    cards: dict[str, ScorerCard] = {}
    for score in raw:
        scores, card = _as_scores(raw[score], str(score), said, name)
        table[score] = scores
        cards |= {str(score): card} if card else {}
    return ScoreTable(table[kept].reset_index(drop=True), name, int((~kept).sum()), cards)


def give_scores(samples: pd.DataFrame, given: ScoreTable, rows: int) -> tuple[pd.DataFrame, dict[str, int]]:
    """Gives scores to the samples that they belong to; what a scorer said stays where there is none.

    Args:
        samples: Columns `id`, `prompt`, `response`, `source_row`.
        given: The scores.
        rows: Rows of the training file.

    Returns:
        The samples with `harmful` and `helpful`, and counts: `scored` samples, and rows of scores `scores_unmatched` and
        `scores_unusable`.

    Raises:
        DataError: Rows cannot be told to belong to samples, or none does.
    """
    keys = _keys(samples, given, rows)
    places = pd.Series(samples.index, index=keys[0])
    found = pd.Series(keys[1], index=given.table.index).map(places[~places.index.duplicated()])
    if found.isna().all():
        raise DataError(f"none of the {len(found):,} rows of {given.name} belongs to a sample; {_HOW}")
    matched = given.table.assign(place=found).dropna(subset="place").drop_duplicates("place", keep="last")
    matched = matched.set_index("place")
    scored = samples.copy()
    for score in given.scores:
        before = scored[score] if score in scored else pd.Series(np.nan, index=samples.index)
        scored[score] = matched[score].reindex(samples.index).fillna(before)
    counts = (len(matched), int(found.isna().sum()), given.unusable)
    return scored, dict(zip(COUNTED, counts, strict=True))


_HOW = (
    "give each row the id of its sample (lancet study show tells where samples.parquet lies), its prompt and response, or as many rows "
    "as the training file has, in its order"
)


def _keys(samples: pd.DataFrame, given: ScoreTable, rows: int) -> tuple[list[Any], list[Any]]:
    """What samples and rows of scores are matched by."""
    table = given.table
    if table["id"].notna().any():
        return samples["id"].tolist(), table["id"].tolist()
    if table[list(TEXTS)].notna().all(axis=1).any():
        return _joined(samples), _joined(table)
    last = int(table["row"].max())
    if last > rows or len(table) + given.unusable != rows:
        raise DataError(
            f"{given.name} has {len(table) + given.unusable:,} rows and the training file {rows:,}, so that they cannot be told apart by "
            f"their order; {_HOW}"
        )
    if samples["source_row"].duplicated().any():
        raise DataError(
            f"a row of the training file holds several samples, so that the order does not tell whose score it is; {_HOW}"
        )
    return samples["source_row"].tolist(), table["row"].tolist()


def _joined(table: pd.DataFrame) -> list[tuple[str, str]]:
    return [(str(prompt).strip(), str(response).strip()) for prompt, response in table[list(TEXTS)].values]


def _rows(given: GivenScores) -> list[Row]:
    if isinstance(given, pd.DataFrame):
        records = given.to_dict("records")
        return [
            Row(number, {str(key): value for key, value in record.items()})
            for number, record in enumerate(records, start=1)
        ]
    return list(read_rows(Path(given).expanduser()))


def _sources(columns: set[str], said: Mapping[str, Any], name: str) -> dict[str, str]:
    """Which column gives which score."""
    sources = {score: score for score in COLUMNS if score in columns}
    if sources:
        return sources
    if SCORE not in columns:
        raise DataError(
            f"{name} has no column of scores; it takes {', '.join(COLUMNS)} in (0, 1), or {SCORE} with what it means; columns found: "
            f"{', '.join(sorted(columns)) or '(none)'}"
        )
    if "higher_is" not in said:
        raise ConfigError(
            f"{name} has a column {SCORE}, and it is not known what a higher one means; say it, as in --scores-as "
            f'"higher_is=harmful,mapping=sigmoid"; higher_is takes one of {", ".join(HIGHER_IS)}'
        )
    return {ScorerCard("", said["higher_is"]).column: SCORE}


def _as_scores(
    raw: pd.Series, score: str, said: Mapping[str, Any], name: str
) -> tuple[pd.Series, ScorerCard | None]:
    """Maps outputs to scores where it is said how; else checks that they are scores."""
    known = raw.notna()
    if "mapping" not in said:
        wrong = raw[known & ~raw.between(0, 1)]
        if not wrong.empty:
            raise DataError(
                f"{name}: {score} is {wrong.iloc[0]:g} in place {wrong.index[0] + 1}; scores lie between 0 and 1; outputs of a model "
                f'become scores by --scores-as "mapping=sigmoid" (or zscore_sigmoid, rank)'
            )
        return (1 - raw if said.get("higher_is") == "harmless" and score == HARMFUL else raw), None
    meant = said.get("higher_is", score)
    higher_is = meant if ScorerCard("", meant).column == score else score
    card = measured(
        ScorerCard(name, **{**said, "higher_is": higher_is, "reference": tuple(said.get("reference", ()))}),
        raw[known].to_numpy(),
    )
    mapped = raw.copy()
    mapped[known] = to_score(raw[known].to_numpy(), card)
    return mapped, card


def _number(value: Any) -> float:
    """Reads a number; NaN where there is none."""
    if isinstance(value, str):
        try:
            value = float(value)
        except ValueError:
            return np.nan
    value = value.item() if isinstance(value, np.generic) else value
    return float(value) if is_number(value) else np.nan


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) and value else None
