"""What long work will take is told before it starts; a person is asked where it is long."""

import sys
from collections.abc import Callable
from typing import Annotated, Any

import typer

from lancet_core.cli.output import confirm, print_note
from lancet_core.runs import launcher
from lancet_core.runs.launcher import Task
from lancet_core.runs.run import Run
from lancet_core.study.estimates import Estimate
from lancet_core.text import lasting
from lancet_core.workspace import Workspace

LONG_SECONDS = 300
YesOption = Annotated[bool, typer.Option("--yes", help="Start long work without asking.")]


def start(
    workspace: Workspace, task: Task, what: str, estimate: Callable[[], Estimate], *, yes: bool
) -> Run[Any]:
    """Starts what is not done yet, once its price was told, or finds the run that did it.

    Args:
        workspace: Where the run lies.
        task: What is to be done.
        what: The same in words.
        estimate: Judges what it takes.
        yes: Whether to start without asking.

    Raises:
        typer.Abort: The answer is no.
        JobError: No worker can be started.
    """
    known = launcher.find(workspace, task)
    if known is None or (known.is_final and not known.is_done):
        announce(what, estimate(), yes=yes)
    return Run(workspace, launcher.find_or_start(workspace, task))


def announce(what: str, estimate: Estimate, *, yes: bool) -> None:
    """Tells what long work will do and take, and asks whether to go on where it is long and somebody can be asked.

    Args:
        what: What is to be done.
        estimate: What it takes.
        yes: Whether to go on without asking.

    Raises:
        typer.Abort: The answer is no.
    """
    parts = [what]
    if estimate.seconds is not None:
        parts.append(f"about {lasting(estimate.seconds)}, {estimate.basis}")
    elif estimate.basis:
        parts.append(estimate.basis)
    if estimate.memory_bytes:
        parts.append(f"about {estimate.memory_bytes / 1e9:.1f} GB of memory at most")
    print_note("; ".join(parts))
    if not yes and (estimate.seconds or 0.0) > LONG_SECONDS and sys.stdin.isatty():
        confirm("That is long. Start it?")
