"""Measures the samples of a new study with its model, and scores them: which fit, which are cut, which must be left out."""

from datetime import date
from pathlib import Path

from lancet_core.acts.prepare import REJECTED, SAMPLES, Prepared, PrepareRequest
from lancet_core.acts.subject import Subject
from lancet_core.data.conversations import asked_before
from lancet_core.data.samples import read_samples
from lancet_core.errors import DataError
from lancet_core.evaluation.scorer_cards import COLUMNS
from lancet_core.files import write_table
from lancet_core.models.gguf_loading import unpack_gguf
from lancet_core.models.loading import Loader, choose_device, load_language_model, require_room
from lancet_core.models.needs import loading_need, model_size, pass_need
from lancet_core.models.templates import with_day
from lancet_core.models.units import find_sublayers
from lancet_core.operations.answering import load_scorers
from lancet_core.operations.measuring import measure
from lancet_core.operations.template_fits import template_fits, tokens_per_second
from lancet_core.progress import Progress, silent

PASS = 512


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
    if request.gguf:
        unpack_gguf(Path(request.gguf), Path(subject.model), progress)
    progress("Loading the model")
    _require_room(subject)
    lm = load(subject.model)
    units = find_sublayers(lm.model)
    samples = read_samples(subject.samples)
    template = subject.template
    if request.day:
        template = with_day(lm.tokenizer, template, date.fromisoformat(request.day))
    measured = measure(lm, samples, template, too_long=request.too_long, progress=progress)
    usable = measured["reason"] == ""
    if not usable.any():
        raise DataError(f"no sample can be used; the first: {measured['reason'].iloc[0]}")
    lengths = {name: measured.loc[usable, name] for name in ("tokens", "counted")}
    kept = samples[usable].assign(**lengths).reset_index(drop=True)
    fits = template_fits(lm, kept, template, progress)
    rate = tokens_per_second(lm, kept, template)
    context, device = lm.context, str(lm.device)
    del lm
    scorers = load_scorers(subject.harmful_scorer, subject.helpful_scorer, device=device)
    scores, cards = scorers.score_samples(
        [asked_before(*texts) for texts in kept[["prompt", "messages"]].values],
        kept["response"].tolist(),
        progress,
    )
    # A study that is scored anew keeps nothing of its scorer before.
    kept = kept.drop(columns=[f"{score}_categories" for score in COLUMNS], errors="ignore")
    write_table(folder / SAMPLES, kept.assign(**{str(name): scores[name] for name in scores}))
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
        templates=fits,
        tokens_per_second=round(rate),
        mean_tokens=round(float(kept["tokens"].clip(upper=context).mean())),
        scorers=cards,
    )


def _require_room(subject: Subject) -> None:
    """Refuses a model that would not fit into memory, before it is loaded.

    Raises:
        ConfigError: It would not.
    """
    size = model_size(subject.model)
    if size is not None:
        need = loading_need(size, subject.dtype) + pass_need(size, subject.dtype, tokens=PASS, counted=PASS)
        ways_out = "take --dtype bfloat16, or a smaller model"
        require_room("a study of this model", need, choose_device(subject.device), ways_out)
