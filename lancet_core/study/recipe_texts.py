"""Writes an act as a command for a shell and as lines of Python; texts of whatever kind are read there as they are."""

import json
import shlex
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from lancet_core.data.samples import Query
from lancet_core.study.keeping import query_row
from lancet_core.workspace import DEFAULT_FOLDER, Workspace

QUERIES_FILE = "queries.jsonl"
_HIDDEN = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})


@dataclass(frozen=True)
class Recipe:
    """How to ask for the same elsewhere.

    Attributes:
        command: For a POSIX shell with `$'…'` (bash, zsh, ksh).
        python: A script.
    """

    command: str
    python: str


@dataclass(frozen=True)
class Step:
    """One act, in the words of both.

    Attributes:
        words: What stands behind `lancet`.
        options: Names of options to values; what is empty, or as by default, is left out beforehand.
        call: The method that does it.
        arguments: Its arguments, as Python source.
        shown: What is printed of the result, as Python source.
        queries: Queries that the command reads from a file.
        imports: Lines that the script needs besides.
        is_run: Whether the call gives a run, which is waited for, or a study.
    """

    words: tuple[str, ...]
    options: Mapping[str, Any]
    call: str
    arguments: Sequence[str]
    shown: str
    queries: tuple[Query, ...] = ()
    imports: Sequence[str] = field(default_factory=tuple)
    is_run: bool = True


def written(workspace: Workspace, step: Step, name: str) -> Recipe:
    """Writes an act in both languages."""
    queries = {"queries": QUERIES_FILE} if step.queries else {}
    command = command_of(step.words, dict(step.options) | queries | place_of(workspace))
    if step.queries:
        rows = "\n".join(json.dumps(query_row(query)) for query in step.queries)
        command = f"cat > {QUERIES_FILE} <<'ROWS'\n{rows}\nROWS\n{command}"
    arguments = [argument for argument in step.arguments if argument]
    if not name:
        arguments += [f"workspace={value!r}" for value in place_of(workspace).values()]
    call = _call(step.call, arguments)
    result = [f"run = {call}.wait()"] if step.is_run else [f"study = {call}"]
    lines = opening(workspace, name)
    return Recipe(command, "\n".join([lines[0], *step.imports, *lines[1:], *result, f"print({step.shown})"]))


def quoted(text: str) -> str:
    """Quotes a text for a shell; what acts on a terminal or hides is written as bytes."""
    if not any(unicodedata.category(letter) in _HIDDEN and letter != "\n" for letter in text):
        return shlex.quote(text)
    letters = [_escaped(letter) for letter in text]
    return f"$'{''.join(letters)}'"


def _escaped(letter: str) -> str:
    if letter in "\\'":
        return f"\\{letter}"
    if unicodedata.category(letter) in _HIDDEN:
        return "".join(f"\\x{byte:02x}" for byte in letter.encode("utf-8", "surrogatepass"))
    return letter


def command_of(words: Sequence[str], options: Mapping[str, Any]) -> str:
    """Writes a command, one option in a line."""
    parts = [_option(name, value) for name, value in options.items()]
    return " \\\n  ".join([" ".join(["lancet", *map(quoted, words)]), *parts])


def _option(name: str, value: Any) -> str:
    flag = name.replace("_", "-")
    if isinstance(value, bool):
        return f"--{flag}" if value else f"--no-{flag}"
    return f"--{flag}={quoted(str(value))}"


def _call(name: str, arguments: Sequence[str]) -> str:
    short = f"{name}({', '.join(arguments)})"
    if len(short) <= 100:
        return short
    return f"{name}(\n" + "".join(f"    {argument},\n" for argument in arguments) + ")"


def place_of(workspace: Workspace) -> dict[str, Any]:
    """The workspace, where it is not the usual one."""
    usual = DEFAULT_FOLDER.expanduser().resolve()
    return {} if workspace.folder == usual else {"workspace": str(workspace.folder)}


def opening(workspace: Workspace, name: str) -> list[str]:
    """The first lines of a script, which open a study where there is one."""
    lines = ["import lancet_core as lancet", ""]
    if name:
        named = "".join(f", workspace={value!r}" for value in place_of(workspace).values())
        lines.append(f"study = lancet.open_study({name!r}{named})")
    return lines
