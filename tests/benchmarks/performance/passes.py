"""Score pass and factor pass against the least that any gradient method needs: a forward pass and a backward pass over activations.

Rounds alternate between what is compared, and ratios are taken within a round: a machine that is busy for a while slows all of them.
"""

import statistics
import time
from contextlib import contextmanager
from dataclasses import replace
from unittest.mock import patch

import numpy as np
import torch
from scipy.stats import spearmanr

from lancet_core.influence import fitting, scores
from lancet_core.influence.capture import frozen
from lancet_core.influence.factors import decompose
from lancet_core.influence.methods import EMPIRICAL, LINFAC, LINFAC_HEAD
from lancet_core.influence.preconditioner import Identity, preconditioners
from lancet_core.influence.settings import TOKENS_AT_ONCE, InfluenceSettings
from lancet_core.influence.shards import Shards
from lancet_core.models.encoding import pack
from lancet_core.models.likelihood import (
    full_precision,
    label_log_likelihoods,
    response_logits,
    response_targets,
)
from lancet_core.operations.engine import find_units
from lancet_core.progress import silent
from tests.benchmarks.performance import subjects

AT_ONCE = TOKENS_AT_ONCE["cpu"]
HEAD_ALONE = "linfac-head, head alone"
SETTINGS = InfluenceSettings(method=LINFAC, max_tokens=AT_ONCE, factor_samples=0)


def floor(network, texts):
    """Forward pass and backward pass to the output of the lowest unit, on the same batches; nothing is kept."""
    model, lowest = network.lm.model, network.units[0].writer

    def begin(_module, _arguments, output):
        value = output[0] if isinstance(output, tuple) else output
        start.append(value.detach().requires_grad_(True))
        return (start[-1], *output[1:]) if isinstance(output, tuple) else start[-1]

    handle = lowest.register_forward_hook(begin)
    with frozen(model):
        for batch in pack(texts, AT_ONCE):
            start = []
            total = label_log_likelihoods(response_logits(model, batch), response_targets(batch)).sum()
            torch.autograd.grad(total, start)
    handle.remove()


def score(network, texts, directions, at_once=AT_ONCE, normaliser=None):
    return scores.score_samples(
        network,
        encoded=texts,
        directions=directions,
        max_tokens=at_once,
        tell=lambda done: None,
        normaliser=normaliser,
    )


def fit(network, texts, settings=SETTINGS):
    return fitting.fit_factors(
        network, encoded=texts, settings=settings, shards=Shards(None, "", ""), progress=silent
    )


def curvature_of(network, factors, settings=SETTINGS):
    dtype = full_precision(network.lm.model.get_input_embeddings().weight).dtype
    return preconditioners(factors, settings, device=network.lm.device, dtype=dtype)


def directions_of(network, queries, curvature):
    gradients = scores.query_gradients(network, curvature, encoded=queries, max_tokens=AT_ONCE)
    return scores.directions_of(gradients, curvature)


def network_of(subject, settings=SETTINGS):
    return find_units(subject.lm, settings)


def seconds(act):
    started = time.perf_counter()
    act()
    return time.perf_counter() - started


def settings_of(name):
    """Settings of a method, or of the default method with the head alone as its unit."""
    if name == HEAD_ALONE:
        return replace(SETTINGS, method=LINFAC_HEAD, tracked="head")
    return replace(SETTINGS, method=name)


@contextmanager
def decompositions_timed():
    """Keeps the seconds of each eigendecomposition within `fit_factors`."""
    spent = []

    def timed(total, unit=""):
        started = time.perf_counter()
        result = decompose(total, unit)
        spent.append(time.perf_counter() - started)
        return result

    with patch.object(fitting, "decompose", timed):
        yield spent


@contextmanager
def without_decompositions():
    """Leaves eigendecompositions out of `fit_factors`; yields the sums that would be decomposed, by unit."""
    sums = {}
    with patch.object(fitting, "decompose", lambda total, unit="": sums.update({unit: total})):
        yield sums


def ratios(subject, rounds):
    """One row for each pass: seconds of all samples, and how they compare with the floor.

    Everything is measured by turns on parts of some seconds, and a ratio is that of one part in one round. Once with all cores by
    the wall's clock, and once with one thread by the processor's, which other work on the machine disturbs less.
    """
    network = network_of(subject)
    acts = {"floor": lambda texts: floor(network, texts)}
    for chosen in (LINFAC, LINFAC_HEAD, HEAD_ALONE):
        acts |= {f"{chosen}, {name}": act for name, act in _acts(subject, settings_of(chosen)).items()}
    parts = halves(subject.samples)
    cores = torch.get_num_threads()
    with without_decompositions() as sums:
        for act in acts.values():
            act(parts[0])
        wall = _by_turns(acts, parts, rounds, time.perf_counter)
        torch.set_num_threads(1)
        alone = _by_turns(acts, parts, rounds, time.process_time)
        torch.set_num_threads(cores)
    started = time.perf_counter()
    for unit, total in sums.items():
        decompose(total, unit)
    eigen = time.perf_counter() - started
    rows = [
        {
            "model": subject.name,
            "pass": name,
            f"{cores} threads, s": len(parts) * statistics.median(wall[name]),
            "÷ floor": statistics.median(_shares(wall, name)),
            "1 thread, CPU s": len(parts) * statistics.median(alone[name]),
            "÷ floor (CPU)": statistics.median(_shares(alone, name)),
            "quartiles": "{0:.3f} – {2:.3f}".format(*statistics.quantiles(_shares(alone, name), n=4)),
        }
        for name in acts
    ]
    return [
        *rows,
        {"model": subject.name, "pass": f"{LINFAC_HEAD}, eigendecompositions", f"{cores} threads, s": eigen},
    ]


