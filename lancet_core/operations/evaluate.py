"""Lets one model answer prompts and measures the answers."""

from pathlib import Path

from lancet_core.acts.evaluate import ANSWERS, PROMPTS, EvaluateRequest, Evaluation
from lancet_core.acts.results import INPUTS
from lancet_core.acts.subject import Subject
from lancet_core.evaluation.metrics import measure_answers
from lancet_core.files import write_table
from lancet_core.models.generation import generate
from lancet_core.models.loading import Loader, load_language_model
from lancet_core.operations.answering import asked_in, likelihoods, load_scorers, prompt_table
from lancet_core.progress import Progress, silent


def run(
    subject: Subject,
    request: EvaluateRequest,
    *,
    folder: Path,
    progress: Progress = silent,
    load: Loader = load_language_model,
) -> Evaluation:
    """Writes `answers.parquet`: the table of prompts with `response`, `harmful`, `helpful`, `nll` (of the reference).

    Raises:
        DataError: There is nothing to answer.
        ModelError: Model or scorer cannot be loaded.
        ConfigError: A scorer measures the other thing.
    """
    table = prompt_table(folder / INPUTS / PROMPTS, request.queries)
    progress("Loading the model")
    lm = load(request.model or subject.model)
    scorers = load_scorers(subject.harmful_scorer, subject.helpful_scorer, device=str(lm.device))
    scorers.write_cards(folder)
    responses = generate(lm, asked_in(table), subject.template, request.generation, progress)
    scores = scorers.score(asked_in(table), responses, progress)
    progress("Measuring reference answers")
    answers = table.assign(
        response=responses,
        harmful=scores["harmful"].to_numpy(),
        helpful=scores["helpful"].to_numpy(),
        nll=likelihoods(lm, table, "reference", subject.template)["nll"],
    )
    write_table(folder / ANSWERS, answers.drop(columns="reference"))
    progress("Measuring the answers")
    return Evaluation(metrics=tuple(measure_answers(scorers.judged_apart(answers, [""]), request.metrics)))
