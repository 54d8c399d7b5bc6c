"""`lancet pairs`: proposes, lists, decides and exports pairs."""

import getpass
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer

from lancet_core.cli.following import finish
from lancet_core.cli.options import PresetOption, preset_from, with_settings, with_workspace
from lancet_core.cli.output import cell, print_line, print_note
from lancet_core.correction.settings import PAIR_PRESETS, PairSettings
from lancet_core.errors import ConfigError
from lancet_core.runs.run import open_run
from lancet_core.store.pairs import get_pair
from lancet_core.study import attributions, review
from lancet_core.study.queue import EVERYTHING, Scope, View, counts, queue
from lancet_core.study.study import Study
from lancet_core.workspace import Workspace

commands = typer.Typer(help="Propose, list, decide and export pairs of samples.")
ReviewerOption = Annotated[
    str, typer.Option("--reviewer", help="Who decides; unset: the name of this account.")
]
CaseOption = Annotated[
    str,
    typer.Option(
        "--case", metavar="QUERY", help="Only pairs of this case and its query cluster; unset: all."
    ),
]


@commands.command("propose")
@with_settings(PairSettings, of_preset=True)
@with_workspace
def propose(
    study: Study,
    attribution: Annotated[
        str,
        typer.Option(
            metavar="RUN",
            help="Attribution to propose from: of one answer, the pairs of that case. Unset: the study's queries are clustered and "
            "attributed over the whole corpus where that was not done yet.",
        ),
    ] = "",
    preset: PresetOption = "usual",
    *,
    values: dict[str, Any],
) -> Iterator[Any]:
    """Puts pairs up for review: a sample that pushes towards the bad answers and one that pushes away."""
    settings = preset_from(PAIR_PRESETS, preset, values)
    run = open_run(study.workspace, attribution, "attribute") if attribution else _attributed(study)
    is_usual = settings == PAIR_PRESETS["usual"]
    count = len(study.propose_pairs(run, None if is_usual else settings))
    yield {"attribution": run.id, "pairs": count}
    print_line(f"{count:,} pairs are up for review")
    if count < settings.count and not (is_usual and run.record.case_id):
        print_note(
            f"fewer than the {settings.count} asked for: no further sample pushes towards or away; add queries, score the whole "
            "corpus, or relax --scorer-agreement or --similar-prompts"
        )


@commands.command("list")
@with_workspace
def list_pairs(
    study: Study,
    show: Annotated[
        str, typer.Option(help="Which pairs: undecided, approve, reject, skip, flag or all.")
    ] = "undecided",
    order: Annotated[str, typer.Option(help="queue (as proposed) or influence (strongest first).")] = "queue",
    case: CaseOption = "",
    limit: Annotated[int, typer.Option(min=0, help="Rows to list; 0 lists all.")] = 20,
    reviewer: ReviewerOption = "",
) -> Iterator[Any]:
    """Lists pairs with both samples, and why each is there."""
    scope = Scope(case) if case else Scope(reach=EVERYTHING)
    rows = queue(study, View(_reviewer(reviewer), scope, show, order))
    total = len(rows)
    rows = rows.head(limit) if limit else rows
    samples = study.samples().set_index("id")
    for side in ("positive", "negative"):
        for column in ("prompt", "response"):
            rows[f"{side}_{column}"] = rows[f"{side}_id"].map(samples[column])
    yield {"counts": counts(study, scope), "pairs": rows}
    for row in rows.to_dict("records"):
        print_line(f"{row['pair_id']}  {row['verdict'] or 'undecided'}: {row['why']}")
        for side, mark in (("positive", "▲"), ("negative", "▼")):
            print_line(f"  {mark} {row[f'{side}_influence']:+.3f}  {cell(row[f'{side}_prompt'])}")
            print_line(f"            {cell(row[f'{side}_response'])}")
    print_note(f"{len(rows):,} of {total:,} pairs")


@commands.command("decide")
@with_workspace
def decide(
    workspace: Workspace,
    pair_id: Annotated[
        str, typer.Argument(metavar="ID", help="Id of the pair, as lancet pairs list shows it.")
    ],
    verdict: Annotated[str, typer.Argument(metavar="VERDICT", help="approve, reject, skip or flag.")],
    replace: Annotated[
        bool, typer.Option("--replace", help="Decide anew where a decision stands; unset, that is refused.")
    ] = False,
    reviewer: ReviewerOption = "",
) -> Iterator[Any]:
    """Decides on a pair; the decision is kept for good."""
    seen = get_pair(workspace, pair_id).decision_id if replace else None
    decision = review.decide(workspace, pair_id, verdict, reviewer=_reviewer(reviewer), seen_decision_id=seen)
    yield decision
    print_line(f"{pair_id}: {verdict} by {decision.reviewer}")


@commands.command("export")
@with_workspace
def export(
    study: Study,
    out: Annotated[Path, typer.Argument(metavar="FILE", help="File to write.")],
    format: Annotated[
        str,
        typer.Option(
            help="pairs (read by lancet correct), kto or dpo (TRL), csv, parquet, or decisions (the log)."
        ),
    ] = "pairs",
    case: CaseOption = "",
) -> Iterator[Any]:
    """Writes pairs or decisions to a file."""
    count = review.export_pairs(study, out.expanduser(), format, Scope(case) if case else None)
    yield {"file": out, "format": format, "rows": count}
    print_line(f"{count:,} rows in {out}")


def _attributed(study: Study) -> Any:
    """Finds the whole-corpus attribution of the study's clusters, or makes it."""
    known = attributions.latest_corpus_attribution(study)
    if known is not None:
        return known
    clusters = finish(attributions.cluster(study))
    return finish(attributions.attribute_clusters(study, clusters))


def _reviewer(name: str) -> str:
    """Names who decides: as given, else by the account."""
    try:
        return name.strip() or getpass.getuser()
    except (OSError, KeyError) as error:
        raise ConfigError("it is not known who decides; give a name with --reviewer") from error
