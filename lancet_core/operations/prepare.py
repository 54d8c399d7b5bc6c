"""Measures the samples of a new study with its model, and scores them: which fit, which are cut, which must be left out."""

from datetime import date
from pathlib import Path

import pandas as pd

from lancet_core.acts.prepare import CUT, REJECTED, SAMPLES, Prepared, PrepareRequest
from lancet_core.acts.subject import Subject
from lancet_core.data.samples import conversations_of, read_samples
from lancet_core.errors import DataError
from lancet_core.files import write_table
from lancet_core.models.encoding import Encoded, Unusable, encode_all
from lancet_core.models.loading import LanguageModel, Loader, load_language_model
from lancet_core.models.templates import with_day
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
    """Writes the samples that can be used, with their scores, and those that cannot, with the reason.

    Raises:
        DataError: The samples cannot be read, or none of them can be used.
        ModelError: The model or a scorer cannot be loaded, or its units are unknown: better said now than at the first attribution.
        ConfigError: The template has no place for the prompt, or a scorer measures the other thing.
    """
    progress("Loading the model")
    lm = load(subject.model)
    units = find_sublayers(lm.model)
    samples = read_samples(subject.samples)
    template = subject.template
    if request.day:
        template = with_day(lm.tokenizer, template, date.fromisoformat(request.day))
    measured = _measured(lm, samples, template, progress)
    if request.too_long != CUT:
        long = (measured["lost"] > 0) & (measured["reason"] == "")
        measured.loc[long, "reason"] = f"the response exceeds the model's context of {lm.context} tokens"
    context = lm.context
    del lm
    usable = measured["reason"] == ""
    if not usable.any():
        raise DataError(f"no sample can be used; the first: {measured['reason'].iloc[0]}")
    kept = samples[usable].reset_index(drop=True)
    scorers = load_scorers(subject.harmful_scorer, subject.helpful_scorer)
    scores = scorers.score(kept["prompt"].tolist(), kept["response"].tolist(), progress)
    write_table(folder / SAMPLES, kept.assign(harmful=scores["harmful"], helpful=scores["helpful"]))
    rejected = measured.loc[~usable, ["row", "reason"]]
    write_table(folder / REJECTED, rejected)
    return Prepared(
        context=context,
        samples=len(kept),
        rejected=len(rejected),
        cut=int((measured.loc[usable, "cut"] > 0).sum()),
        shortened=int((measured.loc[usable, "lost"] > 0).sum()),
        units=len(units),
        template=template,
    )


def _measured(lm: LanguageModel, samples: pd.DataFrame, template: str, progress: Progress) -> pd.DataFrame:
    """Encodes all samples: `row` of the file, tokens `cut` from the left and `lost` from the right, and why one cannot be used."""
    conversations = conversations_of(samples)
    rows: list[tuple[int, int, str]] = []
    for start in range(0, len(conversations), SAMPLES_AT_ONCE):
        encoded = encode_all(lm, conversations[start : start + SAMPLES_AT_ONCE], template)
        rows += [_facts(text) for text in encoded]
        progress("Measuring samples", len(rows), len(conversations))
    facts = pd.DataFrame(rows, columns=["cut", "lost", "reason"], index=samples.index)
    return facts.assign(row=samples["source_row"])


def _facts(text: Encoded | Unusable) -> tuple[int, int, str]:
    return (0, 0, text.reason) if isinstance(text, Unusable) else (text.cut_tokens, text.lost_tokens, "")
