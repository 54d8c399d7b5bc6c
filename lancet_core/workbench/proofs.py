"""Proofs: answers of one model measured, two models side by side, the verdict, and the corrected model handed out."""

import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from lancet_core.config import fingerprint
from lancet_core.data.inputs import load_prompts
from lancet_core.data.samples import UNDESIRABLE, Prompt, Query, prompts_frame, read_prompts
from lancet_core.errors import DataError, JobError, ModelError, StoreError
from lancet_core.evaluation.settings import MetricSettings, VerdictSettings
from lancet_core.files import write_table
from lancet_core.models.fingerprints import check_model_folder
from lancet_core.models.settings import GenerationSettings
from lancet_core.operations.configs import CompareConfig, EvaluateConfig
from lancet_core.runs.run_folder import RunFolder
from lancet_core.store.queries import list_queries
from lancet_core.store.runs import RunRecord, get_run, list_runs
from lancet_core.store.studies import Study
from lancet_core.workbench.cases import study_queries
from lancet_core.workbench.waiting import reuse_or_start
from lancet_core.workspace import Workspace

METRIC_COLUMNS = ["split", "kind", "metric", "value", "low", "high", "n"]
CHANGE_COLUMNS = ["split", "kind", "metric", "before", "after", "change", "low", "high", "n"]


@dataclass(frozen=True)
class Evaluation:
    """Answers of one model and what they measure.

    Attributes:
        answers: Columns `prompt_id`, `prompt`, `split`, `kind`, `category`, `response`, `harmful`, `helpful`.
        metrics: Columns `METRIC_COLUMNS`, intervals of 95 % unless the settings say otherwise.
        settings: How the answers were made and measured.
    """

    answers: pd.DataFrame
    metrics: pd.DataFrame
    settings: dict[str, Any]


@dataclass(frozen=True)
class Comparison:
    """Two models on the same prompts with the same decoding.

    Attributes:
        answers: One row for each prompt: both answers and their scores.
        metrics: Columns `CHANGE_COLUMNS`; the interval is that of the paired change.
        verdict: `corrected`, its `checks` and the `advice` where it is not.
        case: The bad answer and both models' answers to its prompt; empty where there is no case.
        before: Folder or hub id of the model as it was.
        after: Folder of the corrected model.
    """

    answers: pd.DataFrame
    metrics: pd.DataFrame
    verdict: dict[str, Any]
    case: dict[str, Any]
    before: str
    after: str


@dataclass(frozen=True)
class ProofSettings:
    """How answers are made, measured and judged.

    Attributes:
        generation: Length, temperature and seed of the answers.
        metrics: Intervals and diversity.
        verdict: Bounds of the verdict.
    """

    generation: GenerationSettings = field(default_factory=GenerationSettings)
    metrics: MetricSettings = field(default_factory=MetricSettings)
    verdict: VerdictSettings = field(default_factory=VerdictSettings)


def start_evaluation(
    workspace: Workspace,
    study: Study,
    *,
    model: str = "",
    prompts: str | Path = "",
    settings: ProofSettings | None = None,
) -> str:
    """Starts measuring a model's answers, or finds the run that did it.

    Args:
        workspace: Where the study lies.
        study: The study.
        model: Folder of another model than the study's.
        prompts: File of prompts; empty takes the study's.
        settings: How answers are made and measured.

    Returns:
        Id of the run.

    Raises:
        DataError: There is neither a prompt nor a query.
        ModelError: The model folder cannot be used.
    """
    settings = settings or ProofSettings()
    queries = tuple(study_queries(workspace, study))
    path = _prompts_path(workspace, study, prompts)
    if not path and not queries:
        raise DataError(f"study {study.name!r} has no prompts and no queries to answer; give --prompts FILE")
    config = EvaluateConfig(
        study=study.name,
        model=_checked_model(model) if model else study.model,
        template=study.template,
        prompts=path,
        queries=queries,
        harmful_scorer=study.harmful_scorer,
        helpful_scorer=study.helpful_scorer,
        generation=settings.generation,
        metrics=settings.metrics,
    )
    return reuse_or_start(workspace, "evaluate", config, study=study.name, warm=True)


def read_evaluation(workspace: Workspace, run_id: str) -> Evaluation:
    """Reads a finished evaluation.

    Raises:
        StoreError: There is no such run.
        JobError: The run is not done.
    """
    run = get_run(workspace, run_id)
    result = RunFolder(run.folder).result()
    answers = pd.read_parquet(run.folder / "answers.parquet")
    return Evaluation(answers, pd.DataFrame(result["metrics"], columns=METRIC_COLUMNS), result["settings"])


def start_comparison(
    workspace: Workspace, study: Study, correction_run_id: str, case: Query | None = None
) -> str:
    """Starts the comparison of a corrected model with the study's, or finds the run that did it.

    Returns:
        Id of the run.

    Raises:
        StoreError: There is no such correction.
        JobError: The correction is not done.
    """
    after = corrected_model(workspace, correction_run_id)
    return compare_models(workspace, study, after=after, case=case, parent=correction_run_id)


