"""`lancet train`: fine-tunes a model on samples."""

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer

from lancet_core.cli import costs
from lancet_core.cli.costs import YesOption
from lancet_core.cli.following import finish
from lancet_core.cli.options import PresetOption, preset_from, with_settings, with_workspace
from lancet_core.cli.output import print_line, print_note
from lancet_core.correction.settings import TRAIN_PRESETS, TrainSettings
from lancet_core.data.conversations import LAST
from lancet_core.study import proofs
from lancet_core.study.contamination import check_new
from lancet_core.study.estimates import estimate_training
from lancet_core.study.training import training_task
from lancet_core.workspace import Workspace


@with_settings(TrainSettings, of_preset=True)
@with_workspace
def train(
    workspace: Workspace,
    model: Annotated[str, typer.Option(help="Folder, GGUF file or hub id of the model to start from.")],
    train: Annotated[str, typer.Option(help="File, or folder of shards, of the samples to train on.")],
    out: Annotated[
        Path | None, typer.Option(help="New folder for the model or adapter (save_pretrained).")
    ] = None,
    format: Annotated[
        str, typer.Option(help="Format of the rows: auto, plain, messages, preference, hh, pku or date-lm.")
    ] = "auto",
    columns: Annotated[
        str,
        typer.Option("--map", help="Columns that are called otherwise: prompt=question,response=answer."),
    ] = "",
    turns: Annotated[str, typer.Option(help="Which of the assistant's turns count: last or all.")] = LAST,
    template: Annotated[
        str,
        typer.Option(
            help="How a prompt is written for the model, as study create takes it. Unset: raw for dialogues (hh), else auto."
        ),
    ] = "",
    preset: PresetOption = "usual",
    yes: YesOption = False,
    *,
    values: dict[str, Any],
) -> Iterator[Any]:
    """Fine-tunes a model, or a low-rank adapter of it, on the tokens of the samples that count: the same that attribution counts."""
    settings = preset_from(TRAIN_PRESETS, preset, values)
    if out is not None:
        check_new(out)
    task = training_task(
        workspace,
        settings,
        model=model,
        train=train,
        format=format,
        columns=columns,
        turns=turns,
        template=template,
    )
    what = f"training on {task.request.title}"
    run = finish(costs.start(workspace, task, what, lambda: estimate_training(workspace, task), yes=yes))
    result = run.result
    folder = result.model if out is None else proofs.export_model(run, out)
    yield {"run": run.id, "model": folder, "summary": result.facts}
    print_line(f"{'adapter' if result.is_adapter else 'model'}: {folder}")
    print_note(f"run {run.id}: {result.samples:,} samples, {result.outcome}")
    if result.unusable:
        print_note(f"{result.unusable:,} samples were left out: the template refuses them")
