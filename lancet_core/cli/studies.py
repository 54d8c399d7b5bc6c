"""`lancet study`: makes, lists, shows and deletes studies."""

import shlex
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from lancet_core.acts.prepare import CUT, TemplateFit
from lancet_core.cli.following import RunBar, finish
from lancet_core.cli.options import with_workspace
from lancet_core.cli.output import confirm, print_facts, print_line, print_note, print_table
from lancet_core.data.conversations import LAST
from lancet_core.data.samples import read_prompts
from lancet_core.errors import ConfigError
from lancet_core.evaluation.scorer_cards import scorer_card, scorer_folder
from lancet_core.models.fingerprints import ignored_weights
from lancet_core.models.gguf_files import unpacking_facts
from lancet_core.models.settings import DEVICES, DTYPES
from lancet_core.study.changes import scorer_means
from lancet_core.study.looking import first_rows
from lancet_core.study.study import Study, create_study, list_studies, look_at
from lancet_core.workspace import Workspace

commands = typer.Typer(help="Make, list, show and delete studies.")
ModelFolder = Annotated[str, typer.Option(help="Folder, GGUF file or hub id of the causal language model.")]
BaseOption = Annotated[
    str, typer.Option(help="Of an adapter: folder or hub id of its model, where that is not what it says.")
]
DtypeOption = Annotated[
    str,
    typer.Option(
        help="Type of number that the model is loaded with: float32, bfloat16 (half the memory) or float64."
    ),
]
DeviceOption = Annotated[str, typer.Option(help="Where the model runs: auto, cpu or cuda.")]
TrainFile = Annotated[str, typer.Option(help="File, or folder of shards, of its training samples.")]
FormatOption = Annotated[
    str, typer.Option(help="Format of the rows: auto, plain, messages, preference, hh, pku or date-lm.")
]
MapOption = Annotated[
    str,
    typer.Option(
        "--map",
        help="Columns that are called otherwise: prompt=question,response=answer,label=is_harmful:inverted.",
    ),
]
TurnsOption = Annotated[
    str,
    typer.Option(help="Which of the assistant's turns the trainer's loss took: last or all."),
]
TooLongOption = Annotated[
    str,
    typer.Option(help="A response longer than the model's context: cut (keep its beginning) or reject."),
]
TemplateOption = Annotated[
    str,
    typer.Option(
        help="How a prompt is written for the model: auto (its chat template, else Human and Assistant), the name of one of its "
        "templates, raw (as it is), or a text with {prompt}; @2026-07-26 behind it sets the day that it writes. Unset: raw for "
        "dialogues (hh), else auto."
    ),
]


ScorerAsOption = Annotated[
    str,
    typer.Option(
        help="What its output means where it is of no known family: higher_is=harmful,label_index=1,template=pair (docs/your-data.md)."
    ),
]
ScoresOption = Annotated[
    str,
    typer.Option(
        help="File of scores made elsewhere: harmful, helpful in (0, 1); id, or prompt and response, or a row for each training row."
    ),
]
ScoresAsOption = Annotated[
    str,
    typer.Option(
        help="What they mean where they are outputs of a model: mapping=sigmoid,higher_is=harmful (mapping: sigmoid, zscore_sigmoid, rank)."
    ),
]


@commands.command("create")
@with_workspace
def create(
    workspace: Workspace,
    name: Annotated[str, typer.Argument(metavar="NAME", help="Name of the new study.")],
    model: ModelFolder,
    train: TrainFile,
    format: FormatOption = "auto",
    columns: MapOption = "",
    turns: TurnsOption = LAST,
    too_long: TooLongOption = CUT,
    template: TemplateOption = "",
    base: BaseOption = "",
    dtype: DtypeOption = DTYPES[0],
    device: DeviceOption = DEVICES[0],
    harmful_scorer: Annotated[str, typer.Option(help="Folder or hub id of what scores harm.")] = "",
    harmful_scorer_as: ScorerAsOption = "",
    helpful_scorer: Annotated[str, typer.Option(help="Folder or hub id of what scores helpfulness.")] = "",
    helpful_scorer_as: ScorerAsOption = "",
    scores: ScoresOption = "",
    scores_as: ScoresAsOption = "",
    queries: Annotated[str, typer.Option(help="File of influence queries: prompt, response.")] = "",
    prompts: Annotated[
        str, typer.Option(help="File of evaluation prompts: prompt, and split, kind, category where known.")
    ] = "",
) -> Iterator[Any]:
    """Makes a study from a model and the samples it was fine-tuned on."""
    with RunBar() as bar:
        study = create_study(
            name,
            workspace=workspace,
            on_status=bar,
            model=model,
            base=base,
            dtype=dtype,
            device=device,
            train=train,
            format=format,
            columns=columns,
            turns=turns,
            too_long=too_long,
            template=template,
            harmful_scorer=harmful_scorer,
            harmful_scorer_as=harmful_scorer_as,
            helpful_scorer=helpful_scorer,
            helpful_scorer_as=helpful_scorer_as,
            scores=scores,
            scores_as=scores_as,
            queries=queries,
            prompts=prompts,
        )
    yield from print_study(study)
    ignored = ignored_weights(study.model)
    if ignored:
        print_note(
            f"weight files that are not read, since safetensors stand beside them: {', '.join(ignored)}"
        )
    unpacked = unpacking_facts(study.model)
    if unpacked:
        print_note(
            f"{unpacked['file']} was unpacked in {unpacked['seconds']} s to {unpacked['megabytes']:,} MB of safetensors"
        )
    if study.counts.get("rejected"):
        print_note(
            f"{study.counts['rejected']} rows were rejected; number and reason of each: {study.rejected_file}"
        )
    _note_scores(study)


