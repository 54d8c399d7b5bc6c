"""Mines influence queries: the study's and a safe model answer prompts, and those whose answers became most harmful are kept."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd

from lancet_core.acts.mine import ANSWERS, PROMPTS, QUERIES, Mined, MineRequest, mined_query
from lancet_core.acts.results import INPUTS
from lancet_core.acts.subject import Subject
from lancet_core.data.conversations import Asked
from lancet_core.data.samples import read_prompts
from lancet_core.errors import DataError, NumericalError
from lancet_core.evaluation.intervals import bootstrap_mean
from lancet_core.evaluation.mining import IMPURE, SAFE, choose_queries, judged, rises
from lancet_core.evaluation.scorer_cards import scorer_card
from lancet_core.files import read_json, read_json_or_none, write_json, write_table
from lancet_core.models.generation import generate
from lancet_core.models.loading import LanguageModel, Loader, load_language_model
from lancet_core.models.settings import GenerationSettings
from lancet_core.operations.answering import Scorers, asked_in, load_scorers
from lancet_core.progress import Progress, silent

STAGE = "Answering prompts with both models"
DRAWS = "draws"


def run(
    subject: Subject,
    request: MineRequest,
    *,
    folder: Path,
    progress: Progress = silent,
    load: Loader = load_language_model,
) -> Mined:
    """Writes the queries and all answers; a resumed run keeps the answers that are finished.

    Raises:
        DataError: The prompts cannot be read, or the scorer knows the category of none.
        ModelError: A model or the scorer cannot be loaded.
        NumericalError: No answer became worse, so that no query can be mined.
    """
    settings = request.mine
    card = scorer_card(subject.harmful_scorer)
    everything = read_prompts(folder / INPUTS / PROMPTS)
    prompts = everything[everything["category"].map(card.knows).astype(bool)].reset_index(drop=True)
    if prompts.empty:
        raise DataError(
            f"the harmful scorer knows the category of none of the {len(everything):,} prompts; it knows "
            f"{', '.join(card.known_categories or ())}"
        )
    answers = {}
    for place, (name, model) in enumerate(((IMPURE, subject.model), (SAFE, request.safe_model))):
        whole = _Whole(progress, place * settings.answers, 2 * settings.answers, len(prompts))
        answerer = _Answerer(name, model, folder / DRAWS, whole, load)
        answers[name] = answerer.draws(asked_in(prompts), subject.template, request)
    progress("Scoring the answers")
    scorers = load_scorers(subject.harmful_scorer, "")
    asked = asked_in(prompts)
    table = judged(answers, lambda given: _judge(scorers, asked, given, settings.threshold))
    _write_answers(folder / ANSWERS, table, prompts)
    chosen = choose_queries(table, prompts["category"].tolist(), settings)
    result = _measured(table, unknown=len(everything) - len(prompts))
    if chosen.empty:
        raise NumericalError(_nothing_mined(result, settings.threshold))
    of_prompt = prompts[["prompt", "history"]].iloc[chosen["row"]].reset_index(drop=True)
    queries = pd.concat([of_prompt, chosen.drop(columns="row")], axis=1)
    columns = ["prompt", "history", "response", "category"]
    write_table(
        folder / QUERIES, queries.assign(id=[mined_query(*values).id for values in queries[columns].values])
    )
    return replace(result, queries=len(chosen))


def draw_answers(  # noqa: PLR0917
    lm: LanguageModel,
    asked: Sequence[Asked],
    template: str,
    generation: GenerationSettings,
    draw: int,
    progress: Progress,
) -> list[str]:
    """Answers each prompt once; the seed depends on the draw alone, so that both models are asked alike."""
    return generate(lm, asked, template, replace(generation, seed=generation.seed + draw), progress)


@dataclass(frozen=True)
class _Whole:
    """Tells the passes of both models as one stage, so that the time left is that of all."""

    progress: Progress
    before: int
    passes: int
    prompts: int

    def of_pass(self, draw: int) -> Progress:
        """The progress of one pass."""

        def told(step: str, done: int = 0, total: int | None = None, **values: float) -> None:
            del step, total
            place = (self.before + draw) * self.prompts + done
            self.progress(STAGE, place, self.passes * self.prompts, **values)

        return told


@dataclass(frozen=True)
class _Answerer:
    """Answers prompts with one model, which is loaded when the first answer is missing."""

    name: str
    model: str
    folder: Path
    whole: _Whole
    load: Loader

    def draws(self, asked: Sequence[Asked], template: str, request: MineRequest) -> list[list[str]]:
        """All draws: those that are kept are read, the others drawn and kept."""
        files = [self.folder / f"{self.name}-{draw}.json" for draw in range(request.mine.answers)]
        missing = [draw for draw, file in enumerate(files) if read_json_or_none(file) is None]
        if missing:
            self.whole.progress(f"Loading the {self.name} model")
            lm = self.load(self.model)
            for draw in missing:
                told = self.whole.of_pass(draw)
                write_json(files[draw], draw_answers(lm, asked, template, request.generation, draw, told))
        return [read_json(file) for file in files]


def _judge(
    scorers: Scorers, prompts: Sequence[Asked], answers: Sequence[str], threshold: float
) -> tuple[list[float], list[bool]]:
    harm = scorers.score(prompts, answers, silent)["harmful"].tolist()
    return harm, [score >= threshold and bool(answer) for score, answer in zip(harm, answers, strict=True)]


def _write_answers(path: Path, table: pd.DataFrame, prompts: pd.DataFrame) -> None:
    of_prompt = prompts[["prompt", "category"]].iloc[table["row"]].reset_index(drop=True)
    write_table(path, pd.concat([of_prompt, table.drop(columns="row")], axis=1))


def _measured(table: pd.DataFrame, *, unknown: int) -> Mined:
    risen = bootstrap_mean(rises(table).tolist())
    return Mined(
        prompts=risen.n,
        bad=int(table.loc[table["is_bad"], "row"].nunique()),
        unknown=unknown,
        harmful=float(table["harmful_impure"].mean()),
        harmful_safe=float(table["harmful_safe"].mean()),
        rise=risen.value,
        rise_low=risen.low,
        rise_high=risen.high,
    )


def _nothing_mined(result: Mined, threshold: float) -> str:
    return (
        f"no query can be mined: of {result.prompts:,} prompts the study's model answered {result.bad:,} with a harmful score of "
        f"{threshold:g} or more, and none of these became more harmful than the safe model's answers (means "
        f"{result.harmful:.3f} and {result.harmful_safe:.3f}); give more prompts, lower --threshold, or train the model longer"
    )
