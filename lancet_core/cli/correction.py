"""`lancet correct`: trains a corrected model."""

from pathlib import Path
from typing import Annotated, Any

import typer

from lancet_core.cli.following import RunBar
from lancet_core.cli.options import JsonOption, StudyArgument, WorkspaceOption, settings_from, with_settings
from lancet_core.cli.output import print_json, print_line, print_note
from lancet_core.correction.settings import CorrectionSettings, PairSettings
from lancet_core.data.inputs import load_queries
from lancet_core.errors import DataError
from lancet_core.runs.run_folder import RunFolder
from lancet_core.store.studies import Study
from lancet_core.workbench import corrections, proofs, studies
from lancet_core.workbench.waiting import finish
from lancet_core.workspace import Workspace, open_workspace

PAIR_PREFIX = "pair-"


@with_settings(PairSettings, prefix=PAIR_PREFIX)
@with_settings(CorrectionSettings)
def correct(
    study: StudyArgument,
    pairs: Annotated[
        str,
        typer.Option(
            "--pairs", help="File of pairs, as lancet pairs export writes it. Unset: the approved pairs."
        ),
    ] = "",
    attribution: Annotated[
        str,
        typer.Option(
            "--attribution", metavar="RUN", help="Take the pairs that this attribution proposes, unreviewed."
        ),
    ] = "",
    queries: Annotated[
        str,
        typer.Option("--queries", help="File of queries whose probability is followed; unset: the study's."),
    ] = "",
    out: Annotated[
        Path | None, typer.Option("--out", help="New folder for the corrected model (save_pretrained).")
    ] = None,
    workspace: WorkspaceOption = None,
    as_json: JsonOption = False,
    *,
    values: dict[str, Any],
) -> None:
    """Trains the model away from the positive and towards the negative sample of each pair, and leaves the rest as it is."""
    opened = open_workspace(workspace)
    found = studies.show_study(opened, study)
    settings = settings_from(CorrectionSettings, values)
    pair_settings = settings_from(PairSettings, values, PAIR_PREFIX)
    if out is not None and out.expanduser().exists():
        raise DataError(f"{out} is there already; give a new folder with --out")
    source = _source(opened, found, pairs=pairs, attribution=attribution, settings=pair_settings)
    followed = load_queries(queries) if queries else ()
    print_note(f"{len(source.pairs):,} pairs, {len(source.retain):,} samples to retain")
    run_id = corrections.start_correction(opened, found, settings, source=source, queries=followed)
    with RunBar() as bar:
        run = finish(opened, run_id, bar)
    model = proofs.corrected_model(opened, run_id)
    if out is not None:
        model = proofs.export_model(opened, run_id, out)
    summary = RunFolder(run.folder).result()
    if as_json:
        print_json({"run": run_id, "model": model, "summary": summary})
        return
    print_line(f"corrected model: {model}")
    print_note(f"run {run_id}; prove it: lancet compare {study} --after {model}")


def _source(
    workspace: Workspace, study: Study, *, pairs: str, attribution: str, settings: PairSettings
) -> corrections.CorrectionSource:
    """Takes pairs from where the person said.

    Raises:
        DataError: Two places were given, or there is no pair.
    """
    if pairs and attribution:
        raise DataError("both --pairs and --attribution were given; give one of them")
    if pairs:
        return corrections.file_source(workspace, study, path=pairs, settings=settings)
    if attribution:
        return corrections.attribution_source(workspace, study, run_id=attribution, settings=settings)
    return corrections.reviewed_source(workspace, study)
