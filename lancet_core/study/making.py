"""Studies that are being made: what of, the run that measures their samples, and how they are entered when it is done."""

import shutil
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lancet_core.acts.prepare import Prepared
from lancet_core.acts.subject import Subject
from lancet_core.config import from_dict, to_dict
from lancet_core.data.reading import read_rows
from lancet_core.data.samples import Query
from lancet_core.errors import ConfigError, DataError, StoreError
from lancet_core.evaluation.scorer_cards import HARMFUL, HELPFUL
from lancet_core.files import read_json_or_none, write_json, write_json_lines, write_table
from lancet_core.runs.locks import held_lock
from lancet_core.runs.run import Run, open_run
from lancet_core.store import studies as store
from lancet_core.store.queries import add_queries
from lancet_core.store.studies import TEMPLATE_FITS, NewStudy, StudyRecord
from lancet_core.study.given_scores import give_scores, kept_scores
from lancet_core.workspace import Workspace

MAKING, READ, REJECTED = "materials.json", "read.parquet", "rejected.jsonl"


@dataclass(frozen=True)
class Making:
    """What a study is made of, kept in its folder from the first moment.

    Attributes:
        run: Id of the run that measures the samples.
        rows: Rows of the training file.
        duplicates: Samples left out because an equal one stands before them.
        materials: What was given, as plain values; objects in memory are left out.
        queries: Queries that it will have.
        origin: Where they come from.
    """

    run: str
    rows: int
    duplicates: int
    materials: dict[str, Any] = field(default_factory=dict)
    queries: tuple[Query, ...] = ()
    origin: str = ""


def complete(workspace: Workspace, name: str) -> StudyRecord:
    """Enters a study whose samples are measured; one that is entered already stays as it is.

    Raises:
        StoreError: No such study is being made.
        JobError: Its run is not done.
    """
    folder = workspace.studies / name
    making = read_making(folder)
    with held_lock(
        folder / "making.lock", f"the study {name!r} is being entered by another process; try again"
    ):
        known = {study.name: study for study in store.list_studies(workspace)}
        if name in known:
            return known[name]
        run = open_run(workspace, making.run, "prepare")
        subject, result = from_dict(Subject, run.order.subject), run.result
        counts = _write_samples(folder, making, result)
        write_json(folder / TEMPLATE_FITS, [to_dict(fit) for fit in result.templates])
        (folder / READ).unlink(missing_ok=True)
        harmful, helpful = (result.scorers.get(score, "") for score in (HARMFUL, HELPFUL))
        new = NewStudy(
            name, subject.model, result.template, harmful, helpful, subject.dtype, subject.device, counts
        )
        study = store.add_study(workspace, new)
        add_queries(study, making.queries, making.origin)
        run.refreshed().delete()
    return study


def list_making(workspace: Workspace) -> dict[str, Run[Prepared]]:
    """Lists studies that are being made, by name, with the run that measures their samples."""
    known = {study.name for study in store.list_studies(workspace)}
    found: dict[str, Run[Prepared]] = {}
    for path in sorted(workspace.studies.glob(f"*/{MAKING}")):
        if path.parent.name not in known:
            with suppress(StoreError, DataError, ConfigError):  # left by a process that was killed half-way
                found[path.parent.name] = open_run(workspace, read_making(path.parent).run, "prepare")
    return found


def discard(workspace: Workspace, name: str) -> None:
    """Stops making a study and removes what is there of it; one that is entered stays.

    Raises:
        StoreError: No such study is being made.
    """
    making = list_making(workspace)
    if name not in making:
        raise StoreError(f"no study {name!r} is being made; list studies with: lancet study list")
    making[name].cancel()
    making[name].refreshed().delete()
    shutil.rmtree(workspace.studies / name, ignore_errors=True)


def read_making(folder: Path) -> Making:
    """Reads what a study was, or is being, made of.

    Raises:
        StoreError: Its folder does not say.
    """
    values = read_json_or_none(folder / MAKING)
    if not isinstance(values, dict):
        raise StoreError(f"it is not known what the study {folder.name!r} was made of")
    return from_dict(Making, values)


def _write_samples(folder: Path, making: Making, prepared: Prepared) -> dict[str, int]:
    """Writes the samples that fit the model, and the rows that were rejected with the reason of each."""
    kept, left_out = prepared.table, prepared.rejected_rows
    given = kept_scores(folder)
    scored: dict[str, int] = {}
    if given is not None:
        kept, scored = give_scores(kept, given, making.rows)
    write_table(folder / "samples.parquet", kept)
    rejected = [
        *(row.values for row in read_rows(folder / REJECTED)),
        *(
            {"row": int(row), "reason": reason}
            for row, reason in zip(left_out["row"], left_out["reason"], strict=True)
        ),
    ]
    write_json_lines(folder / REJECTED, sorted(map(dict, rejected), key=lambda row: row["row"]))
    return {
        "rows": making.rows,
        "samples": len(kept),
        "rejected": len(rejected),
        "too_long": len(left_out),
        "cut": prepared.cut,
        "shortened": prepared.shortened,
        "duplicates": making.duplicates,
        "context": prepared.context,
        "tokens_per_second": prepared.tokens_per_second,
        "mean_tokens": prepared.mean_tokens,
        "unsafe": int((kept["is_safe"] == False).sum()),  # noqa: E712 - three-valued
        "labelled": int(kept["is_safe"].notna().sum()),
        **scored,
    }
