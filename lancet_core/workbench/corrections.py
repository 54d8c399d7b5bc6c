"""Corrections: what one will do before it starts, starting it from approved pairs, and its curves."""

import json
import math
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from lancet_core.config import fingerprint
from lancet_core.correction.pair_files import ReviewedPair, read_pairs, usable_pairs, write_pairs
from lancet_core.correction.pairs import choose_retain_set
from lancet_core.correction.settings import CorrectionSettings, PairSettings
from lancet_core.data.samples import Query, read_prompts, read_samples
from lancet_core.errors import DataError, ModelError
from lancet_core.files import write_table
from lancet_core.operations.configs import CorrectConfig
from lancet_core.runs.run_folder import RunFolder
from lancet_core.store.runs import RunRecord, get_run, list_runs
from lancet_core.store.studies import Study
from lancet_core.workbench import reviews
from lancet_core.workbench.attributions import latest_batch_attribution
from lancet_core.workbench.cases import study_queries
from lancet_core.workbench.waiting import reuse_or_start
from lancet_core.workspace import Workspace

BYTES_PER_VALUE = {"float32": 4, "bfloat16": 2}

# Trained weights, the model as it was, gradients and the two moments of AdamW.
COPIES_WHEN_ALL_IS_TRAINED = 5
COPIES_WITH_AN_ADAPTER = 1

# Forward and backward of the trained model on pairs and retain samples, and the forward of the model as it was.
PASSES = 8
ROUGH_OPERATIONS_PER_SECOND = 4e10
CHARACTERS_PER_TOKEN = 4


@dataclass(frozen=True)
class Preflight:
    """What a correction would do.

    Attributes:
        pairs: Approved pairs that it would train on.
        conflicts: Pairs on which reviewers disagree, or whose sample stands on both sides.
        retain: Samples on which the model must stay as it is.
        estimated_seconds: Rough duration: measured on the study's last correction, else reckoned from sizes.
        measured: Whether the estimate comes from a correction of this study.
        memory_bytes: Memory of weights, gradients and optimizer, without activations.
        changes: What will change, in one sentence.
        blocked: Why it cannot start; empty where it can.
    """

    pairs: int
    conflicts: int
    retain: int
    estimated_seconds: float
    measured: bool
    memory_bytes: int
    changes: str
    blocked: str = ""


@dataclass(frozen=True)
class CorrectionSource:
    """What a correction learns from.

    Attributes:
        pairs: Pairs to train on.
        retain: Ids of samples on which the model stays as it is.
        parents: Runs that these come from.
    """

    pairs: tuple[ReviewedPair, ...]
    retain: tuple[str, ...]
    parents: tuple[str, ...] = ()


def preflight(workspace: Workspace, study: Study, settings: CorrectionSettings) -> Preflight:
    """Says what a correction from the approved pairs would do.

    Args:
        workspace: Where the study lies.
        study: The study.
        settings: How it would train.
    """
    approved = reviews.counts(workspace, study.name)["approve"]
    seconds, measured = _estimate(workspace, study, settings)
    copies = COPIES_WITH_AN_ADAPTER if settings.adapter == "lora" else COPIES_WHEN_ALL_IS_TRAINED
    trained = (
        "a low-rank adapter, merged when saved" if settings.adapter == "lora" else "all parameters of a copy"
    )
    blocked = "" if approved else "No pair is approved yet: approve at least one in the review."
    retain = 0
    if approved:
        try:
            retain = len(reviewed_source(workspace, study).retain)
        except DataError as error:
            blocked = str(error)
    return Preflight(
        pairs=approved,
        conflicts=_conflicts(reviews.decisions(workspace, study.name)),
        retain=retain,
        estimated_seconds=seconds,
        measured=measured,
        memory_bytes=model_parameters(study.model) * BYTES_PER_VALUE[settings.dtype] * copies,
        changes=f"Trains {trained} for {settings.steps} steps; the study's own model stays as it is.",
        blocked=blocked,
    )


def reviewed_source(workspace: Workspace, study: Study) -> CorrectionSource:
    """Takes the approved pairs, and the retain set by the attribution that they were proposed from.

    Raises:
        DataError: No pair is approved, or no sample is left to retain.
    """
    path = _inputs(study) / "approved.jsonl"
    reviews.export_pairs(workspace, study.name, path, "pairs")
    return file_source(workspace, study, path=path)


def file_source(
    workspace: Workspace, study: Study, *, path: str | Path, settings: PairSettings | None = None
) -> CorrectionSource:
    """Takes the pairs of a file; the retain set comes from the newest whole-corpus attribution, else it is all the rest.

    Raises:
        DataError: The file cannot be used, or no sample is left to retain.
    """
    pairs = tuple(usable_pairs(read_pairs(path)))
    batch = latest_batch_attribution(workspace, study)
    retain = _retain(study, pairs, batch, settings or PairSettings())
    return CorrectionSource(pairs, retain, () if batch is None else (batch.id,))


