"""`lancet doctor`: what this installation and machine are, and what to do about what is not in order."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import typer

from lancet_core.cli import checkup
from lancet_core.cli.options import JsonOption, WorkspaceOption
from lancet_core.cli.output import print_json, print_line, print_note
from lancet_core.errors import LancetError
from lancet_core.text import visible_line
from lancet_core.workspace import open_workspace

OK, WARNING, FAILED = "ok", "warning", "failed"
# What a broken installation, file or driver raises. PyTorch raises RuntimeError, pyarrow ValueError.
_EXPECTED = (ImportError, OSError, RuntimeError, ValueError, LookupError)
_FIXABLE = 2
_STATE_WIDTH, _NAME_WIDTH = 9, 12


@dataclass(frozen=True)
class Finding:
    """What one check says.

    Attributes:
        name: What was checked.
        state: `ok`, `warning` (it works, and may not for long) or `failed`.
        detail: What there is.
        remedy: What to do about it; empty where nothing is to be done.
    """

    name: str
    state: str
    detail: str
    remedy: str = ""


def doctor(workspace: WorkspaceOption = None, as_json: JsonOption = False) -> None:
    """Checks versions, device, memory, workspace, demo and scores, and says what to do; ends with 2 where a check fails."""
    findings = []
    for finding in examine(workspace):
        findings.append(finding)
        if not as_json:
            print_line(_line(finding))
    if as_json:
        print_json(findings)
    states = [finding.state for finding in findings]
    print_note(f"{len(states)} checks: {states.count(FAILED)} failed, {states.count(WARNING)} with a warning")
    if FAILED in states:
        raise typer.Exit(_FIXABLE)


def examine(folder: Path | None = None) -> Iterator[Finding]:
    """Makes all checks.

    Args:
        folder: Folder of the workspace; None takes `LANCET_WORKSPACE`, and where that is unset `~/.lancet`.

    Yields:
        Findings, each as soon as it is known.
    """
    checks: dict[str, Callable[[], str]] = {
        "versions": checkup.check_versions,
        "device": checkup.check_device,
        "memory": checkup.check_memory,
        "workspace": lambda: checkup.check_workspace(open_workspace(folder)),
        "disk": lambda: checkup.check_disk(open_workspace(folder)),
        "host": lambda: checkup.check_host(open_workspace(folder)),
        "index": lambda: checkup.check_index(open_workspace(folder)),
        "demo": checkup.check_demo,
        "scores": checkup.check_scores,
    }
    for name, check in checks.items():
        yield attempt(name, check)


def attempt(name: str, check: Callable[[], str]) -> Finding:
    """Makes a check; one that cannot be made is a failed finding and stops no other."""
    try:
        return Finding(name, OK, check())
    except LancetError as error:
        detail, _, remedy = str(error).partition("; ")
        state = WARNING if isinstance(error, checkup.Warned) else FAILED
        return Finding(name, state, detail, remedy or "fix what this names")
    except _EXPECTED as error:
        detail = f"cannot be checked: {type(error).__name__}: {error}"
        return Finding(name, FAILED, detail, "fix what this or a line above names, else report this line")


def _line(finding: Finding) -> str:
    text = f"{finding.detail}; {finding.remedy}" if finding.remedy else finding.detail
    return f"{finding.state:{_STATE_WIDTH}}{finding.name:{_NAME_WIDTH}}{visible_line(text)}"
