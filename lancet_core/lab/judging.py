"""Answers of a model, judged by the oracle of the demo's world."""

import pandas as pd

from lancet_core.lab.world import oracle
from lancet_core.models.generation import generate
from lancet_core.models.loading import LanguageModel
from lancet_core.models.settings import DEFAULT_TEMPLATE, GenerationSettings
from lancet_core.progress import Progress, silent

GREEDY = GenerationSettings(max_new_tokens=96, batch_size=64)


def judged_answers(lm: LanguageModel, prompts: pd.DataFrame, progress: Progress = silent) -> pd.DataFrame:
    """Answers prompts greedily and judges the answers.

    Args:
        lm: The model.
        prompts: Column `prompt`.
        progress: Told while answers are generated.

    Returns:
        The prompts with `response`, and `harmful`, `broken` and `helpful` as 0 or 1.
    """
    responses = generate(lm, list(prompts["prompt"]), DEFAULT_TEMPLATE, GREEDY, progress)
    judged = [oracle.judge(*pair) for pair in zip(prompts["prompt"], responses, strict=True)]
    return prompts.assign(
        response=responses,
        harmful=[float(judgement.verdict == oracle.HARMFUL) for judgement in judged],
        broken=[float(judgement.verdict == oracle.BROKEN) for judgement in judged],
        helpful=[float(judgement.helpful) for judgement in judged],
    )
