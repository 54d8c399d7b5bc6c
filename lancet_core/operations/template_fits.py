"""How likely a model finds its training samples under each template that it may have been trained with: a wrong one is a silent error."""

import time

import numpy as np
import pandas as pd

from lancet_core.acts.prepare import TemplateFit
from lancet_core.data.adapters import ANSWER_MARK
from lancet_core.data.samples import conversations_of
from lancet_core.models.encoding import Encoded, Unusable, encode_all
from lancet_core.models.likelihood import response_log_likelihoods
from lancet_core.models.loading import LanguageModel
from lancet_core.models.template_names import DAY_MARK, known_templates, names_of
from lancet_core.progress import Progress

SAMPLES = 32
SEED = 0
_Texts = list[Encoded | Unusable]


def template_fits(
    lm: LanguageModel, samples: pd.DataFrame, template: str, progress: Progress
) -> tuple[TemplateFit, ...]:
    """Measures a seeded draw of samples under the study's template and under each other one.

    All templates are measured on the same samples, those that each can write whole. What counts is what a trainer's loss takes, ends of
    turns included; nats are divided by the tokens under the study's template, so that templates can be compared.

    Args:
        lm: The model.
        samples: Training samples.
        template: The study's template.
        progress: Told after each template.

    Returns:
        The templates, likeliest first; none where fewer than two samples can be compared, or where the prompts are dialogues with
        marks of their own, which another template would write a second time.
    """
    if samples["prompt"].str.endswith(ANSWER_MARK).mean() > 0.5:
        return ()
    drawn = conversations_of(samples.sample(min(SAMPLES, len(samples)), random_state=SEED))
    others = [
        name
        for name in known_templates(names_of(lm.tokenizer.chat_template))
        if name != template.partition(DAY_MARK)[0]
    ]
    names = [template, *others]
    written = {name: encode_all(lm, drawn, name) for name in names}
    written = {name: texts for name, texts in written.items() if name == template or _writes_most(texts)}
    places = [
        place for place in range(len(drawn)) if all(_is_whole(texts[place]) for texts in written.values())
    ]
    if len(places) < 2:
        return ()
    own = [text for place in places if isinstance(text := written[template][place], Encoded)]
    nats: dict[str, np.ndarray] = {}
    for done, (name, texts) in enumerate(written.items()):
        progress("Measuring templates", done, len(written))
        encoded = [text for place in places if isinstance(text := texts[place], Encoded)]
        nats[name] = -np.array(response_log_likelihoods(lm, encoded))
    # One sample at which the model overflows says nothing of templates.
    finite = np.isfinite(np.stack(list(nats.values()))).all(axis=0)
    if finite.sum() < 2:
        return ()
    tokens = sum(text.count for text, counts in zip(own, finite, strict=True) if counts)
    return _compared({name: values[finite] for name, values in nats.items()}, template, tokens)


def tokens_per_second(lm: LanguageModel, samples: pd.DataFrame, template: str) -> float:
    """Measures how many tokens a second the model reads, on the same draw of samples: what long work is judged by."""
    drawn = conversations_of(samples.sample(min(SAMPLES, len(samples)), random_state=SEED))
    texts = [text for text in encode_all(lm, drawn, template) if isinstance(text, Encoded)]
    started = time.perf_counter()
    response_log_likelihoods(lm, texts)
    return sum(len(text.input_ids) for text in texts) / (time.perf_counter() - started)


def _compared(nats: dict[str, np.ndarray], template: str, tokens: int) -> tuple[TemplateFit, ...]:
    """Gives nats of each sample, shape (samples,) for each template, in nats per token beside the study's own template."""
    fits = []
    for name, values in nats.items():
        difference = values - nats[template]
        fits.append(
            TemplateFit(
                template=name,
                nll=float(values.sum() / tokens),
                difference=float(difference.sum() / tokens),
                error=float(difference.std(ddof=1) * np.sqrt(len(difference)) / tokens),
                samples=len(values),
            )
        )
    return tuple(sorted(fits, key=lambda fit: fit.nll))


def _writes_most(texts: _Texts) -> bool:
    return sum(_is_whole(text) for text in texts) > len(texts) / 2


def _is_whole(text: Encoded | Unusable) -> bool:
    return isinstance(text, Encoded) and not text.cut_tokens and not text.lost_tokens
