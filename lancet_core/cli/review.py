"""`lancet pairs`: proposes, lists, decides and exports pairs."""

import getpass
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import pandas as pd
import typer

from lancet_core.cli.following import finish
from lancet_core.cli.options import PresetOption, preset_from, with_settings, with_workspace
from lancet_core.cli.output import cell, print_line, print_note
from lancet_core.correction.settings import PAIR_PRESETS, PairSettings
from lancet_core.errors import ConfigError
from lancet_core.runs.run import open_run
from lancet_core.store.decisions import WORDS as VERDICT_WORDS
from lancet_core.store.decisions import Draft
from lancet_core.store.pairs import APPROVE
from lancet_core.study import attributions, review
from lancet_core.study.deciding import CONDITIONS, choose_pairs, read_verdicts
from lancet_core.study.queue import EVERYTHING, Scope, View, counts, pairs_in_scope, queue
from lancet_core.study.review_files import SIDE_COLUMNS
from lancet_core.study.study import Study, open_study
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
    before = _undecided(study)
    pairs = study.propose_pairs(run, None if is_usual else settings)
    count, equal = len(pairs), pairs.equal_prompts
    replaced = len(before - _undecided(study))
    yield {"attribution": run.id, "pairs": count, "equal_prompts": equal, "replaced": replaced}
    print_line(f"{count:,} pairs are up for review; {equal:,} of {count:,} have equal prompts")
    if replaced:
        print_note(f"{replaced:,} undecided pairs of before are not proposed any more and left the queue")
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
        for column in SIDE_COLUMNS:
            rows[f"{side}_{column}"] = rows[f"{side}_id"].map(samples[column])
    yield {"counts": counts(study, scope), "pairs": rows}
    for row in rows.to_dict("records"):
        print_line(f"{row['pair_id']}  {row['verdict'] or 'undecided'}: {row['why']}")
        for side, mark in (("positive", "▲"), ("negative", "▼")):
            print_line(
                f"  {mark} {row[f'{side}_influence']:+.3f}  {_known(row, side)}{cell(row[f'{side}_prompt'])}"
            )
            print_line(f"            {cell(row[f'{side}_response'])}")
    print_note(f"{len(rows):,} of {total:,} pairs")


@commands.command("decide")
@with_workspace
def decide(
    workspace: Workspace,
    words: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[ID]... [VERDICT]",
            help="Ids of pairs, as lancet pairs list shows them, and what to decide: approve, reject, skip or flag.",
            show_default=False,
        ),
    ] = None,
    source: Annotated[
        str,
        typer.Option(
            "--from", metavar="FILE", help="Decisions in a file: pair_id, verdict, optional reason."
        ),
    ] = "",
    study_name: Annotated[
        str, typer.Option("--study", help="Decide on undecided pairs of this study, those of --where.")
    ] = "",
    where: Annotated[
        list[str] | None,
        typer.Option(
            metavar="CONDITION", help=f"Only pairs on which this holds; may be repeated: {CONDITIONS}."
        ),
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="All undecided pairs of the study.")] = False,
    replace: Annotated[
        bool, typer.Option("--replace", help="Decide anew where a decision stands; unset, that is refused.")
    ] = False,
    reviewer: ReviewerOption = "",
) -> Iterator[Any]:
    """Decides on pairs, all or none of them in one step that one undo takes back; decisions are kept for good."""
    asked = _Asked(tuple(words or ()), source, study_name, tuple(where or ()), everything)
    drafts, clashing = _drafts(workspace, asked, _reviewer(reviewer), decided=replace)
    done = review.decide_all(workspace, drafts, replace=replace)
    yield {
        "decided": len(done.decisions),
        "left": done.left,
        "clashing": clashing,
        "decisions": done.decisions,
    }
    verdicts = Counter(decision.verdict for decision in done.decisions)
    for verdict, count in verdicts.items():
        print_line(f"{_named(drafts, count)}: {verdict} by {drafts[0].reviewer}")
    if done.left:
        print_note(f"{_named(drafts, done.left)}: decided so before")
    if clashing:
        print_note(f"{clashing:,} pairs are left out: they share a sample with one of these")
    if len(done.decisions) > 1:
        print_note(f"take all of them back with: lancet pairs undo {done.decisions[0].study}")


