"""`lancet runs`: lists, shows, cancels and resumes runs."""

from collections.abc import Iterator
from typing import Annotated, Any

import typer

from lancet_core.acts.table import ACTS
from lancet_core.cli.following import finish
from lancet_core.cli.options import with_workspace
from lancet_core.cli.output import (
    print_facts,
    print_json,
    print_line,
    print_note,
    print_table,
    print_text,
)
from lancet_core.errors import JobError
from lancet_core.runs.client import host_facts, stop_host
from lancet_core.runs.run import Run, list_runs, open_run
from lancet_core.store.runs import RunFilter
from lancet_core.workspace import Workspace

commands = typer.Typer(help="List, show, cancel and resume runs.")
RunArgument = Annotated[
    str, typer.Argument(metavar="ID", help="Id of the run, as lancet runs list shows it.")
]


@commands.command("list")
@with_workspace
def list_all(
    workspace: Workspace,
    of: Annotated[str | None, typer.Option("--study", help="Only runs of this study.")] = None,
    act: Annotated[
        str | None, typer.Option("--act", "--operation", help=f"Only runs of this act: {', '.join(ACTS)}.")
    ] = None,
) -> Iterator[Any]:
    """Lists runs, newest first: what was asked, and how it ended."""
    runs = list_runs(workspace, RunFilter(study=of, act=act))
    yield [describe(run) for run in runs]
    if not runs:
        print_line("no run yet")
        return
    records = [run.record for run in runs]
    rows = [(each.id, each.study, each.state, each.created_at, each.outcome, each.title) for each in records]
    print_table(("run", "study", "state", "created", "outcome", "asked"), rows, cut=("asked",))


@commands.command("show")
@with_workspace
def show(workspace: Workspace, run_id: RunArgument) -> Iterator[Any]:
    """Shows where a run stands, its settings and what it found."""
    run = open_run(workspace, run_id)
    status, order = run.status, run.order
    children = [child.id for child in run.children]
    result = _result(run)
    yield {
        **describe(run),
        "status": status,
        "subject": order.subject,
        "request": order.request,
        "versions": run.folder.versions,
        "metrics": run.metrics,
        "children": children,
        "result": result,
    }
    count = f"{status.done:,} of {status.total:,}" if status.total else ""
    print_facts(
        {
            "run": run_id,
            "study": run.record.study or "–",
            "asked": run.record.title or "–",
            "state": status.state,
            "outcome": run.record.outcome or "–",
            "step": f"{status.step} {count}".strip() or "–",
            "error": status.error or "–",
            "folder": run.record.folder,
            "parents": ", ".join(run.record.parents) or "–",
            "children": ", ".join(children) or "–",
        }
    )
    print_json({"subject": order.subject, "request": order.request, "result": result})


@commands.command("logs")
@with_workspace
def logs(
    workspace: Workspace,
    run_id: RunArgument,
    lines: Annotated[int, typer.Option(min=1, help="How many of the last lines.")] = 200,
) -> None:
    """Prints the last lines of a run's log."""
    print_text(open_run(workspace, run_id).log(lines))


@commands.command("cancel")
@with_workspace
def cancel(workspace: Workspace, run_id: RunArgument) -> Iterator[Any]:
    """Stops a run within five seconds; what it finished is kept."""
    status = open_run(workspace, run_id).cancel()
    yield {"run": run_id, "state": status.state}
    print_line(f"{run_id}: {status.state}")


@commands.command("resume")
@with_workspace
def resume(
    workspace: Workspace,
    run_id: RunArgument,
    wait: Annotated[bool, typer.Option(help="Wait until it is done.")] = True,
) -> Iterator[Any]:
    """Goes on with a run that failed, died or was cancelled, from what it finished."""
    run = open_run(workspace, run_id).resume()
    if wait:
        run = finish(run)
    yield describe(run)
    print_line(f"{run_id}: {run.record.state}")
    if not wait:
        print_note(f"watch it: lancet runs show {run_id}")


def describe(run: Run[Any]) -> dict[str, object]:
    """Lists what the index knows of a run."""
    record = run.record
    names = (
        "id",
        "study",
        "act",
        "title",
        "state",
        "outcome",
        "folder",
        "case_id",
        "created_at",
        "finished_at",
    )
    return {**{name: getattr(record, name) for name in names}, "parents": list(record.parents)}


def _result(run: Run[Any]) -> dict[str, Any] | None:
    """What a run found, as plain values; None before it is done, and where another version did it."""
    try:
        return run.result.facts if run.record.is_done else None
    except JobError as error:
        print_note(str(error))
        return None


@commands.command("host")
@with_workspace
def host(
    workspace: Workspace,
    stop: Annotated[
        bool, typer.Option("--stop", help="End it; a run in it fails and can be resumed.")
    ] = False,
) -> Iterator[Any]:
    """Shows the process that keeps models loaded for the next query, or ends it; by itself it ends after an idle hour."""
    facts = host_facts(workspace)
    if stop and facts is not None:
        stop_host(workspace)
    yield {"host": facts, "stopped": stop and facts is not None}
    if facts is None:
        print_line("no model is kept loaded")
        return
    print_facts(
        {
            "process": facts["pid"],
            "memory": f"{facts['memory'] / 1e6:,.0f} MB",
            "models": ", ".join(facts["models"]) or "none",
            "runs at work": facts["runs"],
        }
    )
    if stop:
        print_note("it is ended")
