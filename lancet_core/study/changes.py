"""A study stays open to change: further queries, other scorers, prompts or template. Runs and decisions stay."""

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import pandas as pd

from lancet_core.acts.prepare import Prepared, PrepareRequest, TemplateFit
from lancet_core.config import from_dict, to_dict
from lancet_core.data.inputs import load_prompts, load_queries
from lancet_core.data.samples import Query
from lancet_core.errors import ConfigError
from lancet_core.evaluation.scorer_cards import COLUMNS, Declared, resolve_scorer, scorer_folder
from lancet_core.files import read_json_or_none, write_json, write_table
from lancet_core.models.settings import DEVICES, DTYPES
from lancet_core.runs import launcher
from lancet_core.runs.launcher import Task
from lancet_core.runs.run import OnStatus, Run
from lancet_core.store import queries as query_store
from lancet_core.store.run_status import now
from lancet_core.store.studies import StudyRecord, check_idle, update_study
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
    """Changes what a study is made of.

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
        StoreError: A run of the study is going.
        DataError: The file of prompts or scores cannot be used, or no sample fits the template.
        ModelError: A scorer cannot be used.
        JobError: The run that measures the samples failed.
    """
    check_idle(study)
    if changes.is_empty:
        raise ConfigError(
            "nothing is to be changed; give --template, --harmful-scorer, --helpful-scorer, --scores, --prompts, --dtype or --device"
        )
    values, prompts = changes.measured(study), changes.prompts
    table = load_prompts(Path(prompts).expanduser()) if prompts and prompts != NONE else None
    given = None if changes.scores is None else load_scores(changes.scores, changes.scores_as)
    study = update_study(study, **changes.loading) if changes.loading else study
    changed = _measured_anew(study, values, on_status) if values else study
    if given is not None:
        changed = _scored_anew(changed, given)
    place = study.folder / "prompts.parquet"
    if prompts == NONE:
        place.unlink(missing_ok=True)
    elif table is not None:
        write_table(place, table)
    return changed


def template_fits(study: StudyRecord) -> tuple[TemplateFit, ...]:
    """How likely the model finds its samples under each known template, likeliest first; empty where it was not measured."""
    values = read_json_or_none(study.templates_file)
    return tuple(from_dict(TemplateFit, value) for value in values) if isinstance(values, list) else ()


def _measured_anew(study: StudyRecord, values: dict[str, Any], on_status: OnStatus | None) -> StudyRecord:
    """Measures and scores the samples with what was changed, and keeps both or neither."""
    subject = replace(subject_of(study), study="", **values)
    request = PrepareRequest(day=now().date().isoformat())
    run: Run[Prepared] = Run(
        study.workspace, launcher.start(study.workspace, Task("prepare", subject, request))
    )
    result = run.wait(on_status).result
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
    run.refreshed().delete()
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
