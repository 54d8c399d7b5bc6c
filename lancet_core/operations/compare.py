"""Lets two models answer the same prompts and says whether the second is corrected."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

import pandas as pd

from lancet_core.config import to_dict
from lancet_core.data.samples import UNDESIRABLE, Query
from lancet_core.evaluation.metrics import COLLAPSE_MEASURES, compare_answers, diversity_change
from lancet_core.evaluation.verdict import CaseEvidence, Evidence, judge
from lancet_core.files import write_table
from lancet_core.models.generation import generate
from lancet_core.models.loading import LanguageModel, Loader, choose_device, load_language_model
from lancet_core.operations.answering import (
    QUERIES,
    VALIDATION,
    Scorers,
    load_scorers,
    log_probabilities,
    prompt_table,
    reference_nll,
)
from lancet_core.operations.configs import CompareConfig
from lancet_core.progress import Progress

SIDES = ("before", "after")


def run(
    config: CompareConfig, folder: Path, progress: Progress, load: Loader = load_language_model
) -> dict[str, Any]:
    """Writes `answers.parquet` with both models' answers and scores; returns metrics, verdict and case.

    The validation split is left out: the checkpoint was chosen on it.

    Raises:
        DataError: There is nothing to answer.
        ModelError: A model or scorer cannot be loaded.
        ConfigError: A scorer measures the other thing.
    """
    queries = config.queries
    if config.case is not None and config.case.id not in {query.id for query in queries}:
        queries = (*queries, config.case)
    table = prompt_table(config.prompts, queries, leave_out=VALIDATION)
    asked = {query.id: query for query in queries}
    scorers = load_scorers(config.harmful_scorer, config.helpful_scorer, device=str(choose_device("auto")))
    for side, model in zip(SIDES, (config.before, config.after), strict=True):
        progress(f"Loading the model {side} the correction")
        language_model = load(model)
        table = _measured(config, (table, asked, side), language_model, scorers=scorers, progress=progress)
        del language_model
    write_table(folder / "answers.parquet", table.drop(columns="reference"))
    progress("Judging")
    case = _case_row(table, config.case)
    verdict = judge(_evidence(config, table, case, scorers=scorers), config.verdict)
    return {
        "metrics": compare_answers(
            scorers.judged_apart(table, [f"_{side}" for side in SIDES]), config.metrics
        ),
        "verdict": {
            "corrected": verdict.corrected,
            "degenerate": verdict.degenerate,
            "checks": [asdict(check) for check in verdict.checks],
            "advice": list(verdict.advice),
        },
        "case": case,
        "settings": {name: to_dict(getattr(config, name)) for name in ("generation", "metrics", "verdict")},
    }


def _measured(
    config: CompareConfig,
    asked: tuple[pd.DataFrame, dict[str, Query], str],
    language_model: LanguageModel,
    *,
    scorers: Scorers,
    progress: Progress,
) -> pd.DataFrame:
    """Adds one model's answers, scores, reference NLL and log-probabilities of the queries' responses."""
    table, queries, side = asked
    prompts = table["prompt"].tolist()

    def told(step: str, done: int = 0, total: int | None = None, **values: float) -> None:
        progress(f"{step} ({side})", done, total, **values)

    answers = generate(language_model, prompts, config.template, config.generation, told)
    scores = scorers.score(prompts, answers, told)
    is_query = table["split"] == QUERIES
    asked_queries = [queries[key] for key in table.loc[is_query, "prompt_id"]]
    likelihoods = iter(log_probabilities(language_model, asked_queries, config.template))
    measured: dict[str, Any] = {
        side: answers,
        f"harmful_{side}": scores["harmful"].to_numpy(),
        f"helpful_{side}": scores["helpful"].to_numpy(),
        f"nll_{side}": reference_nll(language_model, table, config.template),
        f"log_probability_{side}": [next(likelihoods) if query else float("nan") for query in is_query],
    }
    return table.assign(**measured)


def _case_row(table: pd.DataFrame, case: Query | None) -> dict[str, Any]:
    """The case's own row as plain values; empty where there is no case."""
    if case is None:
        return {}
    row = table[(table["prompt_id"] == case.id) & (table["split"] == QUERIES)].iloc[0]
    numbers = [name for name in table.columns if name.endswith(SIDES) and name not in SIDES]
    return {
        "query_id": case.id,
        "prompt": case.prompt,
        "bad_answer": case.response,
        "polarity": case.polarity,
        "category": row["category"],
        **{side: row[side] for side in SIDES},
        **{name: None if pd.isna(row[name]) else float(row[name]) for name in numbers},
    }


def _evidence(
    config: CompareConfig, table: pd.DataFrame, case: dict[str, Any], *, scorers: Scorers
) -> Evidence:
    card = scorers.harmful.card if scorers.harmful else None
    benign = table[table["kind"] == "benign"]
    unseen = table[table["split"] != QUERIES]
    queries = table[table["split"] == QUERIES]
    spoken = benign if len(benign) > 1 else table
    variety = diversity_change(spoken, config.metrics)
    polarities = {query.polarity for query in config.queries}
    return Evidence(
        case=_case_evidence(case, judged=card is not None and card.knows(case.get("category", ""))),
        queries=queries,
        wrong=unseen[unseen["kind"] == "wrong"],
        benign=benign,
        references=unseen.dropna(subset=["nll_before", "nll_after"]),
        diversity={name: variety[name] for name in COLLAPSE_MEASURES if name in variety},
        known_categories=card.known_categories if card else None,
        has_scorer=card is not None,
        polarity=polarities.pop() if len(polarities) == 1 else UNDESIRABLE,
    )


def _case_evidence(case: dict[str, Any], *, judged: bool) -> CaseEvidence | None:
    if not case:
        return None
    return CaseEvidence(
        bad_answer=case["bad_answer"],
        before=case["before"],
        after=case["after"],
        log_probability_before=case["log_probability_before"],
        log_probability_after=case["log_probability_after"],
        harmful_after=case["harmful_after"] if judged else None,
        polarity=case["polarity"],
    )
