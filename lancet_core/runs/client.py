"""Asks the model host of a workspace, and starts it where it is not up. Free of torch."""

import socket
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil

from lancet_core.config import from_dict, to_dict
from lancet_core.data.conversations import Asked, Conversation
from lancet_core.errors import JobError
from lancet_core.models.settings import GenerationSettings
from lancet_core.models.token_list import TokenList
from lancet_core.runs.address import host_lock, host_log, host_socket, raise_error, receive, send
from lancet_core.runs.locks import take_lock
from lancet_core.runs.processes import detach
from lancet_core.runs.run_folder import RunFolder
from lancet_core.runs.source import source_fingerprint
from lancet_core.store.run_status import is_locked_file
from lancet_core.workspace import Workspace

HOST_MODULE = "lancet_core.runs.host"
START_TIMEOUT_SECONDS = 90.0
PING_TIMEOUT_SECONDS = 5.0
POLL_SECONDS = 0.05
LARGEST_LOG_BYTES = 1_000_000


def stream_answer(
    workspace: Workspace,
    model: str,
    *,
    prompt: Asked,
    template: str,
    settings: GenerationSettings,
    how: Mapping[str, str] | None = None,
) -> Iterator[str]:
    """Lets a model answer a prompt, piece by piece; closing the iterator stops it at the next token.

    Args:
        workspace: Where the host lives.
        model: Folder or hub id.
        prompt: What is asked: a text, or messages.
        template: How the prompt is formatted.
        settings: Length, temperature, seed.
        how: Number type and device of the model, `dtype` and `device`; None takes the usual ones.

    Yields:
        Pieces of the answer.

    Raises:
        JobError: The host cannot be started, or died.
        ModelError: The model cannot be loaded.
    """
    request = {
        "do": "generate",
        "model": model,
        "prompt": prompt,
        "template": template,
        "settings": to_dict(settings),
        "how": dict(how or {}),
    }
    with _asked(workspace, request) as answers:
        for answer in answers:
            if "piece" not in answer:
                return
            yield answer["piece"]


def score_answer(
    workspace: Workspace, scorers: Sequence[str], *, prompt: Asked, response: str
) -> dict[str, float]:
    """Scores one answer.

    Args:
        workspace: Where the host lives.
        scorers: Folders of scorers.
        prompt: What was asked.
        response: What was answered.

    Returns:
        `harmful` and `helpful` in (0, 1), as far as there are scorers.

    Raises:
        JobError: The host cannot be started, or died.
        ModelError: A scorer cannot be loaded.
    """
    request = {"do": "score", "scorers": list(scorers), "prompt": prompt, "response": response}
    with _asked(workspace, request) as answers:
        return {name: float(score) for name, score in next(answers)["scores"].items()}


def list_tokens(workspace: Workspace, model: str, conversation: Conversation, template: str) -> TokenList:
    """Encodes a conversation with the tokenizer of a model.

    Args:
        workspace: Where the host lives.
        model: Folder or hub id.
        conversation: What was said.
        template: How it is written.

    Raises:
        JobError: The host cannot be started, or died.
        ModelError: The tokenizer cannot be loaded.
        DataError: The template refuses the conversation.
    """
    request = {"do": "tokens", "model": model, "conversation": to_dict(conversation), "template": template}
    with _asked(workspace, request) as answers:
        return from_dict(TokenList, next(answers)["tokens"])


def run_warm(workspace: Workspace, folder: Path, *, lock: int | None = None) -> None:
    """Lets the host work on a run folder; returns as soon as it has taken it over.

    Args:
        workspace: Where the host lives.
        folder: The run folder.
        lock: Open file that holds the run's lock; None takes it.

    Raises:
        JobError: The host cannot be started, or another process works on the run.
    """
    held = take_lock(RunFolder(folder).lock) if lock is None else lock
    if held is None:
        raise JobError(f"run {folder.name} is being worked on by another process")
    with _asked(workspace, {"do": "run", "folder": str(folder)}, files=(held,)) as answers:
        next(answers)


def hand_over(workspace: Workspace, folder: Path, lock: int) -> bool:
    """Lets the host work on a run folder where it is up and ready, without waiting for it.

    Returns:
        Whether the host took it.
    """
    facts = ping(workspace)
    if facts is None or _is_outdated(facts):
        return False
    try:
        with _connection(workspace) as connection:
            send(connection, {"do": "run", "folder": str(folder)}, files=(lock,))
            return bool(next(receive(connection), {}).get("accepted"))
    except OSError:
        return False


