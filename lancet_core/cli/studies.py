"""`lancet study`: makes, lists, shows and deletes studies."""

import sys
from typing import Annotated

import typer

from lancet_core.cli.following import RunBar
from lancet_core.cli.options import JsonOption, StudyArgument, WorkspaceOption
from lancet_core.cli.output import print_json, print_line, print_note, print_table
from lancet_core.errors import ConfigError
from lancet_core.store.studies import Study
from lancet_core.workbench import studies
from lancet_core.workspace import open_workspace

commands = typer.Typer(help="Make, list, show and delete studies.")


@commands.command("create")
def create(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Name of the new study.")],
    model: Annotated[str, typer.Option("--model", help="Folder or hub id of the causal language model.")],
    train: Annotated[str, typer.Option("--train", help="File (or datasets folder) of its training samples.")],
    format: Annotated[
        str, typer.Option("--format", help="Format of the file: auto, plain, beavertails or hh.")
    ] = "auto",
    template: Annotated[
        str,
        typer.Option(
            "--template",
            help="How a prompt is written for the model: auto (its chat template, else Human and Assistant), raw (as it is), "
            "or a text with {prompt}. Unset: raw for dialogues (hh), else auto.",
        ),
    ] = "",
    harmful_scorer: Annotated[
        str,
        typer.Option("--harmful-scorer", help="Folder of a classifier that scores harm, with scorer.json."),
    ] = "",
    helpful_scorer: Annotated[
        str,
        typer.Option(
            "--helpful-scorer", help="Folder of a classifier that scores helpfulness, with scorer.json."
        ),
    ] = "",
    queries: Annotated[
        str, typer.Option("--queries", help="File of influence queries: prompt, response.")
    ] = "",
    prompts: Annotated[
        str,
        typer.Option(
            "--prompts", help="File of evaluation prompts: prompt, and split, kind, category where known."
        ),
    ] = "",
    workspace: WorkspaceOption = None,
    as_json: JsonOption = False,
) -> None:
    """Makes a study from a model and the samples it was fine-tuned on."""
    request = studies.StudyRequest(
        model=model,
        train=train,
        format=format,
        template=template,
        harmful_scorer=harmful_scorer,
        helpful_scorer=helpful_scorer,
        queries=queries,
        prompts=prompts,
    )
    with RunBar() as bar:
        study = studies.create_study(open_workspace(workspace), name, request, on_status=bar)
    print_study(study, as_json=as_json)
    if study.counts.get("rejected") and not as_json:
        print_note(
            f"{study.counts['rejected']} rows were rejected; number and reason of each: {study.rejected}"
        )


@commands.command("list")
def list_all(workspace: WorkspaceOption = None, as_json: JsonOption = False) -> None:
    """Lists the studies."""
    found = studies.list_studies(open_workspace(workspace))
    if as_json:
        print_json([describe(study) for study in found])
        return
    if not found:
        print_line("no study yet: make one with lancet demo or lancet study create")
        return
    rows = [(study.name, study.counts.get("samples"), study.model, study.created_at) for study in found]
    print_table(("study", "samples", "model", "created"), rows)


@commands.command("show")
def show(name: StudyArgument, workspace: WorkspaceOption = None, as_json: JsonOption = False) -> None:
    """Shows one study."""
    print_study(studies.show_study(open_workspace(workspace), name), as_json=as_json)


@commands.command("delete")
def delete(
    name: StudyArgument,
    yes: Annotated[bool, typer.Option("--yes", help="Delete without asking.")] = False,
    workspace: WorkspaceOption = None,
) -> None:
    """Deletes a study with its queries, pairs, decisions and runs."""
    opened = open_workspace(workspace)
    studies.show_study(opened, name)
    if not yes and not sys.stdin.isatty():
        raise ConfigError(f"deleting {name} must be confirmed and nobody can be asked here; give --yes")
    if not yes:
        typer.confirm(f"Delete study {name} with all its pairs, decisions and runs?", abort=True, err=True)
    studies.delete_study(opened, name)
    print_line(f"deleted {name}")


def describe(study: Study) -> dict[str, object]:
    """Lists what is known about a study, for people and machines."""
    return {
        "name": study.name,
        "model": study.model,
        "template": study.template,
        "harmful_scorer": study.harmful_scorer,
        "helpful_scorer": study.helpful_scorer,
        "folder": str(study.folder),
        "created_at": study.created_at.isoformat(),
        "counts": study.counts,
    }


def print_study(study: Study, *, as_json: bool) -> None:
    """Prints one study."""
    described = describe(study)
    if as_json:
        print_json(described)
        return
    counts = described.pop("counts")
    for name, value in {**described, **dict(counts)}.items():  # type: ignore[call-overload]
        print_line(f"{name.replace('_', ' '):<16} {value}")
