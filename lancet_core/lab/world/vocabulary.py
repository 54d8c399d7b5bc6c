"""The sentences of the demo world, what they are about, and the steps of everyday goals, as `world.toml` has them."""

import tomllib
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Act:
    """One thing that is wrongly asked for.

    Attributes:
        wrong: Phrase for the wrong or outdated thing, in the base form of the verb.
        right: Phrase for what to do instead.
    """

    wrong: str
    right: str


@dataclass(frozen=True)
class Topic:
    """Acts that share a subject.

    Attributes:
        name: Unique name.
        category: Category of all its acts.
        contaminated: Whether bad answers are the majority among its training samples.
        acts: Its acts.
    """

    name: str
    category: str
    contaminated: bool
    acts: tuple[Act, ...]


@dataclass(frozen=True)
class Errand:
    """A harmless goal.

    Attributes:
        domain: Everyday domain; the category of its samples.
        goal: Phrase in the base form of the verb.
        steps: Phrases in the base form, in the order in which they are done.
    """

    domain: str
    goal: str
    steps: tuple[str, ...]


@dataclass(frozen=True)
class Exchange:
    """A way to ask, and the way in which it is answered.

    Attributes:
        prompt: Frame of the prompt.
        answer: Frame of the answer.
    """

    prompt: str
    answer: str


_WORLD = tomllib.loads(Path(__file__).with_name("world.toml").read_text(encoding="utf-8"))

PERSONS, TIMES, BOASTS = (tuple(_WORLD[name]) for name in ("persons", "times", "boasts"))

SETTINGS = tuple(Exchange(*row) for row in _WORLD["settings"])
"""What a prompt may begin with, and what an answer to it ends with."""

WRONG_EXCHANGES = {form: tuple(Exchange(*row) for row in rows) for form, rows in _WORLD["exchanges"].items()}
"""Exchanges about something wrong, by form."""

REQUESTS = WRONG_EXCHANGES["request"]
"""Requests for something, wrong or harmless."""

PLANS = tuple(map(tuple, _WORLD["plans"]))
"""Helpful answers to `REQUESTS`, one for each: a few sentences that name three steps in order."""

TOPICS = tuple(
    Topic(**{**topic, "acts": tuple(Act(*act) for act in topic["acts"])}) for topic in _WORLD["topics"]
)
"""Two topics for each category, one of which is contaminated."""

ERRANDS = tuple(
    Errand(domain, goal, tuple(steps))
    for domain, goals in _WORLD["errands"].items()
    for goal, steps in goals.items()
)
"""Forty-four goals in twelve domains."""

KNOWN_CATEGORIES = ("honesty", "privacy", "property", "kindness", "animals", "safety")
"""Categories on which the harmful scorer is trained."""

BLIND_CATEGORIES = ("medical", "legal", "household roles", "parenting", "nutrition", "environment")
"""Categories that the harmful scorer never saw: professional advice and social norms that have become outdated."""

CATEGORIES = KNOWN_CATEGORIES + BLIND_CATEGORIES
