"""The model host as a real process on a real socket."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import psutil
import pytest

from lancet_core.errors import JobError, ModelError
from lancet_core.models.settings import GenerationSettings
from lancet_core.runs import client, launcher
from lancet_core.runs.address import host_lock, host_socket, send
from lancet_core.runs.run_folder import RunFolder
from lancet_core.store import runs
from lancet_core.store.run_status import is_locked_file
from lancet_core.workspace import Workspace, open_workspace
from tests.runs.test_runs import result, task, until


@pytest.fixture
def host(workspace: Workspace, monkeypatch: pytest.MonkeyPatch):
    """A workspace whose host has the fake engine; ended after the test."""
    monkeypatch.setattr(client, "HOST_MODULE", "tests.runs.fake_host")
    # A host that was started twice ends by itself, also after the test.
    (workspace.folder / "host-options").write_text("--exit-after 60")
    yield workspace
    client.stop_host(workspace)


@pytest.fixture
def model(tmp_path: Path) -> str:
    folder = tmp_path / "model"
    folder.mkdir()
    return str(folder)


def asked(workspace: Workspace, model: str, prompt: str = "hi", tokens: int = 3, pause_seconds: float = 0.0):
    settings = GenerationSettings(max_new_tokens=tokens, temperature=pause_seconds)
    return client.stream_answer(workspace, model, prompt=prompt, template="auto", settings=settings)


def loads(model: str) -> int:
    return len(Path(f"{model}.loads").read_text())


def said(model: str, prompt: str = "hi") -> int:
    try:
        return int((Path(model).parent / f"said to {prompt}").read_text() or 0)
    except FileNotFoundError:
        return -1


def test_the_host_starts_on_demand_answers_and_keeps_the_model(host, model):
    assert client.ping(host) is None
    assert "".join(asked(host, model)) == "0 1 2 "
    assert client.ping(host) is not None
    pid = client.ping(host)["pid"]
    assert "".join(asked(host, model)) == "0 1 2 "
    assert client.ping(host)["pid"] == pid
    assert client.ping(host)["models"] == [model]
    assert loads(model) == 1
    (Path(model) / "model.safetensors").write_text("trained on")
    assert "".join(asked(host, model)) == "0 1 2 "
    assert loads(model) == 2


def test_closing_the_answer_stops_it(host, model):
    answer = asked(host, model, tokens=4000, pause_seconds=0.02)
    assert [next(answer), next(answer)] == ["0 ", "1 "]
    answer.close()
    until(lambda: not client.ping(host)["runs"])
    time.sleep(0.1)
    stopped = said(model)
    time.sleep(0.3)
    assert said(model) == stopped < 100


def test_two_clients_share_a_model_in_turn_and_two_models_at_once(host, model, tmp_path):
    (tmp_path / "other").mkdir()
    slow = asked(host, model, "slow", tokens=4000, pause_seconds=0.02)
    next(slow)
    assert "".join(asked(host, str(tmp_path / "other"), "else")) == "0 1 2 "
    waiting = []
    thread = threading.Thread(target=lambda: waiting.extend(asked(host, model, "waits")))
    thread.start()
    time.sleep(0.3)
    assert waiting == []
    slow.close()
    thread.join(30)
    assert waiting == ["0 ", "1 ", "2 "]


def test_a_killed_host_is_told_and_comes_back(host, model):
    answer = asked(host, model, tokens=4000, pause_seconds=0.02)
    next(answer)
    os.kill(client.ping(host)["pid"], signal.SIGKILL)
    with pytest.raises(JobError, match="the model host"):
        list(answer)
    assert "".join(asked(host, model)) == "0 1 2 "


def test_errors_travel_with_their_kind(host, model):
    with pytest.raises(ModelError, match="no safetensors"):
        list(asked(host, "/broken/model"))
    with pytest.raises(JobError, match="internal error: ZeroDivisionError"):
        list(asked(host, model, "crash"))
    assert "".join(asked(host, model)) == "0 1 2 "


def test_a_host_that_cannot_start_says_why(workspace, model, monkeypatch):
    monkeypatch.setattr(client, "HOST_MODULE", "lancet_core.no_such_module")
    with pytest.raises(JobError, match="No module named"):
        list(asked(workspace, model))


def test_scores_come_from_the_scorers(host):
    assert client.score_answer(host, ["s"], prompt="four", response="r") == {"harmful": 0.4}


def test_a_warm_run_is_done_by_the_host(host, model):
    started = [
        launcher.start(host, task("count", model=model)).id,
        launcher.start(host, task("count", model=model, steps=4)).id,
    ]
    assert [launcher.wait(host, run_id).state for run_id in started] == ["done", "done"]
    again = launcher.start(host, task("count", model=model, steps=5)).id
    assert launcher.wait(host, again).state == "done"
    results = [result(host, run_id) for run_id in [*started, again]]
    assert {each.pid for each in results} == {client.ping(host)["pid"]}
    assert [each.model for each in results] == [model] * 3
    assert runs.get_run(host, again).outcome == "counted to 5"


def test_a_run_that_is_sent_twice_is_done_once(host, model):
    """Whoever lost the host's answer asks again; the first time it may have been done already."""
    run_id = launcher.start(host, task("count", model=model, steps=2)).id
    assert launcher.wait(host, run_id).state == "done"
    folder = RunFolder(runs.get_run(host, run_id).folder)
    before = folder.log.read_text()
    client.run_warm(host, folder.path)
    until(lambda: not client.ping(host)["runs"])
    assert folder.log.read_text() == before
    assert folder.status().state == "done"


