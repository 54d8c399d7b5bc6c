"""The model host: one detached process for each workspace that keeps models loaded and answers at once.

`python -m lancet_core.runs.host WORKSPACE`, started on demand by `runs.client`. A thread serves each connection; a request
is one JSON line, its answers are JSON lines:

| request `do` | answers |
|---|---|
| `ping` | `pid`, `source` (fingerprint of the code), `runs` at work, `models` in memory |
| `warm` model | `loaded` |
| `generate` model, how it is loaded, prompt, template, settings | `piece` …, `end`; a closed connection stops it at the next token |
| `run` folder, with the open file that holds its lock | `accepted`; the run then reports to its folder |
| `score` scorers, prompt, response | `scores` |
| `tokens` model, conversation, template | `tokens`; only the tokenizer is loaded |
| `shutdown` | `ended` |

Runs wait for each other: only one borrower may hold several models at a time.
"""

import argparse
import contextlib
import os
import select
import signal
import socket
import socketserver
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from lancet_core.acts.table import ACTS, Act
from lancet_core.config import from_dict, to_dict
from lancet_core.data.conversations import Conversation
from lancet_core.errors import Cancelled, JobError, LancetError
from lancet_core.evaluation.scorer_cards import scorer_folder
from lancet_core.models.settings import GenerationSettings
from lancet_core.models.token_list import list_tokens
from lancet_core.runs.address import error_message, host_lock, host_socket, receive_request, send
from lancet_core.runs.execution import execute, explain
from lancet_core.runs.locks import holds_lock, take_lock
from lancet_core.runs.reporting import FolderProgress
from lancet_core.runs.run_folder import RunFolder
from lancet_core.runs.shelf import POLL_SECONDS, Shelf
from lancet_core.runs.source import source_fingerprint
from lancet_core.store.run_status import CANCELLED
from lancet_core.workspace import Workspace

UNLOAD_AFTER_SECONDS = 600.0
EXIT_AFTER_SECONDS = 3600.0
WAITING = "Waiting for the run before"


def _load_speech(folder: str) -> Any:
    from lancet_core.models.loading import load_speech

    return load_speech(folder)


@dataclass(frozen=True)
class Engine:
    """What the host does with models.

    Attributes:
        load_model: Loads a language model from a folder or hub id, with a number type and on a device.
        load_scorer: Loads a scorer from a folder.
        stream: `(model, prompt, template, settings, stop)` → pieces of an answer.
        preload: Loads libraries ahead of the first request.
        load_speech: Loads the tokenizer of a language model.
    """

    load_model: Callable[..., Any]
    load_scorer: Callable[[str], Any]
    stream: Callable[..., Iterator[str]]
    preload: Callable[[], None] = lambda: None
    load_speech: Callable[[str], Any] = _load_speech


def torch_engine() -> Engine:
    """The engine that loads real models; torch itself is loaded when first needed, so that the host answers at once."""

    def load_model(folder: str, **how: str) -> Any:
        from lancet_core.models.loading import load_language_model

        return load_language_model(folder, **how)

    def load_scorer(folder: str) -> Any:
        from lancet_core.evaluation.scorers import load_scorer

        return load_scorer(folder)

    def stream(*arguments: Any) -> Iterator[str]:
        from lancet_core.models.generation import stream

        return stream(*arguments)

    def preload() -> None:
        import lancet_core.models.generation  # noqa: F401

    return Engine(load_model, load_scorer, stream, preload)


