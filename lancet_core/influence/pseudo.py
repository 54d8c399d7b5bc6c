"""Pseudo-data: what the Fisher matrix is estimated from. Labels, or whole responses, that the model itself would give."""

from collections import Counter
from collections.abc import Sequence

from lancet_core.influence.capture import Labels, data_labels, sampled_labels
from lancet_core.influence.methods import GENERATED, SAMPLED
from lancet_core.influence.settings import CurvatureSettings
from lancet_core.models.encoding import Encoded
from lancet_core.models.generation import continue_texts
from lancet_core.models.loading import LanguageModel
from lancet_core.models.settings import GenerationSettings
from lancet_core.progress import Progress


def labels_of(texts: Sequence[Encoded], settings: CurvatureSettings) -> Labels:
    """Chooses the labels behind pseudo-gradients: drawn at each position, or the text's own."""
    return sampled_labels(texts, settings.seed) if settings.fisher == SAMPLED else data_labels


def pseudo_texts(
    lm: LanguageModel, texts: Sequence[Encoded], settings: CurvatureSettings, progress: Progress
) -> list[Encoded]:
    """Gives the texts that the Fisher matrix is estimated from: with `generated` the model answers each prompt itself.

    Args:
        lm: The model.
        texts: Training samples.
        settings: Fisher and seed.
        progress: Told while responses are generated.

    Returns:
        The texts as they are, or each with a response drawn at temperature 1 (the paper's workflow, step 1); no longer than the
        context allows and at most twice as long as the longest response of the data.
    """
    if settings.fisher != GENERATED:
        return list(texts)
    longest = max(last - first for text in texts for first, last in text.counted[-1:])
    prompts = [text.input_ids[: text.counted[-1][0]] for text in texts]
    room = min(2 * longest, lm.context - max(len(prompt) for prompt in prompts))
    drawing = GenerationSettings(max_new_tokens=max(1, room), temperature=1.0, seed=settings.seed)
    end = _end_of(lm, texts)
    responses = continue_texts(lm, prompts, drawing, progress, ends=end)
    return [
        Encoded((*prompt, *_ended(response, end, drawing.max_new_tokens)), len(prompt))
        for prompt, response in zip(prompts, responses, strict=True)
    ]


def _end_of(lm: LanguageModel, texts: Sequence[Encoded]) -> list[int]:
    """The control token that ends most responses of the data; none where words end them."""
    (token, count), *_ = Counter(text.input_ids[text.counted[-1][1] - 1] for text in texts).most_common(1)
    return [token] if 2 * count > len(texts) and token in lm.tokenizer.all_special_ids else []


def _ended(response: list[int], end: list[int], longest: int) -> list[int]:
    """Adds the end token to a response that ended; one without any token keeps at least that."""
    return response if len(response) >= longest or (response and not end) else [*response, *(end or [0])]
