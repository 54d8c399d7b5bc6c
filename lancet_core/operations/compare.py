"""Lets two models answer the same prompts and says whether the second is corrected."""

from pathlib import Path
from typing import Any

import pandas as pd

from lancet_core.acts.compare import ANSWERS, PROMPTS, CaseOutcome, CompareRequest, Comparison
from lancet_core.acts.results import INPUTS
from lancet_core.acts.subject import Subject
from lancet_core.config import from_dict
from lancet_core.correction.training import TRAINING_FILE
from lancet_core.data.samples import Query
from lancet_core.errors import ConfigError, DataError
from lancet_core.evaluation.evidence import QUERIES, SIDES, CaseEvidence, Training, gather_evidence
from lancet_core.evaluation.metrics import compare_answers
from lancet_core.evaluation.scorer_cards import ScorerCard
from lancet_core.evaluation.verdict import judge
from lancet_core.files import read_json, write_table
from lancet_core.models.generation import generate
from lancet_core.models.loading import LanguageModel, Loader, choose_device, load_language_model
from lancet_core.models.settings import GenerationSettings
from lancet_core.operations.answering import (
    VALIDATION,
    Scorers,
    asked_in,
    likelihoods,
    load_scorers,
    prompt_table,
)
from lancet_core.progress import Progress, silent


def run(
    subject: Subject,
    request: CompareRequest,
    *,
    folder: Path,
    progress: Progress = silent,
    load: Loader = load_language_model,
) -> Comparison:
    """Writes `answers.parquet` with both models' answers and scores; returns metrics, verdict and case.

    The validation split is left out: the checkpoint was chosen on it.

    Raises:
        DataError: There is nothing to answer.
        ModelError: A model or scorer cannot be loaded.
        ConfigError: A scorer measures the other thing.
    """
    queries = request.queries
    if request.case is not None and request.case.id not in {query.id for query in queries}:
        queries = (*queries, request.case)
    table = prompt_table(folder / INPUTS / PROMPTS, queries, leave_out=VALIDATION)
    table = table.assign(response=table["prompt_id"].map({query.id: query.response for query in queries}))
    scorers = load_scorers(subject.harmful_scorer, subject.helpful_scorer, device=str(choose_device("auto")))
    scorers.write_cards(folder)
    for side, model in zip(SIDES, (subject.model, request.after), strict=True):
        progress(f"Loading the model {side} the correction")
        report = _of_side(progress, side)
        table = _answered(
            load(model),
            table,
            side,
            template=subject.template,
            generation=request.generation,
            progress=report,
        )
        scores = scorers.score(asked_in(table), table[side].tolist(), report)
        table = table.assign(**{f"{name}_{side}": scores[name].to_numpy() for name in scores})
    table = table.assign(**_empty_scores(table, scorers))
    write_table(folder / ANSWERS, table.drop(columns=["reference", "response"]))
    progress("Judging")
    case = _case_outcome(table, request.case)
    card = scorers.harmful.card if scorers.harmful else None
    evidence = gather_evidence(
        table,
        case=_case_evidence(case, card),
        polarities=[query.polarity for query in queries],
        scorer=card,
        settings=request.metrics,
        training=_training(request.after),
    )
    verdict = judge(evidence, request.verdict)
    judged = scorers.judged_apart(table, [f"_{side}" for side in SIDES])
    return Comparison(
        verdict=verdict,
        metrics=tuple(compare_answers(judged, request.metrics)),
        case=case,
        before=subject.model,
        after=request.after,
    )


def _answered(
    lm: LanguageModel,
    table: pd.DataFrame,
    side: str,
    *,
    template: str,
    generation: GenerationSettings,
    progress: Progress,
) -> pd.DataFrame:
    """Adds one model's answers, reference NLL and log-probabilities of the queries' responses."""
    answers = generate(lm, asked_in(table), template, generation, progress)
    references, responses = (likelihoods(lm, table, column, template) for column in ("reference", "response"))
    measured: dict[str, Any] = {
        side: answers,
        f"nll_{side}": references["nll"],
        f"log_probability_{side}": responses["log_probability"],
        f"response_nll_{side}": responses["nll"],
    }
    return table.assign(**measured)


def _of_side(progress: Progress, side: str) -> Progress:
    """Names the model in each step that is reported."""

    def report(step: str, done: int = 0, total: int | None = None, **values: float) -> None:
        progress(f"{step} ({side})", done, total, **values)

    return report


def _case_outcome(table: pd.DataFrame, case: Query | None) -> CaseOutcome | None:
    """What both models say to the case's prompt; None where there is no case."""
    if case is None:
        return None
    row = table[(table["prompt_id"] == case.id) & (table["split"] == QUERIES)].iloc[0]
    measures = [f"{name}_{side}" for name in ("harmful", "helpful", "log_probability") for side in SIDES]
    return CaseOutcome(
        query_id=case.id,
        prompt=case.prompt,
        bad_answer=case.response,
        polarity=case.polarity,
        category=str(row["category"]),
        before=row["before"],
        after=row["after"],
        **{name: None if pd.isna(row[name]) else float(row[name]) for name in measures},
    )


def _case_evidence(case: CaseOutcome | None, scorer: ScorerCard | None) -> CaseEvidence | None:
    """What the verdict reads of the case; its new answer's score counts only where the scorer knows the category."""
    if case is None or case.log_probability_before is None or case.log_probability_after is None:
        return None
    judged = scorer is not None and scorer.knows(case.category)
    return CaseEvidence(
        bad_answer=case.bad_answer,
        before=case.before,
        after=case.after,
        log_probability_before=case.log_probability_before,
        log_probability_after=case.log_probability_after,
        harmful_after=case.harmful_after if judged else None,
        polarity=case.polarity,
    )


def _empty_scores(table: pd.DataFrame, scorers: Scorers) -> dict[str, Any]:
    """Scores an empty answer to each prompt: what of a score is the prompt's own."""
    scores = scorers.score(asked_in(table), [""] * len(table), silent)
    return {f"{name}_empty": scores[name].to_numpy() for name in ("harmful", "helpful")}


def _training(model: str) -> Training | None:
    """Reads what a corrected model was trained on; None for a model that was not corrected here."""
    path = Path(model) / TRAINING_FILE
    if not path.is_file():
        return None
    values = read_json(path)
    if not isinstance(values, dict):
        raise DataError(f"{path} holds {type(values).__name__} where one JSON object is due; remove the file")
    try:
        return from_dict(Training, values)
    except ConfigError as error:
        raise DataError(f"{path} cannot be used ({error}); remove the file") from error
