"""A study stays open to change: further queries, other scorers, prompts or template. Runs and decisions stay."""

import shutil
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import pandas as pd

from lancet_core.acts.prepare import Prepared, PrepareRequest, TemplateFit
from lancet_core.config import from_dict, to_dict
from lancet_core.data.inputs import load_prompts, load_queries
from lancet_core.data.samples import Query
from lancet_core.errors import ConfigError, StoreError
from lancet_core.evaluation.scorer_cards import COLUMNS, Declared, resolve_scorer, scorer_folder
from lancet_core.files import read_json_or_none, replacing_folder, write_json, write_table
from lancet_core.models.settings import DEVICES, DTYPES
from lancet_core.models.template_names import check_template
from lancet_core.runs import launcher
from lancet_core.runs.launcher import Task
from lancet_core.runs.locks import held_lock
from lancet_core.runs.run import OnStatus, Run, open_run
from lancet_core.store import queries as query_store
from lancet_core.store.run_status import DONE, now
from lancet_core.store.studies import StudyRecord, check_idle, get_study, update_study
from lancet_core.study.given_scores import (
    COUNTED,
    GivenScores,
    ScoreTable,
    forget_scores,
    give_scores,
    kept_scores,
    load_scores,
)
from lancet_core.study.subjects import subject_of

NONE = "none"
"""Takes a scorer or the prompts away."""
LENGTHS = ("tokens", "counted")
CHANGING, STAGED, PROMPTS = "changing", "change.json", "prompts.parquet"


def add_queries(study: StudyRecord, queries: str | Path | Sequence[Query]) -> int:
    """Adds queries, from a file or as they are; those that are there already stay.

    Returns:
        How many were new.

    Raises:
        DataError: The file cannot be used.
    """
    if isinstance(queries, str | Path):
        path = Path(queries).expanduser()
        return query_store.add_queries(study, load_queries(path), path.name)
    return query_store.add_queries(study, queries, "given")


@dataclass(frozen=True)
class Changes:
    """What of a study changes; what is None stays.

    Attributes:
        template: How a prompt is formatted.
        harmful_scorer: Folder or hub id of a scorer, or `none`.
        helpful_scorer: Folder or hub id of a scorer, or `none`.
        harmful_scorer_as: What its output means where it is of no known family, as in `creation.Materials`.
        helpful_scorer_as: The same of the helpful scorer.
        scores: Scores of the samples that were made elsewhere, as in `creation.Materials`.
        scores_as: What they mean where they are outputs of a model.
        prompts: File of evaluation prompts, or `none`.
        dtype: Type of number that the model is loaded with from now on.
        device: Where it runs from now on.

    Raises:
        ConfigError: Number type or device is none.
    """

    template: str | None = None
    harmful_scorer: str | Path | None = None
    helpful_scorer: str | Path | None = None
    harmful_scorer_as: Declared = ""
    helpful_scorer_as: Declared = ""
    scores: GivenScores | None = None
    scores_as: Declared = ""
    prompts: str | Path | None = None
    dtype: str | None = None
    device: str | None = None

    def __post_init__(self) -> None:
        for name, choices in (("dtype", DTYPES), ("device", DEVICES)):
            value = getattr(self, name)
            if value is not None and value not in choices:
                raise ConfigError(f"{name} is {value!r}; accepted are {', '.join(choices)}")

    @property
    def loading(self) -> dict[str, str]:
        """Number type and device, where they are to be others."""
        asked = {"dtype": self.dtype, "device": self.device}
        return {name: value for name, value in asked.items() if value is not None}

    @property
    def is_empty(self) -> bool:
        """Whether nothing is to be changed."""
        given = (getattr(self, each.name) for each in fields(self))
        return all(value is None or (isinstance(value, str) and not value) for value in given)

    def measured(self, study: StudyRecord) -> dict[str, Any]:
        """Fields of the study that its samples are measured anew for; what is said of no other scorer is said of the one it has.

        Raises:
            ModelError: A scorer cannot be used.
            ConfigError: What is declared of it cannot be used.
        """
        values: dict[str, Any] = {} if self.template is None else {"template": self.template}
        for score in COLUMNS:
            scorer, said = getattr(self, f"{score}_scorer"), getattr(self, f"{score}_scorer_as")
            if scorer is not None or said:
                given = scorer_folder(getattr(study, f"{score}_scorer")) if scorer is None else scorer
                given = "" if given == NONE else given
                values[f"{score}_scorer"] = resolve_scorer(given, said, column=score)
        return values


