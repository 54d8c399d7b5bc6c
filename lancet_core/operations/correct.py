"""Corrects a model by pairs of its training samples and saves it with a model card."""

import dataclasses
import hashlib
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from lancet_core.acts.correct import MODEL, PAIRS, RETAIN, VALIDATION, Correction, CorrectRequest
from lancet_core.acts.results import INPUTS
from lancet_core.acts.subject import Subject
from lancet_core.config import to_dict
from lancet_core.correction.model_card import EXAMPLE, Prompting, model_card
from lancet_core.correction.needs import WAYS_OUT, correction_need
from lancet_core.correction.pair_files import ReviewedPair, read_pairs, usable_pairs
from lancet_core.correction.run import Corrected, correct_model
from lancet_core.correction.settings import CorrectionSettings
from lancet_core.correction.steps import NEGATIVES, POSITIVES, RETAINED, encode_texts
from lancet_core.correction.trainer import Validate
from lancet_core.correction.training import save_trained
from lancet_core.data.conversations import USER
from lancet_core.data.samples import UNDESIRABLE, conversations_of, read_prompts, read_samples
from lancet_core.errors import ConfigError, DataError
from lancet_core.influence.curved_model import left_out_note
from lancet_core.models.encoding import encode_all, usable
from lancet_core.models.generation import generate
from lancet_core.models.loading import (
    LanguageModel,
    Loader,
    choose_device,
    load_language_model,
    require_room,
    without_adapter,
)
from lancet_core.models.needs import model_size
from lancet_core.models.templates import write_prompt
from lancet_core.operations.answering import asked_in, load_scorers
from lancet_core.progress import Progress, silent

# Scores of a validation and the kind of prompts that each is taken on.
VALIDATED = {"harmful": "wrong", "helpful": "benign"}
NOT_FINITE = "its log-probability is not finite"


def run(
    subject: Subject,
    request: CorrectRequest,
    *,
    folder: Path,
    progress: Progress = silent,
    load: Loader = load_language_model,
) -> Correction:
    """Trains from the last whole checkpoint in the folder, or from the start, and writes `model/`.

    Raises:
        DataError: Pairs, retain set or samples cannot be used.
        ConfigError: The queries are of both polarities, a scorer measures the other thing, or it would not fit into memory.
        ModelError: Model or scorer cannot be loaded.
        NumericalError: No sample has a finite log-probability, or the run diverged; its checkpoints stay.
        Cancelled: A person asked to stop; the run can be resumed.
    """
    started = time.monotonic()
    settings = dataclasses.replace(request.correction, polarity=_polarity(request))
    pairs = usable_pairs(read_pairs(folder / INPUTS / PAIRS))
    retain = _retain_samples(subject, folder / INPUTS / RETAIN, pairs)
    progress("Loading the model")
    place = choose_device(settings.device)
    size = model_size(subject.model)
    if size is not None:
        require_room("the correction", correction_need(size, settings), place, WAYS_OUT)
    loaded = load(subject.model)
    lm = dataclasses.replace(loaded, model=without_adapter(loaded.model), device=place)
    lm.model.to(device=place, dtype=getattr(torch, settings.dtype))
    queries = usable(encode_all(lm, [query.conversation for query in request.queries], subject.template))
    validate, chosen_by = _validation(subject, request, folder / INPUTS / VALIDATION, lm=lm)
    corrected = correct_model(
        lm,
        encode_texts(
            lm,
            pairs,
            retain=conversations_of(retain),
            template=subject.template,
            settings=settings,
        ),
        [query for query in queries if query is not None],
        settings=settings,
        folder=folder,
        watch=(progress, validate),
    )
    progress("Saving the corrected model")
    left_out, trained = _left_out(corrected.broken, pairs, retain["id"].tolist())
    retained = [name for name in retain["id"] if name not in left_out]
    training = _training(trained, settings)
    facts = _provenance(corrected, retained=retained, chosen_by=chosen_by)
    facts |= _data(subject, folder / INPUTS / PAIRS, count=len(trained))
    base = Path(subject.model).name if Path(subject.model).is_dir() else subject.model
    card = model_card(base, prompting=_prompting(lm, subject), facts=facts, settings=to_dict(settings))
    save_trained(corrected.lm.model, lm.tokenizer, folder / MODEL, card=card, training=training)
    return Correction(
        **training,
        best_step=corrected.best_step,
        best_score=corrected.best_score,
        chosen_by=chosen_by,
        resumed_from=corrected.resumed_from,
        retain=len(retained),
        polarity=settings.polarity,
        terms=dict(corrected.terms),
        left_out=left_out,
        notes=_notes(left_out, pairs, trained),
        seconds=time.monotonic() - started,
    )


