"""`lancet contaminate`: the training sets of a study of contamination."""

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from lancet_core.acts.contaminate import IMPURE, PROMPTS, SAFE, SAMPLES, Contaminated
from lancet_core.cli import costs
from lancet_core.cli.costs import YesOption
from lancet_core.cli.following import finish
from lancet_core.cli.options import preset_from, with_settings, with_workspace
from lancet_core.cli.output import print_facts, print_line, print_note, print_table
from lancet_core.data.contamination import CONTAMINATION_PRESETS, ContaminationSettings
from lancet_core.runs.run import Run
from lancet_core.study.contamination import check_new, contamination_task, copy_files
from lancet_core.study.estimates import estimate_contamination
from lancet_core.workspace import Workspace


@with_settings(ContaminationSettings, of_preset=True)
@with_workspace
def contaminate(
    workspace: Workspace,
    out: Annotated[Path, typer.Option(help="New folder for the sets and prompts.")],
    data: Annotated[str, typer.Option(help="File, or folder of shards, of samples with labels.")] = "",
    safe: Annotated[
        str,
        typer.Option(help="File whose safe samples are taken; unlabelled ones: the chosen sides, or all."),
    ] = "",
    unsafe: Annotated[
        str,
        typer.Option(
            help="File whose unsafe samples are taken; unlabelled ones: the rejected sides, or all."
        ),
    ] = "",
    unseen: Annotated[
        str,
        typer.Option(
            help="File of prompts to evaluate on, which are taken out of the sets. Unset: some of the samples' own are held out."
        ),
    ] = "",
    format: Annotated[
        str, typer.Option(help="Format of the rows: auto, plain, messages, preference, hh, pku or date-lm.")
    ] = "auto",
    columns: Annotated[
        str,
        typer.Option(
            "--map",
            help="Columns that are called otherwise: prompt=question,response=answer,label=is_harmful:inverted.",
        ),
    ] = "",
    model: Annotated[
        str, typer.Option(help="Model whose hidden states are compared, with --encoder hidden.")
    ] = "",
    preset: Annotated[
        Literal[tuple(CONTAMINATION_PRESETS)],  # type: ignore[valid-type]
        typer.Option(
            "--preset", help="What the settings are unless given: usual, or a recipe of the paper's Table 1."
        ),
    ] = "usual",
    yes: YesOption = False,
    *,
    values: dict[str, Any],
) -> Iterator[Any]:
    """Mixes few and different unsafe samples into safe ones: sets to train an impure and a safe model on, and prompts unseen by both."""
    settings = preset_from(CONTAMINATION_PRESETS, preset, values)
    check_new(out)
    task = contamination_task(
        settings,
        preset=preset,
        data=data,
        safe=safe,
        unsafe=unsafe,
        unseen=unseen,
        format=format,
        columns=columns,
        model=model,
    )
    what = f"comparing the unsafe of {len(task.inputs[SAMPLES]):,} samples"
    run = finish(costs.start(workspace, task, what, lambda: estimate_contamination(workspace, task), yes=yes))
    folder = copy_files(run, out)
    table = run.result.beside_table_1
    yield {"run": run.id, "folder": folder, "summary": run.result.facts, "table_1": table}
    _print(run, folder)


def _print(run: Run[Contaminated], folder: Path) -> None:
    result = run.result
    facts = {
        name: value for name, value in result.facts.items() if name not in {"notes", "preset", "seconds"}
    }
    print_facts({name.replace("_", " "): value for name, value in facts.items()})
    if len(result.beside_table_1):
        print_table(tuple(result.beside_table_1.columns), result.beside_table_1.values.tolist())
    for note in result.notes:
        print_note(note)
    print_line(f"sets: {folder}")
    raw = "" if result.template == "auto" else f" --template {result.template}"
    print_note(
        f"train both models: lancet train --model BASE --train {folder / IMPURE}{raw} --out impure, and {SAFE} likewise"
    )
    print_note(
        f"then the study: lancet study create NAME --model impure --train {folder / IMPURE} --prompts {folder / PROMPTS}{raw}"
    )
