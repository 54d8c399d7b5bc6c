"""Studies: made from a model and a file of training samples, listed, shown and deleted."""

import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd

from lancet_core.data.adapters import AUTO, Loaded, load_samples
from lancet_core.data.inputs import load_prompts, load_queries
from lancet_core.data.samples import Query, read_samples
from lancet_core.errors import Cancelled, LancetError, ModelError, StoreError
from lancet_core.evaluation.scorer_cards import scorer_card
from lancet_core.files import write_json_lines, write_table
from lancet_core.models.fingerprints import check_model_folder
from lancet_core.operations.configs import PrepareConfig, ScoreConfig
from lancet_core.runs import launcher
from lancet_core.store import studies as store
from lancet_core.store.queries import add_queries
from lancet_core.store.studies import NewStudy, Study
from lancet_core.workbench.waiting import OnStatus, finish
from lancet_core.workspace import Workspace

HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*(/[\w.-]+)?")

# HH prompts are whole dialogues that carry their own marks.
TEMPLATES = {"hh": "raw"}
SCORE_COLUMNS = ("harmful", "helpful")


@dataclass(frozen=True)
class StudyRequest:
    """What a person gives to make a study.

    Attributes:
        model: Folder or hub id of the causal language model.
        train: File of its training samples.
        format: Name of a data adapter, or `auto`.
        harmful_scorer: Folder of the harmful scorer, empty for none.
        helpful_scorer: Folder of the helpful scorer, empty for none.
        template: How a prompt is formatted; empty takes `raw` for dialogues (HH) and `auto` for the rest.
        prompts: File of evaluation prompts, empty for none.
        queries: File of influence queries, empty for none.
    """

    model: str
    train: str
    format: str = AUTO
    harmful_scorer: str = ""
    helpful_scorer: str = ""
    template: str = ""
    prompts: str = ""
    queries: str = ""


def create_study(
    workspace: Workspace, name: str, request: StudyRequest, *, on_status: OnStatus | None = None
) -> Study:
    """Makes a study: reads the file, loads the model once to measure each sample, and scores the samples.

    Args:
        workspace: Where it will lie.
        name: Its name.
        request: What it is made of.
        on_status: Told where the runs that load the model and the scorers stand.

    Returns:
        The study; its counts tell how many samples were kept, cut, rejected and doubled.

    Raises:
        StoreError: The name is taken or no name.
        DataError: A file cannot be used.
        ModelError: The model or a scorer cannot be used.
        JobError: A run failed.
        Cancelled: A person stopped it. Whatever goes wrong, no half-made study stays.
    """
    _check_free(workspace, name)
    request = replace(
        request,
        model=_model_source(request.model),
        harmful_scorer=_scorer_folder(request.harmful_scorer),
        helpful_scorer=_scorer_folder(request.helpful_scorer),
    )
    loaded = load_samples(Path(request.train).expanduser(), request.format)
    prompts = load_prompts(Path(request.prompts).expanduser()) if request.prompts else None
    queries = load_queries(Path(request.queries).expanduser()) if request.queries else []
    request = replace(request, template=request.template or TEMPLATES.get(loaded.format, "auto"))
    folder = workspace.studies / name
    folder.mkdir(parents=True, exist_ok=True)

    def write() -> Study:
        if prompts is not None:
            write_table(folder / "prompts.parquet", prompts)
        counts = _write_samples(workspace, name, request, loaded=loaded, on_status=on_status)
        _score(workspace, name, request, on_status=on_status)
        return _register(workspace, name, request, counts=counts, queries=queries)

    return _all_or_nothing(workspace, name, write)


def install_demo(workspace: Workspace) -> Study:
    """Puts the demo study into the workspace; one that is there already stays as it is.

    Raises:
        DataError: An asset of the demo is missing.
        StoreError: The workspace holds a demo that was made from other assets.
    """
    from lancet_core.workbench import demo_assets  # which reads samples through this module

    return demo_assets.install(workspace)


def show_study(workspace: Workspace, name: str) -> Study:
    """Looks up a study.

    Raises:
        StoreError: There is none of this name.
    """
    return store.get_study(workspace, name)


def list_studies(workspace: Workspace) -> list[Study]:
    """Lists the studies, oldest first."""
    return store.list_studies(workspace)


def delete_study(workspace: Workspace, name: str) -> None:
    """Deletes a study with everything found out about it.

    Raises:
        StoreError: There is none of this name, or a run of it is going.
    """
    store.delete_study(workspace, name)