def _left_out(
    broken: Mapping[int, tuple[int, ...]], pairs: Sequence[ReviewedPair], retain: Sequence[str]
) -> tuple[dict[str, str], list[ReviewedPair]]:
    """Names the samples at which the model overflows, and gives the pairs without them."""
    named = [
        *(pairs[place].positive.sample_id for place in broken[POSITIVES]),
        *(pairs[place].negative.sample_id for place in broken[NEGATIVES]),
        *(retain[row] for row in broken[RETAINED]),
    ]
    places = {*broken[POSITIVES], *broken[NEGATIVES]}
    trained = [pair for place, pair in enumerate(pairs) if place not in places]
    return dict.fromkeys(named, NOT_FINITE), trained


def _notes(
    left_out: Mapping[str, str], pairs: Sequence[ReviewedPair], trained: Sequence[ReviewedPair]
) -> tuple[str, ...]:
    fewer = (f"{len(trained):,} of {len(pairs):,} pairs are trained on",) if len(trained) < len(pairs) else ()
    return (*left_out_note(left_out), *fewer)


def _training(pairs: Sequence[ReviewedPair], settings: CorrectionSettings) -> dict[str, Any]:
    """What the verdict's advice needs to know of a training."""
    batch = min(settings.pair_batch, len(pairs))
    return {
        "pairs": len(pairs),
        "steps": settings.steps,
        "passes": settings.steps * batch / len(pairs),
        "sides_agree": _sides_agree(pairs, settings.polarity),
    }


def _sides_agree(pairs: Sequence[ReviewedPair], polarity: str) -> float | None:
    """Share of the labelled pairs whose labels agree with their sides: the side that pushes towards bad answers is unsafe, the other safe.

    None where no pair has labels on both sides.
    """
    labels = [(pair.positive.is_safe, pair.negative.is_safe) for pair in pairs]
    known = [sides for sides in labels if all(isinstance(label, bool) for label in sides)]
    right = (False, True) if polarity == UNDESIRABLE else (True, False)
    return known.count(right) / len(known) if known else None


def _polarity(request: CorrectRequest) -> str:
    """Decides what the queries show; both polarities at once are refused."""
    if request.correction.polarity != "auto":
        return request.correction.polarity
    polarities = {query.polarity for query in request.queries} or {UNDESIRABLE}
    if len(polarities) > 1:
        raise ConfigError(
            "the queries are both desirable and undesirable, and one correction can only lower or raise their probability; "
            "set polarity, or correct in two runs"
        )
    return polarities.pop()


def _retain_samples(subject: Subject, path: Path, pairs: Sequence[ReviewedPair]) -> pd.DataFrame:
    """Reads the retain set's samples; without a file it is every sample in no pair."""
    samples = read_samples(subject.samples).set_index("id", drop=False)
    paired = {side.sample_id for pair in pairs for side in (pair.positive, pair.negative)}
    if not path.is_file():
        retained = samples[~samples.index.isin(paired)]
    else:
        ids = pd.read_parquet(path)["id"]
        unknown = ids[~ids.isin(samples.index)]
        if len(unknown):
            raise DataError(
                f"{path} names sample {unknown.iloc[0]}, which is not among the training samples; propose the pairs again"
            )
        retained = samples.loc[ids[~ids.isin(paired)]]
    if retained.empty:
        raise DataError(
            "no sample is left to retain: all are in pairs; approve fewer pairs or set retain to rest"
        )
    return retained


