"""Conversations: what was said in turns, from the forms in which people keep it.

A message is a mapping with `role` (`system`, `user`, `assistant`, `tool`) and `content`, as chat templates take it; `tool_calls`,
`tool_call_id`, `name` and a thought (`THOUGHTS`) stay beside them. A `weight` of 0 marks an answer that no trainer counted; the `tools`
that could be called stand in the first message. A prompt and its response are the shortest conversation.
"""

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import cycle
from typing import Any

from lancet_core.data.written import parse_written
from lancet_core.errors import DataError

ASSISTANT, USER, SYSTEM, TOOL = "assistant", "user", "system", "tool"
WEIGHT, TOOLS = "weight", "tools"
THOUGHTS = ("reasoning_content", "reasoning", "thinking")
"""What a message of the assistant calls the thought before its text."""
LAST, ALL = "last", "all"
TURNS = (LAST, ALL)
"""Which of the assistant's turns count: the last one, or all, as the trainer's loss took them."""
Message = dict[str, Any]
Asked = str | Sequence[Message]
"""What a model is to answer: a text, or the messages that stand before the answer."""

# Names that other formats give to the roles.
_ROLES = {
    "system": SYSTEM, "user": USER, "human": USER, "prompter": USER,
    "gpt": ASSISTANT, "model": ASSISTANT, "bot": ASSISTANT, "chatgpt": ASSISTANT, "assistant": ASSISTANT, "ai": ASSISTANT,
    "bing": ASSISTANT, "bard": ASSISTANT, "output": ASSISTANT, "input": USER, "function_call": ASSISTANT, "tool_call": ASSISTANT,
    "tool": TOOL, "function": TOOL, "observation": TOOL, "function_response": TOOL, "tool_response": TOOL,
}  # fmt: skip
# Roles whose text is the call of a tool, as JSON.
_CALLS = ("function_call", "tool_call")
_ROLE_KEYS, _CONTENT_KEYS = ("role", "from", "speaker"), ("content", "value", "text", "parts")
_KEPT = ("tool_calls", "tool_call_id", "name", *THOUGHTS)
_OPENING = re.compile(r"\s*\[\s*\{\s*")
_ROLE_FIRST = re.compile(r"""\s*\[\s*\{\s*["'](role|from|content|value)["']\s*:""")


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
        places = [place for place in self._said if has_content(self.messages[place])]
        return places if self.turns == ALL else places[-1:]

    @property
    def counted(self) -> list[int]:
        """Places of the assistant's messages that count: the answers and, where all turns do, calls of tools."""
        calls = [place for place in self._said if self.messages[place].get("tool_calls")]
        return sorted({*self.answers, *calls}) if self.turns == ALL else self.answers

    @property
    def _said(self) -> list[int]:
        return [
            place
            for place, message in enumerate(self.messages)
            if message["role"] == ASSISTANT and message.get(WEIGHT) != 0
        ]

    @property
    def is_exchange(self) -> bool:
        """Whether it is one prompt and its response, nothing else."""
        roles = [message["role"] for message in self.messages]
        return roles == [USER, ASSISTANT] and all(
            set(message) == {"role", "content"} for message in self.messages
        )


def has_content(message: Message) -> bool:
    """Whether a message has a text."""
    return bool((message["content"] or "").strip())


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
    """Reads messages in OpenAI's form, in ShareGPT's (`from`, `value`), or as a text that holds either.

    A list of texts, or of pairs of them, is a conversation that the user begins; an entry may also hold what both say, by their roles.

    Args:
        value: What stands in the column.
        name: What to call it in an error.

    Raises:
        DataError: It is no list of messages with texts.
    """
    if isinstance(value, str):
        value = parse_written(value, name)
    if isinstance(value, Mapping):
        value = [value]
    if not isinstance(value, list) or not value:
        raise DataError(f"{name} is no list of {{role, content}} with texts")
    return [
        _message(each, f"{name}, message {number}") for number, each in enumerate(_entries(value), start=1)
    ]


def read_tools(value: Any) -> list[Any]:
    """Reads the tools that could be called, as a list or written into a text; what is no such list is none."""
    try:
        tools = parse_written(value, TOOLS) if isinstance(value, str) and value.strip() else value
    except DataError:
        return []
    return tools if isinstance(tools, list) and all(isinstance(tool, Mapping) for tool in tools) else []


