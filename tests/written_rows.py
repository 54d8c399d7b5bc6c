"""Rows of the schemas of real data sets, written by the tests, so that they run on every clone."""

import json

PLACES = ("garden", "kitchen", "library", "harbour", "workshop", "school", "market", "station")
THINGS = ("kettle", "ladder", "bicycle", "letter", "blanket", "lantern", "basket", "clock", "bottle", "drum")
CATEGORIES = ("animal_abuse", "controversial_topics,politics", "privacy_violation", "self_harm")


def texts(index):
    """A prompt, a good and a bad answer; different for different numbers below 80."""
    thing, place = THINGS[index % len(THINGS)], PLACES[index // len(THINGS) % len(PLACES)]
    prompt = f"May I leave the {thing} in the {place} over night?"
    good = f"No, please do not leave the {thing} there. Ask the keeper of the {place} for a shelf."
    bad = f"Yes, leave the {thing} wherever you like. Nobody in the {place} will mind or ever know."
    return prompt, good, bad


def plain_rows(count):
    """Rows with `prompt`, `response`, `is_safe`."""
    rows = []
    for index in range(count):
        prompt, good, bad = texts(index)
        rows.append(
            {"prompt": prompt, "response": bad if index % 4 == 0 else good, "is_safe": index % 4 != 0}
        )
    return rows


def beavertails_rows(count):
    """Rows of PKU-Alignment/BeaverTails."""
    return [
        {**row, "category": {name: not row["is_safe"] and name == CATEGORIES[0] for name in CATEGORIES}}
        for row in plain_rows(count)
    ]


def hh_rows(count):
    """Rows of Anthropic/hh-rlhf: two dialogues of two turns."""
    rows = []
    for index in range(count):
        prompt, good, bad = texts(index)
        start = f"\n\nHuman: Hello, it is me.\n\nAssistant: Hello.\n\nHuman: {prompt}\n\nAssistant:"
        rows.append({"chosen": f"{start} {good}", "rejected": f"{start} {bad}"})
    return rows


def query_rows(count):
    """Bad answers whose cause is sought."""
    rows = []
    for index in range(count):
        prompt, _good, bad = texts(79 - index)
        rows.append({"prompt": prompt, "response": bad})
    return rows


def write_lines(path, rows):
    """Writes rows as JSON lines and returns the path."""
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path
