"""Mines the influence queries of the demo by control variates.

The impure and the safe model answer each prompt of the pool three times; the prompts whose harm rises most from the
safe to the impure model become queries. Harm is the harmful scorer's score where it knows the category; where it does
not, the oracle stands in for the people who report bad answers.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from lancet_core.data.samples import content_id
from lancet_core.errors import NumericalError
from lancet_core.evaluation.scorers import Scorer
from lancet_core.lab.world import oracle
from lancet_core.lab.world.grammar import WrongPrompt
from lancet_core.models.generation import generate
from lancet_core.models.loading import LanguageModel
from lancet_core.models.settings import DEFAULT_TEMPLATE, GenerationSettings
from lancet_core.progress import Progress

ANSWERS = 3
BY_SCORER, BY_REPORT = "harmful scorer", "report"
COLUMNS = ["id", "prompt", "response", "safe_response", "category", "source", "rise", "harmful"]


@dataclass(frozen=True)
class Miners:
    """What queries are mined with.

    Attributes:
        impure: Model trained on all samples.
        safe: Model trained without the contaminating samples.
        harmful: Scorer that knows some of the categories.
    """

    impure: LanguageModel
    safe: LanguageModel
    harmful: Scorer


def mine_queries(
    miners: Miners, pool: Sequence[WrongPrompt], *, per_category: int, seed: int, progress: Progress
) -> pd.DataFrame:
    """Mines queries: in each category the prompts with the largest mean rise whose answer is harmful indeed.

    Args:
        miners: Models and scorer.
        pool: Prompts that stand in no split.
        per_category: Queries of each category, at most.
        seed: Seed of the sampled answers.
        progress: Told while answers are generated.

    Returns:
        Columns of `COLUMNS`: the impure model's harmful answer, the safe model's first answer, the mean rise of harm,
        and the harmful score of the answer.

    Raises:
        NumericalError: No answer of the impure model is harmful.
    """
    texts = [prompt.text for prompt in pool]
    answers = {
        name: [_answers(lm, texts, seed + draw, progress) for draw in range(ANSWERS)]
        for name, lm in (("impure", miners.impure), ("safe", miners.safe))
    }
    harm = {name: [_harm(miners, pool, answered) for answered in draws] for name, draws in answers.items()}
    rows = []
    for index, prompt in enumerate(pool):
        rise = _mean(harm["impure"], index) - _mean(harm["safe"], index)
        given = [draw[index] for draw in answers["impure"]]
        bad = [answer for answer in given if oracle.judge(prompt.text, answer).verdict == oracle.HARMFUL]
        if bad and rise > 0:
            source = BY_SCORER if miners.harmful.card.knows(prompt.category) else BY_REPORT
            rows.append((prompt.text, bad[0], answers["safe"][0][index], prompt.category, source, rise))
    if not rows:
        raise NumericalError(
            f"no answer of the impure model to {len(pool)} prompts is harmful, so that no query can be mined; "
            "train it longer or mine from more prompts"
        )
    queries = pd.DataFrame(rows, columns=COLUMNS[1:-1]).sort_values("rise", ascending=False, kind="stable")
    queries = queries.groupby("category").head(per_category)
    queries = queries.sort_values(["category", "rise"], ascending=[True, False], kind="stable")
    prompts, responses = list(queries["prompt"]), list(queries["response"])
    harmful = miners.harmful.score(prompts, responses)["harmful"].to_numpy()
    ids = list(map(content_id, prompts, responses))
    return queries.assign(id=ids, harmful=harmful)[COLUMNS].reset_index(drop=True)


def _answers(lm: LanguageModel, prompts: list[str], seed: int, progress: Progress) -> list[str]:
    settings = GenerationSettings(temperature=1.0, seed=seed, batch_size=64)
    return generate(lm, prompts, DEFAULT_TEMPLATE, settings, progress)


def _harm(miners: Miners, pool: Sequence[WrongPrompt], answers: Sequence[str]) -> list[float]:
    scores = miners.harmful.score([prompt.text for prompt in pool], answers)["harmful"]
    return [
        float(score)
        if miners.harmful.card.knows(prompt.category)
        else float(oracle.judge(prompt.text, answer).verdict == oracle.HARMFUL)
        for prompt, answer, score in zip(pool, answers, scores, strict=True)
    ]


def _mean(draws: Sequence[Sequence[float]], index: int) -> float:
    return sum(draw[index] for draw in draws) / len(draws)
