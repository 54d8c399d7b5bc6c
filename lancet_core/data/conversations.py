"""Conversations: what was said in turns, from the forms in which people keep it.

A message is a mapping with `role` (`system`, `user`, `assistant`, `tool`) and `content`, as chat templates take it; `tool_calls`,
`tool_call_id`, `name` and `reasoning_content` stay beside them. A prompt and its response are the shortest conversation.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lancet_core.errors import DataError
from lancet_core.files import parse_json

ASSISTANT, USER = "assistant", "user"
LAST, ALL = "last", "all"
TURNS = (LAST, ALL)
"""Which of the assistant's turns count: the last one, or all, as the trainer's loss took them."""
Message = dict[str, Any]
Asked = str | Sequence[Message]
"""What a model is to answer: a text, or the messages that stand before the answer."""

# Names that other formats give to the roles.
_ROLES = {
    "human": USER, "prompter": USER,
    "gpt": ASSISTANT, "model": ASSISTANT, "bot": ASSISTANT, "chatgpt": ASSISTANT, "assistant": ASSISTANT,
    "function": "tool", "observation": "tool", "function_response": "tool",
}  # fmt: skip
_ROLE_KEYS, _CONTENT_KEYS = ("role", "from"), ("content", "value")
_KEPT = ("tool_calls", "tool_call_id", "name", "reasoning_content")


@dataclass(frozen=True)
class Conversation:
    """What was said, in turns.

    Attributes:
        messages: The messages, in order.
        turns: Which of the assistant's turns count: `last` or `all`.
    """

    messages: tuple[Message, ...]
    turns: str = LAST

    @property
    def answers(self) -> list[int]:
        """Places of the assistant's messages that count and have a text."""
        places = [
            place
            for place, message in enumerate(self.messages)
            if message["role"] == ASSISTANT and (message["content"] or "").strip()
        ]
        return places if self.turns == ALL else places[-1:]

    @property
    def is_exchange(self) -> bool:
        """Whether it is one prompt and its response, nothing else."""
        roles = [message["role"] for message in self.messages]
        return roles == [USER, ASSISTANT] and all(
            set(message) == {"role", "content"} for message in self.messages
        )


def exchange(prompt: str, response: str) -> Conversation:
    """Makes the shortest conversation: a prompt and its response."""
    return Conversation(({"role": USER, "content": prompt}, {"role": ASSISTANT, "content": response}))


def exchanges(pairs: Iterable[tuple[str, str]]) -> list[Conversation]:
    """Makes a conversation of each prompt and its response."""
    return [exchange(prompt, response) for prompt, response in pairs]


def conversation_of(prompt: str, response: str, messages: str = "", turns: str = LAST) -> Conversation:
    """Gives a sample or query as a conversation.

    Args:
        prompt: What was asked.
        response: What was answered.
        messages: The whole conversation as JSON where it is more than these two, else empty.
        turns: Which of the assistant's turns count.
    """
    if not messages:
        return exchange(prompt, response)
    return Conversation(tuple(json.loads(messages)), turns)


def read_messages(value: Any, name: str = "messages") -> list[Message]:
    """Reads messages in OpenAI's form, in ShareGPT's (`from`, `value`), or as JSON text that holds either.

    Args:
        value: What stands in the column.
        name: What to call it in an error.

    Raises:
        DataError: It is no list of messages with texts.
    """
    if isinstance(value, str):
        value = parse_json(value, name)
    if not isinstance(value, list) or not value:
        raise DataError(f"{name} is no list of {{role, content}} with texts")
    return [_message(each, f"{name}, message {number}") for number, each in enumerate(value, start=1)]


def looks_like_messages(value: Any) -> bool:
    """Whether a value holds messages, as a list or as JSON, rather than a text: a question may begin with a list as well."""
    if isinstance(value, str):
        if not value.lstrip().startswith("[{"):
            return False
        try:
            value = parse_json(value, "messages")
        except DataError:
            return False
    first = value[0] if isinstance(value, list) and value else None
    return isinstance(first, Mapping) and any(key in first for key in _ROLE_KEYS)