def looks_like_messages(value: Any) -> bool:
    """Whether a value holds messages, as it is or written into a text, rather than a text: a question may begin with a list as well."""
    if isinstance(value, str):
        if not _OPENING.match(value):
            return False
        try:
            value = parse_written(value, "messages")
        except DataError:
            # Messages that were cut off or are broken are no text either; a question about some goes on behind them.
            goes_on = "}]" in value and not value.rstrip().endswith("]")
            return bool(_ROLE_FIRST.match(value)) and not goes_on
    first = value[0] if isinstance(value, list) and value else value
    return isinstance(first, Mapping) and (any(key in first for key in _ROLE_KEYS) or _is_both_sides(first))


def is_conversation(value: Any) -> bool:
    """Whether a list is one conversation rather than rows with a column of roles: its entries are messages and nothing else."""
    known = {*_ROLE_KEYS, *_CONTENT_KEYS, *_KEPT, WEIGHT, TOOLS}
    return looks_like_messages(value) and all(
        isinstance(each, Mapping) and known >= set(each) for each in value
    )


def is_list_of_texts(value: Any) -> bool:
    """Whether a value is a list of at least two texts, or of pairs of them: turns without roles."""
    if not isinstance(value, list) or not value:
        return False
    return (len(value) > 1 and all(isinstance(each, str) for each in value)) or all(map(_is_pair, value))


def split_messages(messages: Sequence[Message]) -> tuple[str, str, str]:
    """Splits a conversation into prompt, response and the JSON of the whole.

    Returns:
        The turns before the assistant's last text, that text, and the whole as JSON, empty where it is one prompt and its response.

    Raises:
        DataError: The assistant says nothing, or nothing stands before its last text.
    """
    place = _last_answer(messages)
    conversation = Conversation(tuple(messages))
    response = str(messages[place]["content"])
    if conversation.is_exchange:
        prompt = str(messages[0]["content"])
        if not prompt.strip():
            raise DataError("the message of the user is empty")
        return prompt, response, ""
    prompt = as_text(messages[:place])
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
    text = str(last["content"]) if len(messages) == 1 and last["role"] == USER else as_text(messages)
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


def asked_before(prompt: str, messages: str) -> Asked:
    """Gives what a sample's response answers: the messages before it where there are more than one prompt, else the prompt."""
    if not messages:
        return prompt
    whole = json.loads(messages)
    return list(whole[: _last_answer(whole)])


def as_json(messages: Sequence[Message]) -> str:
    """Writes messages as the JSON that `conversation_of` reads."""
    return json.dumps(list(messages), ensure_ascii=False, default=str)


def _last_answer(messages: Sequence[Message]) -> int:
    """Finds the last message of the assistant that a trainer counted.

    Raises:
        DataError: There is none, or it has no text: an earlier one was not trained on in its place.
    """
    said = [place for place, message in enumerate(messages) if message["role"] == ASSISTANT]
    if not said:
        roles = dict.fromkeys(str(message["role"]) for message in messages)
        raise DataError(
            f"messages holds no text of the assistant; its roles are {', '.join(roles)}, and assistant, gpt, model or bot is needed"
        )
    counted = [place for place in said if messages[place].get(WEIGHT) != 0]
    if not counted:
        raise DataError("messages holds no text of the assistant that counts: the weight of each is 0")
    last = messages[counted[-1]]
    if not has_content(last):
        what = "holds tool calls and no text" if last.get("tool_calls") else "is empty"
        raise DataError(f"messages holds no text of the assistant at its end: its last message {what}")
    return counted[-1]


def as_text(messages: Sequence[Message]) -> str:
    """Gives messages as one text, each behind its role: for search and for eyes, no template reads it."""
    return "\n\n".join(f"[{message['role']}] {_shown(message)}" for message in messages)


def _shown(message: Message) -> str:
    calls = message.get("tool_calls")
    return str(message["content"] or (json.dumps(calls, ensure_ascii=False, default=str) if calls else ""))


def _entries(value: list[Any]) -> Iterator[Any]:
    """Gives the messages of a list in any of its forms."""
    if is_list_of_texts(value):
        yield from _turns_without_names(value)
        return
    for each in value:
        if isinstance(each, Mapping) and _is_both_sides(each):
            yield from ({"role": role, "content": text} for role, text in each.items() if text)
        else:
            yield each


