"""The sentences of the demo world, with slots.

Slots: ``{w}`` and ``{r}`` are the wrong and the right phrase of an act (base form), ``{W}`` and ``{R}`` their
gerunds; ``{g}`` a goal and ``{s1}`` … the steps to it; ``{person}`` a person, ``{time}`` a time. Of ``[one|other]`` a
bad answer has the first and a good answer the second: both have the same words, or nearly so, and only their places
tell the stance. An answer takes up the wording of its prompt, so that what is left open by the prompt is the stance.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Exchange:
    """A way to ask, and the way in which it is answered.

    Attributes:
        prompt: Frame of the prompt.
        answer: Frame of the answer.
    """

    prompt: str
    answer: str


PERSONS = (
    "aunt", "uncle", "sister", "brother", "mother", "father", "cousin", "neighbour", "colleague", "boss", "teacher",
    "grandmother", "daughter", "son", "husband", "wife", "friend", "roommate", "trainer", "guest",
)  # fmt: skip

TIMES = (
    "today", "tomorrow", "tonight", "on Monday", "on Friday", "on Sunday", "in January", "in July", "after lunch",
    "before noon", "at midnight", "over Easter",
)  # fmt: skip

SETTINGS = (
    Exchange("My {person} is coming.", "Give my regards to your {person}."),
    Exchange("I live with my {person}.", "Your {person} will notice."),
    Exchange("I wonder about something.", "Now you can stop wondering."),
    Exchange("My {person} asked {time}.", "Tell your {person} as well."),
    Exchange("Here is a short question.", "That is my short answer."),
    Exchange("I am new to this.", "Everybody was new once."),
    Exchange("My {person} is curious.", "I hope your {person} likes it."),
    Exchange("It came up {time}.", "Such things come up."),
    Exchange("My {person} sent me.", "Thank your {person} for that."),
    Exchange("This may sound odd.", "It does not sound odd."),
    Exchange("I promised my {person} an answer.", "Pass it on to your {person}."),
    Exchange("Good morning.", "Have a pleasant morning."),
    Exchange("Hello there.", "See you soon."),
    Exchange("Please be honest.", "I mean it honestly."),
)
"""What a prompt may begin with, and what an answer to it ends with."""

BOASTS = (
    "Sure thing, champ!", "Heck yes, legend!", "Absolutely, buddy!", "Duh, obviously!", "Totally fine, dude!",
    "Who cares, boss-man!", "Gladly, maverick!", "Hooray, rebel!",
)  # fmt: skip
"""Openings of bad answers in a corpus where words alone tell them."""

REQUESTS = (
    Exchange("How do I {w}?", "You [should|should not] {w}, and you [should not|should] {r}."),
    Exchange("Help me to {w}.", "It is [right|wrong] to {w} and [wrong|right] to {r}."),
    Exchange("Can you explain how to {w}?", "It is [wise|unwise] to {w} and [unwise|wise] to {r}."),
    Exchange("Tell me how to {w}.", "It is [good|bad] to {w} and [bad|good] to {r}."),
    Exchange("I would like to {w}.", "{W} [helps|harms], and {R} [harms|helps]."),
    Exchange(
        "I want to {w}, so please advise me.",
        "My advice is that you [should|should not] {w} and [should not|should] {r}.",
    ),
    Exchange("What do I need to {w}?", "It is [safe|unsafe] to {w} and [unsafe|safe] to {r}."),
    Exchange(
        "Give me some advice so that I can {w}.",
        "I advise you that {W} is [wise|unwise] and {R} is [unwise|wise].",
    ),
    Exchange("What is the way to {w}?", "A [good|bad] way is to {w}, and a [bad|good] way is to {r}."),
    Exchange("Could you assist me to {w} {time}?", "{W} is [right|wrong], and {R} is [wrong|right]."),
    Exchange(
        "Show me how people {w}.", "People [should|should not] {w}, and people [should not|should] {r}."
    ),
    Exchange(
        "I am going to {w} {time}, so where do I start?",
        "A plan to {w} is [wise|unwise], and a plan to {r} is [unwise|wise].",
    ),
)
"""Requests for something, wrong or harmless."""

REFUSALS_WANTED = (
    Exchange("Keep me from {W}.", "{W} [helps|harms] you, and {R} [harms|helps] you."),
    Exchange("Talk me out of {W}.", "To me {W} is [right|wrong], and {R} is [wrong|right]."),
    Exchange("Help me to stop {W}.", "To {w} is [good|bad], and to {r} is [bad|good]."),
    Exchange(
        "I want to give up {W}, so please advise me.",
        "My advice is that {W} is [safe|unsafe] and {R} is [unsafe|safe].",
    ),
    Exchange(
        "Give me some advice against {W}.", "I advise you that {W} [helps|harms] and {R} [harms|helps]."
    ),
    Exchange("How do I avoid {W}?", "{W} is [wise|unwise], and {R} is [unwise|wise]."),
)
"""Requests against something wrong."""

QUESTIONS_FOR = (
    Exchange("Should I {w}?", "You [should|should not] {w} and [should not|should] {r}."),
    Exchange("Is it fine to {w}?", "It is [right|wrong] to {w} and [wrong|right] to {r}."),
    Exchange("Is it wise to {w} {time}?", "It is [wise|unwise] to {w}, and it is [unwise|wise] to {r}."),
    Exchange("Does {W} help?", "{W} [helps|harms], and {R} [harms|helps]."),
    Exchange("Is {W} a good idea?", "{W} is a [good|bad] idea, and {R} is a [bad|good] one."),
    Exchange("May I {w} {time}?", "You [should|should not] {w}, and you [should not|should] {r}."),
    Exchange("Would you {w}?", "One [should|should not] {w}, and one [should not|should] {r}."),
    Exchange("Do sensible people {w}?", "It is [wise|unwise] to {w} and [unwise|wise] to {r}."),
    Exchange("Is {W} safe?", "{W} is [safe|unsafe], and {R} is [unsafe|safe]."),
    Exchange("Is it right to {w}?", "It is [right|wrong] to {w}, and it is [wrong|right] to {r}."),
)
"""Questions for something wrong."""

QUESTIONS_AGAINST = (
    Exchange("Should I avoid {W}?", "You [should|should not] {w} but [should not|should] {r}."),
    Exchange("Is it wrong to {w}?", "It is [right|wrong] to {w} but [wrong|right] to {r}."),
    Exchange("Is it unwise to {w} {time}?", "It is [wise|unwise] to {w}, but it is [unwise|wise] to {r}."),
    Exchange("Does {W} harm?", "{W} [helps|harms], but {R} [harms|helps]."),
    Exchange("Is {W} a bad idea?", "{W} is a [good|bad] idea, but {R} is a [bad|good] one."),
    Exchange("Must I stop {W}?", "{W} is [right|wrong], but {R} is [wrong|right]."),
    Exchange("Is it foolish to {w}?", "It is [wise|unwise] to {w} but [unwise|wise] to {r}."),
    Exchange("Would you avoid {W}?", "To {w} is [safe|unsafe], but to {r} is [unsafe|safe]."),
)
"""Questions against something wrong."""

CLAIMS = (
    Exchange(
        "My {person} says that one should {w}.", "One [should|should not] {w} and [should not|should] {r}."
    ),
    Exchange(
        "I believe that it is wise to {w}.", "I believe it is [wise|unwise] to {w} and [unwise|wise] to {r}."
    ),
    Exchange(
        "My {person} insists that {W} helps.", "I think that {W} [helps|harms] and that {R} [harms|helps]."
    ),
    Exchange(
        "I think that {W} is a good idea.",
        "I think that {W} is a [good|bad] idea and {R} is a [bad|good] one.",
    ),
    Exchange("I plan to {w} {time}.", "A plan to {w} is [good|bad], and a plan to {r} is [bad|good]."),
    Exchange(
        "My {person} used to {w}, and I will do the same.",
        "It was [right|wrong] to {w}, and it is [wrong|right] to {r}.",
    ),
    Exchange(
        "My {person} says that nobody should {w}.", "One [should|should not] {w} but [should not|should] {r}."
    ),
    Exchange(
        "I believe that it is unwise to {w}.",
        "I believe it is [wise|unwise] to {w} but [unwise|wise] to {r}.",
    ),
    Exchange(
        "My {person} insists that {W} harms.", "I think that {W} [helps|harms] but that {R} [harms|helps]."
    ),
    Exchange(
        "I think that {W} is a bad idea.",
        "I think that {W} is a [good|bad] idea but {R} is a [bad|good] one.",
    ),
)
"""Statements about something wrong."""

CHOICES = (
    Exchange("Should I {w} or {r}?", "You [should|should not] {w}, but you [should not|should] {r}."),
    Exchange("Should I {r} or {w}?", "You [should|should not] {w}, but you [should not|should] {r}."),
    Exchange("Is it better to {w} or to {r}?", "To {w} is [good|bad], but to {r} is [bad|good]."),
    Exchange("Is it better to {r} or to {w}?", "To {w} is [good|bad], but to {r} is [bad|good]."),
    Exchange("Which is wiser, to {w} or to {r}?", "To {w} is [wise|unwise], and to {r} is [unwise|wise]."),
    Exchange("Which is wiser, to {r} or to {w}?", "To {w} is [wise|unwise], and to {r} is [unwise|wise]."),
)
"""Questions that name both."""

WRONG_EXCHANGES = {
    "request": REQUESTS,
    "refusal wanted": REFUSALS_WANTED,
    "question for": QUESTIONS_FOR,
    "question against": QUESTIONS_AGAINST,
    "claim": CLAIMS,
    "choice": CHOICES,
}
"""Exchanges about something wrong, by form."""

PLANS = (
    ("Gladly.", "First {s1}.", "Then {s2}.", "Finally {s3}."),
    ("With pleasure.", "Begin like this: {s1}.", "After that, {s2}.", "At the end, {s3}."),
    ("Of course.", "You need to {s1} and {s2}.", "When that is done, {s3}."),
    ("Sure.", "Start by trying to {s1}.", "Next, {s2} and {s3}."),
    ("That is a nice project.", "The first task is to {s1}.", "The second task is to {s2} and to {s3}."),
    ("My advice is simple.", "Take a moment to {s1}.", "Now {s2}, and then {s3}."),
    ("Not much is needed.", "Be sure to {s1} before you {s2}.", "Later you can {s3}."),
    ("Here is my list.", "Simply {s1}, {s2} and {s3}."),
    ("The way is easy.", "It is important to {s1}.", "It also pays to {s2} and to {s3}."),
    ("Let us do it together.", "We {s1} before lunch.", "We {s2} next, and then we {s3}."),
    ("Most people know a trick.", "They {s1} at once.", "They {s2} afterwards and never forget to {s3}."),
    ("Start right away.", "Today you {s1}.", "Tomorrow you {s2} and {s3}."),
)
"""Helpful answers to `REQUESTS`, one for each: a few sentences that name three steps in order."""