def warm(workspace: Workspace, model: str) -> None:
    """Starts the host and lets it load a model, in the background.

    Raises:
        JobError: The host cannot be started.
    """
    facts = ping(workspace)
    if facts is None:
        _start(workspace, model)
        return
    try:
        with _connection(workspace) as connection:
            send(connection, {"do": "warm", "model": model})
    except OSError:
        _start(workspace, model)


def ping(workspace: Workspace) -> dict[str, Any] | None:
    """Asks the host for its facts: `pid`, `source`, `runs` at work, `models` in memory; None where it does not answer."""
    try:
        with _connection(workspace) as connection:
            connection.settimeout(PING_TIMEOUT_SECONDS)
            send(connection, {"do": "ping"})
            return next(receive(connection), None)
    except OSError:
        return None


def host_facts(workspace: Workspace) -> dict[str, Any] | None:
    """What the host says of itself, with its `memory` in bytes; None where there is none."""
    facts = ping(workspace)
    if facts is None:
        return None
    with suppress(psutil.Error):
        return {**facts, "memory": psutil.Process(facts["pid"]).memory_info().rss}
    return None


def stop_host(workspace: Workspace) -> None:
    """Ends the host; a run in it fails and can be resumed.

    Raises:
        JobError: It does not end.
    """
    deadline = time.monotonic() + START_TIMEOUT_SECONDS
    while is_locked_file(host_lock(workspace)):
        _ask_to_end(workspace)  # each time: another host may have waited for this one's lock
        if time.monotonic() > deadline:
            raise JobError(f"the model host does not end; end its process by hand: see {host_log(workspace)}")
        time.sleep(POLL_SECONDS)


def ensure(workspace: Workspace) -> None:
    """Starts the host where it is not up, or where the program's source changed since it started and no run is in it.

    Raises:
        JobError: It does not come up; the message ends with its log.
    """
    facts = ping(workspace)
    if facts is not None and not _is_outdated(facts):
        return
    if facts is not None:
        stop_host(workspace)
    process = _start(workspace)
    deadline = time.monotonic() + START_TIMEOUT_SECONDS
    while ping(workspace) is None:
        if process.poll() == 0 and not is_locked_file(host_lock(workspace)):
            process = _start(workspace)  # it found another host alive, which ended since
        if process.poll() not in (None, 0) or time.monotonic() > deadline:
            raise JobError(f"the model host did not start; try again. {_log_end(workspace)}")
        time.sleep(POLL_SECONDS)


def _start(workspace: Workspace, *models: str) -> subprocess.Popen[bytes]:
    log = host_log(workspace)
    if log.is_file() and log.stat().st_size > LARGEST_LOG_BYTES:
        log.unlink()
    arguments = [str(workspace.folder), *(f"--warm={model}" for model in models)]
    try:
        return detach(HOST_MODULE, arguments, log=log, folder=workspace.folder)
    except OSError as error:
        raise JobError(f"the model host cannot be started: {error}; try again when that is mended") from error


def _ask_to_end(workspace: Workspace) -> None:
    try:
        with _connection(workspace) as connection:
            connection.settimeout(PING_TIMEOUT_SECONDS)
            send(connection, {"do": "shutdown"})
            next(receive(connection), None)
    except OSError:
        return


def _is_outdated(facts: dict[str, Any]) -> bool:
    return bool(facts.get("source") != source_fingerprint() and not facts.get("runs"))


@contextmanager
def _asked(
    workspace: Workspace, request: dict[str, Any], files: Sequence[int] = ()
) -> Iterator[Iterator[dict[str, Any]]]:
    """Sends a request to a host that is up, and gives its answers; leaving the block ends the request.

    Raises:
        JobError: The host cannot be reached.
    """
    ensure(workspace)
    try:
        with _connection(workspace) as connection:
            send(connection, request, files)
            yield _answers(workspace, connection)
    except OSError as error:
        raise JobError(f"the model host cannot be reached ({error}); try again") from error


def _answers(workspace: Workspace, connection: socket.socket) -> Iterator[dict[str, Any]]:
    for answer in receive(connection):
        raise_error(answer)
        yield answer
    raise JobError(f"the model host died at work; try again. {_log_end(workspace)}")


@contextmanager
def _connection(workspace: Workspace) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.connect(str(host_socket(workspace)))
        yield connection


def _log_end(workspace: Workspace) -> str:
    """The last line of the host's log, and where the rest lies."""
    log = host_log(workspace)
    lines = log.read_text(encoding="utf-8", errors="replace").split("\n") if log.is_file() else []
    last = next((line.strip() for line in reversed(lines) if line.strip()), "nothing")
    return f"The last line of its log {log}: {last}"
