"""`lancet runs`: lists, shows, cancels and resumes runs."""

from typing import Annotated

import typer

from lancet_core.cli.following import RunBar
from lancet_core.cli.options import JsonOption, WorkspaceOption
from lancet_core.cli.output import print_json, print_line, print_note, print_table
from lancet_core.store.runs import RunRecord
from lancet_core.workbench import runs
from lancet_core.workbench.waiting import finish
from lancet_core.workspace import open_workspace

commands = typer.Typer(help="List, show, cancel and resume runs.")
RunArgument = Annotated[
    str, typer.Argument(metavar="ID", help="Id of the run, as lancet runs list shows it.")
]


@commands.command("list")
def list_all(
    study: Annotated[str | None, typer.Option("--study", help="Only runs of this study.")] = None,
    operation: Annotated[
        str | None, typer.Option("--operation", help="Only runs of this operation, as attribute or correct.")
    ] = None,
    workspace: WorkspaceOption = None,
    as_json: JsonOption = False,
) -> None:
    """Lists runs, newest first."""
    found = runs.list_runs(open_workspace(workspace), study, operation)
    if as_json:
        print_json([describe(run) for run in found])
        return
    if not found:
        print_line("no run yet")
        return
    rows = [(run.id, run.study, run.operation, run.state, run.created_at) for run in found]
    print_table(("run", "study", "operation", "state", "created"), rows)


@commands.command("show")
def show(run_id: RunArgument, workspace: WorkspaceOption = None, as_json: JsonOption = False) -> None:
    """Shows where a run stands, its settings and what it found."""
    details = runs.show(open_workspace(workspace), run_id)
    if as_json:
        document = {
            **describe(details.record),
            "status": details.status,
            "config": details.config,
            "versions": details.versions,
            "metrics": details.metrics,
            "children": [child.id for child in details.children],
        }
        print_json(document)
        return
    status = details.status
    count = f"{status.done:,} of {status.total:,}" if status.total else ""
    for name, value in (
        ("run", run_id),
        ("study", details.record.study or "–"),
        ("state", status.state),
        ("step", f"{status.step} {count}".strip() or "–"),
        ("error", status.error or "–"),
        ("folder", details.folder),
        ("parents", ", ".join(details.record.parents) or "–"),
        ("children", ", ".join(child.id for child in details.children) or "–"),
    ):
        print_line(f"{name:<10} {value}")
    print_json({"settings": details.config, "summary": details.record.summary})


@commands.command("logs")
def logs(
    run_id: RunArgument,
    lines: Annotated[int, typer.Option("--lines", min=1, help="How many of the last lines.")] = 200,
    workspace: WorkspaceOption = None,
) -> None:
    """Prints the last lines of a run's log."""
    print_line(runs.logs(open_workspace(workspace), run_id, lines))


@commands.command("cancel")
def cancel(run_id: RunArgument, workspace: WorkspaceOption = None, as_json: JsonOption = False) -> None:
    """Stops a run within five seconds; what it finished is kept."""
    status = runs.cancel(open_workspace(workspace), run_id)
    if as_json:
        print_json({"run": run_id, "state": status.state})
        return
    print_line(f"{run_id}: {status.state}")


@commands.command("resume")
def resume(
    run_id: RunArgument,
    wait: Annotated[bool, typer.Option("--wait/--no-wait", help="Wait until it is done.")] = True,
    workspace: WorkspaceOption = None,
    as_json: JsonOption = False,
) -> None:
    """Goes on with a run that failed, died or was cancelled, from what it finished."""
    opened = open_workspace(workspace)
    runs.resume(opened, run_id)
    if wait:
        with RunBar() as bar:
            finish(opened, run_id, bar)
    record = runs.show(opened, run_id).record
    if as_json:
        print_json(describe(record))
        return
    print_line(f"{run_id}: {record.state}")
    if not wait:
        print_note(f"watch it: lancet runs show {run_id}")


def describe(run: RunRecord) -> dict[str, object]:
    """Lists what the index knows of a run."""
    return {
        "id": run.id,
        "study": run.study,
        "operation": run.operation,
        "state": run.state,
        "folder": run.folder,
        "created_at": run.created_at,
        "finished_at": run.finished_at,
        "parents": list(run.parents),
        "summary": run.summary,
    }