def change(study: StudyRecord, changes: Changes, on_status: OnStatus | None = None) -> StudyRecord:
    """Changes what a study is made of, and waits until it is.

    With another scorer all samples are scored anew, with another template measured anew. No sample is left out: one that the new
    template refuses is not scored by influence, as attributions tell. Runs stay as they are, known by what they were asked of.

    Args:
        study: The study.
        changes: What changes.
        on_status: Called whenever the run that measures the samples was looked at.

    Returns:
        The study as it is now.

    Raises:
        ConfigError: Nothing is to be changed, or the template is none of the model's.
        StoreError: A run of the study is going, or another change of it.
        DataError: The file of prompts or scores cannot be used, or no sample fits the template.
        ModelError: A scorer cannot be used.
        JobError: The run that measures the samples failed; the study stays as it was.
    """
    run = begin_change(study, changes)
    with ExitStack() as undo:
        undo.callback(discard_change, study)
        if run is not None:
            run.wait(on_status)
        changed = complete_change(study)
        undo.pop_all()
    return changed


def begin_change(study: StudyRecord, changes: Changes) -> Run[Prepared] | None:
    """Starts to change a study and returns at once; `complete_change` enters the change when the run is done.

    Returns:
        The run that measures the samples anew, None where nothing has to be measured.

    Raises:
        ConfigError: Nothing is to be changed, or the template is none of the model's.
        StoreError: A run of the study is going, or another change of it.
        DataError: The file of prompts or scores cannot be used.
        ModelError: A scorer cannot be used.
        JobError: No worker can be started.
    """
    check_idle(study)
    under_way = change_under_way(study)
    if under_way is not None and not under_way.status.is_final:
        raise StoreError(
            f"study {study.name!r} is being changed; wait for it, or stop it: lancet runs cancel {under_way.id}"
        )
    if under_way is not None and under_way.status.state == DONE:
        study = complete_change(study)  # nobody came back to it
    if changes.is_empty:
        raise ConfigError(
            "nothing is to be changed; give --template, --harmful-scorer, --helpful-scorer, --scores, --prompts, --dtype or --device"
        )
    check_template(study.model, changes.template or "")
    values, prompts = changes.measured(study), changes.prompts
    table = load_prompts(Path(prompts).expanduser()) if prompts and prompts != NONE else None
    given = None if changes.scores is None else load_scores(changes.scores, changes.scores_as)
    run = _measure(study, values | changes.loading) if values else None
    staged = _Staged("" if run is None else run.id, values, changes.loading, prompts == NONE)
    with replacing_folder(study.folder / CHANGING) as folder:
        write_json(folder / STAGED, to_dict(staged))
        if table is not None:
            write_table(folder / PROMPTS, table)
        if given is not None:
            given.write(folder)
    return run


def change_under_way(study: StudyRecord) -> Run[Prepared] | None:
    """Finds the run of a change that is not entered yet; None where no samples are measured for one."""
    staged = _staged(study)
    with suppress(StoreError):  # deleted by hand
        return None if staged is None or not staged.run else open_run(study.workspace, staged.run, "prepare")
    return None


def complete_change(study: StudyRecord) -> StudyRecord:
    """Enters a change whose samples are measured; what another process entered meanwhile stays.

    Raises:
        JobError: Its run is not done.
        StoreError: Another process is entering it, or its run was deleted.
        DataError: Scores belong to no sample.
    """
    with held_lock(
        study.folder / "changing.lock",
        f"the study {study.name!r} is being changed by another process; try again",
    ):
        study = get_study(study.workspace, study.name)
        staged, folder = _staged(study), study.folder / CHANGING
        if staged is None:
            return study
        given, run = kept_scores(folder), change_under_way(study)
        if staged.run and run is None:
            shutil.rmtree(folder)
            raise StoreError(
                f"the run {staged.run} that a change of {study.name!r} waited for was deleted; the study stays as it was"
            )
        changed = update_study(study, **staged.loading) if staged.loading else study
        if run is not None:
            changed = _measured_anew(changed, staged.values, run.result)
        if given is not None:
            changed = _scored_anew(changed, given)
        if (folder / PROMPTS).is_file():
            write_table(study.folder / PROMPTS, pd.read_parquet(folder / PROMPTS))
        elif staged.without_prompts:
            (study.folder / PROMPTS).unlink(missing_ok=True)
        shutil.rmtree(folder)
        if run is not None:
            run.refreshed().delete()
    return changed


