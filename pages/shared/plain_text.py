"""The one door through which text from outside enters a place where Streamlit reads Markdown.

Labels, captions, help, toasts and options are Markdown: an image in them is fetched, so that a request leaves the machine,
and directives, links, HTML and formulas are drawn. Where a plain element serves (`st.text`, a table, the components that
set `textContent`) text goes there; everywhere else it passes through `plain`.
"""

import re
import unicodedata

_MARKS = re.compile(r"([!-/:-@\[-`{-~])")
"""Every ASCII punctuation mark: Markdown lets each of them be escaped, and no other character has a meaning in it."""
_LATE = re.compile(r"([:@]|\bwww(?=\.))", re.IGNORECASE)
"""What is looked for after Markdown is read, so that no escape helps: icons, emoji, addresses of the web and of mail."""
_WORD_JOINER = "\u2060"


def plain(text: object) -> str:
    """Takes the meaning from every mark of Markdown, and removes what cannot be seen.

    Args:
        text: Text from outside: a file, a model, a person, an error.

    Returns:
        One line that Streamlit draws letter by letter. Control characters and marks that turn the direction of writing are
        gone; an invisible word joiner keeps icons, emoji and links from being made of it.
    """
    visible = "".join(letter if _is_visible(letter) else " " for letter in str(text))
    joined = _LATE.sub(rf"\1{_WORD_JOINER}", " ".join(visible.split()))
    return _MARKS.sub(r"\\\1", joined)


def _is_visible(letter: str) -> bool:
    return unicodedata.category(letter) not in {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}