@commands.command("look")
@with_workspace
def look(
    workspace: Workspace,
    model: ModelFolder,
    train: TrainFile,
    format: FormatOption = "auto",
    columns: MapOption = "",
    turns: TurnsOption = LAST,
    too_long: TooLongOption = CUT,
    template: TemplateOption = "",
    base: BaseOption = "",
    rows: Annotated[int, typer.Option(min=0, help="First rows that are shown as they are understood.")] = 5,
) -> Iterator[Any]:
    """Tells what a study would be made of, and which rows are rejected and why; makes none."""
    materials = {
        "model": model,
        "train": train,
        "format": format,
        "columns": columns,
        "turns": turns,
        "too_long": too_long,
        "template": template,
        "base": base,
    }
    first = first_rows(train, format, columns, count=rows)
    run = finish(look_at(workspace=workspace, **materials))
    found = run.result
    yield {"run": run.id, **found.facts, "reasons": found.reasons, "first_rows": first}
    print_facts({name.replace("_", " "): value for name, value in found.facts.items()})
    for row in first:
        print_line(f"row {row.number}: {row.problem or row.format}")
        for sample in row.samples:
            print_facts(
                {"  prompt": sample.prompt, "  response": sample.response, "  is safe": sample.is_safe}
            )
    if found.rejected:
        print_table(("reason", "rows", "first"), found.reasons.values.tolist(), cut=("reason",))


@commands.command("set")
@with_workspace
def change(
    study: Study,
    template: Annotated[
        str | None, typer.Option(help="How a prompt is written for the model, as in create.")
    ] = None,
    harmful_scorer: Annotated[
        str | None, typer.Option(help="Folder or hub id of the harmful scorer; none: without.")
    ] = None,
    harmful_scorer_as: ScorerAsOption = "",
    helpful_scorer: Annotated[
        str | None, typer.Option(help="Folder or hub id of the helpful scorer; none: without.")
    ] = None,
    helpful_scorer_as: ScorerAsOption = "",
    scores: ScoresOption = "",
    scores_as: ScoresAsOption = "",
    prompts: Annotated[str | None, typer.Option(help="File of evaluation prompts; none: without.")] = None,
    dtype: Annotated[str | None, typer.Option(help="Type of number of the model, as in create.")] = None,
    device: Annotated[str | None, typer.Option(help="Where the model runs: auto, cpu or cuda.")] = None,
) -> Iterator[Any]:
    """Changes template, scorers, prompts, number type or device of a study; its runs and decisions stay."""
    with RunBar() as bar:
        changed = study.change(
            on_status=bar,
            template=template,
            harmful_scorer=harmful_scorer,
            harmful_scorer_as=harmful_scorer_as,
            helpful_scorer=helpful_scorer,
            helpful_scorer_as=helpful_scorer_as,
            scores=scores or None,
            scores_as=scores_as,
            prompts=prompts,
            dtype=dtype,
            device=device,
        )
    yield from print_study(changed)
    if scores:
        _note_scores(changed)


@commands.command("list")
@with_workspace
def list_all(workspace: Workspace) -> Iterator[Any]:
    """Lists the studies."""
    studies = list_studies(workspace=workspace)
    yield [describe(study) for study in studies]
    if not studies:
        print_line("no study yet: make one with lancet demo or lancet study create")
        return
    rows = [(study.name, study.counts.get("samples"), study.model, study.created_at) for study in studies]
    print_table(("study", "samples", "model", "created"), rows)


@commands.command("show")
@with_workspace
def show(study: Study) -> Iterator[Any]:
    """Shows one study."""
    yield from print_study(study)


