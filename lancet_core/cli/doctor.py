"""`lancet doctor`: what this installation and machine are, and what to do about what is not in order."""

import typer

from lancet_core.cli.options import JsonOption, WorkspaceOption
from lancet_core.cli.output import print_json, print_line, print_note
from lancet_core.workbench.checkup import FAILED, WARNING, Finding, examine

_MENDABLE = 2
_MARK_WIDTH, _NAME_WIDTH = 9, 24


def doctor(workspace: WorkspaceOption = None, as_json: JsonOption = False) -> None:
    """Checks versions, device, memory, workspace, demo, scores and optional parts; ends with 2 where a check failed."""
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
        raise typer.Exit(_MENDABLE)


def _line(finding: Finding) -> str:
    text = f"{finding.found}; {finding.remedy}" if finding.remedy else finding.found
    return f"{finding.state:{_MARK_WIDTH}}{finding.name:{_NAME_WIDTH}}{' '.join(text.split())}"
