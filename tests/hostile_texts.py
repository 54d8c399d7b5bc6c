"""Texts that act on a terminal or hide what they say, and what must never be printed of them."""

import unicodedata

TEXTS = {
    "clipboard": "\x1b]52;c;ZXZpbA==\x07",
    "title": "\x1b]0;another title\x1b\\",
    "link": "\x1b]8;;http://example.invalid\x1b\\here\x1b]8;;\x1b\\",
    "clear screen": "\x1b[2J\x1b[H",
    "cursor": "up\x1b[3A\x1b[2Kover",
    "colour": "\x1b[31mred\x1b[0m",
    "8-bit controls": "\x9b2J\x9d0;title\x9c\x90q\x85",
    "override": "pay \u202e001\u202c now",
    "isolates": "\u2066left\u2069 \u2067right\u2069 \u061c\u200e\u200f",
    "zero width": "in\u200bvi\u2060si\ufeffble\u00adtext\u200d",
    "tags": "shown\U000e0068\U000e0069\U000e007f",
    "selectors": "shown\U000e0101\U000e0102",
    "fillers": "a\u115fb\u3164c\uffa0d",
    "private": "\ue000\U0010fffd",
    "separators": "one\u2028two\u2029three",
    "zero": "before\x00after",
    "backspaces": "safe\b\b\b\bevil\x7f",
    "return": "harmless\rdangerous",
    "feeds": "a\x0bb\x0cc\x1cd\x1ee\tf\nerror: g",
    "surrogate": "half \ud83d of a pair",
    "markup": "[red]loud[/red] [link=http://example.invalid]here[/link] [/nothing]",
    "emoji code": ":bomb: \\[x]",
    "long": "x\x1b" * 5_000,
}
# Those that an argument of a process can be: no zero byte.
ARGUMENTS = {name: text for name, text in TEXTS.items() if "\x00" not in text}
# Those that a JSON file can hold: halves of surrogate pairs are refused.
IN_FILES = {name: text for name, text in TEXTS.items() if name != "surrogate"}

HIDDEN = frozenset({"Cc", "Cf", "Co", "Cs", "Zl", "Zp"})


def acting(text):
    """The characters of a printed text that act or hide; line ends may."""
    return {
        ascii(character)
        for character in text
        if character != "\n"
        and (unicodedata.category(character) in HIDDEN or "\U000e0100" <= character <= "\U000e01ef")
    }