def compare_models(
    workspace: Workspace,
    study: Study,
    *,
    after: str | Path,
    case: Query | None = None,
    settings: ProofSettings | None = None,
    parent: str = "",
) -> str:
    """Starts the comparison of any model with the study's, or finds the run that did it.

    Args:
        workspace: Where the study lies.
        study: The study.
        after: Folder of the other model.
        case: The bad answer that was to be corrected.
        settings: How answers are made, measured and judged.
        parent: The correction that made the other model, if one did.

    Returns:
        Id of the run.

    Raises:
        ModelError: The folder cannot be used.
        DataError: There is neither a prompt nor a query.
    """
    settings = settings or ProofSettings()
    queries = tuple(study_queries(workspace, study))
    if study.prompts is None and not queries and case is None:
        raise DataError(
            f"study {study.name!r} has no prompts and no queries to compare on; evaluate with --prompts FILE"
        )
    config = CompareConfig(
        study=study.name,
        before=study.model,
        after=_checked_model(after),
        template=study.template,
        prompts=_prompts_path(workspace, study, ""),
        queries=queries,
        case=case,
        harmful_scorer=study.harmful_scorer,
        helpful_scorer=study.helpful_scorer,
        generation=settings.generation,
        metrics=settings.metrics,
        verdict=settings.verdict,
    )
    parents = (parent,) if parent else ()
    return reuse_or_start(workspace, "compare", config, study=study.name, parents=parents, warm=True)


def read_comparison(workspace: Workspace, run_id: str) -> Comparison:
    """Reads a finished comparison.

    Raises:
        StoreError: There is no such run.
        JobError: The run is not done.
    """
    run = get_run(workspace, run_id)
    folder = RunFolder(run.folder)
    result = folder.result()
    return Comparison(
        answers=pd.read_parquet(run.folder / "answers.parquet"),
        metrics=pd.DataFrame(result["metrics"], columns=CHANGE_COLUMNS),
        verdict=result["verdict"],
        case=result.get("case") or {},
        before=folder.config["before"],
        after=folder.config["after"],
    )


def comparisons(workspace: Workspace, study: Study) -> list[RunRecord]:
    """Lists the comparisons of a study, newest first."""
    return list_runs(workspace, study=study.name, operation="compare")


def corrected_model(workspace: Workspace, correction_run_id: str) -> Path:
    """Finds the folder of the model that a correction made.

    Raises:
        StoreError: There is no such correction.
        JobError: The correction is not done.
    """
    run = get_run(workspace, correction_run_id)
    if run.operation != "correct":
        raise StoreError(f"run {run.id} is no correction but {run.operation}; list them: lancet runs list")
    RunFolder(run.folder).result()
    return run.folder / "model"


def export_model(workspace: Workspace, correction_run_id: str, folder: str | Path) -> Path:
    """Copies a corrected model, tokenizer and model card to a folder that `from_pretrained` reads.

    Args:
        workspace: Where the run lies.
        correction_run_id: A finished correction.
        folder: Where to; must be empty or not there yet.

    Returns:
        The folder.

    Raises:
        StoreError: There is no such correction.
        JobError: The correction is not done, or the disk refuses the copy.
        DataError: The folder holds something already.
    """
    source = corrected_model(workspace, correction_run_id)
    target = Path(folder).expanduser().resolve()
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise DataError(f"{target} is there already; give a new or empty folder")
    try:
        shutil.copytree(source, target, dirs_exist_ok=True)
    except OSError as error:
        raise JobError(
            f"the model cannot be copied to {target}: {error}; it still lies in {source}"
        ) from error
    return target


def _query_prompts(workspace: Workspace, study: Study) -> pd.DataFrame:
    """The prompts of the queries whose category is known."""
    queries = list_queries(workspace, study.name)
    known = queries[queries["category"].fillna("") != ""]
    kinds = known["polarity"].map({UNDESIRABLE: "wrong"}).fillna("unknown")
    rows = zip(known["prompt"], kinds, known["category"], strict=True)
    return prompts_frame([Prompt(prompt, "queries", kind, category) for prompt, kind, category in rows])


def _checked_model(model: str | Path) -> str:
    """Makes a model folder absolute.

    Raises:
        ModelError: It is no folder of safetensors.
    """
    folder = Path(model).expanduser()
    if not folder.is_dir():
        raise ModelError(f"there is no model folder {folder}; give a folder saved by save_pretrained")
    check_model_folder(folder)
    return str(folder.resolve())


def _prompts_path(workspace: Workspace, study: Study, prompts: str | Path) -> str:
    """Path of the prompts to answer, kept in the study and named by content; empty where there are none.

    The study's own come without the validation split: what settings and checkpoints were chosen on proves nothing. Those of its
    queries come with their category, which decides whether a scorer can judge the answers.
    """
    if prompts:
        frame = load_prompts(Path(prompts).expanduser())
    else:
        own = prompts_frame([]) if study.prompts is None else read_prompts(study.prompts)
        frame = pd.concat([_query_prompts(workspace, study), own[own["split"] != "validation"]])
    if frame.empty:
        return ""
    path = study.folder / "evaluations" / f"prompts-{fingerprint(frame.fillna('').values.tolist())}.parquet"
    write_table(path, frame)
    return str(path)
