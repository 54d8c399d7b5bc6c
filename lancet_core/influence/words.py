"""The words of a text in any script, as recall compares them."""

import re
import unicodedata
from functools import cache

# Scripts without spaces between words (Thai, Lao, Burmese, Khmer, Japanese, Chinese), Korean, whose words end in particles, and
# pictures: each of their characters is a word.
_SINGLE = (
    "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u2600-\u27bf\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af\uf900-\ufaff"
    "\U0001f000-\U0001faff\U00020000-\U0003ffff"
)
_WORD = re.compile(rf"[{_SINGLE}]|[^\W{_SINGLE}]+")
# The article of Arabic is written onto its word, with what stands before it.
_ARTICLE = re.compile(r"\b(?:[\u0648\u0641\u0628\u0643]?\u0627\u0644|\u0644\u0644)(?=\w{2})")
_VOICED = "\u3099\u309a"
# Marks beyond the first plane are of dead scripts and music; one of them would make the search of all others slow.
_BEYOND = 0x10000


def words_of(text: str) -> list[str]:
    """Gives the words of a text, in small letters, without the marks above and below them; of some scripts the characters."""
    text = text.lower()
    if not text.isascii():
        text = _ARTICLE.sub(
            "", unicodedata.normalize("NFKC", _marks().sub("", unicodedata.normalize("NFKD", text)))
        )
    return _WORD.findall(text)


@cache
def _marks() -> re.Pattern[str]:
    """Whatever is written above, below or around a letter; without those that make another letter of it in Japanese."""
    marks = (chr(code) for code in range(_BEYOND) if unicodedata.category(chr(code))[0] == "M")
    return re.compile(f"[{''.join(mark for mark in marks if mark not in _VOICED)}]")
