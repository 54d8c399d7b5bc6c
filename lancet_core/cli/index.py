"""`lancet index`: builds and shows the gradient indexes of a study."""

from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

import typer

from lancet_core.cli.costs import YesOption, announce
from lancet_core.cli.following import finish
from lancet_core.cli.options import (
    GroupedCommand,
    MethodOption,
    influence_from,
    settings_from,
    with_settings,
    with_workspace,
)
from lancet_core.cli.output import print_line, print_note, print_table
from lancet_core.config import changed
from lancet_core.influence.methods import ALL
from lancet_core.influence.presets import USUAL
from lancet_core.influence.settings import GradientSettings, IndexSettings
from lancet_core.study import indexes
from lancet_core.study.estimates import estimate_attribution
from lancet_core.study.study import Study

commands = typer.Typer(help="Build and show gradient indexes: any query is answered over all samples.")


@commands.command("build", cls=GroupedCommand)
@with_settings(GradientSettings, IndexSettings)
@with_workspace
def build(
    study: Study, method: MethodOption = USUAL, yes: YesOption = False, *, values: dict[str, Any]
) -> Iterator[Any]:
    """Keeps a sketch of each training sample's gradient in one resumable pass, so that --recall index finds any sample's influence."""
    settings = influence_from(method, values)
    estimate = estimate_attribution(study, changed(settings, recall=ALL))
    announce(f"indexing {estimate.portion}", estimate, yes=yes)
    run = finish(study.build_index(settings, settings_from(IndexSettings, values)))
    result, index = run.result, indexes.require_index(study, settings)
    yield {"run": run.id, "folder": index.folder, "size": index.size, "summary": result.facts}
    print_line(
        f"{result.samples:,} samples, {result.dimensions:,} dimensions and {result.bytes_per_sample:,.0f} bytes each, "
        f"{megabytes(index.size)} in all, {result.seconds:.1f} s"
    )
    if result.too_long:
        print_note(f"{result.too_long:,} samples are refused by the chat template and are not in the index")
    for note in result.notes:
        print_note(note)
    print_note(f"run {run.id}; search it with: lancet attribute {study.name} --recall index")


@commands.command("show")
@with_workspace
def show(study: Study) -> Iterator[Any]:
    """Shows the gradient indexes of a study: method, samples, size, and whether they can still be searched."""
    built, unfinished = indexes.list_indexes(study), indexes.count_unfinished(study)
    listed = [
        {**asdict(index.manifest), "folder": index.folder, "size": index.size, "built_at": index.built_at}
        | {"usable": not index.outdated, "outdated": index.outdated}
        for index in built
    ]
    yield {"study": study.name, "indexes": listed, "unfinished": unfinished}
    if built:
        _print_indexes(built)
    for index in built:
        if index.outdated:
            print_note(f"{index.method}: {index.outdated}; build it again")
    if unfinished:
        print_note(f"{unfinished} not finished; the same lancet index build {study.name} goes on with it")
    if not built:
        print_line(f"study {study.name!r} has no gradient index; build it: lancet index build {study.name}")


def megabytes(size: int) -> str:
    """Writes a number of bytes in MB."""
    return f"{size / 1e6:,.1f} MB"


def _print_indexes(built: list[indexes.StudyIndex]) -> None:
    rows = [
        (
            index.method,
            f"{index.manifest.samples:,}",
            f"{index.manifest.dimensions:,}",
            f"{index.manifest.bytes_per_sample:,.0f}",
            megabytes(index.size),
            index.built_at,
            "no" if index.outdated else "yes",
        )
        for index in built
    ]
    print_table(("method", "samples", "dimensions", "bytes each", "on disk", "built", "usable"), rows)