def _acts(subject, settings):
    network = network_of(subject, settings)
    normaliser = _normaliser(network, subject, settings)
    one, ten = (_random_directions(network, queries) for queries in (1, subjects.QUERIES))
    return {
        "score, 1 query": lambda texts: score(network, texts, one, normaliser=normaliser),
        "score, 10 queries": lambda texts: score(network, texts, ten, normaliser=normaliser),
        "factors": lambda texts: fit(network, texts, settings),
    }


def _normaliser(network, subject, settings):
    """Factors of a few samples: the time does not depend on the samples behind them."""
    if not settings.curvature.normalise:
        return None
    small = fit(network, subject.samples[:8], settings)
    return scores.MeasuredLengths(curvature_of(network, small))


def _random_directions(network, queries):
    """Directions of some queries: the time of a pass does not depend on what they hold; turning them belongs to solving."""
    generator = torch.Generator().manual_seed(0)
    return scores.directions_of(
        {
            unit.name: torch.randn(queries, unit.outputs, unit.inputs, generator=generator)
            for unit in network.units
        },
        {unit.name: Identity() for unit in network.units},
    )


def _by_turns(acts, parts, rounds, clock):
    times = {name: [] for name in acts}
    for _ in range(rounds):
        for part in parts:
            for name, act in acts.items():
                started = clock()
                act(part)
                times[name].append(clock() - started)
    return times


def _shares(times, name):
    return [value / least for value, least in zip(times[name], times["floor"], strict=True)]


def halves(texts):
    """Two parts of equal length, from samples sorted by it."""
    order = sorted(texts, key=lambda text: -len(text.input_ids))
    return [order[::2], order[1::2]]


def in_bfloat16(subject, narrow, method):
    """Spearman correlation of scores in bfloat16 with those in float32, each with its own factors; and their seconds."""
    settings = replace(settings_of(method), fisher=EMPIRICAL)
    found, times = [], []
    for one in (subject, narrow):
        network = network_of(one, settings)
        curvature = curvature_of(network, fit(network, one.samples[:512], settings), settings)
        directions = directions_of(network, one.queries, curvature)
        normaliser = scores.MeasuredLengths(curvature) if settings.curvature.normalise else None
        started = time.perf_counter()
        found.append(score(network, one.samples, directions, normaliser=normaliser))
        times.append(time.perf_counter() - started)
    order = [spearmanr(wide, short).statistic for wide, short in zip(*(x.T for x in found), strict=True)]
    return {
        "model": subject.name,
        "method": method,
        "Spearman, least of 10 queries": min(order),
        "median": float(np.median(order)),
        "float32 s": times[0],
        "bfloat16 s": times[1],
    }


def sorting(subject):
    """What sorting by length saves: tokens computed with and without, and seconds."""
    network = network_of(subject)
    directions = _random_directions(network, 1)
    real = subject.tokens
    together = sum(batch.input_ids.numel() for batch in pack(subject.samples, AT_ONCE))
    sorted_seconds = seconds(lambda: score(network, subject.samples, directions))
    pieces = _in_order(subject.samples)
    apart = sum(len(piece) * max(len(text.input_ids) for text in piece) for piece in pieces)
    unsorted_seconds = seconds(lambda: [score(network, piece, directions, 10**6) for piece in pieces])
    return [
        {"batches": "sorted by length", "tokens": real, "computed": together, "seconds": sorted_seconds},
        {"batches": "in the order given", "tokens": real, "computed": apart, "seconds": unsorted_seconds},
    ]


def _in_order(texts):
    pieces, piece = [], []
    for text in texts:
        longest = max(len(one.input_ids) for one in [*piece, text])
        if piece and longest * (len(piece) + 1) > AT_ONCE:
            pieces.append(piece)
            piece = []
        piece.append(text)
    return [*pieces, piece]


def linear_in_tokens(subject):
    """Seconds of the score pass as texts become longer; samples are fewer, so that each row has the same number of tokens."""
    network = network_of(subject)
    directions = _random_directions(network, 1)
    rows = []
    for length in (16, 32, 64, 128):
        texts = [
            replace(text, input_ids=text.input_ids[:length], response_start=4)
            for text in subject.samples * (subjects.TOKENS // length)
        ]
        spent = seconds(lambda texts=texts: score(network, texts, directions))
        rows.append(
            {
                "what": f"score pass, texts of {length} tokens",
                "samples": len(texts),
                "seconds": spent,
                "µs a token": 1e6 * spent / (len(texts) * length),
            }
        )
    return rows
