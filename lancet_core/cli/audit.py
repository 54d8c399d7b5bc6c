"""`lancet audit`: what a ranking is worth."""

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer

from lancet_core.acts.attribute import Attribution
from lancet_core.cli.options import settings_from, with_settings, with_workspace
from lancet_core.cli.output import print_line, print_note, print_table
from lancet_core.errors import DataError, NumericalError
from lancet_core.evaluation.settings import MetricSettings
from lancet_core.files import write_table
from lancet_core.runs.run import Run, open_run
from lancet_core.study.study import Study


@with_settings(MetricSettings)
@with_workspace
def audit(
    study: Study,
    run_id: Annotated[
        str, typer.Argument(metavar="[RUN]", help="An attribution; unset: the newest one that is done.")
    ] = "",
    query: Annotated[str, typer.Option(help="Id of one query, or name of one batch; unset: all.")] = "",
    out: Annotated[
        Path | None, typer.Option(help="Parquet file for the curve: share found, precision, low, high.")
    ] = None,
    *,
    values: dict[str, Any],
) -> Iterator[Any]:
    """Tells how well an attribution ranks unsafe samples, beside chance and beside the harmful scorer alone."""
    run = open_run(study.workspace, run_id, "attribute") if run_id else _newest(study)
    retrieval = run.result.retrieval(query or None)
    about = {"run": run.id, "method": run.result.method, "recall": run.result.recall, "date_lm": retrieval}
    try:
        report = run.result.audit(query or None, settings_from(MetricSettings, values))
    except NumericalError:
        if not retrieval.queries:
            raise
        yield about  # no labels, but categories that say which samples belong to a query
        print_line(retrieval.words)
        return
    if out is not None:
        write_table(out.expanduser(), report.curve)
    yield about | {
        "average_precision": report.mean,
        "chance": report.chance,
        "scorer": report.scorer,
        "beats_chance": report.beats_chance,
        "resampled": report.resampled,
        "unlabelled": report.unlabelled,
        "undefined": report.undefined,
        "per_query": report.per_query,
        "curve": report.curve,
    }
    print_table(tuple(report.per_query.columns), report.per_query.values.tolist())
    print_line(report.worth)
    print_line(retrieval.words)
    if report.unlabelled:
        print_note(f"{report.unlabelled:,} candidates without a label are left out")
    print_note(f"run {run.id}, {run.result.method} over {run.result.candidates:,} candidates")


def _newest(study: Study) -> Run[Attribution]:
    """The newest attribution that is done.

    Raises:
        DataError: There is none.
    """
    done = next((run for run in study.runs("attribute") if run.record.is_done), None)
    if done is None:
        raise DataError(
            f"study {study.name!r} has no attribution that is done; make one with lancet attribute {study.name}"
        )
    return done
