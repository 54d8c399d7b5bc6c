"""What CONTRIBUTING.md tells a newcomer is done to the letter in a copy of the package, with a real worker; what it names is there."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
TEXT = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
CODE = re.findall(r"```python\n(.*?)```", TEXT, flags=re.DOTALL)
REQUEST, OPERATION, ENTRY, USE = CODE
TABLE = "lancet_core/acts/table.py"
PATHS = sorted(set(re.findall(r"`((?:[a-z_]+/)+[a-z_]+\.[a-z]+)`", TEXT)))
NAMED = sorted(
    {
        (path, name)
        for row in TEXT.splitlines()
        if row.startswith("| ")
        for path, words in re.findall(r"`((?:[a-z_]+/)+[a-z_]+\.py)`([^;|]*)", row)
        for name in re.findall(r"`([A-Za-z_]{4,})`", words)
    }
)


def place_of(path):
    """Where a path of the guide lies: from the checkout, or from the package, as layers are named there."""
    return next((folder / path for folder in (ROOT, ROOT / "lancet_core") if (folder / path).is_file()), None)


@pytest.mark.parametrize("path", [path for path in PATHS if "longest" not in path])
def test_a_file_that_the_guide_names_is_there(path):
    assert place_of(path) is not None


@pytest.mark.parametrize(("path", "name"), NAMED)
def test_a_name_that_the_guide_sends_to_stands_in_its_file(path, name):
    assert re.search(rf"^(def )?{name}\b", place_of(path).read_text(encoding="utf-8"), flags=re.MULTILINE)


def test_the_map_shows_every_room():
    (rooms,) = re.findall(r"## The house\n.*?```\n(.*?)```", TEXT, flags=re.DOTALL)
    folders = {path.parent.name for path in (ROOT / "lancet_core").glob("*/__init__.py")}
    assert set(re.findall(r"^lancet_core/(\w+)/", rooms, flags=re.MULTILINE)) == folders
    ground = {path.stem for path in (ROOT / "lancet_core").glob("[!_]*.py")}
    assert set(re.search(r"^lancet_core/\{([\w,]+)\}", rooms, flags=re.MULTILINE)[1].split(",")) == ground


@pytest.fixture
def house(tmp_path):
    """A copy of the package with the act of the guide."""
    shutil.copytree(
        ROOT / "lancet_core", tmp_path / "lancet_core", ignore=shutil.ignore_patterns("__pycache__")
    )
    (tmp_path / "assets").symlink_to(ROOT / "assets")
    for block in (REQUEST, OPERATION):
        path, code = block.split("\n", 1)
        (tmp_path / path.removeprefix("# ")).write_text(code, encoding="utf-8")
    path, line = ENTRY.split("\n", 1)
    assert path == f"# {TABLE}"
    table = (tmp_path / TABLE).read_text(encoding="utf-8")
    importing = "from lancet_core.acts.longest import Longest, LongestRequest\nfrom lancet_core.acts.prepare"
    for place, text in (("}  # fmt: skip", f"{line}}}"), ("from lancet_core.acts.prepare", importing)):
        assert table.count(place) == 1
        table = table.replace(place, text)
    (tmp_path / TABLE).write_text(table, encoding="utf-8")
    return tmp_path


def python(house, code, *arguments):
    outcome = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        cwd=house,
        env={**os.environ, "PYTHONPATH": str(house), "LANCET_WORKSPACE": str(house / "workspace")},
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert outcome.returncode == 0, outcome.stderr
    return outcome.stdout


def test_the_act_of_the_guide_is_started_done_read_and_listed(house):
    answers = python(house, f"{USE}print(run.result.words == run.result.table['words'][0], run.act.title)")
    assert len(re.findall(r"^\d+ ", answers, flags=re.MULTILINE)) == 3
    assert answers.splitlines()[-1] == "True Longest answers"
    shell = "from lancet_core.cli.main import main; main()"
    (listed,) = json.loads(python(house, shell, "runs", "list", "--act", "longest", "--json"))
    assert (listed["act"], listed["state"], listed["study"]) == ("longest", "done", "demo")
    assert listed["title"] == "The 3 longest answers"
    assert re.fullmatch(r"[1-9]\d* words at most", listed["outcome"])
    assert python(house, f"{USE}print(len(study.runs('longest')))").splitlines()[-1] == "1"


def test_the_act_of_the_guide_is_written_as_the_rest(house):
    written = [f"lancet_core/{room}/longest.py" for room in ("acts", "operations")]
    ruff = [sys.executable, "-m", "ruff"]
    for command in (["check"], ["format", "--check"]):
        arguments = [*ruff, *command, "--no-cache", "--config", str(ROOT / "pyproject.toml"), *written]
        outcome = subprocess.run(arguments, cwd=house, capture_output=True, text=True, timeout=60)
        assert outcome.returncode == 0, outcome.stdout
