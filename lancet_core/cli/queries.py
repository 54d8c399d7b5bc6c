"""`lancet queries`: the bad answers of a study whose cause is sought."""

from collections.abc import Iterator
from typing import Annotated, Any

import typer

from lancet_core.cli.options import with_workspace
from lancet_core.cli.output import print_line, print_note, print_table
from lancet_core.study.study import Study

commands = typer.Typer(help="Add and list the queries of a study: bad answers whose cause is sought.")


@commands.command("add")
@with_workspace
def add(
    study: Study,
    file: Annotated[
        str,
        typer.Argument(
            metavar="FILE",
            help="Queries: prompt and response, or messages; optional polarity, group, span and category.",
        ),
    ],
) -> Iterator[Any]:
    """Adds the queries of a file; those that are there already stay."""
    added = study.add_queries(file)
    total = len(study.queries())
    yield {"added": added, "queries": total}
    print_note(f"{added} queries added; {study.name} has {total} now")


@commands.command("list")
@with_workspace
def list_all(
    study: Study,
    source: Annotated[str, typer.Option(help="Only those from here: a file, mined, case.")] = "",
) -> Iterator[Any]:
    """Lists the queries of a study, oldest first."""
    table = study.queries()
    chosen = table[table["source"] == source] if source else table
    yield chosen
    if chosen.empty:
        print_line(f"no query: add some with lancet queries add {study.name} FILE")
        return
    columns = ("id", "source", "polarity", "category", "prompt", "response")
    print_table(columns, chosen[list(columns)].values.tolist(), cut=("prompt", "response"))
