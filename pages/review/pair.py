"""The two samples of a pair as cards: text, influence, harmful score, label and why the pair was proposed."""

from dataclasses import dataclass

from pages.shared.diff import Piece, diff_sides, unmarked
from pages.shared.numbers import influence, score
from pages.shared.reading import Card, Fact, Passage, Tone


@dataclass(frozen=True)
class Side:
    """One sample of a pair, as the review shows it.

    Attributes:
        prompt: What was asked.
        response: What was answered.
        influence: Influence score scaled by the strongest of its attribution, in [-1, 1].
        harmful: Harmful score in (0, 1), None where the study has no scorer.
        is_safe: Label of the data set, None where it has none.
    """

    prompt: str
    response: str
    influence: float
    harmful: float | None
    is_safe: bool | None


def pair_cards(towards: Side, away: Side, *, marked: bool) -> tuple[Card, Card]:
    """Makes the cards of a pair.

    Args:
        towards: The sample that pushes towards the queries of the cluster.
        away: The sample that pushes away from them.
        marked: Whether the words in which the two differ are marked.

    Returns:
        Card of the first sample and card of the second.
    """
    first, second = _texts(towards), _texts(away)
    if marked:
        prompts = diff_sides(towards.prompt, away.prompt)
        responses = diff_sides(towards.response, away.response)
        first, second = (prompts[0], responses[0]), (prompts[1], responses[1])
    return (
        _card("▲ Pushes towards the bad answer: to be unlearned", towards, texts=first, tone="towards"),
        _card("▼ Pushes away from it: to be strengthened", away, texts=second, tone="away"),
    )


def _texts(side: Side) -> tuple[tuple[Piece, ...], tuple[Piece, ...]]:
    return unmarked(side.prompt), unmarked(side.response)


def _card(title: str, side: Side, *, texts: tuple[tuple[Piece, ...], tuple[Piece, ...]], tone: Tone) -> Card:
    return Card(
        title,
        (Passage("Prompt", texts[0], muted=True), Passage("Answer in the training data", texts[1])),
        (
            Fact("Influence, scaled to the strongest", influence(side.influence), side.influence),
            Fact("Harmful score, 0 to 1", score(side.harmful)),
            Fact("Label in the data", {True: "safe", False: "unsafe", None: "none"}[side.is_safe]),
        ),
        tone,
    )
