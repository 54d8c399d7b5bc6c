"""Spreads one sample's influence over its tokens and units."""

from pathlib import Path

import numpy as np
import pandas as pd

from lancet_core.acts.attribute import TOKENS
from lancet_core.acts.heat import Heat, HeatRequest
from lancet_core.acts.subject import Subject
from lancet_core.data.samples import read_samples
from lancet_core.errors import DataError, NumericalError
from lancet_core.files import write_table
from lancet_core.influence.curved_model import Source, open_curved_model
from lancet_core.influence.results import TOKEN_COLUMNS
from lancet_core.influence.scores import decompose_samples, reasons, token_row
from lancet_core.models.encoding import encode_query
from lancet_core.models.loading import Loader
from lancet_core.progress import Progress, silent


def run(
    subject: Subject,
    request: HeatRequest,
    *,
    folder: Path,
    progress: Progress = silent,
    load: Loader | None = None,
) -> Heat:
    """Writes the sample's tokens and units, with the influence of each, into `tokens.parquet`.

    Raises:
        DataError: There is no such sample, or the template refuses it.
        ModelError: The model cannot be loaded, or kept factors belong to another.
        NumericalError: The curvature is singular or a result is not finite.
    """
    settings = request.influence
    samples = read_samples(subject.samples, whole=False)
    places = np.flatnonzero(samples["id"] == request.sample_id)
    if not len(places):
        raise DataError(f"the study has no sample {request.sample_id!r}; trace the answer again")
    source = Source(subject.model, samples, subject.template, settings, subject.factors, folder)
    curved = open_curved_model(source, progress, load)
    queries = [encode_query(curved.network.lm, query, subject.template) for query in request.queries]
    together = [tuple(range(len(queries)))]
    directions = curved.directions(
        queries, together, refine_steps=settings.score.refine_steps, progress=progress
    )
    texts = list(curved.encode_rows(places[:1]).values())
    if not texts:
        raise DataError(f"the template refuses the sample {request.sample_id!r}")
    (decomposition,) = decompose_samples(
        curved.network,
        encoded=texts,
        direction=directions.query(0),
        max_tokens=curved.source.settings.compute.max_tokens,
        tell=lambda done: progress("Spreading influence over tokens", done, 1),
        normaliser=curved.normaliser(settings.score.normalise),
    )
    if not np.isfinite(decomposition.influence):
        (reason,) = reasons(curved.network, texts)
        raise NumericalError(f"the influence of the sample {request.sample_id!r} is not finite: {reason}")
    row = token_row(
        curved.network, texts[0], decomposition, query_id=request.query_id, sample_id=request.sample_id
    )
    write_table(folder / TOKENS, pd.DataFrame([row], columns=TOKEN_COLUMNS))
    return Heat(
        query_id=request.query_id, sample_id=request.sample_id, influence=float(decomposition.influence)
    )
