"""Where the model host of a workspace is reached, and what travels there: JSON lines over a Unix socket."""

import hashlib
import json
import os
import socket
import stat
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from lancet_core import errors
from lancet_core.errors import JobError, LancetError
from lancet_core.workspace import Workspace

LONGEST_SOCKET_PATH = 100  # the system takes 104 bytes (macOS) or 108 (Linux)
LARGEST_MESSAGE_BYTES = 16 * 1024 * 1024


def host_lock(workspace: Workspace) -> Path:
    """The lock that the one living host of a workspace holds."""
    return workspace.folder / "host.lock"


def host_log(workspace: Workspace) -> Path:
    """Where the host's output goes."""
    return workspace.folder / "host.log"


def host_socket(workspace: Workspace) -> Path:
    """The socket of a workspace; in the system's temporary folder where its own path is too long for one.

    Raises:
        JobError: The temporary folder belongs to somebody else.
    """
    inside = workspace.folder / "host.sock"
    if len(os.fsencode(inside)) <= LONGEST_SOCKET_PATH:
        return inside
    folder = Path(tempfile.gettempdir()) / f"lancet-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    facts = folder.lstat()
    if not stat.S_ISDIR(facts.st_mode) or facts.st_uid != os.getuid() or facts.st_mode & 0o077:
        raise JobError(
            f"{folder} is not a private folder of yours; remove it, or use a workspace with a shorter path"
        )
    return folder / f"{hashlib.sha256(os.fsencode(workspace.folder)).hexdigest()[:20]}.sock"


def send(connection: socket.socket, message: dict[str, Any], files: Sequence[int] = ()) -> None:
    """Sends one message, and open files along with it.

    Raises:
        OSError: The other side is gone.
    """
    line = json.dumps(message).encode() + b"\n"
    if files:
        sent = socket.send_fds(connection, [line], list(files))
        line = line[sent:]
    if line:  # sending nothing fails too where the other side has answered and closed already
        connection.sendall(line)


def receive(connection: socket.socket) -> Iterator[dict[str, Any]]:
    """Yields messages until the other side closes.

    Raises:
        JobError: What arrives is no message.
        OSError: The connection broke.
    """
    waiting = b""
    while chunk := connection.recv(65536):
        *lines, waiting = (waiting + chunk).split(b"\n")
        yield from map(_parse, lines)
        _check_size(waiting)


def receive_request(connection: socket.socket) -> tuple[dict[str, Any], list[int]]:
    """Receives one message and the open files that came with it; an empty message where the other side closed.

    Raises:
        JobError: What arrives is no message.
        OSError: The connection broke.
    """
    line, files = b"", []
    while not line.endswith(b"\n"):
        chunk, arrived, _flags, _address = socket.recv_fds(connection, 65536, 1)
        for file in arrived:
            os.set_inheritable(file, False)
            files.append(file)
        if not chunk:
            return {}, files
        line += chunk
        _check_size(line)
    return _parse(line), files


def error_message(error: LancetError) -> dict[str, Any]:
    """Turns an error into a message."""
    return {"error": str(error), "kind": type(error).__name__}


def raise_error(message: dict[str, Any]) -> None:
    """Raises the error that a message tells of; does nothing for another message.

    Raises:
        LancetError: The host told of it.
    """
    if "error" in message:
        kind = getattr(errors, str(message.get("kind")), JobError)
        raise kind(message["error"])


def _parse(line: bytes) -> dict[str, Any]:
    try:
        message = json.loads(line)
    except ValueError as error:
        raise JobError(
            f"the model host and its client do not understand each other: {line[:80]!r}"
        ) from error
    if not isinstance(message, dict):
        raise JobError(f"the model host and its client do not understand each other: {line[:80]!r}")
    return message


def _check_size(line: bytes) -> None:
    if len(line) > LARGEST_MESSAGE_BYTES:
        raise JobError(
            f"a message to the model host is larger than {LARGEST_MESSAGE_BYTES:,} bytes; shorten the text"
        )
