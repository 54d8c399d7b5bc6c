"""Corrects a model by pairs of its training samples and saves it with a model card."""

import dataclasses
import hashlib
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from lancet_core.config import to_dict
from lancet_core.correction.ibo import Corrected, correct_model, save_corrected
from lancet_core.correction.model_card import Provenance, model_card
from lancet_core.correction.pair_files import ReviewedPair, read_pairs, usable_pairs
from lancet_core.correction.settings import CorrectionSettings
from lancet_core.correction.steps import encode_texts
from lancet_core.correction.trainer import Validate
from lancet_core.data.samples import UNDESIRABLE, read_prompts, read_samples
from lancet_core.errors import ConfigError, DataError
from lancet_core.models.encoding import encode_all
from lancet_core.models.generation import generate
from lancet_core.models.loading import (
    LanguageModel,
    Loader,
    choose_device,
    load_language_model,
    without_adapter,
)
from lancet_core.operations.answering import load_scorers
from lancet_core.operations.configs import CorrectConfig
from lancet_core.progress import Progress, silent

MODEL_FOLDER = "model"


def run(
    config: CorrectConfig, folder: Path, progress: Progress, load: Loader = load_language_model
) -> dict[str, Any]:
    """Trains from the last whole checkpoint in the folder, or from the start, and writes `model/`.

    Raises:
        DataError: Pairs, retain set or samples cannot be used.
        ConfigError: The queries are of both polarities, or a scorer measures the other thing.
        ModelError: Model or scorer cannot be loaded.
        NumericalError: The run diverged; its checkpoints stay.
        Cancelled: A person asked to stop; the run can be resumed.
    """
    begun = time.monotonic()
    settings = dataclasses.replace(config.correction, polarity=_polarity(config))
    pairs = usable_pairs(read_pairs(config.pairs))
    retain = _retain_samples(config, pairs)
    progress("Loading the model")
    place = choose_device(settings.device)
    loaded = load(config.model)
    language_model = dataclasses.replace(loaded, model=without_adapter(loaded.model), device=place)
    language_model.model.to(device=place, dtype=getattr(torch, settings.dtype))
    queries = encode_all(
        language_model, [(query.prompt, query.response) for query in config.queries], config.template
    )
    corrected = correct_model(
        language_model,
        encode_texts(
            language_model,
            pairs,
            retain=list(zip(retain["prompt"], retain["response"], strict=True)),
            template=config.template,
            settings=settings,
        ),
        [query for query in queries if query is not None],
        settings=settings,
        folder=folder,
        watch=(progress, _validation(config, language_model)),
    )
    progress("Saving the corrected model")
    card = model_card(_provenance(config, corrected, len(pairs), retain["id"].tolist()), to_dict(settings))
    save_corrected(corrected.language_model, folder / MODEL_FOLDER, card)
    return {
        "model": str(folder / MODEL_FOLDER),
        "steps": corrected.steps,
        "best_step": corrected.best_step,
        "best_score": corrected.best_score,
        "resumed_from": corrected.resumed_from,
        "pairs": len(pairs),
        "retain": len(retain),
        "polarity": settings.polarity,
        "terms": corrected.terms,
        "seconds": time.monotonic() - begun,
    }


def _polarity(config: CorrectConfig) -> str:
    """Decides what the queries show.

    Raises:
        ConfigError: They are of both polarities.
    """
    if config.correction.polarity != "auto":
        return config.correction.polarity
    found = {query.polarity for query in config.queries} or {UNDESIRABLE}
    if len(found) > 1:
        raise ConfigError(
            "the queries are both desirable and undesirable, and one correction can only lower or raise their probability; "
            "set polarity, or correct in two runs"
        )
    return found.pop()


def _retain_samples(config: CorrectConfig, pairs: Sequence[ReviewedPair]) -> pd.DataFrame:
    """Reads the retain set's samples; without a file it is every sample in no pair.

    Raises:
        DataError: An id is not among the training samples, or none is left.
    """
    samples = read_samples(config.samples).set_index("id", drop=False)
    paired = {side.sample_id for pair in pairs for side in (pair.positive, pair.negative)}
    if not config.retain:
        retained = samples[~samples.index.isin(paired)]
    else:
        ids = pd.read_parquet(config.retain)["id"]
        unknown = ids[~ids.isin(samples.index)]
        if len(unknown):
            raise DataError(
                f"{config.retain} names sample {unknown.iloc[0]}, which is not among the training samples; propose the pairs again"
            )
        retained = samples.loc[ids[~ids.isin(paired)]]
    if retained.empty:
        raise DataError(
            "no sample is left to retain: all are in pairs; approve fewer pairs or set retain to rest"
        )
    return retained


def _validation(config: CorrectConfig, language_model: LanguageModel) -> Validate | None:
    """Scores a model in training on validation prompts: harm on wrong ones, help on benign ones (on all where kinds are unknown).

    Wrong prompts of categories that the harmful scorer was not trained on are left out: on the demo it calls a third of the safe
    model's answers to them harmful, so that they would choose a checkpoint by noise.
    """
    if not (config.prompts and config.harmful_scorer and config.helpful_scorer):
        return None
    scorers = load_scorers(config.harmful_scorer, config.helpful_scorer, device=str(language_model.device))
    card = scorers.harmful.card if scorers.harmful else None
    known = () if card is None or card.known_categories is None else card.known_categories
    prompts = _validation_prompts(config.prompts, config.correction, known_categories=known)

    def validate(model: Any) -> Mapping[str, float]:
        in_training = dataclasses.replace(language_model, model=model)
        answers = generate(in_training, prompts["prompt"].tolist(), config.template, config.generation)
        scores = scorers.score(prompts["prompt"].tolist(), answers, silent)
        wrong, benign = (prompts["kind"] == kind for kind in ("wrong", "benign"))
        return {
            "harmful": float(scores.loc[wrong if wrong.any() else slice(None), "harmful"].mean()),
            "helpful": float(scores.loc[benign if benign.any() else slice(None), "helpful"].mean()),
        }

    return validate


def _validation_prompts(
    path: str, settings: CorrectionSettings, *, known_categories: Sequence[str]
) -> pd.DataFrame:
    """Draws a seeded sample of the prompts of each kind, wrong ones from the known categories where there are any."""
    prompts = read_prompts(path)
    wrong = prompts["kind"] == "wrong"
    known = prompts["category"].isin(list(known_categories))
    if (wrong & known).any():
        prompts = prompts[~wrong | known]
    drawn = [
        rows.sample(min(len(rows), settings.validation_prompts), random_state=settings.seed)
        for _, rows in prompts.groupby("kind")
    ]
    return pd.concat(drawn, ignore_index=True)


def _provenance(
    config: CorrectConfig, corrected: Corrected, pairs: int, retained: Sequence[str]
) -> Provenance:
    return Provenance(
        base=config.model,
        base_fingerprint=corrected.language_model.fingerprint,
        pairs=pairs,
        pairs_hash=hashlib.sha256(Path(config.pairs).read_bytes()).hexdigest(),
        retain=len(retained),
        retain_hash=hashlib.sha256("\n".join(retained).encode()).hexdigest(),
        steps=corrected.steps,
        best_step=corrected.best_step,
        best_score=corrected.best_score,
    )
