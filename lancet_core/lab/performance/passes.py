"""Score pass and factor pass against the least that any gradient method needs: a forward pass and a backward pass over activations.

Rounds alternate between what is compared, and ratios are taken within a round: a machine that is busy for a while slows all of them.
"""

import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any
from unittest.mock import patch

import numpy as np
import torch
from scipy.stats import spearmanr

from lancet_core.config import changed
from lancet_core.influence import fitting, scores
from lancet_core.influence.capture import frozen
from lancet_core.influence.curved_model import find_units
from lancet_core.influence.factors import decompose
from lancet_core.influence.methods import EMPIRICAL, LINFAC, LINFAC_HEAD, SELF
from lancet_core.influence.preconditioner import Identity, preconditioners
from lancet_core.influence.presets import preset
from lancet_core.influence.settings import TOKENS_AT_ONCE, InfluenceSettings
from lancet_core.influence.shards import Shards
from lancet_core.lab.performance.names import HEAD_ALONE
from lancet_core.lab.performance.subjects import QUERIES, TOKENS, Subject
from lancet_core.models.encoding import Encoded, pack
from lancet_core.models.likelihood import (
    full_precision,
    label_log_likelihoods,
    response_logits,
    response_targets,
)
from lancet_core.models.units import UnitModel
from lancet_core.progress import silent

AT_ONCE = TOKENS_AT_ONCE["cpu"]
FITTED_SAMPLES = 512
Row = dict[str, Any]
Pass = Callable[[Sequence[Encoded]], Any]


def method_settings(name: str) -> InfluenceSettings:
    """Gives the settings of a method, or of the default method with the head alone as its unit."""
    sizes = {"max_tokens": AT_ONCE, "factor_samples": 0}
    return preset(LINFAC_HEAD, tracked="head", **sizes) if name == HEAD_ALONE else preset(name, **sizes)


class MethodPasses:
    """The passes of one method over a model, apart from files and runs."""

    def __init__(self, subject: Subject, settings: InfluenceSettings) -> None:
        """Finds the units."""
        self.network: UnitModel = find_units(subject.lm, settings.units)
        self.settings = settings
        self.normaliser: Any = None

    def fit(self, texts: Sequence[Encoded]) -> Any:
        """Fits the factors."""
        return fitting.fit_factors(
            self.network, encoded=texts, settings=self.settings, shards=Shards(None, "", ""), progress=silent
        )

    def curvature(self, factors: Any) -> Any:
        """Makes preconditioners of factors, and the normaliser where the method has one."""
        lm = self.network.lm
        dtype = full_precision(lm.model.get_input_embeddings().weight).dtype
        made = preconditioners(factors, self.settings.solve, device=lm.device, dtype=dtype)
        if self.settings.score.normalise == SELF:
            self.normaliser = scores.MeasuredNorms(made)
        return made

    def solve(self, queries: Sequence[Encoded], curvature: Any) -> Any:
        """Takes the gradients of queries through the curvature."""
        gradients = scores.query_gradients(self.network, curvature, encoded=queries, max_tokens=AT_ONCE)
        return scores.directions_of(gradients, curvature)

    def random_directions(self, queries: int) -> Any:
        """Directions of some queries: the time of a pass does not depend on what they hold."""
        generator = torch.Generator().manual_seed(0)
        units = self.network.units
        drawn = {
            unit.name: torch.randn(queries, unit.outputs, unit.inputs, generator=generator) for unit in units
        }
        return scores.directions_of(drawn, {unit.name: Identity() for unit in units})

    def score(self, texts: Sequence[Encoded], directions: Any, at_once: int = AT_ONCE) -> Any:
        """Scores texts, shape (texts, queries)."""
        return scores.score_samples(
            self.network,
            encoded=texts,
            directions=directions,
            max_tokens=at_once,
            tell=lambda _done: None,
            normaliser=self.normaliser,
        )


@contextmanager
def decompositions_timed() -> Iterator[list[float]]:
    """Keeps the seconds of each eigendecomposition within `fit_factors`."""
    spent: list[float] = []

    def timed(total: Any, unit: str = "") -> Any:
        started = time.perf_counter()
        result = decompose(total, unit)
        spent.append(time.perf_counter() - started)
        return result

    with patch.object(fitting, "decompose", timed):
        yield spent


def ratios(subject: Subject, rounds: int) -> list[Row]:
    """Gives one row for each pass: seconds of all samples, and how they compare with the floor.

    Everything is measured by turns on parts of some seconds, and a ratio is that of one part in one round. Once with all cores by
    the wall's clock, and once with one thread by the processor's, which other work on the machine disturbs less.
    """
    network = find_units(subject.lm, method_settings(LINFAC).units)
    acts: dict[str, Pass] = {"floor": lambda texts: _floor(network, texts)}
    for method in (LINFAC, LINFAC_HEAD, HEAD_ALONE):
        acts |= {f"{method}, {name}": act for name, act in _passes(subject, method).items()}
    order = sorted(subject.samples, key=lambda text: -len(text.input_ids))
    parts, cores, sums = (order[::2], order[1::2]), torch.get_num_threads(), {}
    # Eigendecompositions are left out of the passes, and timed by themselves below.
    with patch.object(fitting, "decompose", lambda total, unit="": sums.update({unit: total})):
        for act in acts.values():
            act(parts[0])
        wall = _by_turns(acts, parts, rounds, time.perf_counter)
        torch.set_num_threads(1)
        alone = _by_turns(acts, parts, rounds, time.process_time)
        torch.set_num_threads(cores)
    eigen = _seconds(lambda: [decompose(total, unit) for unit, total in sums.items()])
    rows: list[Row] = []
    for name in acts:
        shares = _shares(alone, name)
        low, _, high = statistics.quantiles(shares, n=4)
        rows.append(
            {
                "model": subject.name,
                "pass": name,
                f"{cores} threads, s": len(parts) * statistics.median(wall[name]),
                "÷ floor": statistics.median(_shares(wall, name)),
                "1 thread, CPU s": len(parts) * statistics.median(alone[name]),
                "÷ floor (CPU)": statistics.median(shares),
                "quartiles": f"{low:.3f} – {high:.3f}",
            }
        )
    last = {"model": subject.name, "pass": f"{LINFAC_HEAD}, eigendecompositions"}
    return [*rows, {**last, f"{cores} threads, s": eigen}]