@commands.command("tokens")
@with_workspace
def tokens(
    study: Study, sample: Annotated[str, typer.Argument(metavar="SAMPLE", help="Id of a training sample.")]
) -> Iterator[Any]:
    """Shows the tokens of a sample, and which of them count, to compare with a trainer's."""
    found = study.tokens(sample)
    rows = [
        {"place": place, "id": token, "text": text, "counts": counts}
        for place, (token, text, counts) in enumerate(zip(found.ids, found.texts, found.counts, strict=True))
    ]
    yield {"tokens": rows, "cut": found.cut, "lost": found.lost}
    print_table(
        ("place", "id", "text", "counts"),
        [(row["place"], row["id"], repr(row["text"]), row["counts"]) for row in rows],
    )
    if found.cut or found.lost:
        print_note(
            f"cut to the model's context of {found.context} tokens: {found.cut} from the left, {found.lost} from the right"
        )


@commands.command("rename")
@with_workspace
def rename(
    study: Study, name: Annotated[str, typer.Argument(metavar="NAME", help="Its new name.")]
) -> Iterator[Any]:
    """Gives a study another name; queries, pairs, decisions and runs stay with it."""
    renamed = study.rename(name)
    yield describe(renamed)
    print_line(f"{study.name} is called {renamed.name} now")


@commands.command("export")
@with_workspace
def export(
    study: Study, out: Annotated[Path, typer.Argument(metavar="FILE", help="Zip file to write.")]
) -> Iterator[Any]:
    """Writes samples, queries, prompts, pairs and decisions into a zip file, each as LANCET reads it back."""
    counts = study.export(out)
    yield {"file": out, "rows": counts}
    print_table(("file", "rows"), list(counts.items()))


@commands.command("delete")
@with_workspace
def delete(
    study: Study, yes: Annotated[bool, typer.Option("--yes", help="Delete without asking.")] = False
) -> None:
    """Deletes a study with its queries, pairs, decisions and runs."""
    if not yes and not sys.stdin.isatty():
        raise ConfigError(f"deleting {study.name} must be confirmed and nobody can be asked here; give --yes")
    if not yes:
        confirm(f"Delete study {study.name} with all its pairs, decisions and runs?")
    study.delete()
    print_line(f"deleted {study.name}")


def describe(study: Study) -> dict[str, object]:
    """Lists what is known about a study, for people and machines."""
    return {
        "name": study.name,
        "model": study.model,
        "template": study.template,
        "dtype": study.dtype,
        "device": study.device,
        **_scorers(study),
        "folder": str(study.folder),
        "created_at": study.created_at.isoformat(),
        "counts": study.counts,
    }


def _note_scores(study: Study) -> None:
    """Tells how many scores from a file found their samples."""
    if "scored" in study.counts:
        unmatched, unusable = (study.counts[f"scores_{name}"] for name in ("unmatched", "unusable"))
        print_note(
            f"{study.counts['scored']:,} of {study.counts['samples']:,} samples have a score from the file; {unmatched:,} of its rows "
            f"belong to no sample, {unusable:,} hold no number"
        )


def _scorers(study: Study) -> dict[str, str]:
    """Where the scorers lie, and what `--harmful-scorer-as` would say of each."""
    facts = {}
    for name in ("harmful_scorer", "helpful_scorer"):
        scorer = getattr(study, name)
        facts[name] = scorer_folder(scorer)
        if scorer:
            facts[f"{name}_as"] = scorer_card(scorer).declaration
    return facts


def _holdings(study: Study) -> dict[str, float]:
    """What a study holds beside its samples, and how its scorers see the samples that are labelled."""
    found: dict[str, float] = {"queries": len(study.queries())}
    if study.prompts_file is not None:
        found["prompts"] = len(read_prompts(study.prompts_file))
    return found | scorer_means(study.samples())


def print_study(study: Study) -> Iterator[Any]:
    """Yields one study for `--json`, and prints it for people."""
    facts = describe(study)
    counts = study.counts | _holdings(study)
    fits = study.template_fits
    yield {**facts, "counts": counts, "templates": fits}
    facts.pop("counts")
    print_facts({name.replace("_", " "): value for name, value in {**facts, **counts}.items()})
    print_fits(study.name, fits)


def print_fits(name: str, fits: Sequence[TemplateFit]) -> None:
    """Prints how likely the samples are under each template, and proposes the likeliest."""
    if not fits:
        return
    print_line(f"mean NLL of {fits[0].samples} samples under each known template, in nats per token")
    print_table(
        ("template", "nll", "beside the study's"),
        [(fit.template, fit.nll, f"{fit.difference:+.3f}") for fit in fits],
    )
    if fits[0].is_likelier:
        print_note(
            f"the samples are likelier under the template {fits[0].template!r}, by {-fits[0].difference:.3f} ± {fits[0].error:.3f} nats "
            f"per token: was the model trained with it? lancet study set {name} --template {shlex.quote(fits[0].template)}"
        )
