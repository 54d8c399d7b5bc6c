"""A study stays open to change: further queries, other scorers, prompts or template. Runs and decisions stay."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd

from lancet_core.acts.prepare import Prepared, PrepareRequest, TemplateFit
from lancet_core.config import from_dict, to_dict
from lancet_core.data.inputs import load_prompts, load_queries
from lancet_core.data.samples import Query
from lancet_core.errors import ConfigError
from lancet_core.evaluation.scorer_cards import COLUMNS, resolve_scorer
from lancet_core.files import read_json_or_none, write_json, write_table
from lancet_core.runs import launcher
from lancet_core.runs.launcher import Task
from lancet_core.runs.run import OnStatus, Run
from lancet_core.store import queries as query_store
from lancet_core.store.run_status import now
from lancet_core.store.studies import StudyRecord, check_idle, update_study
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


def change(
    study: StudyRecord,
    *,
    template: str | None = None,
    harmful_scorer: str | Path | None = None,
    helpful_scorer: str | Path | None = None,
    prompts: str | Path | None = None,
    on_status: OnStatus | None = None,
) -> StudyRecord:
    """Changes what a study is made of; what is None stays.

    With another scorer all samples are scored anew, with another template measured anew. No sample is left out: one that the new
    template refuses is not scored by influence, as attributions tell. Runs stay as they are, known by what they were asked of.

    Args:
        study: The study.
        template: How a prompt is formatted.
        harmful_scorer: Folder of a scorer, or `none`.
        helpful_scorer: Folder of a scorer, or `none`.
        prompts: File of evaluation prompts, or `none`.
        on_status: Called whenever the run that measures the samples was looked at.

    Returns:
        The study as it is now.

    Raises:
        ConfigError: Nothing is to be changed, or the template is none of the model's.
        StoreError: A run of the study is going.
        DataError: The file of prompts cannot be used, or no sample fits the template.
        ModelError: A scorer cannot be used.
        JobError: The run that measures the samples failed.
    """
    check_idle(study)
    scorers = zip(COLUMNS, (harmful_scorer, helpful_scorer), strict=True)
    values: dict[str, Any] = {
        f"{score}_scorer": resolve_scorer("" if scorer == NONE else scorer, column=score)
        for score, scorer in scorers
        if scorer is not None
    }
    if template is not None:
        values["template"] = template
    if not values and prompts is None:
        raise ConfigError(
            "nothing is to be changed; give --template, --harmful-scorer, --helpful-scorer or --prompts"
        )
    table = load_prompts(Path(prompts).expanduser()) if prompts and prompts != NONE else None
    changed = _measured_anew(study, values, on_status) if values else study
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
    taken = [*LENGTHS, *(name for name in map(str, measured) if name.partition("_")[0] in scored)]
    found = {name: samples["id"].map(measured[name]) for name in taken}
    counts = {"cut": result.cut, "shortened": result.shortened, "refused": result.rejected}
    write_table(study.samples_file, samples.assign(**found))
    write_json(study.templates_file, [to_dict(fit) for fit in result.templates])
    run.refreshed().delete()
    cards = {f"{score}_scorer": card for score, card in result.scorers.items()}
    facts = {"template": result.template, "counts": study.counts | counts}
    return update_study(study, **values | cards | facts)


def scorer_means(samples: pd.DataFrame) -> dict[str, float]:
    """Mean score of the samples that are labelled safe and unsafe: one that is upside down shows."""
    words = samples["is_safe"].map({True: "safe", False: "unsafe"})
    return {
        f"{name}_of_{word}": round(float(scores.mean()), 3)
        for name in COLUMNS
        for word, scores in samples.groupby(words)[name]
        if scores.notna().any()
    }