def _turns_without_names(value: list[Any]) -> Iterator[Message]:
    """Gives the messages of a list of texts, of questions with their answers, or of roles with what they say."""
    if all(not isinstance(each, str) and each[0].lower() in _ROLES for each in value):
        yield from ({"role": role, "content": text} for role, text in value)
        return
    texts = [text for each in value for text in ([each] if isinstance(each, str) else each)]
    yield from (
        {"role": role, "content": text} for role, text in zip(cycle((USER, ASSISTANT)), texts, strict=False)
    )


def _is_pair(value: Any) -> bool:
    return isinstance(value, list | tuple) and list(map(type, value)) == [str, str]


def _is_both_sides(entry: Mapping[str, Any]) -> bool:
    """Whether an entry holds what each side says: `{"human": "Hi?", "assistant": "Hello."}`."""
    said = {_ROLES.get(str(key).lower()) for key, text in entry.items() if text}
    return {USER, ASSISTANT} <= said and None not in said


def _message(value: Any, name: str) -> Message:
    if not isinstance(value, Mapping):
        raise DataError(f"{name} is {value!r:.60}; accepted is {{role, content}}")
    role = next((value[key] for key in _ROLE_KEYS if isinstance(value.get(key), str)), None)
    if role is None:
        raise DataError(f"{name} has no role")
    role = role.strip().lower()
    content = _content(next((value[key] for key in _CONTENT_KEYS if value.get(key) is not None), None), name)
    kept = {key: value[key] for key in _KEPT if value.get(key)}
    if content is None and _ROLES.get(role) == TOOL:
        content = ""  # it did what was asked, and said nothing
    if role in _CALLS:
        content, kept["tool_calls"] = None, _calls(content, name)
    elif value.get("function_call"):
        kept["tool_calls"] = _calls(value["function_call"], name)
    if content is None and not kept:
        raise DataError(f"{name} has no content")
    role = _ROLES.get(role, role)
    if role == ASSISTANT and _weight(value.get(WEIGHT), name) == 0:
        kept[WEIGHT] = 0
    if tools := read_tools(value.get(TOOLS)):
        kept[TOOLS] = tools
    return {"role": role, "content": content, **kept}


def _weight(weight: Any, name: str) -> int:
    """Reads whether a message of the assistant counted, as OpenAI's fine-tuning takes it.

    Raises:
        DataError: It is neither 0 nor 1.
    """
    if weight is None or weight in (0, 1):
        return 1 if weight is None else int(weight)
    raise DataError(f"the weight of {name} is {weight!r:.60}; accepted are 0 and 1")


def _calls(value: Any, name: str) -> list[dict[str, Any]]:
    """Reads calls of tools as templates take them: `{"name": …, "arguments": …}`, some of them, or either as JSON.

    Raises:
        DataError: It is none.
    """
    called = parse_written(value, name) if isinstance(value, str) else value
    calls = called if isinstance(called, list) else [called]
    if not all(isinstance(call, Mapping) and "name" in call for call in calls):
        raise DataError(f"{name} is {value!r:.60}; accepted as a call of a tool is {{name, arguments}}")
    return [{"type": "function", "function": dict(call)} for call in calls]


def _content(content: Any, name: str) -> str | None:
    """Joins the parts of a content; None where a tool call stands in its place.

    Raises:
        DataError: A part is no text.
    """
    if content is None or isinstance(content, str):
        return content
    if isinstance(content, Mapping):
        content = [content]
    if not isinstance(content, list):
        raise DataError(f"the content of {name} is {content!r:.60}; accepted is a text or a list of texts")
    texts = []
    for part in content:
        text = _part_text(part) if isinstance(part, Mapping) else part
        if not isinstance(text, str):
            kind = part.get("type", "unknown") if isinstance(part, Mapping) else type(part).__name__
            raise DataError(f"the content of {name} holds a part that is no text but {kind}")
        texts.append(text)
    return "".join(texts)


def _part_text(part: Mapping[str, Any]) -> Any:
    return (
        part.get("content") if part.get("text") is None and part.get("type") == "text" else part.get("text")
    )