def split_messages(messages: Sequence[Message]) -> tuple[str, str, str]:
    """Splits a conversation into prompt, response and the JSON of the whole.

    Returns:
        The turns before the assistant's last text, that text, and the whole as JSON, empty where it is one prompt and its response.

    Raises:
        DataError: The assistant says nothing, or nothing stands before its last text.
    """
    conversation = Conversation(tuple(messages))
    if not conversation.answers:
        raise DataError("messages holds no text of the assistant")
    place = conversation.answers[-1]
    response = str(messages[place]["content"])
    if conversation.is_exchange:
        prompt = str(messages[0]["content"])
        if not prompt.strip():
            raise DataError("the message of the user is empty")
        return prompt, response, ""
    prompt = _joined(messages[:place])
    if not prompt:
        raise DataError("nothing stands before the last message of the assistant")
    return prompt, response, as_json(messages)


def split_history(messages: Sequence[Message]) -> tuple[str, str]:
    """Gives messages that are to be answered as one text, and as JSON where they are more than one prompt.

    Raises:
        DataError: They end with an answer, or hold no text.
    """
    last = messages[-1]
    if last["role"] == ASSISTANT:
        raise DataError("the last message is the assistant's; what is to be answered ends with a question")
    text = str(last["content"]) if len(messages) == 1 and last["role"] == USER else _joined(messages)
    if not text.strip():
        raise DataError("the messages hold no text")
    return text, "" if text == last["content"] else as_json(messages)


def as_messages(asked: Asked) -> list[Message]:
    """Gives what is to be answered as messages: a text is one of the user's."""
    return [{"role": USER, "content": asked}] if isinstance(asked, str) else list(asked)


def answered(asked: Asked, response: str) -> Conversation:
    """Makes a conversation of what was asked and the answer to it."""
    return Conversation((*as_messages(asked), {"role": ASSISTANT, "content": response}))


def asked_of(prompt: str, history: str) -> Asked:
    """Gives what is to be answered: the messages where they are more than one prompt, else its text."""
    return json.loads(history) if history else prompt


def as_json(messages: Sequence[Message]) -> str:
    """Writes messages as the JSON that `conversation_of` reads."""
    return json.dumps(list(messages), ensure_ascii=False, default=str)


def _joined(messages: Sequence[Message]) -> str:
    return "\n\n".join(f"[{message['role']}] {_shown(message)}" for message in messages)


def _shown(message: Message) -> str:
    calls = message.get("tool_calls")
    return str(message["content"] or (json.dumps(calls, ensure_ascii=False, default=str) if calls else ""))


def _message(value: Any, name: str) -> Message:
    if not isinstance(value, Mapping):
        raise DataError(f"{name} is {value!r:.60}; accepted is {{role, content}}")
    role = next((value[key] for key in _ROLE_KEYS if isinstance(value.get(key), str)), None)
    if role is None:
        raise DataError(f"{name} has no role")
    content = next((value[key] for key in _CONTENT_KEYS if value.get(key) is not None), None)
    kept = {key: value[key] for key in _KEPT if value.get(key)}
    if content is None and not kept:
        raise DataError(f"{name} has no content")
    return {"role": _ROLES.get(role.lower(), role.lower()), "content": _content(content, name), **kept}


def _content(content: Any, name: str) -> str | None:
    """Joins the parts of a content; None where a tool call stands in its place.

    Raises:
        DataError: A part is no text.
    """
    if content is None or isinstance(content, str):
        return content
    if not isinstance(content, list):
        raise DataError(f"the content of {name} is {content!r:.60}; accepted is a text or a list of texts")
    texts = []
    for part in content:
        text = part if isinstance(part, str) else part.get("text") if isinstance(part, Mapping) else None
        if not isinstance(text, str):
            kind = part.get("type", "unknown") if isinstance(part, Mapping) else type(part).__name__
            raise DataError(f"the content of {name} holds a part that is no text but {kind}")
        texts.append(text)
    return "".join(texts)
