"""`lancet attribute` and `lancet cluster`."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import pandas as pd
import typer

from lancet_core.cli.costs import YesOption, announce
from lancet_core.cli.following import finish
from lancet_core.cli.options import (
    MethodOption,
    PresetOption,
    influence_from,
    preset_from,
    with_settings,
    with_workspace,
)
from lancet_core.cli.output import print_line, print_note, print_table
from lancet_core.data.inputs import load_queries
from lancet_core.data.samples import Query
from lancet_core.errors import DataError
from lancet_core.files import write_table
from lancet_core.influence.presets import CLUSTER_PRESETS, USUAL
from lancet_core.influence.settings import ClusterSettings, InfluenceSettings
from lancet_core.study.attributions import find_attribution, read_clusters
from lancet_core.study.estimates import estimate_attribution
from lancet_core.study.study import Study

SHOWN = 5


@with_settings(InfluenceSettings, everyday=("recall", "candidates"))
@with_workspace
def attribute(
    study: Study,
    prompt: Annotated[str, typer.Option(help="Prompt of the query.")] = "",
    response: Annotated[str, typer.Option(help="Answer whose cause is sought.")] = "",
    span: Annotated[
        str, typer.Option(help="Ask about this part of the answer alone, as it stands there.")
    ] = "",
    queries: Annotated[
        str, typer.Option(help="File of queries: prompt, response, optional polarity, group and span.")
    ] = "",
    method: MethodOption = USUAL,
    batch: Annotated[
        bool, typer.Option(help="Attribute the queries of each group (without groups: all) as one.")
    ] = False,
    top: Annotated[
        int, typer.Option(min=0, help="Keep this many samples of each sign for each query; 0 keeps all.")
    ] = 0,
    out: Annotated[Path | None, typer.Option(help="Parquet file for the scored samples.")] = None,
    yes: YesOption = False,
    *,
    values: dict[str, Any],
) -> Iterator[Any]:
    """Scores training samples by how much they push the model towards an answer (above 0) or away from it (below 0)."""
    chosen = _read_queries(Query(prompt, response, span=span), queries=queries, batch=batch)
    _check_target(out)
    settings = influence_from(method, values)
    known = find_attribution(study, chosen, settings, batch=batch)
    if known is None or not known.record.is_done:
        estimate = estimate_attribution(study, settings, queries=len(chosen))
        announce(f"scoring {estimate.portion}", estimate, yes=yes)
    run = finish(study.attribute(chosen, settings, batch=batch, top=top))
    result = run.result
    table = result.table
    if out is not None:
        write_table(out.expanduser(), table)
    yield {"run": run.id, "rows": len(table), "out": out, "summary": result.facts, "worth": result.worth}
    for query_id, rows in table.groupby("query_id", sort=False):
        _print_query(str(query_id), rows)
    print_note(
        f"run {run.id}: {len(table):,} scored samples"
        + (f" in {out}" if out else "; keep them with --out FILE")
    )
    for note in filter(None, (result.worth, *result.notes)):
        print_note(note)


@with_settings(ClusterSettings, of_preset=True)
@with_workspace
def cluster(
    study: Study,
    queries: Annotated[str, typer.Option(help="File of queries; unset: all queries of the study.")] = "",
    out: Annotated[Path | None, typer.Option(help="Parquet file for the clusters.")] = None,
    preset: PresetOption = "usual",
    *,
    values: dict[str, Any],
) -> Iterator[Any]:
    """Groups queries that resemble each other, so that each group can be attributed as one."""
    chosen = load_queries(queries) if queries else ()
    _check_target(out)
    run = finish(study.cluster(preset_from(CLUSTER_PRESETS, preset, values), queries=chosen))
    clusters, result = read_clusters(study, run), run.result
    if out is not None:
        write_table(out.expanduser(), clusters)
    yield {"run": run.id, "summary": result.facts, "clusters": clusters}
    sizes = Counter(clusters["cluster"])
    names = sorted(sizes, key=lambda name: (len(name), name))
    rows = [(name, sizes[name], ", ".join(result.terms.get(name, ()))) for name in names]
    print_table(("cluster", "queries", "terms"), rows, cut=("terms",))
    print_note(f"run {run.id}")


def _read_queries(typed: Query, *, queries: str, batch: bool) -> list[Query]:
    """Reads the queries of a file, or takes the one that was typed."""
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
    """Refuses a file whose folder is missing, before the work starts."""
    if out is not None and not out.expanduser().resolve().parent.is_dir():
        raise DataError(f"the folder of {out} does not exist; make it, or give another --out")


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
