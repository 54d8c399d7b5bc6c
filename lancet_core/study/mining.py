"""Mining queries with a second model, and taking them into the study."""

from pathlib import Path

import pandas as pd

from lancet_core.acts.mine import MINING_GENERATION, PROMPTS, SOURCE, Mined, MineRequest
from lancet_core.data.contamination import prompt_key
from lancet_core.data.inputs import load_prompts
from lancet_core.data.samples import read_prompts
from lancet_core.errors import ConfigError, DataError
from lancet_core.evaluation.settings import MineSettings
from lancet_core.models.settings import GenerationSettings
from lancet_core.runs import launcher
from lancet_core.runs.launcher import Task
from lancet_core.runs.run import Run
from lancet_core.store.queries import add_queries
from lancet_core.store.studies import StudyRecord
from lancet_core.study.proofs import checked_model
from lancet_core.study.subjects import subject_of


def mine(
    study: StudyRecord,
    safe_model: str | Path,
    prompts: str | Path,
    *,
    settings: MineSettings | None = None,
    generation: GenerationSettings | None = None,
) -> Run[Mined]:
    """Mines queries by control variates, or finds the run that did: both models answer prompts, and those that became worst are kept.

    Args:
        study: A study with a harmful scorer.
        safe_model: Folder of a model like the study's that was trained without the causes.
        prompts: File of prompts; those that the study keeps for validation and evaluation are left out.
        settings: How many queries, how many answers, and which are bad.
        generation: Length, temperature and seed of the answers.

    Raises:
        ConfigError: The study has no harmful scorer, or all answers to a prompt would be the same.
        DataError: The file cannot be used, or all of its prompts are kept for evaluation.
        ModelError: The model folder cannot be used.
        JobError: No worker can be started.
    """
    settings, generation = settings or MineSettings(), generation or MINING_GENERATION
    if not study.harmful_scorer:
        raise ConfigError(
            f"study {study.name!r} has no harmful scorer, and mining needs one; give it one: lancet study set {study.name} "
            "--harmful-scorer FOLDER"
        )
    if settings.answers > 1 and generation.temperature == 0.0:
        raise ConfigError(
            f"the temperature is 0, so that the {settings.answers} answers to a prompt would be the same; give a temperature above 0, or "
            "--answers 1"
        )
    asked = _without_evaluated(study, load_prompts(Path(prompts).expanduser()))
    if asked.empty:
        raise DataError(
            f"study {study.name!r} keeps all prompts of {prompts} for its evaluation; queries are mined from others"
        )
    request = MineRequest(checked_model(safe_model), settings, generation, len(asked))
    task = Task("mine", subject_of(study), request, {PROMPTS: asked})
    return Run(study.workspace, launcher.find_or_start(study.workspace, task))


def add_mined(study: StudyRecord, run: Run[Mined]) -> int:
    """Takes mined queries into the study; those that are there already stay.

    Returns:
        How many were new.

    Raises:
        JobError: The run is not done.
    """
    return add_queries(study, run.result.found, SOURCE)


def _without_evaluated(study: StudyRecord, prompts: pd.DataFrame) -> pd.DataFrame:
    """Leaves out what the study keeps for validation and evaluation: a query's prompt is no unseen one."""
    if study.prompts_file is None:
        return prompts
    own = read_prompts(study.prompts_file)
    kept = own[own["split"] != "queries"]
    keys = {prompt_key(*texts) for texts in zip(kept["prompt"], kept["history"], strict=True)}
    seen = [prompt_key(*texts) in keys for texts in zip(prompts["prompt"], prompts["history"], strict=True)]
    return prompts[[not each for each in seen]].reset_index(drop=True)
