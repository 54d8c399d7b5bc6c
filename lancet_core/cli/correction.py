"""`lancet correct`: trains a corrected model."""

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer

from lancet_core.cli import costs
from lancet_core.cli.costs import YesOption
from lancet_core.cli.following import finish
from lancet_core.cli.options import PresetOption, preset_from, with_settings, with_workspace
from lancet_core.cli.output import print_line, print_note
from lancet_core.correction.settings import (
    CORRECTION_PRESETS,
    PAIR_PRESETS,
    CorrectionSettings,
    PairSettings,
)
from lancet_core.data.inputs import load_queries
from lancet_core.errors import DataError
from lancet_core.runs.run import open_run
from lancet_core.study import corrections, proofs
from lancet_core.study.estimates import estimate_correction
from lancet_core.study.queue import Scope
from lancet_core.study.study import Study

PAIR_PREFIX = "pair-"


@with_settings(PairSettings, prefix=PAIR_PREFIX, of_preset=True)
@with_settings(CorrectionSettings, of_preset=True)
@with_workspace
def correct(
    study: Study,
    pairs: Annotated[
        str, typer.Option(help="File of pairs, as lancet pairs export writes it. Unset: the approved pairs.")
    ] = "",
    attribution: Annotated[
        str, typer.Option(metavar="RUN", help="Take the pairs that this attribution proposes, unreviewed.")
    ] = "",
    case: Annotated[
        str, typer.Option(metavar="QUERY", help="Take the approved pairs of this case alone.")
    ] = "",
    queries: Annotated[
        str, typer.Option(help="File of queries whose probability is followed; unset: the study's.")
    ] = "",
    out: Annotated[
        Path | None, typer.Option(help="New folder for the corrected model (save_pretrained).")
    ] = None,
    preset: PresetOption = "usual",
    yes: YesOption = False,
    *,
    values: dict[str, Any],
) -> Iterator[Any]:
    """Trains the model away from the positive and towards the negative sample of each pair, and leaves the rest as it is."""
    settings = preset_from(CORRECTION_PRESETS, preset, values)
    pair_settings = preset_from(PAIR_PRESETS, preset, values, PAIR_PREFIX)
    if out is not None and out.expanduser().exists():
        raise DataError(f"{out} is there already; give a new folder with --out")
    source = _source(study, pairs=pairs, attribution=attribution, case=case, settings=pair_settings)
    followed = load_queries(queries) if queries else ()
    task = corrections.correction_task(study, source, settings, queries=followed, case_id=case)
    what = f"{len(source.pairs):,} pairs, {len(source.retain):,} samples to retain; {settings.steps} steps"
    run = finish(
        costs.start(study.workspace, task, what, lambda: estimate_correction(study, settings), yes=yes)
    )
    model = run.result.model if out is None else proofs.export_model(run, out)
    yield {"run": run.id, "model": model, "summary": run.result.facts}
    print_line(f"corrected model: {model}")
    for note in run.result.notes:
        print_note(note)
    print_note(f"run {run.id}; prove it: lancet compare {study.name} --after {model}")


def _source(
    study: Study, *, pairs: str, attribution: str, case: str, settings: PairSettings
) -> corrections.Source:
    """Takes pairs from where the person said."""
    if sum(map(bool, (pairs, attribution, case))) > 1:
        raise DataError("more than one of --pairs, --attribution and --case was given; give one of them")
    if pairs:
        return corrections.file_source(study, pairs, settings)
    if attribution:
        return corrections.attribution_source(
            study, open_run(study.workspace, attribution, "attribute"), settings
        )
    return corrections.reviewed_source(study, Scope(case))
