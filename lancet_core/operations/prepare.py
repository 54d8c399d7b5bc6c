"""Measures the samples of a new study with its model, and scores them: which fit, which are cut, which must be left out."""

from pathlib import Path

import pandas as pd

from lancet_core.acts.prepare import REJECTED, SAMPLES, Prepared, PrepareRequest
from lancet_core.acts.subject import Subject
from lancet_core.data.samples import read_samples
from lancet_core.files import write_table
from lancet_core.models.encoding import encode_all
from lancet_core.models.loading import LanguageModel, Loader, load_language_model
from lancet_core.models.units import find_sublayers
from lancet_core.operations.answering import load_scorers
from lancet_core.progress import Progress, silent

SAMPLES_AT_ONCE = 256


def run(
    subject: Subject,
    request: PrepareRequest,
    *,
    folder: Path,
    progress: Progress = silent,
    load: Loader = load_language_model,
) -> Prepared:
    """Writes the samples that fit the model, with their scores, and those that do not, with the reason.

    A prompt that does not fit beside its response is cut from its left; a response that alone exceeds the context is rejected.

    Raises:
        DataError: The samples cannot be read.
        ModelError: The model or a scorer cannot be loaded, or its units are unknown: better said now than at the first attribution.
        ConfigError: The template has no place for the prompt, or a scorer measures the other thing.
    """
    del request
    progress("Loading the model")
    lm = load(subject.model)
    units = find_sublayers(lm.model)
    samples = read_samples(subject.samples)
    cut_tokens = _cut_tokens(lm, samples, subject.template, progress)
    fits = cut_tokens.notna()
    context = lm.context
    del lm
    fitting = samples[fits].reset_index(drop=True)
    scorers = load_scorers(subject.harmful_scorer, subject.helpful_scorer)
    scores = scorers.score(fitting["prompt"].tolist(), fitting["response"].tolist(), progress)
    write_table(folder / SAMPLES, fitting.assign(harmful=scores["harmful"], helpful=scores["helpful"]))
    reason = f"the response exceeds the model's context of {context} tokens"
    rejected = pd.DataFrame({"row": samples.loc[~fits, "source_row"], "reason": reason})
    write_table(folder / REJECTED, rejected)
    return Prepared(
        context=context,
        samples=len(fitting),
        rejected=len(rejected),
        cut=int((cut_tokens > 0).sum()),
        units=len(units),
    )


def _cut_tokens(
    lm: LanguageModel, samples: pd.DataFrame, template: str, progress: Progress
) -> "pd.Series[float]":
    """Tokens cut from the left of each prompt; missing where the response alone exceeds the context."""
    texts = list(zip(samples["prompt"], samples["response"], strict=True))
    cut: list[float] = []
    for start in range(0, len(texts), SAMPLES_AT_ONCE):
        encoded = encode_all(lm, texts[start : start + SAMPLES_AT_ONCE], template)
        cut += [float("nan") if text is None else text.cut_tokens for text in encoded]
        progress("Measuring samples", len(cut), len(texts))
    return pd.Series(cut, index=samples.index, dtype="float64")