class Host(socketserver.ThreadingUnixStreamServer):
    """Listens on the workspace's socket."""

    daemon_threads = True
    block_on_close = False
    request_queue_size = 64

    def __init__(self, address: Path, engine: Engine, acts: Mapping[str, Act]) -> None:
        address.unlink(missing_ok=True)  # left by a host that was killed; the lock says that none is alive
        super().__init__(str(address), _Conversation)
        address.chmod(0o600)
        self.engine = engine
        self.acts = acts
        self.models = Shelf(engine.load_model)
        self.scorers = Shelf(engine.load_scorer, folder_of=scorer_folder)
        self.speech = Shelf(engine.load_speech)
        self.source = source_fingerprint()
        self.run_turn = threading.Lock()
        self.runs = 0
        self._taken: set[str] = set()
        self._busy = 0
        self._used_at = time.monotonic()
        self._mutex = threading.Lock()
        self._libraries = threading.Lock()

    def preload(self) -> None:
        """Loads libraries once, in one thread: transformers fails where two import it at the same time."""
        with self._libraries:
            self.engine.preload()

    @contextlib.contextmanager
    def working(self, *, runs: int = 0) -> Iterator[None]:
        """Counts a request that needs models, so that the host neither unloads them nor ends meanwhile."""
        with self._mutex:
            self._busy += 1
            self.runs += runs
        try:
            yield
        finally:
            with self._mutex:
                self._busy -= 1
                self.runs -= runs
                self._used_at = time.monotonic()

    def take(self, run_id: str) -> bool:
        """Takes a run; False where it was taken before: whoever asked lost the answer, and asks again."""
        with self._mutex:
            new = run_id not in self._taken
            self._taken.add(run_id)
        return new

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Tells the other side of an error that nobody foresaw; its trace goes to the host's log."""
        error = sys.exc_info()[1]
        if isinstance(error, Exception):
            with contextlib.suppress(OSError):
                send(request, {"error": explain(error), "kind": JobError.__name__})
        super().handle_error(request, client_address)

    def idle_seconds(self) -> float:
        """How long nobody has needed a model; 0 while somebody does."""
        with self._mutex:
            return 0.0 if self._busy else time.monotonic() - self._used_at

    def warm(self, model: str) -> None:
        """Loads a model ahead of its first use."""
        self.preload()
        with self.working(), self.models.lend(model):
            pass


class _Conversation(socketserver.BaseRequestHandler):
    """Serves one connection."""

    server: Host
    request: socket.socket

    def handle(self) -> None:
        """Answers one request; errors that a person can read travel back."""
        files: list[int] = []
        try:
            asked, files = receive_request(self.request)
            if asked:
                self._act(asked, files)
        except LancetError as error:
            with contextlib.suppress(OSError):
                send(self.request, error_message(error))
        except (Cancelled, ConnectionError):
            pass  # the other side went away, which is how it stops an answer
        finally:
            for file in files:
                os.close(file)

    def _act(self, asked: dict[str, Any], files: list[int]) -> None:
        acts: dict[str, Callable[[], None]] = {
            "ping": self._ping,
            "warm": lambda: self._warm(asked["model"]),
            "generate": lambda: self._generate(asked),
            "score": lambda: self._score(asked),
            "tokens": lambda: self._tokens(asked),
            "run": lambda: self._run(RunFolder(Path(asked["folder"])), files),
            "shutdown": self._shutdown,
        }
        name = str(asked.get("do"))
        if name not in acts:
            raise JobError(f"the model host does not know {name!r}; it knows {', '.join(acts)}")
        acts[name]()

    def _ping(self) -> None:
        loaded = [*self.server.models.loaded(), *map(scorer_folder, self.server.scorers.loaded())]
        facts = {"pid": os.getpid(), "source": self.server.source, "runs": self.server.runs, "models": loaded}
        send(self.request, facts)

    def _warm(self, model: str) -> None:
        self.server.warm(model)
        send(self.request, {"loaded": True})

    def _generate(self, asked: dict[str, Any]) -> None:
        settings = from_dict(GenerationSettings, asked["settings"])
        self.server.preload()
        with (
            self.server.working(),
            self.server.models.lend(asked["model"], self._check_listener, **asked.get("how", {})) as model,
        ):
            stream = self.server.engine.stream
            for piece in stream(model, asked["prompt"], asked["template"], settings, self._is_gone):
                send(self.request, {"piece": piece})
        send(self.request, {"end": True})

    def _score(self, asked: dict[str, Any]) -> None:
        scores: dict[str, float] = {}
        self.server.preload()
        for folder in asked["scorers"]:
            with self.server.working(), self.server.scorers.lend(folder, self._check_listener) as scorer:
                row = scorer.score([asked["prompt"]], [asked["response"]]).iloc[0]
            scores |= {name: float(row[name]) for name in ("harmful", "helpful") if name in row}
        send(self.request, {"scores": scores})

    def _tokens(self, asked: dict[str, Any]) -> None:
        conversation = from_dict(Conversation, asked["conversation"])
        self.server.preload()
        with self.server.speech.lend(asked["model"], self._check_listener) as speech:
            tokens = list_tokens(speech, conversation, asked["template"])
        send(self.request, {"tokens": to_dict(tokens)})

    def _run(self, folder: RunFolder, files: list[int]) -> None:
        """Works on a run in this thread; whoever asked is told at once and goes on.

        Raises:
            JobError: The run came without its lock.
        """
        if not files:
            raise JobError(f"run {folder.id} came without its lock; start it again")
        with self.server.working(runs=1):
            folder.write_worker(os.getpid())
            new = self.server.take(folder.id)
            with contextlib.suppress(OSError):  # whoever asked may be gone; the run is ours all the same
                send(self.request, {"accepted": True})
                self.request.shutdown(socket.SHUT_RDWR)
            if not new:
                return
            progress = FolderProgress(folder)
            try:
                self.server.preload()
                self._wait_for_turn(progress)
            except Cancelled:
                progress.finish(CANCELLED)
                return
            try:
                with self.server.models.lender(lambda: _check_cancel(folder)) as load:
                    execute(folder, self.server.acts, progress=progress, load=load)
            finally:
                self.server.run_turn.release()

    def _wait_for_turn(self, progress: FolderProgress) -> None:
        while not self.server.run_turn.acquire(timeout=POLL_SECONDS):
            progress(WAITING)

    def _shutdown(self) -> None:
        send(self.request, {"ended": True})
        # shutdown() waits until the serving loop has ended, and this thread serves
        threading.Thread(target=self.server.shutdown, daemon=True).start()

    def _is_gone(self) -> bool:
        """Whether the other side closed the connection."""
        readable, _, _ = select.select([self.request], [], [], 0)
        return bool(readable) and self.request.recv(1, socket.MSG_PEEK) == b""

    def _check_listener(self) -> None:
        if self._is_gone():
            raise Cancelled


