"""What a scorer's output means: its card, from its family, `scorer.json` beside its weights, or said by hand. Free of torch.

A study names each of its scorers by the text of its card (`ScorerCard.text`), so that card and statistics are kept with the study and
with each of its runs; the folder of a scorer, or its hub id, is accepted as well and read when it is needed.
"""

import json
import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from lancet_core.config import fingerprint, setting
from lancet_core.errors import ConfigError, DataError, LancetError, ModelError
from lancet_core.evaluation.scorer_families import (
    CHAT_TEMPLATE,
    CLASSIFIER,
    FAMILIES,
    PAIR_TEMPLATE,
    PUBLISHED,
    Checkpoint,
    Family,
    recognised,
)
from lancet_core.files import is_number, parse_json
from lancet_core.models.fingerprints import check_model_folder, read_config, resolve_model

CARD_FILE = "scorer.json"
HIGHER_IS = ("harmful", "harmless", "helpful")
MAPPINGS = ("sigmoid", "zscore_sigmoid", "rank")
HARMFUL, HELPFUL = COLUMNS = ("harmful", "helpful")
Declared = str | Mapping[str, Any]


@dataclass(frozen=True)
class ScorerCard:
    """How a scorer's output becomes a harmful or helpful score.

    Attributes:
        folder: Folder or hub id of the scorer.
        higher_is: What a higher output means: `harmful`, `harmless` or `helpful`.
        label_index: Output that is read; with several labels its log-odds against the others.
        template: `pair` (prompt and response as a sentence pair), `chat` (its own chat template), or a text with {prompt} and
            {response}, and {eos} where the end token goes.
        mapping: From output to (0, 1): `sigmoid`; `zscore_sigmoid` with `mean` and `std`; `rank` among `reference`.
        mean: Mean output over the reference answers (`zscore_sigmoid`); None where it is not measured yet.
        std: Standard deviation over them, above 0; None where it is not measured yet.
        reference: Sorted outputs over them (`rank`); empty where they are not measured yet.
        known_categories: Categories it was trained on; None where it does not say.
        family: How its checkpoint is read (`FAMILIES`).
        measured_on: Number of reference answers that the statistics were taken from; 0 where somebody gave them.
    """

    folder: str
    higher_is: str
    label_index: int = 0
    template: str = PAIR_TEMPLATE
    mapping: str = "sigmoid"
    mean: float | None = None
    std: float | None = None
    reference: tuple[float, ...] = ()
    known_categories: tuple[str, ...] | None = None
    family: str = CLASSIFIER
    measured_on: int = 0

    @property
    def column(self) -> str:
        """Name of the score it gives: `harmful` or `helpful`."""
        return HELPFUL if self.higher_is == "helpful" else HARMFUL

    @property
    def kind(self) -> Family:
        """Its family."""
        return FAMILIES[self.family]

    @property
    def is_measured(self) -> bool:
        """Whether its mapping has all the statistics that it needs."""
        return {"zscore_sigmoid": self.std is not None, "rank": bool(self.reference)}.get(self.mapping, True)

    @property
    def text(self) -> str:
        """The card as JSON, which a study keeps."""
        return json.dumps(asdict(self), sort_keys=True, ensure_ascii=False)

    @property
    def content(self) -> str:
        """Fingerprint of what it says, wherever the weights lie."""
        return fingerprint(asdict(replace(self, folder="")))

    @property
    def declaration(self) -> str:
        """What `--harmful-scorer-as` says to get this card anywhere; statistics that a study measures are left to it."""
        said = {name: getattr(self, name) for name in FIELDS}
        if self.measured_on:
            said |= {"mean": None, "std": None, "reference": ()}
        usual = {**asdict(ScorerCard("", "")), **self.kind.values}
        parts = [
            f"{name}={_as_typed(value)}"
            for name, value in said.items()
            if name == "family" or value != usual[name]
        ]
        return ",".join(parts)

    @property
    def summary(self) -> str:
        """What it is, in words."""
        measured = f", measured on {self.measured_on:,} answers" if self.measured_on else ""
        return f"{self.family}: higher is {self.higher_is}, by {self.mapping}{measured}"

    def knows(self, category: str) -> bool:
        """Whether the scorer was trained on a category; True where it does not say on which."""
        return self.known_categories is None or category in self.known_categories


