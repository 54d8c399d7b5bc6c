"""Every command, option, screen and setting has help and stands in the README; the README's own commands and Python run."""

import dataclasses
import importlib
import inspect
import os
import pkgutil
import re
import shlex
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pandas as pd
import pytest
import typer

import lancet_core
from lancet_core.cli.main import app
from lancet_core.workbench import demo_assets
from pages.parts.screens import SCREENS

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
LANCET = Path(sys.executable).with_name("lancet")


def commands(group=None, path="lancet"):
    """Walks over all commands: path and command."""
    group = group or typer.main.get_command(app)
    for name, command in sorted(group.commands.items()):
        if hasattr(command, "commands"):
            yield from commands(command, f"{path} {name}")
        else:
            yield f"{path} {name}", command


COMMANDS = dict(commands())
SETTINGS = [
    (module.name, name, cls)
    for module in pkgutil.walk_packages(lancet_core.__path__, "lancet_core.")
    if module.name.endswith("settings")
    for name, cls in inspect.getmembers(importlib.import_module(module.name), dataclasses.is_dataclass)
    if cls.__module__ == module.name
]


@pytest.mark.parametrize("path", COMMANDS)
def test_command_and_options_have_help(path):
    command = COMMANDS[path]
    assert command.help
    without = [parameter.name for parameter in command.params if not getattr(parameter, "help", None)]
    assert without == []


@pytest.mark.parametrize("path", COMMANDS)
def test_command_stands_in_the_readme(path):
    *_, group, name = path.split() if path.count(" ") > 1 else ("", *path.split())
    assert re.search(rf"`{group} {name}|lancet {group} {name}|`lancet {group}.*`{name}`", README), path


@pytest.mark.parametrize("name", SCREENS)
def test_screen_has_a_purpose_and_stands_in_the_readme(name):
    assert SCREENS[name].purpose
    assert f"| {SCREENS[name].title} |" in README


@pytest.mark.parametrize(
    ("module", "name", "cls"), SETTINGS, ids=lambda value: value if isinstance(value, str) else ""
)
def test_setting_has_help(module, name, cls):
    for field in dataclasses.fields(cls):
        assert str(field.metadata.get("help", "")).strip(), f"{module}.{name}.{field.name} has no help"


def test_readme_links_lead_somewhere():
    targets = re.findall(r"\]\(([^)#]+)\)", README)
    missing = [target for target in targets if "://" not in target and not (ROOT / target).exists()]
    assert missing == []


def test_readme_says_nothing_of_the_workplace():
    assert "shared" not in README
    assert "/work" not in README


def test_readme_make_targets_exist():
    for target in set(re.findall(r"^make (\w+)", README, flags=re.MULTILINE)):
        outcome = subprocess.run(["make", "-n", target], cwd=ROOT, capture_output=True, text=True, timeout=60)
        assert outcome.returncode == 0, outcome.stderr


def environment(workspace):
    return {**os.environ, "LANCET_WORKSPACE": str(workspace), "OMP_NUM_THREADS": "1"}


def run_lancet(arguments, folder, workspace):
    outcome = subprocess.run(
        [LANCET, *arguments],
        cwd=folder,
        env=environment(workspace),
        capture_output=True,
        text=True,
        timeout=900,
    )
    assert outcome.returncode == 0, f"lancet {shlex.join(arguments)}\n{outcome.stdout}\n{outcome.stderr}"
    return outcome.stdout


def write_inputs(folder, model):
    """A model and data of one's own: the demo's, since a model with random weights blames all samples alike."""
    assets = demo_assets.read_assets()
    model.symlink_to(assets.path("model"))
    samples = pd.read_parquet(assets.path("samples"))[["prompt", "response", "is_safe"]]
    samples.head(250).to_json(folder / "train.jsonl", orient="records", lines=True)
    queries = pd.read_parquet(assets.path("queries"))[["prompt", "response"]]
    queries.head(12).to_json(folder / "bad-answers.jsonl", orient="records", lines=True)


def readme_commands():
    """The lines of the README that call lancet, as argument lists."""
    blocks = re.findall(r"```bash\n(.*?)```", README, flags=re.DOTALL)
    lines = [line for block in blocks for line in block.splitlines() if line.startswith(".venv/bin/lancet ")]
    return [shlex.split(line)[1:] for line in lines]


def test_readme_commands_run(tmp_path, stop_hosts):
    workspace = tmp_path / "workspace"
    stop_hosts(workspace)
    (tmp_path / "path" / "to").mkdir(parents=True)
    write_inputs(tmp_path, tmp_path / "path" / "to" / "model")
    told = readme_commands()
    assert len(told) >= 6
    for arguments in told:
        if arguments[0] == "app":
            serves(tmp_path, workspace)
            continue
        if "RUN" in arguments:
            arguments[arguments.index("RUN")] = newest_batch(tmp_path, workspace)
        run_lancet(arguments, tmp_path, workspace)
    for name in ("causes.parquet", "pairs.csv", "corrected-model/model.safetensors"):
        assert (tmp_path / name).is_file()


def newest_batch(folder, workspace):
    """The attribution that pairs were proposed from: the newest one of a batch."""
    listed = run_lancet(["runs", "list", "--operation", "attribute"], folder, workspace)
    return listed.splitlines()[1].split()[0]


def serves(folder, workspace):
    """Starts the dashboard from another folder, as a person may, and reads its first answer."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    server = subprocess.Popen(
        [LANCET, "app", "--port", str(port)],
        cwd=folder,
        env=environment(workspace),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        deadline = time.monotonic() + 120
        while True:
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{port}/_stcore/health", timeout=5) as answer:
                    assert answer.status == 200
                    return
            except OSError:
                assert time.monotonic() < deadline, "the dashboard does not answer"
                assert server.poll() is None, "the dashboard ended"
                time.sleep(0.2)
    finally:
        server.send_signal(signal.SIGINT)
        server.wait(timeout=60)


def test_readme_python_example_runs(tmp_path, stop_hosts):
    (example,) = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)
    assert len([line for line in example.splitlines() if line]) == 10
    workspace = tmp_path / "workspace"
    stop_hosts(workspace)
    outcome = subprocess.run(
        [sys.executable, "-c", example],
        cwd=tmp_path,
        env=environment(workspace),
        capture_output=True,
        text=True,
        timeout=900,
    )
    assert outcome.returncode == 0, outcome.stderr
    assert "influence" in outcome.stdout
    assert "Interval" in outcome.stdout


def test_public_names_load():
    assert all(getattr(lancet_core, name) is not None for name in lancet_core.__all__)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        lancet_core.nothing  # noqa: B018
