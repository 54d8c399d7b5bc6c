"""`lancet attribution`: scores that other tools made."""

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from lancet_core.cli.options import with_workspace
from lancet_core.cli.output import print_line, print_note
from lancet_core.data.inputs import load_queries
from lancet_core.errors import DataError
from lancet_core.files import parse_json, read_text
from lancet_core.study.study import Study

commands = typer.Typer(help="Attributions that other tools made.")


@commands.command("import")
@with_workspace
def import_scores(
    study: Study,
    source: Annotated[
        Path,
        typer.Argument(
            metavar="FILE",
            help="Matrix (.npy, .safetensors), table (.parquet, .csv, .jsonl), scores of kronfluence or bergson, or a TRAK folder.",
        ),
    ],
    queries: Annotated[
        str, typer.Option(help="File of the queries, in the order of the scores; unset: those of the study.")
    ] = "",
    query_ids: Annotated[
        str,
        typer.Option(
            metavar="FILE",
            help="File of ids of the queries in the order of the scores, one a line or a JSON list.",
        ),
    ] = "",
    sample_ids: Annotated[
        str,
        typer.Option(
            metavar="FILE",
            help="Ids of the samples likewise; unset: those of the file, else the study's samples or the rows of its training file.",
        ),
    ] = "",
    rows: Annotated[
        Literal["queries", "samples"] | None,
        typer.Option(help="What a row is; unset: seen by ids and shape."),
    ] = None,
    negate: Annotated[
        bool | None,
        typer.Option(
            "--negate/--no-negate",
            help="Whether positive scores push away from the answer; unset: as the tool does it (positive pushes towards it).",
            show_default=False,
        ),
    ] = None,
    batch: Annotated[
        bool, typer.Option(help="The scores are of the queries of each group (without groups: all) as one.")
    ] = False,
    tool: Annotated[
        str, typer.Option(help="Who made them; unset: as the scores tell, else their name.")
    ] = "",
    experiment: Annotated[str, typer.Option(help="Which scores of a TRAK save_dir with several.")] = "",
) -> Iterator[Any]:
    """Enters scores of another tool as a finished attribution: audited, reviewed and corrected from like our own."""
    run = study.import_attribution(
        source.expanduser(),
        queries=load_queries(queries) if queries else (),
        query_ids=_read_ids(query_ids),
        sample_ids=_read_ids(sample_ids),
        rows=rows or "",
        negate=negate,
        batch=batch,
        tool=tool,
        experiment=experiment,
    )
    result = run.result
    yield {"run": run.id, "summary": result.facts}
    print_line(
        f"run {run.id}: {len(result.queries):,} queries, {result.candidates:,} samples, {result.method}"
    )
    for note in result.notes:
        print_note(note)
    print_note(f"go on with: lancet pairs propose {study.name} --attribution {run.id}")


def _read_ids(path: str) -> tuple[str, ...]:
    """Reads ids from a file, one a line or a JSON list.

    Raises:
        DataError: It cannot be read or holds none.
    """
    if not path:
        return ()
    text = read_text(path)
    listed = parse_json(text, path) if text.lstrip().startswith("[") else text.split("\n")
    ids = tuple(str(each).strip() for each in listed if str(each).strip())
    if not ids:
        raise DataError(f"{path} holds no id; accepted are one in each line, or a JSON list")
    return ids
