"""`lancet index`: builds and shows the gradient indexes of a study."""

from dataclasses import asdict
from typing import Any

import typer

from lancet_core.cli.following import RunBar
from lancet_core.cli.options import JsonOption, StudyArgument, WorkspaceOption, settings_from, with_settings
from lancet_core.cli.output import print_json, print_line, print_note, print_table
from lancet_core.influence.settings import IndexSettings, InfluenceSettings
from lancet_core.runs.run_folder import RunFolder
from lancet_core.workbench import indexes, studies
from lancet_core.workbench.waiting import finish
from lancet_core.workspace import open_workspace

commands = typer.Typer(help="Build and show gradient indexes: any query is answered over all samples.")
# What a query is answered with once its candidates are known, and so no matter of the index.
OF_QUERIES = ("recall", "candidates", "recall_text", "refine_steps", "normalise")


@commands.command("build")
@with_settings(InfluenceSettings, IndexSettings, without=OF_QUERIES)
def build(
    study: StudyArgument,
    workspace: WorkspaceOption = None,
    as_json: JsonOption = False,
    *,
    values: dict[str, Any],
) -> None:
    """Keeps a few numbers of each training sample in one resumable pass, so that --recall index finds any sample's influence."""
    opened = open_workspace(workspace)
    found = studies.show_study(opened, study)
    settings = settings_from(InfluenceSettings, values)
    run_id = indexes.start_index(
        opened, found, influence=settings, index=settings_from(IndexSettings, values)
    )
    with RunBar() as bar:
        run = finish(opened, run_id, bar)
    told = RunFolder(run.folder).result()
    built = indexes.require_index(found, settings)
    if as_json:
        print_json({"run": run_id, "folder": built.folder, "size": built.size, "summary": told})
        return
    print_line(
        f"{told['samples']:,} samples, {told['numbers']:,} numbers and {told['bytes_per_sample']:,.0f} bytes each, "
        f"{megabytes(built.size)} in all, {told['seconds']:.1f} s"
    )
    if told["too_long"]:
        print_note(f"{told['too_long']:,} samples exceed the model's context and are not in the index")
    for note in told["notes"]:
        print_note(note)
    print_note(f"run {run_id}; search it with: lancet attribute {study} --recall index")


@commands.command("show")
def show(study: StudyArgument, workspace: WorkspaceOption = None, as_json: JsonOption = False) -> None:
    """Shows the gradient indexes of a study: method, samples, size, and whether they can still be searched."""
    found = studies.show_study(open_workspace(workspace), study)
    every, begun = indexes.list_indexes(found), indexes.unfinished(found)
    if as_json:
        listed = [
            {**asdict(index.manifest), "folder": index.folder, "size": index.size, "built_at": index.built_at}
            | {"usable": not index.outdated, "outdated": index.outdated}
            for index in every
        ]
        print_json({"study": study, "indexes": listed, "unfinished": begun})
        return
    if every:
        _print_indexes(every)
    for index in every:
        if index.outdated:
            print_note(f"{index.manifest.influence['method']}: {index.outdated}; build it again")
    if begun:
        print_note(f"{begun} not finished; the same lancet index build {study} goes on with it")
    if not every:
        print_line(f"study {study!r} has no gradient index; build it: lancet index build {study}")


def megabytes(size: int) -> str:
    """Writes a number of bytes in MB."""
    return f"{size / 1e6:,.1f} MB"


def _print_indexes(every: list[indexes.StudyIndex]) -> None:
    rows = [
        (
            index.manifest.influence["method"],
            f"{index.manifest.samples:,}",
            f"{index.manifest.numbers:,}",
            f"{index.manifest.bytes_per_sample:,.0f}",
            megabytes(index.size),
            index.built_at,
            "no" if index.outdated else "yes",
        )
        for index in every
    ]
    print_table(("method", "samples", "numbers", "bytes each", "on disk", "built", "usable"), rows)