def discard_change(study: StudyRecord) -> None:
    """Stops a change that is not entered yet; the study stays as it is."""
    run = change_under_way(study)
    if run is not None and not run.status.is_final:
        run.cancel()
    shutil.rmtree(study.folder / CHANGING, ignore_errors=True)


def template_fits(study: StudyRecord) -> tuple[TemplateFit, ...]:
    """How likely the model finds its samples under each known template, likeliest first; empty where it was not measured."""
    values = read_json_or_none(study.templates_file)
    return tuple(from_dict(TemplateFit, value) for value in values) if isinstance(values, list) else ()


@dataclass(frozen=True)
class _Staged:
    """A change that is not entered yet; prompts and scores lie beside it.

    Attributes:
        run: Id of the run that measures the samples, empty where none has to.
        values: Fields of the study that they are measured for.
        loading: Number type and device, where they change.
        without_prompts: Whether the prompts are taken away.
    """

    run: str
    values: dict[str, Any]
    loading: dict[str, str]
    without_prompts: bool


def _staged(study: StudyRecord) -> _Staged | None:
    values = read_json_or_none(study.folder / CHANGING / STAGED)
    return from_dict(_Staged, values) if isinstance(values, dict) else None


def _measure(study: StudyRecord, values: dict[str, Any]) -> Run[Prepared]:
    """Starts to measure and score the samples with what changes."""
    subject = replace(subject_of(study), study="", **values)
    request = PrepareRequest(day=now().date().isoformat())
    return Run(study.workspace, launcher.start(study.workspace, Task("prepare", subject, request)))


def _measured_anew(study: StudyRecord, values: dict[str, Any], result: Prepared) -> StudyRecord:
    """Enters samples that were measured anew."""
    samples, measured = study.samples(), result.table.set_index("id")
    # Scores that came from a file stay unless their scorer is changed.
    scored = [score for score in COLUMNS if score in result.scorers or f"{score}_scorer" in values]
    named = [f"{score}{part}" for score in scored for part in ("", "_categories")]
    found = {name: samples["id"].map(measured[name]) for name in (*LENGTHS, *named) if name in measured}
    counts = {
        "cut": result.cut,
        "shortened": result.shortened,
        "refused": result.rejected,
        "tokens_per_second": result.tokens_per_second,
        "mean_tokens": result.mean_tokens,
    }
    write_table(study.samples_file, samples.drop(columns=named, errors="ignore").assign(**found))
    write_json(study.templates_file, [to_dict(fit) for fit in result.templates])
    cards = {f"{score}_scorer": card for score, card in result.scorers.items()}
    replaced = _replaced(study, scored)
    known = {name: count for name, count in study.counts.items() if name not in replaced}
    facts = {"template": result.template, "counts": known | counts}
    return update_study(study, **values | cards | facts)


def _replaced(study: StudyRecord, scored: Sequence[str]) -> tuple[str, ...]:
    """Forgets scores from a file that scorers have taken the place of; gives the names of their counts."""
    given = kept_scores(study.folder)
    if given is None or not set(given.scores) <= set(scored):
        return ()
    forget_scores(study.folder)
    return COUNTED


def _scored_anew(study: StudyRecord, given: ScoreTable) -> StudyRecord:
    """Gives samples scores that were made elsewhere."""
    samples, counts = give_scores(study.samples(), given, study.counts.get("rows", 0))
    write_table(study.samples_file, samples)
    given.write(study.folder)
    return update_study(study, counts=study.counts | counts)


def scorer_means(samples: pd.DataFrame) -> dict[str, float]:
    """Mean score of the samples that are labelled safe and unsafe: one that is upside down shows."""
    words = samples["is_safe"].map({True: "safe", False: "unsafe"})
    return {
        f"{name}_of_{word}": round(float(scores.mean()), 3)
        for name in COLUMNS
        for word, scores in samples.groupby(words)[name]
        if scores.notna().any()
    }