@commands.command("undo")
@with_workspace
def undo(study: Study, reviewer: ReviewerOption = "") -> Iterator[Any]:
    """Takes back the last decision of a reviewer that still holds, or the last step that decided on many pairs."""
    undone = review.undo(study, _reviewer(reviewer))
    yield {"undone": len(undone), "decisions": undone}
    verdicts = ", ".join(
        f"{count:,} {name}" for name, count in Counter(each.verdict for each in undone).items()
    )
    print_line(
        f"{len(undone):,} decisions are taken back: {verdicts}" if undone else "there is nothing to take back"
    )


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
    done = review.export_pairs(study, out.expanduser(), format, Scope(case) if case else None)
    yield {
        "file": out,
        "format": format,
        "rows": done.rows,
        "pairs": done.pairs,
        "left_out": done.left_out,
        "advice": done.advice,
    }
    pairs = ", ".join(
        f"{count:,} {VERDICT_WORDS.get(verdict, verdict)}" for verdict, count in done.pairs.items()
    )
    print_line(f"{done.rows:,} rows in {out}" + (f": pairs {pairs}" if pairs else ""))
    if format == "pairs" and done.pairs.get(APPROVE, 0) < sum(done.pairs.values()):
        print_note("lancet correct takes the approved pairs of this file alone")
    if done.left_out:
        print_note(f"{done.left_out:,} approved pairs are left out: their prompts differ; kto takes them too")
    if done.advice:
        print_note(done.advice)


@dataclass(frozen=True)
class _Asked:
    """What a person wants decided: words of the command line, or a file, or pairs of a study."""

    words: tuple[str, ...]
    source: str
    study: str
    where: tuple[str, ...]
    everything: bool


def _drafts(workspace: Workspace, asked: _Asked, reviewer: str, *, decided: bool) -> tuple[list[Draft], int]:
    """Lists the decisions that are asked for, and counts pairs that are left out because they share a sample with another.

    Raises:
        ConfigError: Nothing is asked for, or two things at once.
        DataError: The file cannot be used.
    """
    *ids, verdict = asked.words or ("",)
    ways = [bool(ids), bool(asked.source), bool(asked.study)]
    if (
        sum(ways) != 1
        or (asked.source and verdict)
        or (bool(asked.where) + asked.everything) != bool(asked.study)
    ):
        raise ConfigError(
            "it is not clear what to decide; give ID… VERDICT, or --from FILE, or VERDICT --study STUDY with --where CONDITION "
            "or with --all"
        )
    if asked.source:
        return read_verdicts(asked.source, reviewer), 0
    clashing = 0
    if asked.study:
        study = open_study(asked.study, workspace=workspace)
        chosen = choose_pairs(study, asked.where, verdict=verdict, decided=decided)
        ids, clashing = list(chosen.pair_ids), chosen.clashing
        if not ids:
            raise ConfigError("no pair is meant: the conditions hold on none; see lancet pairs list STUDY")
    return [Draft(pair_id, verdict, reviewer) for pair_id in ids], clashing


def _named(drafts: list[Draft], count: int) -> str:
    """Names the one pair that is decided on, or counts them."""
    return drafts[0].pair_id if len(drafts) == 1 else f"{count:,} pairs"


def _known(row: dict[Any, Any], side: str) -> str:
    """Says label and harmful score of a side, as far as they are known."""
    is_safe, harmful = row[f"{side}_is_safe"], row[f"{side}_harmful"]
    words = [] if pd.isna(is_safe) else ["safe" if is_safe else "unsafe"]
    words += [] if pd.isna(harmful) else [f"harmful {harmful:.2f}"]
    return f"[{', '.join(words)}]  " if words else ""


def _undecided(study: Study) -> set[str]:
    pairs = pairs_in_scope(study, Scope(reach=EVERYTHING))
    return set(pairs.loc[pairs["verdict"] == "", "pair_id"])


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
