"""A conversation as the tokens that the model reads, with those that count: to be compared with a trainer's. Free of torch."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from lancet_core.data.conversations import Conversation
from lancet_core.models.token_text import token_texts

if TYPE_CHECKING:
    from lancet_core.models.loading import LanguageModel


@dataclass(frozen=True)
class TokenList:
    """The tokens of a conversation, up to the last one that counts.

    Attributes:
        ids: Token ids.
        texts: Text of each; joined they read as what was encoded.
        counts: Whether the log-probability of each counts, as a trainer's mask says.
        cut: Tokens cut from the left because the text exceeded the context.
        lost: Tokens that count and were cut from the right.
        context: Longest text of the model, in tokens.
    """

    ids: tuple[int, ...]
    texts: tuple[str, ...]
    counts: tuple[bool, ...]
    cut: int
    lost: int
    context: int


def list_tokens(lm: "LanguageModel", conversation: Conversation, template: str) -> TokenList:
    """Encodes a conversation; the tokenizer is enough.

    Raises:
        DataError: It has no answer, or the template refuses it.
        ConfigError: The template is unknown or lacks `{prompt}`.
        ModelError: The chat template is broken.
    """
    from lancet_core.models.encoding import encode_conversation

    encoded = encode_conversation(lm, conversation, template)
    return TokenList(
        ids=encoded.input_ids,
        texts=tuple(token_texts(lm.tokenizer, encoded.input_ids)),
        counts=tuple(label >= 0 for label in encoded.labels),
        cut=encoded.cut_tokens,
        lost=encoded.lost_tokens,
        context=lm.context,
    )
