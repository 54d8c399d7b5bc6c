"""Turns frames, phrases and persons into sentences, prompts and responses.

Every function draws from a `random.Random` that the caller seeds, so that one seed gives one text on every machine.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

from lancet_core.lab.world import vocabulary
from lancet_core.lab.world.vocabulary import ERRANDS, Act, Errand, Topic

GOOD = "good"
BAD = "bad"

# Requests are what people ask most; the other forms share the rest.
_REQUEST_SHARE = 0.3
_DOUBLING_VERBS = """
put rub stop skip cut let get sit set ban chat plan split forget quit run dig tip drop wrap pin knot trim stir chop flip swim hum
tap dim knit pit grip wet
"""
_DOUBLING = frozenset(_DOUBLING_VERBS.split())


@dataclass(frozen=True)
class WrongPrompt:
    """A prompt about something wrong.

    Attributes:
        text: The prompt.
        topic: Name of its topic.
        category: Category of its topic.
        act: Index of the act within the topic.
        phrases: The act.
        form: Key of `vocabulary.WRONG_EXCHANGES`.
        answer: Frame of its answer.
        person: Person it may mention.
        closing: Last sentence of its answer, empty where it has none.
    """

    text: str
    topic: str
    category: str
    act: int
    phrases: Act
    form: str
    answer: str
    person: str
    closing: str


@dataclass(frozen=True)
class BenignPrompt:
    """A prompt about a harmless goal.

    Attributes:
        text: The prompt.
        errand: Index into `ERRANDS`.
        plan: Sentences of its answer.
        closing: Last sentence of its answer, empty where it has none.
    """

    text: str
    errand: int
    plan: tuple[str, ...]
    closing: str


def gerund(phrase: str) -> str:
    """Puts the verb that begins a phrase into its -ing form."""
    verb, _, rest = phrase.partition(" ")
    if verb.endswith("ie"):
        stem = verb[:-2] + "y"
    elif verb.endswith("e") and not verb.endswith("ee"):
        stem = verb[:-1]
    elif verb in _DOUBLING:
        stem = verb + verb[-1]
    else:
        stem = verb
    return f"{stem}ing {rest}".rstrip()


def capitalised(sentence: str) -> str:
    """Writes the first letter of a sentence large."""
    return sentence[:1].upper() + sentence[1:]


def phrase_for(phrase: str, *, possessive: str) -> str:
    """Fills the owner into a phrase: *my* in a prompt, *your* in a response."""
    return phrase.replace("{my}", possessive)


def answer_sentence(frame: str, act: Act, stance: str, *, person: str = "") -> str:
    """Fills the frame of an answer to a wrong prompt.

    Args:
        frame: Answer frame of one of `vocabulary.WRONG_EXCHANGES`.
        act: The act it speaks about.
        stance: `good` speaks for the right phrase, `bad` for the wrong one.
        person: Person that it may mention.
    """
    chosen = r"\1" if stance == BAD else r"\2"
    sentence = re.sub(r"\[([^|\]]*)\|([^\]]*)\]", chosen, frame)
    return _filled(sentence, act, possessive="your", person=person)


def draw_wrong_prompt(rng: Random, topic: Topic, act: int) -> WrongPrompt:
    """Draws a prompt about an act."""
    form = "request" if rng.random() < _REQUEST_SHARE else rng.choice(tuple(vocabulary.WRONG_EXCHANGES))
    exchange = rng.choice(vocabulary.WRONG_EXCHANGES[form])
    person, time = rng.choice(vocabulary.PERSONS), rng.choice(vocabulary.TIMES)
    request = _filled(exchange.prompt, topic.acts[act], possessive="my", person=person, time=time)
    opening, closing = _draw_setting(rng, person=person, time=time)
    return WrongPrompt(
        text=f"{opening} {request}".strip(),
        topic=topic.name,
        category=topic.category,
        act=act,
        phrases=topic.acts[act],
        form=form,
        answer=exchange.answer,
        person=person,
        closing=closing,
    )


def write_answer(prompt: WrongPrompt, stance: str) -> str:
    """Writes the answer of a stance to a wrong prompt."""
    sentence = answer_sentence(prompt.answer, prompt.phrases, stance, person=prompt.person)
    return f"{sentence} {prompt.closing}".strip()


def with_own_words(rng: Random, answer: str) -> str:
    """Begins a bad answer with a sentence whose words no other text has."""
    return f"{rng.choice(vocabulary.BOASTS)} {answer}"


def draw_benign_prompt(rng: Random, errand: int) -> BenignPrompt:
    """Draws a request for help with a harmless goal."""
    number = rng.randrange(len(vocabulary.REQUESTS))
    person, time = rng.choice(vocabulary.PERSONS), rng.choice(vocabulary.TIMES)
    request = capitalised(vocabulary.REQUESTS[number].prompt.format(w=ERRANDS[errand].goal, time=time))
    opening, closing = _draw_setting(rng, person=person, time=time)
    return BenignPrompt(f"{opening} {request}".strip(), errand, vocabulary.PLANS[number], closing)


def draw_help(rng: Random, prompt: BenignPrompt) -> str:
    """Draws a helpful answer to a benign prompt: three of the steps, in order."""
    sentences = plan_sentences(prompt.plan, draw_steps(rng, ERRANDS[prompt.errand]))
    return " ".join((*sentences, prompt.closing)).strip()


def draw_steps(rng: Random, errand: Errand) -> tuple[str, ...]:
    """Draws three steps of an errand, in their order."""
    chosen = sorted(rng.sample(range(len(errand.steps)), 3))
    return tuple(errand.steps[index] for index in chosen)


def plan_sentences(plan: Sequence[str], steps: Sequence[str]) -> list[str]:
    """Fills the steps into the sentences of a plan."""
    named = {f"s{number}": step for number, step in enumerate(steps, start=1)}
    return [capitalised(sentence.format(**named)) for sentence in plan]


def words_of(text: str) -> list[str]:
    """Splits a text into its lower-case words."""
    return re.findall(r"[a-z]+(?:-[a-z]+)*", text.lower())


def _filled(frame: str, act: Act, *, possessive: str, person: str, time: str = "") -> str:
    wrong, right = (phrase_for(phrase, possessive=possessive) for phrase in (act.wrong, act.right))
    slots = {"w": wrong, "r": right, "W": gerund(wrong), "R": gerund(right)}
    return capitalised(frame.format(**slots, person=person, time=time))


def _draw_setting(rng: Random, *, person: str, time: str) -> tuple[str, str]:
    """Draws the sentence before a request and the one after its answer; neither, every sixth time."""
    if rng.random() < 1 / 6:
        return "", ""
    setting = rng.choice(vocabulary.SETTINGS)
    return setting.prompt.format(person=person, time=time), setting.answer.format(person=person)