@dataclass(frozen=True)
class ScorerDeclaration:
    """What a person may say of a scorer, for a form; what is left out is as the family or `scorer.json` says."""

    family: str | None = setting(
        None, "How the checkpoint is read; found by itself for the published ones.", choices=tuple(FAMILIES)
    )
    higher_is: str | None = setting(None, "What a higher output means.", choices=HIGHER_IS)
    label_index: int | None = setting(None, "Which of a classifier's labels is read, from 0.", minimum=0)
    template: str | None = setting(
        None, "pair (two texts), or one text with {prompt} and {response}, and {eos} for the end token."
    )
    mapping: str | None = setting(
        None,
        "From output to a score: sigmoid; zscore_sigmoid and rank compare with the training samples.",
        choices=MAPPINGS,
    )
    mean: float | None = setting(None, "Mean output for zscore_sigmoid; measured where not given.")
    std: float | None = setting(None, "Its standard deviation; measured where not given.")

    @property
    def said(self) -> dict[str, Any]:
        """The values that were given."""
        return {name: value for name, value in asdict(self).items() if value is not None}


def resolve_scorer(given: str | Path, declared: Declared = "", *, column: str) -> str:
    """Reads what a scorer is, so that a study can keep it.

    Args:
        given: Its folder or hub id; empty for none.
        declared: What is said of it by hand: fields of `ScorerDeclaration`, as a mapping or as `higher_is=harmful,label_index=1`.
        column: What it is to score: `harmful` or `helpful`.

    Returns:
        The text of its card, which names the scorer everywhere; empty for none.

    Raises:
        ModelError: There is no such scorer, its files cannot be used, or it is not known what its output means.
        ConfigError: What is declared cannot be used, or it measures the other thing.
    """
    if not given:
        if declared:
            raise ConfigError(
                f"{declared!r} says what the {column} scorer is, but none is given; name its folder"
            )
        return ""
    card = _read_card(given, parse_declaration(declared) if isinstance(declared, str) else declared)
    check_model_folder(resolve_model(given))
    check_column(card, column)
    return card.text


def check_column(card: ScorerCard, column: str) -> None:
    """Checks that a scorer measures what it is used for.

    Raises:
        ConfigError: It measures the other thing.
    """
    if card.column != column:
        raise ConfigError(
            f"{card.folder} was given as the {column} scorer, but its card says that higher is {card.higher_is}; "
            f"give the other folder, or correct scorer.json or --{column}-scorer-as"
        )


def scorer_card(scorer: str | Path) -> ScorerCard:
    """Reads the card of a scorer.

    Args:
        scorer: Text of a card, or the folder or hub id of a scorer.

    Raises:
        ModelError: The folder or card is missing or broken, or a value is not accepted; the message says which.
    """
    text = str(scorer)
    if not text.startswith("{"):
        return _read_card(scorer, {})
    try:
        values = parse_json(text, "the study's scorer")
    except DataError as error:
        raise ModelError(str(error)) from error
    if not isinstance(values.get("folder"), str) or "higher_is" not in values:
        raise ModelError(f"the study's scorer {text:.80} is no card; give the study its scorer again")
    return _card(values["folder"], values, "the study's scorer")


def scorer_folder(scorer: str) -> str:
    """Where the weights of a scorer lie: its folder, or a hub id."""
    return scorer_card(scorer).folder if scorer.startswith("{") else scorer


def described(scorer: str) -> str:
    """Says where a scorer lies and what it is, as far as its folder is still there."""
    try:
        card = scorer_card(scorer) if scorer else None
    except LancetError:
        return scorer
    return f"{card.folder} ({card.summary})" if card else ""


def parse_declaration(text: str) -> dict[str, Any]:
    r"""Reads what is said of a scorer as it is typed: `higher_is=harmful,label_index=1,template=Q: {prompt} A: {response}`.

    A comma ends a value only where the name of a field follows, so that templates may hold commas; `\n` in a template is a new line.
    Categories and reference outputs are divided by `;`.

    Raises:
        ConfigError: A part is no `name=value`, or its name is unknown.
    """
    said: dict[str, Any] = {}
    for part in filter(None, re.split(rf",(?=\s*(?:{'|'.join(FIELDS)})=)", text.strip())):
        name, equals, value = part.strip().partition("=")
        if not equals or name not in FIELDS:
            raise ConfigError(
                f"{part!r:.80} says nothing of a scorer; write name=value, as in higher_is=harmful,label_index=1; names are "
                f"{', '.join(FIELDS)}"
            )
        said[name] = _typed(name, value)
    return said


def check_said(said: Mapping[str, Any], where: str, sayable: Collection[str]) -> None:
    """Checks what a person says of a scorer.

    Raises:
        ConfigError: A name is unknown, or its value not accepted.
    """
    unknown = sorted(set(said) - set(sayable))
    if unknown:
        raise ConfigError(f"{where}: {unknown[0]!r} is unknown; it takes {', '.join(sayable)}")
    _check(said, where, ConfigError)