def _check_cancel(folder: RunFolder) -> None:
    if folder.cancel_requested():
        raise Cancelled


def main(arguments: Sequence[str], engine: Engine | None = None, acts: Mapping[str, Act] = ACTS) -> int:
    """Serves a workspace until nobody has asked for an hour, or the workspace is gone.

    Args:
        arguments: The workspace folder and options.
        engine: What it does with models; None takes the real one.
        acts: Names to acts.

    Returns:
        0, also where another host serves the workspace already.
    """
    parser = argparse.ArgumentParser(
        prog="lancet_core.runs.host", description="Keeps models loaded for a workspace."
    )
    parser.add_argument("workspace", type=Path, help="the workspace folder")
    parser.add_argument("--warm", action="append", default=[], help="model to load at once")
    parser.add_argument("--unload-after", type=float, default=UNLOAD_AFTER_SECONDS, help="idle seconds")
    parser.add_argument("--exit-after", type=float, default=EXIT_AFTER_SECONDS, help="idle seconds")
    asked = parser.parse_args(arguments)
    workspace = Workspace(asked.workspace.resolve())
    lock = take_lock(host_lock(workspace), patience_seconds=0.05)
    if lock is None:
        return 0
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    engine = engine or torch_engine()
    address, is_wanted = host_socket(workspace), partial(holds_lock, lock, host_lock(workspace))
    with Host(address, engine, acts) as host:
        threading.Thread(target=_prepare, args=(host, asked.warm), daemon=True).start()
        threading.Thread(
            target=_watch,
            args=(host, is_wanted),
            kwargs={"unload_after": asked.unload_after, "exit_after": asked.exit_after},
            daemon=True,
        ).start()
        host.serve_forever(poll_interval=POLL_SECONDS)
        if is_wanted() or not host_lock(workspace).exists():  # else it is the socket of another host
            address.unlink(missing_ok=True)
    sys.stderr.flush()
    os._exit(0)  # threads deep inside a model must not hold up the end; the lock goes with the process


def _prepare(host: Host, models: Sequence[str]) -> None:
    host.preload()
    for model in models:
        try:
            host.warm(model)
        except LancetError as error:
            sys.stderr.write(f"{model} was not loaded ahead: {error}\n")


def _watch(host: Host, is_wanted: Callable[[], bool], *, unload_after: float, exit_after: float) -> None:
    """Unloads idle models, then ends the idle host, seconds after it was asked last; where its workspace was deleted, at once."""
    while is_wanted() and host.idle_seconds() < exit_after:
        if host.idle_seconds() >= unload_after:
            host.models.clear()
            host.scorers.clear()
        time.sleep(min(1.0, unload_after / 4))
    host.shutdown()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
