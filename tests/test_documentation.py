"""Every command, option, screen and setting has help and stands in the documents; what they show of shell and Python runs."""

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
from typing import get_args

import pandas as pd
import pytest
import typer

import lancet_core
from lancet_core.cli.answers import print_verdict
from lancet_core.cli.main import app
from lancet_core.evaluation.verdict import Outcome, Verdict
from lancet_core.study.demo import read_assets
from pages.shared.screens import SCREENS
from tests.written_rows import write_lines

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
LANCET = Path(sys.executable).with_name("lancet")


def python_blocks(path):
    return re.findall(r"```python\n(.*?)```", path.read_text(encoding="utf-8"), flags=re.DOTALL)


PYTHON = python_blocks(ROOT / "README.md")


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
    for name, cls in inspect.getmembers(importlib.import_module(module.name), inspect.isclass)
    if dataclasses.is_dataclass(cls) and cls.__module__ == module.name
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
    """In its own field, or in the docstring of the class where it is a part with settings of its own, or the method."""
    for field in dataclasses.fields(cls):
        in_docstring = any(f" {field.name}: " in (inspect.getdoc(base) or "") for base in cls.__mro__[:-1])
        assert field.metadata.get("help") or in_docstring, f"{module}.{name}.{field.name} has no help"


def test_readme_links_lead_somewhere():
    targets = re.findall(r"\]\(([^)#]+)\)", README)
    missing = [target for target in targets if "://" not in target and not (ROOT / target).exists()]
    assert missing == []


def test_help_and_messages_name_documents_that_are_there():
    """What once stood in the README may stand in a document now: help names the document."""
    sources = [path for folder in ("lancet_core", "pages") for path in (ROOT / folder).rglob("*.py")]
    named = {name for path in sources for name in re.findall(r"docs/[\w.-]+\.md", path.read_text("utf-8"))}
    assert named
    assert [name for name in sorted(named) if not (ROOT / name).is_file()] == []
    helps = [str(parameter.help) for command in COMMANDS.values() for parameter in command.params]
    assert [text for text in helps if "README" in text] == []


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


def write_inputs(folder):
    """A model and data of one's own: the demo's, since a model with random weights blames all samples alike."""
    assets = read_assets()
    (folder / "path" / "to").mkdir(parents=True)
    (folder / "path" / "to" / "chat-model").symlink_to(assets.path("model"))
    samples = pd.read_parquet(assets.path("samples")).head(250)
    rows = [
        {
            "messages": [{"role": "user", "content": prompt}, {"role": "assistant", "content": response}],
            "is_safe": bool(is_safe),
        }
        for prompt, response, is_safe in samples[["prompt", "response", "is_safe"]].values
    ]
    write_lines(folder / "messages.jsonl", rows)
    queries = pd.read_parquet(assets.path("queries"))[["prompt", "response"]]
    queries.head(12).to_json(folder / "bad-answers.jsonl", orient="records", lines=True)


def readme_commands():
    """The lines of the README that call lancet, as argument lists."""
    blocks = re.findall(r"```bash\n(.*?)```", README, flags=re.DOTALL)
    lines = [line for block in blocks for line in block.splitlines() if line.startswith(".venv/bin/lancet ")]
    return [shlex.split(line, comments=True)[1:] for line in lines]


# Words of the README that stand for an id, and where the commands before have printed it last.
IDS = {"RUN": r"^(attribute-\S+)", "QUERY": r"^query (\w+):", "PAIR": r"^(\w{16})  "}


def test_readme_commands_run(tmp_path, stop_hosts):
    workspace = tmp_path / "workspace"
    stop_hosts(workspace)
    write_inputs(tmp_path)
    printed = ""
    for arguments in readme_commands():
        if arguments[0] == "app":
            serves(tmp_path, workspace)
            continue
        ids = {
            word: re.findall(IDS[word], printed, flags=re.MULTILINE)[-1] for word in arguments if word in IDS
        }
        printed += run_lancet([ids.get(word, word) for word in arguments], tmp_path, workspace)
    for name in ("causes.parquet", "pairs.csv", "corrected-model/model.safetensors"):
        assert (tmp_path / name).is_file()


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


def run_python(code, folder):
    workspace = folder / "workspace"
    outcome = subprocess.run(
        [sys.executable, "-c", code],
        cwd=folder,
        env=environment(workspace),
        capture_output=True,
        text=True,
        timeout=900,
    )
    assert outcome.returncode == 0, outcome.stderr
    return outcome.stdout


LOADED = """
import datasets, pandas, lancet_core as lancet
from transformers import AutoModelForCausalLM, AutoTokenizer
model, tokenizer = (kind.from_pretrained("path/to/chat-model") for kind in (AutoModelForCausalLM, AutoTokenizer))
frame = pandas.read_json("messages.jsonl", lines=True)
dataset = datasets.Dataset.from_pandas(frame)
"""
COUNTED = "print([(study.name, study.counts['samples']) for study in lancet.list_studies()])"


def test_readme_python_goes_from_a_bad_answer_to_the_verdict(tmp_path, stop_hosts):
    stop_hosts(tmp_path / "workspace")
    printed = run_python(PYTHON[0], tmp_path)
    assert "influence" in printed
    assert "Interval" in printed
    assert printed.splitlines()[-1] == "corrected"


def test_readme_python_makes_studies_of_files_and_of_objects(tmp_path):
    write_inputs(tmp_path)
    printed = run_python(f"{LOADED}{PYTHON[1]}{COUNTED}", tmp_path)
    assert printed.strip() == "[('files', 250), ('objects', 250), ('dataset', 250)]"


def test_the_python_of_the_presets_runs(tmp_path):
    (example,) = python_blocks(ROOT / "docs" / "presets.md")
    assert run_python(f"{example}\nprint(settings.method)", tmp_path).strip() == "paper"


@pytest.mark.parametrize("outcome", get_args(Outcome))
def test_every_verdict_is_explained_in_the_readme_and_printed_by_the_shell(outcome, capsys):
    verdict = Verdict(outcome, checks=(), advice=())
    assert f"| *{verdict.headline}* |" in README
    print_verdict(verdict)
    assert capsys.readouterr().out.splitlines() == [verdict.headline]


def test_public_names_load():
    assert all(getattr(lancet_core, name) is not None for name in lancet_core.__all__)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        lancet_core.nothing  # noqa: B018
