"""The commands that stand beside the tables of the documents exist, with the options and values that they name."""

import re
import shlex
from pathlib import Path

import pytest
import typer

from lancet_core.cli.lab import commands
from lancet_core.cli.main import app

DOCS = sorted((Path(__file__).resolve().parents[2] / "docs").glob("*.md"))
LINES = sorted(
    {
        (path.name, line.partition("#")[0].replace("…", "demo").strip())
        for path in DOCS
        for line in re.findall(r"\blancet ([^\n`]+)", path.read_text(encoding="utf-8"))
    }
)


def test_every_command_of_the_laboratory_stands_in_a_document():
    named = {words[1] for _, line in LINES if (words := line.split())[0] == "lab"}
    assert named == set(typer.main.get_command(commands).commands)


@pytest.mark.parametrize(("document", "line"), LINES)
def test_a_command_of_the_documents_is_understood(document, line):
    arguments, command = shlex.split(line), typer.main.get_command(app)
    while hasattr(command, "commands") and arguments:
        name = arguments.pop(0)
        command = command.commands[name]
    if arguments:  # a command that is only named takes none
        assert command.make_context(name, arguments).params
