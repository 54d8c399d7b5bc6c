"""Tokens as texts that a person reads."""

from collections.abc import Sequence
from functools import lru_cache
from itertools import groupby
from typing import Any

_HALF = "\ufffd"
_SENTENCEPIECE_SPACE = "\u2581"


def token_texts(tokenizer: Any, ids: Sequence[int]) -> list[str]:
    """Gives each token its text; joined they read as the text that was encoded.

    Of a character that is spread over several tokens the first token shows the whole, the others nothing.

    Args:
        tokenizer: Tokenizer of the model.
        ids: Token ids.

    Returns:
        One text for each id, spaces kept.
    """
    known = {token: _text(tokenizer, token) for token in set(ids)}
    texts: list[str] = []
    for half, group in groupby(ids, key=lambda token: _HALF in known[token]):
        tokens = list(group)
        if half:
            texts += [str(tokenizer.decode(tokens)), *[""] * (len(tokens) - 1)]
        else:
            texts += [known[token] for token in tokens]
    return texts


@lru_cache(maxsize=1 << 16)
def _text(tokenizer: Any, token: int) -> str:
    piece = str(tokenizer.convert_ids_to_tokens(token))
    if _SENTENCEPIECE_SPACE in piece:
        return piece.replace(_SENTENCEPIECE_SPACE, " ")
    return str(tokenizer.decode([token]))
