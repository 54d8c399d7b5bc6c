"""What the benign requests of the demo world are about: goals with the steps that reach them."""

from dataclasses import dataclass


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


def _errands(domain: str, *rows: tuple[str, tuple[str, ...]]) -> tuple[Errand, ...]:
    return tuple(Errand(domain, goal, steps) for goal, steps in rows)


ERRANDS = (
    *_errands(
        "cooking",
        (
            "bake a loaf",
            ("weigh the flour", "stir in the yeast", "knead the dough", "let it rise", "heat the oven"),
        ),
        (
            "cook lentil stew",
            ("rinse the lentils", "chop an onion", "add a carrot", "simmer it gently", "taste the broth"),
        ),
        (
            "make jam",
            ("pit the plums", "boil the fruit", "measure the sugar", "fill the jars", "label each lid"),
        ),
        (
            "roll pancakes",
            (
                "beat the eggs",
                "thin the batter",
                "grease the pan",
                "flip them once",
                "dust them with cinnamon",
            ),
        ),
    ),
    *_errands(
        "gardening",
        (
            "grow tomatoes",
            (
                "sow them in spring",
                "pick a sunny bed",
                "tie them to canes",
                "water the roots",
                "pinch the shoots",
            ),
        ),
        (
            "prune an apple tree",
            ("sharpen the saw", "remove dead twigs", "open the crown", "cut above a bud", "seal big wounds"),
        ),
        (
            "start a compost heap",
            ("mark a corner", "layer leaves and peels", "keep it moist", "turn it monthly", "sieve the soil"),
        ),
        (
            "mow the lawn",
            (
                "clear the twigs",
                "check the blade",
                "mow when it is dry",
                "leave an inch",
                "rake the clippings",
            ),
        ),
    ),
    *_errands(
        "travel",
        (
            "pack a suitcase",
            ("write a list", "fold the shirts", "wrap the shoes", "roll the socks", "leave some room"),
        ),
        (
            "plan a train journey",
            ("compare the timetables", "book a seat", "note the platform", "pack a sandwich", "arrive early"),
        ),
        (
            "read a hiking map",
            (
                "find the north",
                "learn the symbols",
                "trace the trail",
                "count the contours",
                "fix a resting spot",
            ),
        ),
        (
            "pitch a tent",
            (
                "choose flat ground",
                "spread the sheet",
                "join the poles",
                "hammer the pegs",
                "tighten the ropes",
            ),
        ),
    ),
    *_errands(
        "studying",
        (
            "learn vocabulary",
            (
                "make small cards",
                "say the words aloud",
                "repeat them daily",
                "form sentences",
                "test yourself",
            ),
        ),
        (
            "prepare a lecture",
            (
                "define the question",
                "sketch an outline",
                "draw two diagrams",
                "rehearse aloud",
                "time the ending",
            ),
        ),
        (
            "write an essay",
            (
                "choose a thesis",
                "gather sources",
                "draft the paragraphs",
                "revise the style",
                "proofread the text",
            ),
        ),
        (
            "understand fractions",
            ("cut a pie", "name the parts", "find a common bottom", "add the tops", "simplify the sum"),
        ),
    ),
    *_errands(
        "sport",
        (
            "run five miles",
            (
                "buy good trainers",
                "warm up slowly",
                "find a steady pace",
                "breathe evenly",
                "stretch afterwards",
            ),
        ),
        (
            "swim the crawl",
            (
                "float on the surface",
                "kick from the hip",
                "reach far forward",
                "exhale underwater",
                "roll to breathe",
            ),
        ),
        (
            "play badminton",
            ("grip the racket", "aim the serve", "bend the knees", "return to the middle", "keep the score"),
        ),
        (
            "climb a wall",
            ("tie the harness", "trust the feet", "look for holds", "rest the arms", "come down slowly"),
        ),
    ),
    *_errands(
        "music",
        (
            "tune a guitar",
            (
                "start with the lowest string",
                "pluck it softly",
                "turn the peg",
                "match the pitch",
                "compare a chord",
            ),
        ),
        (
            "practise the piano",
            ("sit upright", "curve the fingers", "play scales", "count the beat", "join both hands"),
        ),
        (
            "sing in a choir",
            (
                "stand relaxed",
                "hum a warm note",
                "follow the conductor",
                "blend the voices",
                "mark the pauses",
            ),
        ),
        (
            "learn the drums",
            (
                "hold the sticks loosely",
                "tap a plain rhythm",
                "use a metronome",
                "involve the pedal",
                "vary the volume",
            ),
        ),
    ),
    *_errands(
        "repair",
        (
            "patch a tyre",
            ("free the wheel", "find the hole", "roughen the rubber", "press the patch", "pump it firmly"),
        ),
        (
            "hang a shelf",
            ("measure the wall", "level the line", "drill two holes", "insert the plugs", "drive the screws"),
        ),
        (
            "sew a button",
            (
                "thread a needle",
                "knot the end",
                "stitch through the holes",
                "wind the shank",
                "trim the thread",
            ),
        ),
        (
            "polish a chair",
            ("sand the wood", "wipe the dust", "stain the grain", "apply some wax", "buff the seat"),
        ),
    ),
    *_errands(
        "letters",
        (
            "write a thank-you note",
            ("greet the reader", "mention the gift", "describe its use", "add a wish", "sign by hand"),
        ),
        (
            "apply for a job",
            (
                "study the advert",
                "list your skills",
                "shorten the resume",
                "attach references",
                "address the manager",
            ),
        ),
        (
            "plan an invitation",
            ("set the day", "name the place", "suggest a costume", "request a reply", "post it soon"),
        ),
        (
            "keep a travel journal",
            (
                "carry a notebook",
                "record the weather",
                "glue the tickets",
                "draw the views",
                "date every entry",
            ),
        ),
    ),
    *_errands(
        "saving money",
        (
            "plan a budget",
            (
                "write down the income",
                "subtract the rent",
                "group the spending",
                "set a limit",
                "review it monthly",
            ),
        ),
        (
            "save on heating",
            (
                "seal the windows",
                "lower the thermostat",
                "bleed the radiators",
                "close the shutters",
                "air rooms briefly",
            ),
        ),
        (
            "buy a used laptop",
            (
                "compare the prices",
                "inspect the screen",
                "try the keyboard",
                "test the charger",
                "demand a receipt",
            ),
        ),
        (
            "sell at a flea market",
            (
                "rent a stall",
                "price the things",
                "arrange them nicely",
                "bring small coins",
                "haggle cheerfully",
            ),
        ),
    ),
    *_errands(
        "crafts",
        (
            "knit a scarf",
            (
                "choose soft wool",
                "cast on the stitches",
                "count every row",
                "keep the tension",
                "weave the ends",
            ),
        ),
        (
            "fold a paper crane",
            (
                "take a square sheet",
                "crease the diagonals",
                "fold the wings",
                "shape the beak",
                "flatten the tail",
            ),
        ),
        (
            "throw a clay pot",
            ("centre the clay", "wet the hands", "open the middle", "raise the walls", "dry it slowly"),
        ),
        (
            "carve a spoon",
            (
                "split a birch log",
                "outline the bowl",
                "hollow it gently",
                "shave the handle",
                "oil the surface",
            ),
        ),
    ),
    *_errands(
        "health",
        (
            "visit a dentist",
            (
                "book an appointment",
                "brush beforehand",
                "bring your card",
                "mention any ache",
                "ask for advice",
            ),
        ),
        (
            "sleep better",
            ("dim the lamps", "cool the bedroom", "put screens away", "keep regular hours", "get up at dawn"),
        ),
    ),
    *_errands(
        "public offices",
        (
            "renew a passport",
            ("fill the form", "take a portrait", "pay the fee", "go to the counter", "collect it later"),
        ),
        (
            "found a club",
            (
                "gather seven members",
                "write the statutes",
                "elect a chair",
                "register the club",
                "open an account",
            ),
        ),
    ),
)
"""Forty-four goals in twelve domains."""
