"""`lancet queries`: the bad answers of a study whose cause is sought."""

from collections.abc import Iterator
from typing import Annotated, Any

import typer

from lancet_core.acts.mine import MINING_GENERATION, Mined
from lancet_core.cli.following import finish
from lancet_core.cli.options import settings_from, with_settings, with_workspace
from lancet_core.cli.output import print_line, print_note, print_table
from lancet_core.evaluation.settings import MineSettings
from lancet_core.models.settings import GenerationSettings
from lancet_core.study.study import Study

commands = typer.Typer(help="Add, list and mine the queries of a study: bad answers whose cause is sought.")


@commands.command("add")
@with_workspace
def add(
    study: Study,
    file: Annotated[
        str,
        typer.Argument(
            metavar="FILE",
            help="File of queries: prompt and response, or messages; optional polarity, group, span and category.",
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
    source: Annotated[
        str,
        typer.Option(help="Only those that came in so: mined, case, or the name that add took them from."),
    ] = "",
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


@commands.command("mine")
@with_settings(MineSettings, GenerationSettings)
@with_workspace
def mine(
    study: Study,
    safe_model: Annotated[
        str, typer.Option(help="Folder of a model like the study's that was trained without the causes.")
    ],
    prompts: Annotated[
        str,
        typer.Option(help="File of prompts that both models answer: candidates.jsonl of lancet contaminate."),
    ],
    temperature: Annotated[
        float, typer.Option(min=0.0, max=5.0, help="Tokens are drawn, wilder the higher.")
    ] = MINING_GENERATION.temperature,
    *,
    values: dict[str, Any],
) -> Iterator[Any]:
    """Lets the study's and a safe model answer prompts, and adds the bad answers whose harm rose most as queries."""
    generation = settings_from(GenerationSettings, {**values, "temperature": temperature})
    run = finish(study.mine_queries(safe_model, prompts, settings_from(MineSettings, values), generation))
    added, result = study.add_queries(run), run.result
    columns = ["id", "category", "rise", "harmful", "prompt", "response"]
    yield {"run": run.id, "added": added, "summary": result.facts, "queries": result.table}
    print_table(columns, result.table[columns].values.tolist(), cut=("prompt", "response"))
    _note(result)
    print_note(f"run {run.id}: {added} queries added; {study.name} has {len(study.queries())} now")


def _note(result: Mined) -> None:
    print_note(
        f"mean harmful score {result.harmful:.3f}, of the safe model {result.harmful_safe:.3f}, over {result.prompts:,} prompts"
    )
    if result.unknown:
        print_note(f"{result.unknown:,} prompts are of categories that the harmful scorer does not know")
    if not result.differs:
        print_note(
            "the two models do not differ measurably on these prompts, so that what was mined may be chance: look at the answers"
        )
