"""Lets one model answer prompts and measures the answers."""

from pathlib import Path
from typing import Any

from lancet_core.config import to_dict
from lancet_core.evaluation.metrics import measure_answers
from lancet_core.files import write_table
from lancet_core.models.generation import generate
from lancet_core.models.loading import Loader, load_language_model
from lancet_core.operations.answering import load_scorers, prompt_table, reference_nll
from lancet_core.operations.configs import EvaluateConfig
from lancet_core.progress import Progress


def run(
    config: EvaluateConfig, folder: Path, progress: Progress, load: Loader = load_language_model
) -> dict[str, Any]:
    """Writes `answers.parquet`: the table of prompts with `response`, `harmful`, `helpful`, `nll` (of the reference).

    Raises:
        DataError: There is nothing to answer.
        ModelError: Model or scorer cannot be loaded.
        ConfigError: A scorer measures the other thing.
    """
    table = prompt_table(config.prompts, config.queries)
    progress("Loading the model")
    language_model = load(config.model)
    scorers = load_scorers(config.harmful_scorer, config.helpful_scorer, device=str(language_model.device))
    prompts = table["prompt"].tolist()
    responses = generate(language_model, prompts, config.template, config.generation, progress)
    scores = scorers.score(prompts, responses, progress)
    progress("Measuring reference answers")
    answers = table.assign(
        response=responses,
        harmful=scores["harmful"].to_numpy(),
        helpful=scores["helpful"].to_numpy(),
        nll=reference_nll(language_model, table, config.template),
    )
    write_table(folder / "answers.parquet", answers.drop(columns="reference"))
    progress("Measuring the answers")
    return {
        "metrics": measure_answers(scorers.judged_apart(answers, [""]), config.metrics),
        "settings": {"generation": to_dict(config.generation), "metrics": to_dict(config.metrics)},
    }