def attribution_source(
    workspace: Workspace, study: Study, *, run_id: str, settings: PairSettings
) -> CorrectionSource:
    """Proposes pairs from an attribution and takes them as they are, unreviewed: the first, with up to half of all samples.

    Raises:
        DataError: No pair can be made, or no sample is left to retain.
        StoreError: There is no such run.
        JobError: The run is not done.
    """
    proposed = reviews.pairs_from_attribution(workspace, study.name, run_id, settings)
    pairs = tuple(proposed[: max(1, len(read_samples(study.samples)) // 4)])
    return CorrectionSource(pairs, _retain(study, pairs, get_run(workspace, run_id), settings), (run_id,))


def start_correction(
    workspace: Workspace,
    study: Study,
    settings: CorrectionSettings,
    *,
    source: CorrectionSource | None = None,
    queries: Sequence[Query] = (),
) -> str:
    """Starts a correction, or finds the one that did the same.

    Args:
        workspace: Where the study lies.
        study: The study.
        settings: How to train.
        source: Pairs and retain set; None takes the approved pairs.
        queries: Queries whose probability is followed; empty takes all of the study.

    Returns:
        Id of the run.

    Raises:
        DataError: There is no pair, or no sample to retain.
        JobError: No worker can be started.
    """
    source = source or reviewed_source(workspace, study)
    pairs_path, retain_path = _write_inputs(study, source)
    config = CorrectConfig(
        study=study.name,
        model=study.model,
        samples=str(study.samples),
        template=study.template,
        pairs=str(pairs_path),
        retain=str(retain_path),
        correction=settings,
        queries=tuple(queries) or tuple(study_queries(workspace, study)),
        prompts=_validation_prompts(study),
        harmful_scorer=study.harmful_scorer,
        helpful_scorer=study.helpful_scorer,
    )
    return reuse_or_start(workspace, "correct", config, study=study.name, parents=source.parents)


def curves(workspace: Workspace, run_id: str) -> pd.DataFrame:
    """Reads what a correction measured so far: one row for each step, a column for each term.

    Raises:
        StoreError: There is no such run.
    """
    return RunFolder(get_run(workspace, run_id).folder).metrics()


def corrections(workspace: Workspace, study: Study) -> list[RunRecord]:
    """Lists the corrections of a study, newest first."""
    return list_runs(workspace, study=study.name, operation="correct")


def model_parameters(model: str) -> int:
    """Counts a model's parameters from the headers of its safetensors files; 0 for a model that is not a folder.

    Raises:
        ModelError: A header is broken.
    """
    return sum(_parameters_of(path) for path in sorted(Path(model).glob("*.safetensors")))


def _parameters_of(path: Path) -> int:
    try:
        with path.open("rb") as file:
            (length,) = struct.unpack("<Q", file.read(8))
            header = json.loads(file.read(length))
    except (OSError, struct.error, ValueError) as error:
        raise ModelError(f"{path} has a broken header ({error}); fetch or save the model again") from error
    return sum(math.prod(tensor["shape"]) for name, tensor in header.items() if name != "__metadata__")


def _estimate(workspace: Workspace, study: Study, settings: CorrectionSettings) -> tuple[float, bool]:
    """Reckons seconds from the last correction of the study, else from parameters and text lengths."""
    for run in corrections(workspace, study):
        steps, seconds = run.summary.get("steps"), run.summary.get("seconds")
        if steps and seconds:
            return float(seconds) / int(steps) * settings.steps, True
    samples = read_samples(study.samples)
    length = (
        float((samples["prompt"].str.len() + samples["response"].str.len()).mean()) / CHARACTERS_PER_TOKEN
    )
    tokens = settings.steps * (2 * settings.pair_batch + settings.retain_batch) * length
    return PASSES * model_parameters(study.model) * tokens / ROUGH_OPERATIONS_PER_SECOND, False


def _conflicts(decisions: pd.DataFrame) -> int:
    """Counts pairs whose newest verdicts of two reviewers are approve and reject."""
    if decisions.empty:
        return 0
    newest = decisions.drop_duplicates(["pair_id", "reviewer"], keep="last")
    firm = newest[newest["verdict"].isin(["approve", "reject"])]
    return int((firm.groupby("pair_id")["verdict"].nunique() > 1).sum())


def _retain(
    study: Study, pairs: Sequence[ReviewedPair], batch: RunRecord | None, settings: PairSettings
) -> tuple[str, ...]:
    """Chooses the retain set; samples in a pair that was proposed and not approved may be in it."""
    ids = read_samples(study.samples)["id"].tolist()
    sides = pd.DataFrame(
        {
            "positive_id": [pair.positive.sample_id for pair in pairs],
            "negative_id": [pair.negative.sample_id for pair in pairs],
        }
    )
    if batch is None:
        scores = pd.DataFrame({"cluster": [], "sample_id": [], "influence": np.empty(0)})
    else:
        scores = pd.read_parquet(batch.folder / "scores.parquet").rename(columns={"query_id": "cluster"})
    return tuple(choose_retain_set(scores, sides, settings, sample_ids=ids))


def _inputs(study: Study) -> Path:
    """The folder of what was handed to corrections, named by content, so that each run can be replayed."""
    folder = study.folder / "corrections"
    folder.mkdir(exist_ok=True)
    return folder


def _write_inputs(study: Study, source: CorrectionSource) -> tuple[Path, Path]:
    """Writes pairs and retain set under names that their content gives."""
    named = [[pair.pair_id, pair.positive.influence, pair.negative.influence] for pair in source.pairs]
    pairs_path = _inputs(study) / f"pairs-{fingerprint(named)}.jsonl"
    write_pairs(pairs_path, source.pairs)
    retain_path = _inputs(study) / f"retain-{fingerprint(list(source.retain))}.parquet"
    write_table(retain_path, pd.DataFrame({"id": list(source.retain)}))
    return pairs_path, retain_path


def _validation_prompts(study: Study) -> str:
    """Writes the prompts on which a checkpoint is chosen; empty where the study has none: unseen ones are never used."""
    if study.prompts is None:
        return ""
    prompts = read_prompts(study.prompts)
    chosen = prompts[prompts["split"] == "validation"]
    if chosen.empty:
        return ""
    path = _inputs(study) / "validation.parquet"
    write_table(path, chosen)
    return str(path)
