"""What a scorer says about itself: `scorer.json` beside its weights. Free of torch."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lancet_core.errors import ModelError
from lancet_core.files import is_number
from lancet_core.models.fingerprints import read_config

CARD_FILE = "scorer.json"
HIGHER_IS = ("harmful", "harmless", "helpful")
MAPPINGS = ("sigmoid", "zscore_sigmoid", "rank")
PAIR_TEMPLATE = "pair"


@dataclass(frozen=True)
class ScorerCard:
    """How a classifier's output becomes a harmful or helpful score.

    Attributes:
        folder: Folder of the classifier.
        higher_is: What a higher output means: `harmful`, `harmless` or `helpful`.
        label_index: Output that is read; with several labels its log-odds against the others.
        template: `pair` (prompt and response as a sentence pair), or a text with {prompt} and {response}.
        mapping: From output to (0, 1): `sigmoid`; `zscore_sigmoid` with `mean` and `std`; `rank` among `reference`.
        mean: Mean output over the reference answers (`zscore_sigmoid`).
        std: Standard deviation over them, above 0.
        reference: Sorted outputs over them (`rank`).
        known_categories: Categories it was trained on; None where it does not say.
    """

    folder: str
    higher_is: str
    label_index: int = 0
    template: str = PAIR_TEMPLATE
    mapping: str = "sigmoid"
    mean: float = 0.0
    std: float = 1.0
    reference: tuple[float, ...] = ()
    known_categories: tuple[str, ...] | None = None

    @property
    def column(self) -> str:
        """Name of the score it gives: `harmful` or `helpful`."""
        return "helpful" if self.higher_is == "helpful" else "harmful"

    def knows(self, category: str) -> bool:
        """Whether the scorer was trained on a category; True where it does not say on which."""
        return self.known_categories is None or category in self.known_categories


def scorer_card(folder: str | Path) -> ScorerCard:
    """Reads the card in a classifier's folder.

    Raises:
        ModelError: The folder or card is missing or broken, or a value is not accepted; the message says which.
    """
    place = Path(folder)
    if not place.is_dir():
        raise ModelError(f"the scorer {place} is not a folder; give the folder of a sequence classifier")
    if not (place / CARD_FILE).exists():
        raise ModelError(
            f"the scorer {place} has no {CARD_FILE}, so it is not known what its output means; write one, for example "
            '{"higher_is": "harmful", "label_index": 0, "template": "pair", "mapping": "sigmoid"}'
        )
    return _checked(place, read_config(place, CARD_FILE))


def _checked(folder: Path, values: dict[str, Any]) -> ScorerCard:
    """Builds the card; a value that is not accepted is refused."""
    place = folder / CARD_FILE
    for name, (accepts, accepted) in FIELDS.items():
        if name in values and not accepts(values[name]):
            raise ModelError(f"{place}: {name} is {values[name]!r:.60}; it takes {accepted}")
    if "higher_is" not in values:
        raise ModelError(f"{place} has no higher_is; it takes one of {', '.join(HIGHER_IS)}")
    categories = values.get("known_categories")
    card = ScorerCard(
        folder=str(folder),
        higher_is=values["higher_is"],
        label_index=values.get("label_index", 0),
        template=values.get("template", PAIR_TEMPLATE),
        mapping=values.get("mapping", "sigmoid"),
        mean=float(values.get("mean", 0.0)),
        std=float(values.get("std", 1.0)),
        reference=tuple(sorted(float(value) for value in values.get("reference", ()))),
        known_categories=None if categories is None else tuple(categories),
    )
    if card.mapping == "zscore_sigmoid" and not {"mean", "std"} <= set(values):
        raise ModelError(
            f"{place}: zscore_sigmoid needs mean and std of the outputs over the reference answers"
        )
    if card.mapping == "rank" and not card.reference:
        raise ModelError(f"{place}: rank needs reference, the outputs over the reference answers")
    return card


def _is_template(value: object) -> bool:
    return value == PAIR_TEMPLATE or (
        isinstance(value, str) and "{prompt}" in value and "{response}" in value
    )


def _is_list_of(value: object, accepts: Callable[[object], bool]) -> bool:
    return isinstance(value, list) and all(accepts(item) for item in value)


# What each field of a card accepts, as a check and in words.
FIELDS: dict[str, tuple[Callable[[Any], bool], str]] = {
    "higher_is": (lambda value: value in HIGHER_IS, f"one of {', '.join(HIGHER_IS)}"),
    "label_index": (
        lambda value: isinstance(value, int) and not isinstance(value, bool) and value >= 0,
        "a whole number from 0",
    ),
    "template": (_is_template, f"{PAIR_TEMPLATE!r} or a text with {{prompt}} and {{response}}"),
    "mapping": (lambda value: value in MAPPINGS, f"one of {', '.join(MAPPINGS)}"),
    "mean": (is_number, "a number"),
    "std": (lambda value: is_number(value) and value > 0, "a number above 0"),
    "reference": (lambda value: _is_list_of(value, is_number), "a list of numbers"),
    "known_categories": (
        lambda value: value is None or _is_list_of(value, lambda item: isinstance(item, str)),
        "a list of texts",
    ),
}
