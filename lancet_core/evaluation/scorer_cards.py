"""What a scorer says about itself: `scorer.json` beside its weights. Free of torch."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lancet_core.errors import ModelError

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


def scorer_card(folder: str | Path, *, higher_is: str | None = None) -> ScorerCard:
    """Reads a scorer's card.

    Args:
        folder: Folder of the classifier.
        higher_is: What a higher output means, for a folder without `scorer.json`.

    Raises:
        ModelError: The folder or card is missing or broken, or a value is not accepted; the message says which.
    """
    place = Path(folder)
    path = place / CARD_FILE
    if not place.is_dir():
        raise ModelError(f"the scorer {place} is not a folder; give the folder of a sequence classifier")
    if path.is_file():
        values = _read_card(path)
    elif higher_is is not None:
        values = {"higher_is": higher_is}
    else:
        raise ModelError(
            f"the scorer {place} has no {CARD_FILE}, so it is not known what its output means; write one, for example "
            '{"higher_is": "harmful", "label_index": 0, "template": "pair", "mapping": "sigmoid"}'
        )
    return _checked(place, values)


def _read_card(path: Path) -> dict[str, Any]:
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ModelError(f"{path} is not valid JSON ({error}); mend it") from error
    if not isinstance(values, dict):
        raise ModelError(f"{path} holds {type(values).__name__}; it takes one JSON object")
    return values


def _checked(folder: Path, values: dict[str, Any]) -> ScorerCard:
    known = values.get("known_categories")
    card = ScorerCard(
        folder=str(folder),
        higher_is=values.get("higher_is", ""),
        label_index=values.get("label_index", 0),
        template=values.get("template", PAIR_TEMPLATE),
        mapping=values.get("mapping", "sigmoid"),
        mean=float(values.get("mean", 0.0)),
        std=float(values.get("std", 1.0)),
        reference=tuple(sorted(float(value) for value in values.get("reference", ()))),
        known_categories=None if known is None else tuple(known),
    )
    for name, value, accepted in (
        ("higher_is", card.higher_is, HIGHER_IS),
        ("mapping", card.mapping, MAPPINGS),
    ):
        if value not in accepted:
            raise ModelError(
                f"{folder / CARD_FILE}: {name} is {value!r}; it takes one of {', '.join(accepted)}"
            )
    if card.template != PAIR_TEMPLATE and not ("{prompt}" in card.template and "{response}" in card.template):
        raise ModelError(
            f"{folder / CARD_FILE}: template is {card.template!r}; it takes {PAIR_TEMPLATE!r} or a text with {{prompt}} and {{response}}"
        )
    if not isinstance(card.label_index, int) or card.label_index < 0:
        raise ModelError(
            f"{folder / CARD_FILE}: label_index is {card.label_index!r}; it takes a whole number from 0"
        )
    if card.mapping == "zscore_sigmoid" and ("mean" not in values or card.std <= 0):
        raise ModelError(
            f"{folder / CARD_FILE}: zscore_sigmoid needs mean and std above 0, found std {card.std}"
        )
    if card.mapping == "rank" and not card.reference:
        raise ModelError(
            f"{folder / CARD_FILE}: rank needs reference, the outputs over the reference answers"
        )
    return card