def _read_card(scorer: str | Path, declared: Mapping[str, Any]) -> ScorerCard:
    """Reads a checkpoint's card: what its family means, changed by `scorer.json` and by what is declared."""
    where = "what is said of the scorer"
    check_said(declared, where, FIELDS)
    place = resolve_model(scorer)
    beside = read_config(place, CARD_FILE) if (place / CARD_FILE).exists() else {}
    _check(beside, str(place / CARD_FILE), ModelError)
    found = {**beside, **declared}
    name = str(scorer) if not Path(scorer).expanduser().is_dir() else str(place)
    family = found.get("family") or recognised(Checkpoint(str(scorer), place)) or CLASSIFIER
    values = {**FAMILIES[family].values, **found, "family": family}
    if "higher_is" not in values:
        if (place / CARD_FILE).exists():
            raise ModelError(f"{place / CARD_FILE} has no higher_is; it takes one of {', '.join(HIGHER_IS)}")
        raise ModelError(
            f"the scorer {name} is of no family that is known by itself ({', '.join(PUBLISHED)}) and has no {CARD_FILE}, so it is not "
            'known what its output means; say it, as in --harmful-scorer-as "higher_is=harmful,label_index=0,template=pair", or write '
            f'it beside its weights: {{"higher_is": "harmful", "label_index": 0, "template": "pair", "mapping": "sigmoid"}}'
        )
    return _card(name, values, where if declared else str(place / CARD_FILE))


def _card(folder: str, values: Mapping[str, Any], where: str) -> ScorerCard:
    """Builds a card of values that are checked."""
    _check(values, where, ModelError)
    categories = values.get("known_categories")
    mean, std = values.get("mean"), values.get("std")
    return ScorerCard(
        folder=folder,
        higher_is=values["higher_is"],
        label_index=values.get("label_index", 0),
        template=values.get("template", PAIR_TEMPLATE),
        mapping=values.get("mapping", "sigmoid"),
        mean=None if mean is None or std is None else float(mean),
        std=None if mean is None or std is None else float(std),
        reference=tuple(sorted(float(value) for value in values.get("reference", ()))),
        known_categories=None if categories is None else tuple(categories),
        family=values.get("family", CLASSIFIER),
        measured_on=values.get("measured_on", 0),
    )


def _check(values: Mapping[str, Any], where: str, error: type[LancetError]) -> None:
    for name, (accepts, accepted) in FIELDS.items():
        if name in values and not accepts(values[name]):
            raise error(f"{where}: {name} is {values[name]!r:.60}; it takes {accepted}")


def _typed(name: str, text: str) -> Any:
    """Reads a value as it is typed; what cannot be read stays a text, which is refused with what is accepted."""
    try:
        if name == "label_index":
            return int(text)
        if name in {"mean", "std"}:
            return float(text)
        if name == "reference":
            return [float(number) for number in text.split(";")]
    except ValueError:
        return text
    if name == "known_categories":
        return [category.strip() for category in text.split(";")]
    return text.replace("\\n", "\n") if name == "template" else text.strip()


def _as_typed(value: Any) -> str:
    """Writes a value so that `_typed` reads it."""
    if isinstance(value, tuple):
        return ";".join(map(str, value))
    return str(value).replace("\n", "\\n")


def _is_template(value: object) -> bool:
    return value in (PAIR_TEMPLATE, CHAT_TEMPLATE) or (
        isinstance(value, str) and "{prompt}" in value and "{response}" in value
    )


def _is_list_of(value: object, accepts: Callable[[object], bool]) -> bool:
    return isinstance(value, list | tuple) and all(accepts(item) for item in value)


def _is_number_or_none(value: object) -> bool:
    return value is None or is_number(value)


# What each field of a card accepts, as a check and in words.
FIELDS: dict[str, tuple[Callable[[Any], bool], str]] = {
    "family": (
        lambda value: isinstance(value, str) and value in FAMILIES,
        f"one of {', '.join(FAMILIES)}",
    ),
    "higher_is": (lambda value: value in HIGHER_IS, f"one of {', '.join(HIGHER_IS)}"),
    "label_index": (
        lambda value: isinstance(value, int) and not isinstance(value, bool) and value >= 0,
        "a whole number from 0",
    ),
    "template": (_is_template, f"{PAIR_TEMPLATE!r} or a text with {{prompt}} and {{response}}"),
    "mapping": (lambda value: value in MAPPINGS, f"one of {', '.join(MAPPINGS)}"),
    "mean": (_is_number_or_none, "a number"),
    "std": (lambda value: value is None or (is_number(value) and value > 0), "a number above 0"),
    "reference": (lambda value: _is_list_of(value, is_number), "a list of numbers"),
    "known_categories": (
        lambda value: value is None or _is_list_of(value, lambda item: isinstance(item, str)),
        "a list of texts",
    ),
}