def _validation(
    subject: Subject, request: CorrectRequest, path: Path, *, lm: LanguageModel
) -> tuple[Validate | None, str]:
    """Scores a model in training on validation prompts: harm on wrong ones, help on benign ones (on all where kinds are unknown).

    Wrong prompts of categories that the harmful scorer was not trained on are left out: on the demo it calls a third of the safe
    model's answers to them harmful, so that they would choose a checkpoint by noise.

    Returns:
        What scores the model, None where there is nothing to score by; and what the checkpoint is chosen by, in words.
    """
    if not path.is_file():
        return None, "the last step, as there are no validation prompts"
    scorers = load_scorers(subject.harmful_scorer, subject.helpful_scorer, device=str(lm.device))
    scorers.write_cards(path.parents[1])
    measures = [name for name in VALIDATED if getattr(scorers, name) is not None]
    if not measures:
        return None, "the last step, as there is no scorer for the validation prompts"
    known = () if scorers.harmful is None else scorers.harmful.card.known_categories or ()
    prompts = _validation_prompts(path, request.correction, known_categories=known)
    rows = {name: _rows_of_kind(prompts, VALIDATED[name]) for name in measures}
    answered = prompts[pd.concat(rows, axis=1).any(axis=1)]

    def validate(model: Any) -> Mapping[str, float]:
        in_training = dataclasses.replace(lm, model=model)
        asked = asked_in(answered)
        answers = generate(in_training, asked, subject.template, request.generation)
        scores = scorers.score(asked, answers, silent).set_index(answered.index)
        return {name: float(scores.loc[rows[name], name].mean()) for name in measures}

    return validate, _chosen_by(measures, len(answered))


def _rows_of_kind(prompts: pd.DataFrame, kind: str) -> pd.Series:
    """Marks the prompts of a kind; all where there is none of it."""
    marked = prompts["kind"] == kind
    return marked if marked.any() else pd.Series(True, index=prompts.index)


def _chosen_by(measures: Sequence[str], prompts: int) -> str:
    if len(measures) == len(VALIDATED):
        return f"the highest helpful minus harmful score on {prompts} validation prompts"
    if measures == ["harmful"]:
        return f"the lowest harmful score on {prompts} validation prompts; help was not measured, as there is no helpful scorer"
    return f"the highest helpful score on {prompts} validation prompts; harm was not measured, as there is no harmful scorer"


def _validation_prompts(
    path: Path, settings: CorrectionSettings, *, known_categories: Sequence[str]
) -> pd.DataFrame:
    """Draws a seeded sample of the prompts of each kind, wrong ones from the known categories where there are any."""
    prompts = read_prompts(path)
    wrong = prompts["kind"] == "wrong"
    known = prompts["category"].isin(list(known_categories))
    if (wrong & known).any():
        prompts = prompts[~wrong | known]
    samples = [
        rows.sample(min(len(rows), settings.validation_prompts), random_state=settings.seed)
        for _, rows in prompts.groupby("kind")
    ]
    return pd.concat(samples, ignore_index=True)


def _provenance(corrected: Corrected, *, retained: Sequence[str], chosen_by: str) -> dict[str, str]:
    """Which model was started from and which checkpoint chosen, as rows of the card."""
    score = corrected.best_score
    retain_hash = hashlib.sha256("\n".join(retained).encode()).hexdigest()
    return {
        "fingerprint of the base model": f"`{corrected.lm.fingerprint}`",
        "retain samples": f"{len(retained):,}",
        "SHA-256 of the retain ids": f"`{retain_hash}`",
        "chosen checkpoint": f"step {corrected.best_step} of {corrected.steps}",
        "chosen by": chosen_by,
        "score of the chosen checkpoint": "not measured" if score is None else f"{score:.3f}",
    }


def _data(subject: Subject, pairs: Path, *, count: int) -> dict[str, str]:
    """Which data the correction worked with, as rows of the card; files by their names, never by their places."""
    samples = read_samples(subject.samples)
    sources = samples["source_file"] if "source_file" in samples else pd.Series(dtype=str)
    names = sorted({Path(name).name for name in sources.dropna().unique()} - {""})
    labels = samples["is_safe"].dropna().astype(bool)
    pairs_hash = hashlib.sha256(pairs.read_bytes()).hexdigest()
    return {
        "training samples": f"{len(samples):,}"
        + (f" of {', '.join(f'`{name}`' for name in names)}" if names else ""),
        "labelled unsafe": f"{int((~labels).sum()):,} of {len(labels):,} with a label",
        "SHA-256 of the sample ids": f"`{hashlib.sha256(''.join(samples['id']).encode()).hexdigest()}`",
        "pairs": f"{count:,}",
        "SHA-256 of the pairs": f"`{pairs_hash}`",
    }


def _prompting(lm: LanguageModel, subject: Subject) -> Prompting:
    written = write_prompt(lm.tokenizer, [{"role": USER, "content": EXAMPLE}], subject.template)
    return Prompting(subject.template, written.text, written.by_chat_template)