def samples_table(study: Study) -> pd.DataFrame:
    """Reads the training samples of a study beside their scores.

    Returns:
        Columns of `samples_frame`, then `harmful` and `helpful` in (0, 1), NaN where the study has no such scorer.

    Raises:
        DataError: The table is missing.
    """
    samples = read_samples(study.samples)
    scores = (
        pd.DataFrame({"sample_id": samples["id"]}) if study.scores is None else pd.read_parquet(study.scores)
    )
    scores = scores.set_index("sample_id")
    for column in SCORE_COLUMNS:
        values = samples["id"].map(scores[column]) if column in scores else np.nan
        samples[column] = pd.Series(values, index=samples.index, dtype="float64")
    return samples


def _check_free(workspace: Workspace, name: str) -> None:
    store.check_name(name)
    if name in {study.name for study in store.list_studies(workspace)}:
        raise StoreError(
            f"there is already a study {name!r}; choose another name, or delete it: lancet study delete {name}"
        )
    shutil.rmtree(workspace.studies / name, ignore_errors=True)  # left by a process that was killed half-way


def _all_or_nothing(workspace: Workspace, name: str, write: Callable[[], Study]) -> Study:
    try:
        return write()
    except (LancetError, Cancelled, KeyboardInterrupt, OSError):
        shutil.rmtree(workspace.studies / name, ignore_errors=True)
        raise


def _model_source(model: str) -> str:
    """Makes a model folder absolute and checks it; leaves a hub id as it is.

    Raises:
        ModelError: It is neither a folder of safetensors nor a hub id.
    """
    folder = Path(model).expanduser()
    if folder.exists():
        check_model_folder(folder)
        return str(folder.resolve())
    if HUB_ID.fullmatch(model):
        return model
    raise ModelError(f"there is no model folder {model}; give a folder saved by save_pretrained, or a hub id")


def _scorer_folder(folder: str) -> str:
    """Makes a scorer folder absolute and checks its card; empty stays empty."""
    if not folder:
        return ""
    place = Path(folder).expanduser()
    scorer_card(place)
    check_model_folder(place)
    return str(place.resolve())


def _write_samples(
    workspace: Workspace, name: str, request: StudyRequest, *, loaded: Loaded, on_status: OnStatus | None
) -> dict[str, int]:
    """Writes the samples that fit the model, and the rows that were rejected with the reason of each."""
    folder = workspace.studies / name
    read = folder / "read.parquet"
    write_table(read, loaded.frame)
    config = PrepareConfig(study=name, model=request.model, samples=str(read), template=request.template)
    run = finish(workspace, launcher.start(workspace, "prepare", config), on_status)
    fits = pd.read_parquet(run.folder / "lengths.parquet").set_index("sample_id")
    reasons = loaded.frame["id"].map(fits["rejected"]).fillna("")
    too_long = loaded.frame.loc[reasons != ""]
    rejected = [
        *({"row": row.row, "reason": row.reason} for row in loaded.rejected),
        *(
            {"row": int(row), "reason": reason}
            for row, reason in zip(too_long["source_row"], reasons[too_long.index], strict=True)
        ),
    ]
    kept = loaded.frame.loc[reasons == ""]
    write_table(folder / "samples.parquet", kept)
    read.unlink()
    write_json_lines(folder / "rejected.jsonl", sorted(rejected, key=lambda row: row["row"]))
    return {
        "rows": loaded.rows,
        "samples": len(kept),
        "rejected": len(rejected),
        "too_long": len(too_long),
        "cut": int((fits["cut_tokens"] > 0).sum()),
        "duplicates": loaded.duplicates,
        "unsafe": int((kept["is_safe"] == False).sum()),  # noqa: E712 - three-valued
        "labelled": int(kept["is_safe"].notna().sum()),
    }


def _score(workspace: Workspace, name: str, request: StudyRequest, *, on_status: OnStatus | None) -> None:
    """Scores the samples where the study has a scorer."""
    if not (request.harmful_scorer or request.helpful_scorer):
        return
    folder = workspace.studies / name
    config = ScoreConfig(
        study=name,
        samples=str(folder / "samples.parquet"),
        harmful_scorer=request.harmful_scorer,
        helpful_scorer=request.helpful_scorer,
    )
    run = finish(workspace, launcher.start(workspace, "score", config), on_status)
    shutil.copyfile(run.folder / "scores.parquet", folder / "scores.parquet")


def _register(
    workspace: Workspace, name: str, request: StudyRequest, *, counts: dict[str, int], queries: list[Query]
) -> Study:
    new = NewStudy(
        name=name,
        model=request.model,
        template=request.template,
        harmful_scorer=request.harmful_scorer,
        helpful_scorer=request.helpful_scorer,
        counts=counts,
    )
    study = store.add_study(workspace, new)
    add_queries(workspace, name, queries, Path(request.queries).name)
    return study
