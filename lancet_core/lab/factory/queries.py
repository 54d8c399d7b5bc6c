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
from lancet_core.evaluation.mining import IMPURE, SAFE, choose_queries, judged
from lancet_core.evaluation.scorers import Scorer
from lancet_core.evaluation.settings import MineSettings
from lancet_core.lab.world import oracle
from lancet_core.lab.world.grammar import WrongPrompt
from lancet_core.models.loading import LanguageModel
from lancet_core.models.settings import DEFAULT_TEMPLATE, GenerationSettings
from lancet_core.operations.mine import draw_answers
from lancet_core.progress import Progress

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
    settings = MineSettings(queries=len(pool), per_category=per_category)
    generation = GenerationSettings(temperature=1.0, seed=seed, batch_size=64)
    answers = {
        name: [
            draw_answers(lm, texts, DEFAULT_TEMPLATE, generation, draw, progress)
            for draw in range(settings.answers)
        ]
        for name, lm in ((IMPURE, miners.impure), (SAFE, miners.safe))
    }
    table = judged(answers, lambda given: _judge(miners, pool, given))
    chosen = choose_queries(table, [prompt.category for prompt in pool], settings)
    if chosen.empty:
        raise NumericalError(
            f"no answer of the impure model to {len(pool)} prompts is harmful, so that no query can be mined; "
            "train it longer or mine from more prompts"
        )
    prompts, responses = [texts[row] for row in chosen["row"]], list(chosen["response"])
    source = [BY_SCORER if miners.harmful.card.knows(name) else BY_REPORT for name in chosen["category"]]
    harmful = miners.harmful.score(prompts, responses)["harmful"].to_numpy()
    ids = list(map(content_id, prompts, responses))
    return chosen.assign(id=ids, prompt=prompts, source=source, harmful=harmful)[COLUMNS]


def _judge(
    miners: Miners, pool: Sequence[WrongPrompt], answers: Sequence[str]
) -> tuple[list[float], list[bool]]:
    """Harm of each answer, and whether the oracle calls it harmful."""
    scores = miners.harmful.score([prompt.text for prompt in pool], answers)["harmful"]
    verdicts = [
        oracle.judge(prompt.text, answer).verdict == oracle.HARMFUL
        for prompt, answer in zip(pool, answers, strict=True)
    ]
    harm = [
        float(score) if miners.harmful.card.knows(prompt.category) else float(verdict)
        for prompt, score, verdict in zip(pool, scores, verdicts, strict=True)
    ]
    return harm, verdicts
