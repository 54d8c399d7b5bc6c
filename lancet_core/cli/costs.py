"""What long work will take is told before it starts; a person is asked where it is long."""

import sys
from typing import Annotated

import typer

from lancet_core.cli.output import confirm, print_note
from lancet_core.study.estimates import Estimate
from lancet_core.text import lasting

LONG_SECONDS = 300
YesOption = Annotated[bool, typer.Option("--yes", help="Start long work without asking.")]


def announce(doing: str, estimate: Estimate, *, yes: bool) -> None:
    """Tells what an attribution will do and take, and asks whether to go on where it is long and somebody can be asked.

    Args:
        doing: What is to be done, as the beginning of a sentence.
        estimate: What it takes.
        yes: Whether to go on without asking.

    Raises:
        typer.Abort: The answer is no.
    """
    parts = [f"{doing} {estimate.scored:,} of {estimate.samples:,} samples"]
    if estimate.seconds is not None:
        parts.append(f"about {lasting(estimate.seconds)}, {estimate.basis}")
    if estimate.memory_bytes:
        parts.append(f"about {estimate.memory_bytes / 1e9:.1f} GB of memory at most")
    print_note("; ".join(parts))
    if not yes and (estimate.seconds or 0.0) > LONG_SECONDS and sys.stdin.isatty():
        confirm("That is long. Start it?")
