"""`lancet attribute` and `lancet cluster`."""

from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import pandas as pd
import typer

from lancet_core.cli.following import RunBar
from lancet_core.cli.options import JsonOption, StudyArgument, WorkspaceOption, settings_from, with_settings
from lancet_core.cli.output import print_json, print_line, print_note, print_table
from lancet_core.data.inputs import load_queries
from lancet_core.data.samples import Query
from lancet_core.errors import DataError
from lancet_core.files import write_table
from lancet_core.influence.settings import ClusterSettings, InfluenceSettings
from lancet_core.runs.run_folder import RunFolder
from lancet_core.workbench import attributions, studies
from lancet_core.workbench.waiting import finish
from lancet_core.workspace import open_workspace

SHOWN = 5


@with_settings(InfluenceSettings)
def attribute(
    study: StudyArgument,
    prompt: Annotated[str, typer.Option("--prompt", help="Prompt of the query.")] = "",
    response: Annotated[str, typer.Option("--response", help="Answer whose cause is sought.")] = "",
    span: Annotated[
        str, typer.Option("--span", help="Ask about this part of the answer alone, as it stands there.")
    ] = "",
    queries: Annotated[
        str,
        typer.Option(
            "--queries", help="File of queries: prompt, response, optional polarity, group and span."
        ),
    ] = "",
    batch: Annotated[
        bool,
        typer.Option(
            "--batch/--no-batch", help="Attribute the queries of each group (without groups: all) as one."
        ),
    ] = False,
    top: Annotated[
        int,
        typer.Option("--top", min=0, help="Keep this many samples of each sign for each query; 0 keeps all."),
    ] = 0,
    out: Annotated[Path | None, typer.Option("--out", help="Parquet file for the scored samples.")] = None,
    workspace: WorkspaceOption = None,
    as_json: JsonOption = False,
    *,
    values: dict[str, Any],
) -> None:
    """Scores training samples by how much they push the model towards an answer (above 0) or away from it (below 0)."""
    opened = open_workspace(workspace)
    found = studies.show_study(opened, study)
    chosen = _read_queries(Query(prompt, response, span=span), queries=queries, batch=batch)
    _check_target(out)
    settings = settings_from(InfluenceSettings, values)
    run_id = attributions.start_attribution(
        opened, found, queries=chosen, settings=settings, batch=batch, top=top
    )
    with RunBar() as bar:
        finish(opened, run_id, bar)
    frame = attributions.read_attribution(opened, run_id)
    if out is not None:
        _write(frame, out)
    told = attributions.read_summary(opened, run_id)
    if as_json:
        print_json({"run": run_id, "rows": len(frame), "out": out, "summary": told})
        return
    for query_id, rows in frame.groupby("query_id", sort=False):
        _print_query(str(query_id), rows)
    print_note(
        f"run {run_id}: {len(frame):,} scored samples"
        + (f" in {out}" if out else "; keep them with --out FILE")
    )
    for note in told.get("notes", ()):
        print_note(note)


@with_settings(ClusterSettings)
def cluster(
    study: StudyArgument,
    queries: Annotated[
        str, typer.Option("--queries", help="File of queries; unset: all queries of the study.")
    ] = "",
    out: Annotated[Path | None, typer.Option("--out", help="Parquet file for the clusters.")] = None,
    workspace: WorkspaceOption = None,
    as_json: JsonOption = False,
    *,
    values: dict[str, Any],
) -> None:
    """Groups queries that resemble each other, so that each group can be attributed as one."""
    opened = open_workspace(workspace)
    found = studies.show_study(opened, study)
    chosen = load_queries(queries) if queries else ()
    _check_target(out)
    settings = settings_from(ClusterSettings, values)
    run_id = attributions.start_clusters(opened, found, settings=settings, queries=chosen)
    with RunBar() as bar:
        run = finish(opened, run_id, bar)
    frame = attributions.read_clusters(opened, run_id)
    if out is not None:
        _write(frame, out)
    summary = RunFolder(run.folder).result()
    if as_json:
        print_json({"run": run_id, "summary": summary, "clusters": frame})
        return
    sizes = Counter(frame["cluster"])
    terms = summary.get("terms", {})
    rows = [(name, sizes[name], ", ".join(terms.get(str(name), ()))) for name in sorted(sizes)]
    print_table(("cluster", "queries", "terms"), rows, cut=("terms",))
    print_note(f"run {run_id}")


def _read_queries(typed: Query, *, queries: str, batch: bool) -> list[Query]:
    """Takes the queries of a file, or the one that was typed.

    Raises:
        DataError: Neither or both were given.
    """
    if queries and (typed.prompt or typed.response):
        raise DataError(
            "both --queries and --prompt were given; give a file of queries, or one prompt and response"
        )
    if queries:
        chosen = load_queries(queries)
    elif typed.prompt.strip() and typed.response.strip():
        chosen = [typed]
    else:
        raise DataError("there is no query; give --prompt and --response, or --queries FILE")
    if batch and not any(query.group for query in chosen):
        chosen = [replace(query, group="batch") for query in chosen]
    return chosen


def _check_target(out: Path | None) -> None:
    """Finds out before the work starts whether its result can be written.

    Raises:
        DataError: The folder is missing.
    """
    if out is not None and not out.expanduser().resolve().parent.is_dir():
        raise DataError(f"the folder of {out} does not exist; make it, or give another --out")


def _write(frame: pd.DataFrame, out: Path) -> None:
    write_table(out.expanduser(), frame)


def _print_query(query_id: str, rows: pd.DataFrame) -> None:
    """Prints the strongest samples of each sign."""
    print_line(f"query {query_id}: {len(rows):,} candidates")
    strongest = rows[rows["influence"] > 0].head(SHOWN)
    weakest = rows[rows["influence"] < 0].tail(SHOWN)
    columns = ("influence", "harmful", "safe", "prompt", "response")
    for title, part in (("▲ pushes towards", strongest), ("▼ pushes away", weakest.iloc[::-1])):
        print_line(title)
        values = part[["influence", "harmful", "is_safe", "prompt", "response"]].values.tolist()
        print_table(columns, values, cut=("prompt", "response"))