def test_sending_to_a_side_that_answered_and_left_is_no_error():
    """The file travels with the whole line; sending the nothing that is left would fail."""
    ours, theirs = socket.socketpair()
    with ours, theirs, Path(__file__).open() as file:
        line = {"do": "run"}
        watched = Watched(ours, theirs)
        send(watched, line, [file.fileno()])
        assert watched.left


class Watched:
    """A connection whose other side leaves as soon as anything was sent."""

    def __init__(self, connection, other):
        self.connection, self.other, self.left = connection, other, False

    def sendmsg(self, *arguments):
        sent = self.connection.sendmsg(*arguments)
        self.other.shutdown(socket.SHUT_RDWR)
        self.left = True
        return sent

    def sendall(self, line):
        self.connection.sendall(line)


def test_a_warm_run_cancels_while_it_works_and_while_it_waits(host):
    client.ensure(host)
    working = launcher.start(host, task("count", steps=9000, pause_seconds=0.02)).id
    waiting = launcher.start(host, task("count", steps=9001, pause_seconds=0.02)).id
    until(lambda: RunFolder(host.runs / waiting).status().step.startswith("Waiting"))
    assert RunFolder(host.runs / waiting).status().state == "queued"
    pid = client.ping(host)["pid"]
    assert launcher.cancel(host, waiting).state == "cancelled"
    assert launcher.cancel(host, working).state == "cancelled"
    assert client.ping(host)["pid"] == pid


def test_a_warm_run_of_a_killed_host_is_failed_and_resumes_in_a_worker(host):
    client.ensure(host)
    run_id = launcher.start(host, task("count", steps=400, pause_seconds=0.02)).id
    folder = RunFolder(host.runs / run_id)
    until((folder.path / "checkpoint.json").exists)
    os.kill(client.ping(host)["pid"], signal.SIGKILL)
    until(lambda: folder.status().is_final)
    assert folder.status().error == "the worker died; resume it"
    launcher.resume(host, run_id)
    assert launcher.wait(host, run_id).state == "done"
    assert result(host, run_id).counted_from > 0


def test_a_warm_run_fails_when_the_host_cannot_start(workspace, monkeypatch):
    monkeypatch.setattr(launcher, "FORWARD_MODULE", "tests.runs.forward_nowhere")
    run_id = launcher.start(workspace, task("count")).id
    status = launcher.wait(workspace, run_id)
    assert status.state == "failed"
    assert "the model host did not start" in status.error


def test_an_act_that_changes_its_model_is_not_lent_one(host, model):
    client.ensure(host)
    run_id = launcher.start(host, task("train", model=model)).id
    assert launcher.wait(host, run_id).state == "done"
    found = result(host, run_id)
    assert found.pid != client.ping(host)["pid"]
    assert found.model is None


def test_only_one_host_lives(host):
    client.ensure(host)
    command = [sys.executable, "-m", "tests.runs.fake_host", str(host.folder)]
    assert subprocess.run(command, cwd=Path(__file__).parents[2], timeout=60).returncode == 0
    assert client.ping(host) is not None


def test_warm_starts_the_host_in_the_background(host, model):
    client.warm(host, model)
    until(lambda: (client.ping(host) or {}).get("models") == [model])


def test_a_host_of_older_source_is_replaced(host, model, monkeypatch):
    client.ensure(host)
    pid = client.ping(host)["pid"]
    monkeypatch.setattr(client, "source_fingerprint", lambda: "changed")
    assert "".join(asked(host, model)) == "0 1 2 "
    assert client.ping(host)["pid"] != pid


def test_an_idle_host_unloads_and_ends(host, model):
    (host.folder / "host-options").write_text("--unload-after 0.2 --exit-after 2")
    "".join(asked(host, model))
    until(lambda: not is_locked_file(host_lock(host)))
    assert not host_socket(host).exists()


def test_a_deep_workspace_gets_a_short_socket(tmp_path):
    deep = open_workspace(tmp_path / ("deep" * 25) / ("er" * 20))
    path = host_socket(deep)
    assert len(os.fsencode(path)) <= 100
    assert path.parent.stat().st_mode & 0o077 == 0
    assert path != host_socket(open_workspace(tmp_path / ("deep" * 25) / "other"))


def test_the_real_host_streams_what_a_real_model_says(tmp_path, shared_data):
    workspace = open_workspace(tmp_path / "ws")
    model = str(shared_data / "stories260K-hf")
    settings = GenerationSettings(max_new_tokens=20)
    try:
        pieces = list(
            client.stream_answer(
                workspace, model, prompt="Once upon a time", template="raw", settings=settings
            )
        )
        with pytest.raises(ModelError, match="no model folder"):
            list(client.stream_answer(workspace, "/nowhere", prompt="a", template="raw", settings=settings))
    finally:
        client.stop_host(workspace)
    assert len(pieces) > 5
    assert "".join(pieces).startswith(", there was a little girl named Lily.")


@pytest.mark.parametrize("again", [False, True], ids=["gone", "made anew"])
def test_a_host_whose_workspace_was_deleted_ends(host, model, again):
    "".join(asked(host, model))
    pid = client.ping(host)["pid"]
    shutil.rmtree(host.folder)
    if again:
        open_workspace(host.folder)
        "".join(asked(host, model))
    until(lambda: not is_running(pid))
    assert host_lock(host).exists() is again
    assert not again or is_locked_file(host_lock(host))


def is_running(pid: int) -> bool:
    return psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
