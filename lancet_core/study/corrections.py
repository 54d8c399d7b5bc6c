"""Corrections: what one will do before it starts, where its pairs and retain set come from, and starting it."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import pandas as pd

from lancet_core.acts.attribute import SCORES, Attribution
from lancet_core.acts.correct import PAIRS, RETAIN, VALIDATION, Correction, CorrectRequest
from lancet_core.config import to_dict
from lancet_core.correction.needs import correction_need
from lancet_core.correction.pair_files import ReviewedPair, read_pairs, usable_pairs
from lancet_core.correction.pairs import choose_retain_set
from lancet_core.correction.settings import PAIRED, TRAINED_TYPES, CorrectionSettings, PairSettings
from lancet_core.data.samples import DESIRABLE, Query, read_prompts
from lancet_core.errors import ConfigError, DataError, StoreError
from lancet_core.models.fingerprints import count_parameters
from lancet_core.models.needs import model_size
from lancet_core.runs import launcher
from lancet_core.runs.launcher import Task
from lancet_core.runs.run import Run, list_runs, open_run
from lancet_core.store import pairs as store
from lancet_core.store.queries import read_queries
from lancet_core.store.runs import RunFilter
from lancet_core.store.studies import StudyRecord
from lancet_core.study.attributions import latest_corpus_attribution
from lancet_core.study.queue import Scope, pairs_in_scope
from lancet_core.study.review import approved_pairs, count_conflicts, unreviewed_pairs
from lancet_core.study.subjects import subject_of

CORRECT = "correct"

# Forward passes that one token of a step costs, measured with an adapter on a model of 135 million parameters: its step, and the
# start model's likelihood.
FORWARD_PASSES = 3.2
# Operations for each parameter and token, where no speed was measured.
PASSES = 8
ROUGH_OPERATIONS_PER_SECOND = 4e10
TOKENS_PER_SAMPLE = 64
LAST, SPEED, SIZES = (
    "as the last correction here took",
    "from the speed that was measured when the study was made",
    "by the sizes of model and texts",
)
"""What the seconds of long work are judged by."""


@dataclass(frozen=True)
class Source:
    """What a correction learns from.

    Attributes:
        pairs: Pairs to train on.
        retain: Ids of samples on which the model stays as it is.
        parents: Runs that these come from.
    """

    pairs: tuple[ReviewedPair, ...]
    retain: tuple[str, ...]
    parents: tuple[str, ...] = ()


@dataclass(frozen=True)
class Preflight:
    """What a correction would do.

    Attributes:
        pairs: Approved pairs that it would train on.
        conflicts: Pairs on which reviewers disagree.
        seconds: Rough duration.
        basis: What it is judged by: `LAST`, `SPEED` or `SIZES`.
        memory_bytes: Memory of the process at its height, reckoned from sizes; 0 where the model is not here.
        changes: What will change, in one sentence.
        blocked: Why it cannot start; empty where it can.
    """

    pairs: int
    conflicts: int
    seconds: float
    basis: str
    memory_bytes: int
    changes: str
    blocked: str = ""


def preflight(study: StudyRecord, settings: CorrectionSettings, scope: Scope | None = None) -> Preflight:
    """Says what a correction from the approved pairs of a scope would do; writes nothing and reads no table of samples."""
    pairs = pairs_in_scope(study, scope or Scope())
    approved = int((pairs["verdict"] == store.APPROVE).sum())
    seconds, basis = _estimate(study, settings, pairs=approved)
    is_adapter = settings.adapter == "lora"
    trained = "a low-rank adapter, merged when saved" if is_adapter else "all parameters of a copy"
    size, settings = model_size(study.model), _computed_as(study, settings)
    return Preflight(
        pairs=approved,
        conflicts=count_conflicts(study),
        seconds=seconds,
        basis=basis,
        memory_bytes=correction_need(size, settings).total if size else 0,
        changes=f"Trains {trained} for {settings.steps} steps; the study's own model stays as it is.",
        blocked="" if approved else "No pair is approved yet: approve at least one in the review.",
    )


def reviewed_source(study: StudyRecord, scope: Scope | None = None) -> Source:
    """Takes the approved pairs of a scope, and the retain set by the attribution that the case was sent to review with.

    Raises:
        DataError: No pair is approved, or no sample is left to retain.
    """
    scope = scope or Scope()
    pairs = tuple(approved_pairs(study, scope))
    if not pairs:
        raise DataError("no pair is approved yet; approve at least one in the review")
    rows = pairs_in_scope(study, scope)
    parents = list(dict.fromkeys(rows.loc[rows["verdict"] == store.APPROVE, "run_id"]))
    source = store.review_source(study, scope.case_id) or store.review_source(study, store.ALL_CASES)
    corpus = source.corpus_run_id or source.run_id if source else ""
    return _source(study, pairs, corpus, parents=tuple(dict.fromkeys([*parents, corpus])))


def file_source(study: StudyRecord, path: str | Path, settings: PairSettings | None = None) -> Source:
    """Takes the pairs of a file; the retain set comes from the newest whole-corpus attribution, else it is all the rest.

    Raises:
        DataError: The file cannot be used, or no sample is left to retain.
    """
    corpus = latest_corpus_attribution(study)
    run_id = corpus.id if corpus else ""
    return _source(study, tuple(usable_pairs(read_pairs(path))), run_id, settings=settings, parents=(run_id,))


def attribution_source(
    study: StudyRecord, run: Run[Attribution], settings: PairSettings | None = None
) -> Source:
    """Takes the pairs of an attribution as they are, unreviewed: the first, with up to half of all samples.

    Raises:
        DataError: No pair can be made, or no sample is left to retain.
        JobError: The run is not done.
    """
    settings = settings or PairSettings()
    proposed = unreviewed_pairs(study, run, settings)
    pairs = tuple(proposed[: max(1, len(study.samples()) // 4)])
    return _source(study, pairs, run.id, settings=settings, parents=(run.id,))


def correct(
    study: StudyRecord,
    source: Source | None = None,
    settings: CorrectionSettings | None = None,
    *,
    queries: Sequence[Query] = (),
    case_id: str = "",
) -> Run[Correction]:
    """Trains a corrected model, or finds the run that did.

    Args:
        study: The study.
        source: Pairs and retain set; None takes the approved pairs of the case, or of the study without one.
        settings: How to train.
        queries: Queries whose probability is followed; empty takes all of the study.
        case_id: Case that it is started for.

    Raises:
        DataError: There is no pair, or no sample to retain.
        ConfigError: The objective and what the queries show contradict each other.
        JobError: No worker can be started.
    """
    task = correction_task(study, source, settings, queries=queries, case_id=case_id)
    return Run(study.workspace, launcher.find_or_start(study.workspace, task))


def correction_task(
    study: StudyRecord,
    source: Source | None = None,
    settings: CorrectionSettings | None = None,
    *,
    queries: Sequence[Query] = (),
    case_id: str = "",
) -> Task:
    """Describes a correction completely; arguments and errors as in `correct`, but that nothing is started."""
    source = source or reviewed_source(study, Scope(case_id))
    settings = _computed_as(study, settings or CorrectionSettings())
    followed = tuple(queries) or tuple(read_queries(study))
    _check_objective(settings, followed)
    request = CorrectRequest(settings, followed, pairs=len(source.pairs))
    inputs: dict[str, Any] = {
        PAIRS: [to_dict(pair) for pair in source.pairs],
        RETAIN: pd.DataFrame({"id": list(source.retain)}),
    }
    validation = _validation_prompts(study)
    if validation is not None:
        inputs[VALIDATION] = validation
    return Task(CORRECT, subject_of(study), request, inputs, case_id=case_id, parents=source.parents)


def _check_objective(settings: CorrectionSettings, queries: Sequence[Query]) -> None:
    """Checks that what forgets is not asked to strengthen.

    Raises:
        ConfigError: The answers are wanted ones, and the objective can only make answers less likely.
    """
    polarities = {query.polarity for query in queries} if settings.polarity == "auto" else {settings.polarity}
    if settings.objective not in PAIRED and DESIRABLE in polarities:
        raise ConfigError(
            f"the objective {settings.objective} makes answers less likely, and these queries are wanted answers (desirable); "
            f"take one of {', '.join(PAIRED)}"
        )


def _computed_as(study: StudyRecord, settings: CorrectionSettings) -> CorrectionSettings:
    """Gives settings the number type and device of a study, unless they name others than the usual ones; float64 trains as float32."""
    usual = CorrectionSettings()
    if (settings.dtype, settings.device) != (usual.dtype, usual.device):
        return settings
    dtype = study.dtype if study.dtype in TRAINED_TYPES else usual.dtype
    return replace(settings, dtype=dtype, device=study.device)


def list_corrections(study: StudyRecord) -> list[Run[Correction]]:
    """Lists the corrections of a study, newest first."""
    return list_runs(study.workspace, RunFilter(study=study.name, act=CORRECT))


def _source(
    study: StudyRecord,
    pairs: tuple[ReviewedPair, ...],
    corpus_run: str,
    *,
    parents: tuple[str, ...],
    settings: PairSettings | None = None,
) -> Source:
    sides = tuple((pair.positive.sample_id, pair.negative.sample_id) for pair in pairs)
    scores = _scores(study, corpus_run) if corpus_run else None
    written_at = study.samples_file.stat().st_mtime_ns
    retain = _retain(study.samples_file, written_at, scores, sides, settings or PairSettings())
    return Source(pairs, retain, tuple(parent for parent in parents if parent))


def _scores(study: StudyRecord, run_id: str) -> Path:
    """The scores that a retain set is chosen by.

    Raises:
        DataError: Their run was deleted.
    """
    try:
        return open_run(study.workspace, run_id).record.folder / SCORES
    except StoreError as error:
        raise DataError(
            f"the attribution {run_id}, by which the retain set is chosen, was deleted; send the case to review again"
        ) from error


@lru_cache(maxsize=8)
def _retain(
    samples: Path,
    _written_at: int,
    scores: Path | None,
    sides: tuple[tuple[str, str], ...],
    settings: PairSettings,
) -> tuple[str, ...]:
    """Chooses the retain set; samples in a pair that was proposed and not approved may be in it."""
    table = pd.DataFrame({"cluster": [], "sample_id": [], "influence": pd.Series(dtype="float64")})
    if scores is not None:
        table = pd.read_parquet(scores).rename(columns={"query_id": "cluster"})
    pairs = pd.DataFrame(list(sides), columns=["positive_id", "negative_id"])
    ids = pd.read_parquet(samples, columns=["id"])["id"].tolist()
    return tuple(choose_retain_set(table, pairs, settings, sample_ids=ids))


def _estimate(study: StudyRecord, settings: CorrectionSettings, *, pairs: int) -> tuple[float, str]:
    """Reckons seconds from the last correction of the study, else from the speed at which the model was read, else from its size."""
    done = next((run for run in list_corrections(study) if run.record.is_done), None)
    if done is not None:
        result = done.result
        return result.seconds / max(1, result.steps) * settings.steps, LAST
    in_pairs = 2 * min(settings.pair_batch, pairs or settings.pair_batch)
    samples = settings.steps * (in_pairs + settings.retain_batch)
    rate, length = (study.counts.get(name, 0) for name in ("tokens_per_second", "mean_tokens"))
    if rate and length:
        return FORWARD_PASSES * samples * length / rate, SPEED
    operations = PASSES * count_parameters(study.model) * samples * TOKENS_PER_SAMPLE
    return operations / ROUGH_OPERATIONS_PER_SECOND, SIZES


def _validation_prompts(study: StudyRecord) -> pd.DataFrame | None:
    """The prompts on which a checkpoint is chosen; None where the study has none: unseen ones are never used."""
    if study.prompts_file is None:
        return None
    prompts = read_prompts(study.prompts_file)
    chosen = prompts[prompts["split"] == "validation"]
    return None if chosen.empty else chosen.reset_index(drop=True)
