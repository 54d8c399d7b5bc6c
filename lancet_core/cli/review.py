"""`lancet pairs`: proposes, lists, decides and exports pairs."""

import getpass
from pathlib import Path
from typing import Annotated, Any

import typer

from lancet_core.cli.following import RunBar
from lancet_core.cli.options import JsonOption, StudyArgument, WorkspaceOption, settings_from, with_settings
from lancet_core.cli.output import cell, print_json, print_line, print_note
from lancet_core.correction.settings import PairSettings
from lancet_core.errors import ConfigError
from lancet_core.store.pairs import get_pair
from lancet_core.store.studies import Study
from lancet_core.workbench import attributions, proposals, reviews, studies
from lancet_core.workbench.waiting import finish
from lancet_core.workspace import Workspace, open_workspace

commands = typer.Typer(help="Propose, list, decide and export pairs of samples.")
ReviewerOption = Annotated[
    str, typer.Option("--reviewer", help="Who decides; unset: the name of this account.")
]


@commands.command("propose")
@with_settings(PairSettings)
def propose(
    study: StudyArgument,
    attribution: Annotated[
        str,
        typer.Option(
            "--attribution",
            metavar="RUN",
            help="Attribution to propose from. Unset: the study's queries are clustered and attributed over the whole corpus "
            "where that was not done yet.",
        ),
    ] = "",
    workspace: WorkspaceOption = None,
    as_json: JsonOption = False,
    *,
    values: dict[str, Any],
) -> None:
    """Puts pairs up for review: a sample that pushes towards the bad answers and one that pushes away."""
    opened = open_workspace(workspace)
    found = studies.show_study(opened, study)
    settings = settings_from(PairSettings, values)
    run_id = attribution or _attributed(opened, found)
    count = reviews.propose(opened, study, run_id, settings)
    if as_json:
        print_json({"attribution": run_id, "pairs": count})
        return
    print_line(f"{count:,} pairs are up for review")
    if count < settings.count:
        print_note(
            f"fewer than the {settings.count} asked for: no further sample pushes towards or away; add queries, score the whole "
            "corpus, or relax --scorer-agreement or --similar-prompts"
        )


@commands.command("list")
def list_pairs(
    study: StudyArgument,
    show: Annotated[
        str, typer.Option("--show", help="Which pairs: undecided, approve, reject, skip, flag or all.")
    ] = "undecided",
    order: Annotated[
        str, typer.Option("--order", help="queue (clusters in turn) or influence (strongest first).")
    ] = "queue",
    limit: Annotated[int, typer.Option("--limit", min=0, help="Rows to list; 0 lists all.")] = 20,
    reviewer: ReviewerOption = "",
    workspace: WorkspaceOption = None,
    as_json: JsonOption = False,
) -> None:
    """Lists pairs with both samples."""
    opened = open_workspace(workspace)
    found = studies.show_study(opened, study)
    queue = reviews.queue(opened, study, reviewer=_reviewer(reviewer), show=show, order=order)
    total = len(queue)
    queue = queue.head(limit) if limit else queue
    samples = studies.samples_table(found).set_index("id")
    for side in ("positive", "negative"):
        for column in ("prompt", "response"):
            queue[f"{side}_{column}"] = queue[f"{side}_id"].map(samples[column])
    if as_json:
        print_json({"counts": reviews.counts(opened, study), "pairs": queue})
        return
    for row in queue.to_dict("records"):
        print_line(f"{row['pair_id']}  cluster {row['cluster']}  {row['verdict'] or 'undecided'}")
        for side, mark in (("positive", "▲"), ("negative", "▼")):
            print_line(f"  {mark} {row[f'{side}_influence']:+.3f}  {cell(row[f'{side}_prompt'])}")
            print_line(f"            {cell(row[f'{side}_response'])}")
    print_note(f"{len(queue):,} of {total:,} pairs")


@commands.command("decide")
def decide(
    pair_id: Annotated[
        str, typer.Argument(metavar="ID", help="Id of the pair, as lancet pairs list shows it.")
    ],
    verdict: Annotated[str, typer.Argument(metavar="VERDICT", help="approve, reject, skip or flag.")],
    replace: Annotated[
        bool, typer.Option("--replace", help="Decide anew where a decision stands; unset, that is refused.")
    ] = False,
    reviewer: ReviewerOption = "",
    workspace: WorkspaceOption = None,
    as_json: JsonOption = False,
) -> None:
    """Decides on a pair; the decision is kept for good."""
    opened = open_workspace(workspace)
    seen = get_pair(opened, pair_id).decision_id if replace else None
    decision = reviews.decide(opened, pair_id, verdict, reviewer=_reviewer(reviewer), seen_decision_id=seen)
    if as_json:
        print_json(decision)
        return
    print_line(f"{pair_id}: {verdict} by {decision.reviewer}")


@commands.command("export")
def export(
    study: StudyArgument,
    out: Annotated[Path, typer.Argument(metavar="FILE", help="File to write.")],
    format: Annotated[
        str,
        typer.Option(
            "--format",
            help="pairs (read by lancet correct), kto or dpo (TRL), csv, parquet, or decisions (the log).",
        ),
    ] = "pairs",
    workspace: WorkspaceOption = None,
    as_json: JsonOption = False,
) -> None:
    """Writes pairs or decisions to a file."""
    count = reviews.export_pairs(open_workspace(workspace), study, out.expanduser(), format)
    if as_json:
        print_json({"file": out, "format": format, "rows": count})
        return
    print_line(f"{count:,} rows in {out}")


def _attributed(workspace: Workspace, study: Study) -> str:
    """Finds the whole-corpus attribution of the study's clusters, or makes it."""
    batch = attributions.latest_batch_attribution(workspace, study)
    if batch is not None:
        return batch.id
    with RunBar() as bar:
        clusters = finish(workspace, proposals.start_study_clusters(workspace, study), bar)
        run_id = attributions.start_cluster_attribution(workspace, study, cluster_run_id=clusters.id)
        return finish(workspace, run_id, bar).id


def _reviewer(name: str) -> str:
    """Names who decides.

    Raises:
        ConfigError: No name was given and the account has none.
    """
    try:
        return name.strip() or getpass.getuser()
    except (OSError, KeyError) as error:
        raise ConfigError("it is not known who decides; give a name with --reviewer") from error
