"""A model with its units and the damped curvature of its samples: what attribution and the gradient index compute with."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from lancet_core.config import fingerprint
from lancet_core.data.samples import conversations_of, corpus_id
from lancet_core.errors import NumericalError
from lancet_core.influence import fitting, scores
from lancet_core.influence.memory import require_memory, tokens_at_once
from lancet_core.influence.methods import EMPIRICAL, IDENTITY, LINEARS, SAMPLED, SELF
from lancet_core.influence.needs import WAYS_OUT, attribution_need
from lancet_core.influence.preconditioner import Identity, Preconditioner, preconditioners
from lancet_core.influence.pseudo import pseudo_texts
from lancet_core.influence.refinement import DampedFisher, refine
from lancet_core.influence.settings import ComputeSettings, GradientSettings, UnitSettings
from lancet_core.influence.shards import Shards
from lancet_core.models.encoding import Encoded, encode_all
from lancet_core.models.likelihood import full_precision
from lancet_core.models.loading import LanguageModel, Loader, choose_device, load_language_model, require_room
from lancet_core.models.needs import model_size
from lancet_core.models.settings import ENCODING
from lancet_core.models.units import (
    UnitModel,
    find_head,
    find_linears,
    find_sublayers,
    select_units,
)
from lancet_core.models.untracked import Untracked, list_untracked
from lancet_core.progress import Progress

MOST_NAMED = 10
PSEUDO_NOT_FINITE = (
    "not in the curvature, since what is computed of the model's own answer to it is not finite"
)
FEW_SAMPLES = (
    "the curvature was estimated from {count:,} samples, fewer than the {width:,} dimensions of its widest unit: most of its "
    "directions are known by the damping alone; raise factor_samples"
)


@dataclass(frozen=True)
class Source:
    """What a curved model is made from.

    Attributes:
        model: Model folder, or id on the Hub.
        samples: The study's training samples.
        template: How prompt and response become one text.
        settings: What the gradients depend on.
        factors: Folder where factors are kept for the next run; empty keeps none.
        folder: Folder of the run, for shards.
    """

    model: str
    samples: pd.DataFrame
    template: str
    settings: GradientSettings
    factors: str
    folder: Path

    @cached_property
    def ids(self) -> list[str]:
        """Id of each sample row."""
        ids: list[str] = self.samples["id"].tolist()  # ten times as fast as list()
        return ids

    @cached_property
    def corpus(self) -> str:
        """Fingerprint of the samples."""
        return corpus_id(self.ids)


@dataclass(frozen=True)
class CurvedModel:
    """A model, its units and their damped curvature.

    Attributes:
        source: What it was made from; batch size set for the device.
        network: The model with its units.
        curvature: Unit names to the damped curvature.
        key: Fingerprint of model, samples, template, units, curvature and damping: what a whitened gradient depends on.
        notes: What a person should know about these scores.
        left_out: Ids of samples that the curvature was to be estimated from, and that are not finite, to the reason of each.
    """

    source: Source
    network: UnitModel
    curvature: dict[str, Preconditioner]
    key: str
    notes: tuple[str, ...]
    left_out: Mapping[str, str] = field(default_factory=dict)

    def normaliser(self, normalise: str) -> scores.Normaliser | None:
        """What divides the scores of each sample: the root of its influence on itself with `self`, nothing with `none`."""
        return scores.MeasuredNorms(self.curvature) if normalise == SELF else None

    def encode_rows(self, rows: NDArray[np.int64]) -> dict[int, Encoded]:
        """Tokenises samples, by row; those that the template refuses are left out."""
        return _encode_rows(self.network.lm, self.source, rows)

    def broken_samples(self, texts: Mapping[int, Encoded], broken: Sequence[int]) -> dict[str, str]:
        """Names samples whose results are not finite: ids to reasons.

        Args:
            texts: Samples by row.
            broken: Rows of those that are broken.

        Raises:
            NumericalError: All of them are.
        """
        ids, reasons = self.source.ids, scores.reasons(self.network, [texts[row] for row in broken])
        if broken and len(broken) == len(texts):
            raise NumericalError(
                f"no sample can be attributed to; of the first, {ids[broken[0]]}, {reasons[0]}; compute in float32"
            )
        return {ids[row]: reason for row, reason in zip(broken, reasons, strict=True)}

    def directions(
        self,
        encoded: Sequence[Encoded],
        groups: Sequence[Sequence[int]],
        *,
        refine_steps: int = 0,
        progress: Progress,
    ) -> scores.Directions:
        """Preconditions the mean gradient of each group of queries.

        Args:
            encoded: The queries.
            groups: Query indices of each group.
            refine_steps: Conjugate-gradient steps; 0 takes the factored solve.
            progress: Told at every batch.

        Returns:
            V of each group.

        Raises:
            NumericalError: A gradient is not finite.
        """
        settings = self.source.settings
        require_memory(
            self.network.units, settings.curvature, queries=len(encoded), device=self.network.lm.device
        )
        progress("Preparing the queries")
        gradients = scores.mean_by_group(
            scores.query_gradients(
                self.network, self.curvature, encoded=encoded, max_tokens=settings.compute.max_tokens
            ),
            groups,
        )
        if not refine_steps or settings.curvature.eigenvalues == IDENTITY:
            return scores.directions_of(gradients, self.curvature)
        return refine(self._fisher(progress), gradients, steps=refine_steps, progress=progress)

    def _fisher(self, progress: Progress) -> DampedFisher:
        """The Fisher matrix by the model's own labels: the data's make good factors, and a bad matrix to solve with exactly."""
        lm, settings = self.network.lm, self.source.settings
        if settings.curvature.fisher == EMPIRICAL:
            settings = replace(settings, curvature=replace(settings.curvature, fisher=SAMPLED))
        encoded = list(_factor_texts(lm, self.source).values())
        texts = pseudo_texts(lm, encoded, settings.curvature, progress)
        return DampedFisher(self.network, texts, self.curvature, settings)


def load_model(model: str, compute: ComputeSettings, load: Loader | None) -> LanguageModel:
    """Takes the model from the caller, with the device and precision that are asked for.

    Raises:
        ModelError: It cannot be loaded.
    """
    usual = ComputeSettings()
    if load is not None and (compute.device, compute.dtype) == (usual.device, usual.dtype):
        return load(model)
    return (load or load_language_model)(model, device=compute.device, dtype=compute.dtype)


def open_curved_model(source: Source, progress: Progress, load: Loader | None = None) -> CurvedModel:
    """Loads the model, finds its units, and reads or estimates their curvature.

    Args:
        source: Model, samples and settings.
        progress: Told at every batch.
        load: Gives the model; None loads it with the device and precision of the settings.

    Raises:
        ModelError: The model cannot be loaded, its layout is unknown, or kept factors belong to another.
        ConfigError: No unit is tracked, or the factors would not fit into memory.
        NumericalError: The curvature is singular, all zero, or not finite.
        DataError: No sample can be encoded.
    """
    progress("Loading the model")
    _require_room(source)
    lm = load_model(source.model, source.settings.compute, load)
    tokens = source.settings.compute.max_tokens or tokens_at_once(lm)
    compute = replace(source.settings.compute, max_tokens=tokens)
    source = replace(source, settings=replace(source.settings, compute=compute))
    settings = source.settings
    network = find_units(lm, settings.units)
    key = fingerprint(lm.fingerprint, source.corpus, ENCODING, source.template, settings.gradient_key)
    untracked = _untracked_note(network)
    if settings.curvature.eigenvalues == IDENTITY:
        nothing: dict[str, Preconditioner] = {unit.name: Identity() for unit in network.units}
        return CurvedModel(source, network, nothing, key, untracked)
    fitted = _factors(network, source, progress)
    precision = full_precision(lm.model.get_input_embeddings().weight).dtype
    damped = preconditioners(fitted.factors, settings.solve, device=lm.device, dtype=precision)
    widest = max(unit.inputs if unit.is_head else max(unit.inputs, unit.outputs) for unit in network.units)
    count = min(settings.curvature.factor_samples or len(source.ids), len(source.ids)) - len(fitted.left_out)
    few = (FEW_SAMPLES.format(count=count, width=widest),) if count < widest else ()
    return CurvedModel(source, network, damped, key, (*few, *untracked), fitted.left_out)


def _require_room(source: Source) -> None:
    """Refuses what would not fit, before a model is loaded; queries are reckoned with when they are read.

    Raises:
        ConfigError: Model, curvature and one pass exceed the memory that is there.
    """
    size, place = model_size(source.model), choose_device(source.settings.compute.device)
    if size is not None:
        need = attribution_need(size, source.settings, queries=1)
        require_room(f"{source.settings.method} on this model", need, place, WAYS_OUT)


def _untracked_note(network: UnitModel) -> tuple[str, ...]:
    """Names what no unit covers, with its share of the parameters, first what an adapter trained; parts below a thousandth together."""
    parts = list_untracked(network.lm.model, network.units)
    trained = [part for part in parts if part.trained]
    others = [part for part in parts if not part.trained]
    return (
        *_listed("not tracked although the adapter trained it, share of the parameters", trained, 0.0),
        *_listed("not tracked, share of the parameters", others, 0.001),
    )


def _listed(what: str, parts: Sequence[Untracked], least: float) -> tuple[str, ...]:
    named = [f"{part.name} {part.share:.1%}" for part in parts if part.share >= least]
    rest = sum(part.share for part in parts if part.share < least)
    listed = ", ".join([*named, *([f"others {rest:.1%}"] if rest else [])])
    return (f"{what}: {listed}",) if listed else ()


def find_units(lm: LanguageModel, settings: UnitSettings) -> UnitModel:
    """Finds the units of a model that the settings track.

    Raises:
        ModelError: The model's layout is unknown.
        ConfigError: No unit is tracked.
    """
    find = find_linears if settings.kind == LINEARS else find_sublayers
    head = find_head(lm.model) if settings.has_head else []
    units = select_units(
        [*find(lm.model), *head],
        tracked=settings.tracked,
        last_blocks=settings.last_blocks,
        merge_blocks=settings.merge_blocks,
    )
    return UnitModel(lm, tuple(units))


def left_out_note(left_out: Mapping[str, str]) -> tuple[str, ...]:
    """Names samples that are not in a result, with the reason of each."""
    if not left_out:
        return ()
    named = [f"{name}: {reason}" for name, reason in list(left_out.items())[:MOST_NAMED]]
    more = [f"{len(left_out) - MOST_NAMED:,} more"] if len(left_out) > MOST_NAMED else []
    return (f"{len(left_out):,} samples are left out ({'; '.join([*named, *more])})",)


def _factors(network: UnitModel, source: Source, progress: Progress) -> fitting.Fitted:
    """Reads the factors that an earlier run kept, or estimates and keeps them."""
    settings, lm = source.settings, network.lm
    key = fingerprint(source.corpus, ENCODING, source.template, settings.factor_key)
    file = fitting.FactorFile(Path(source.factors) if source.factors else None, lm.fingerprint, key)
    kept = file.read()
    if kept is not None:
        return kept
    require_memory(network.units, settings.curvature, queries=1, device=lm.device)
    texts = _factor_texts(lm, source)
    folder = source.folder / "shards" if len(texts) > fitting.SHARD_SAMPLES else None
    broken: list[int] = []
    factors = fitting.fit_factors(
        network,
        encoded=list(texts.values()),
        settings=settings,
        shards=Shards(folder, "factors", fingerprint(lm.fingerprint, key)),
        progress=progress,
        leave_out=broken.append,
    )
    rows = list(texts)
    reasons = scores.reasons(network, [texts[rows[place]] for place in broken], PSEUDO_NOT_FINITE)
    left_out = {source.ids[rows[place]]: reason for place, reason in zip(broken, reasons, strict=True)}
    fitted = fitting.Fitted(factors, left_out)
    file.write(fitted)
    return fitted


def _factor_texts(lm: LanguageModel, source: Source) -> dict[int, Encoded]:
    """The samples that the curvature is estimated from, drawn by the seed, by row."""
    settings = source.settings.curvature
    order = np.random.default_rng(settings.seed).permutation(len(source.ids))
    return _encode_rows(lm, source, order[: settings.factor_samples or None])


def _encode_rows(lm: LanguageModel, source: Source, rows: NDArray[np.int64]) -> dict[int, Encoded]:
    chosen = source.samples.iloc[rows]
    encoded = encode_all(lm, conversations_of(chosen), source.template)
    return {int(row): text for row, text in zip(rows, encoded, strict=True) if isinstance(text, Encoded)}
