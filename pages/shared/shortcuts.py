"""Every keyboard shortcut of the dashboard: nothing else may name a key.

Streamlit raises nothing when two buttons of one screen share a key, so that a test reads this registry and the pages.
`C` and `R` are Streamlit's own. Plain keys are ignored while a person types in a field.
"""

EVERYWHERE: dict[str, str] = {
    "next": "N",
}

KEYS: dict[str, dict[str, str]] = {
    "home": {},
    "studies": {},
    "contaminate": {},
    "learn": {},
    "trace": {"generate": "G", "audit": "A"},
    "audit": {},
    "clusters": {},
    "review": {
        "approve": "A",
        "reject": "X",
        "skip": "S",
        "flag": "F",
        "undo": "U",
        "following": "J",
        "previous": "K",
        "swap": "W",
        "guidelines": "H",
    },
    "correct": {},
    "prove": {},
    "runs": {},
}


def key_of(screen: str, action: str) -> str:
    """Returns the key of an action of a screen; a name that is not in the registry is a `KeyError`."""
    return EVERYWHERE[action] if action in EVERYWHERE else KEYS[screen][action]


def hinted(label: str, screen: str, action: str) -> str:
    """Writes the key of an action behind a button's label, for the screens that hear their keys themselves."""
    return f"{label} `{key_of(screen, action)}`"