def in_bfloat16(subject: Subject, narrow: Subject, method: str) -> Row:
    """Correlates scores in bfloat16 with those in float32, each with its own factors; and gives their seconds."""
    settings = changed(method_settings(method), fisher=EMPIRICAL)
    measured, times = [], []
    for precision in (subject, narrow):
        passes = MethodPasses(precision, settings)
        directions = passes.solve(
            precision.queries, passes.curvature(passes.fit(precision.samples[:FITTED_SAMPLES]))
        )
        started = time.perf_counter()
        measured.append(passes.score(precision.samples, directions))
        times.append(time.perf_counter() - started)
    columns = zip(*(matrix.T for matrix in measured), strict=True)
    order = [float(spearmanr(wide, short).statistic) for wide, short in columns]
    return {
        "model": subject.name,
        "method": method,
        "Spearman, least of 10 queries": min(order),
        "median": float(np.median(order)),
        "float32 s": times[0],
        "bfloat16 s": times[1],
    }


def sorting(subject: Subject) -> list[Row]:
    """Says what sorting by length saves: tokens computed with and without, and seconds."""
    passes = MethodPasses(subject, method_settings(LINFAC))
    directions = passes.random_directions(1)
    pieces = _in_order(subject.samples)
    sorted_tokens = sum(batch.input_ids.numel() for batch in pack(subject.samples, AT_ONCE))
    tokens = sum(len(text.input_ids) for text in subject.samples)
    return [
        {
            "batches": "sorted by length",
            "tokens": tokens,
            "computed": sorted_tokens,
            "seconds": _seconds(lambda: passes.score(subject.samples, directions)),
        },
        {
            "batches": "in the order given",
            "tokens": tokens,
            "computed": sum(len(piece) * max(len(text.input_ids) for text in piece) for piece in pieces),
            "seconds": _seconds(lambda: [passes.score(piece, directions, 10**6) for piece in pieces]),
        },
    ]


def linear_in_tokens(subject: Subject) -> list[Row]:
    """Times the score pass as texts become longer; samples are fewer, so that each row has the same number of tokens."""
    passes = MethodPasses(subject, method_settings(LINFAC))
    directions = passes.random_directions(1)
    rows = []
    for length in (16, 32, 64, 128):
        texts = [
            replace(text, input_ids=text.input_ids[:length], response_start=4)
            for text in subject.samples * (TOKENS // length)
        ]
        started = time.perf_counter()
        passes.score(texts, directions)
        spent = time.perf_counter() - started
        each = 1e6 * spent / (len(texts) * length)
        what = f"score pass, texts of {length} tokens"
        rows.append({"what": what, "samples": len(texts), "seconds": spent, "µs a token": each})
    return rows


def _floor(network: UnitModel, texts: Sequence[Encoded]) -> None:
    """Forward pass and backward pass to the output of the lowest unit, on the same batches; nothing is kept."""
    start: list[torch.Tensor] = []

    def begin(_module: Any, _arguments: Any, output: Any) -> Any:
        value = output[0] if isinstance(output, tuple) else output
        start[:] = [value.detach().requires_grad_(True)]
        return (start[0], *output[1:]) if isinstance(output, tuple) else start[0]

    handle = network.units[0].writer.register_forward_hook(begin)
    with frozen(network.lm.model):
        for batch in pack(texts, AT_ONCE):
            logits = response_logits(network.lm.model, batch)
            torch.autograd.grad(label_log_likelihoods(logits, response_targets(batch)).sum(), start)
    handle.remove()


def _passes(subject: Subject, method: str) -> dict[str, Pass]:
    passes = MethodPasses(subject, method_settings(method))
    if passes.settings.score.normalise == SELF:
        passes.curvature(passes.fit(subject.samples[:8]))  # the time does not depend on the samples behind it
    single, several = (passes.random_directions(queries) for queries in (1, QUERIES))
    return {
        "score, 1 query": lambda texts: passes.score(texts, single),
        "score, 10 queries": lambda texts: passes.score(texts, several),
        "factors": passes.fit,
    }


def _by_turns(
    acts: Mapping[str, Pass], parts: Sequence[Sequence[Encoded]], rounds: int, clock: Callable[[], float]
) -> dict[str, list[float]]:
    times: dict[str, list[float]] = {name: [] for name in acts}
    for _ in range(rounds):
        for part in parts:
            for name, act in acts.items():
                started = clock()
                act(part)
                times[name].append(clock() - started)
    return times


def _shares(times: Mapping[str, list[float]], name: str) -> list[float]:
    return [value / least for value, least in zip(times[name], times["floor"], strict=True)]


def _in_order(texts: Sequence[Encoded]) -> list[list[Encoded]]:
    """Batches in the order given."""
    pieces: list[list[Encoded]] = []
    piece: list[Encoded] = []
    for text in texts:
        longest = max(len(other.input_ids) for other in [*piece, text])
        if piece and longest * (len(piece) + 1) > AT_ONCE:
            pieces.append(piece)
            piece = []
        piece.append(text)
    return [*pieces, piece]


def _seconds(act: Callable[[], Any]) -> float:
    started = time.perf_counter()
    act()
    return time.perf_counter() - started
