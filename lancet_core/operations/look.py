"""Reads a file of training samples and measures them with the tokenizer alone; no study is made and no weight is read."""

from datetime import date
from pathlib import Path

import pandas as pd

from lancet_core.acts.look import REJECTED, SAMPLES, Looked, LookRequest, template_for
from lancet_core.acts.subject import Subject
from lancet_core.data.columns import parse_columns
from lancet_core.data.loading import Loaded, survey_samples
from lancet_core.files import write_table
from lancet_core.models.gguf_files import find_gguf
from lancet_core.models.gguf_loading import load_gguf_speech
from lancet_core.models.loading import Loader, load_language_model, load_speech
from lancet_core.models.templates import with_day
from lancet_core.operations.measuring import measure
from lancet_core.progress import Progress, silent


def run(
    subject: Subject,
    request: LookRequest,
    *,
    folder: Path,
    progress: Progress = silent,
    load: Loader = load_language_model,
) -> Looked:
    """Writes the samples that could be used, and the rows that could not, with the reason.

    Raises:
        DataError: The file cannot be read.
        ModelError: The model's tokenizer cannot be loaded.
        ConfigError: The mapping or the template is none.
    """
    del load  # the tokenizer is enough
    progress("Reading the rows")
    columns = parse_columns(request.columns) if request.columns else None
    loaded = survey_samples(request.train, request.format, columns, progress)
    progress("Loading the tokenizer")
    gguf = find_gguf(subject.model)
    lm = load_speech(subject.model) if gguf is None else load_gguf_speech(gguf)
    template = subject.template or template_for(loaded.format)
    if request.day:
        template = with_day(lm.tokenizer, template, date.fromisoformat(request.day))
    samples = loaded.frame.assign(turns=request.turns)
    measured = measure(lm, samples, template, too_long=request.too_long, progress=progress)
    usable = measured["reason"] == ""
    kept = samples[usable].assign(**{name: measured.loc[usable, name] for name in ("tokens", "counted")})
    write_table(folder / SAMPLES, kept)
    rejected = _rejected(loaded, measured[~usable])
    write_table(folder / REJECTED, rejected)
    return Looked(
        format=loaded.format,
        template=template,
        context=lm.context,
        rows=loaded.rows,
        samples=len(kept),
        rejected=len(rejected),
        duplicates=loaded.duplicates,
        cut=int((measured.loc[usable, "cut"] > 0).sum()),
        shortened=int((measured.loc[usable, "lost"] > 0).sum()),
        labelled=int(kept["is_safe"].notna().sum()),
        unsafe=int((kept["is_safe"] == False).sum()),  # noqa: E712 - three-valued
    )


def _rejected(loaded: Loaded, refused: pd.DataFrame) -> pd.DataFrame:
    """Rows that no format fits, and samples that cannot be encoded, in the order of the file."""
    unread = pd.DataFrame(
        {
            "row": [each.row for each in loaded.rejected],
            "reason": [each.reason for each in loaded.rejected],
        }
    )
    together = pd.concat([unread.astype({"row": "int64", "reason": "object"}), refused[["row", "reason"]]])
    return together.sort_values("row", kind="stable", ignore_index=True)
