"""Exact damped Gauss-Newton influence of a model small enough for a dense matrix, and how well each method's scores agree with it.

Slow and literal on purpose. The Gauss-Newton matrix of -log p over parameters θ is G = (1/N) Σ_n Σ_t J_tᵀ H_t J_t, where t runs over
the response tokens of sample n, J_t is the Jacobian of the logits that predict token t and H_t = diag(p) - p pᵀ the Hessian of the
softmax. Influence is g_qᵀ (G + λ)⁻¹ g_m with gradients g of log p of the whole response; λ is, for each unit, the damping times the
mean eigenvalue of the unit's block of G, as `relative` damping has it.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from lancet_core.config import changed
from lancet_core.data.conversations import exchanges
from lancet_core.evaluation.datamodels import rank_correlations
from lancet_core.evaluation.intervals import Interval, bootstrap_mean
from lancet_core.evaluation.settings import MetricSettings
from lancet_core.influence.presets import PRESETS
from lancet_core.influence.settings import InfluenceSettings
from lancet_core.lab.corpora import MeasuredCorpus
from lancet_core.lab.factory.training import TrainingSettings
from lancet_core.lab.keeper import Keeper, Kept
from lancet_core.lab.markdown import format_interval, table
from lancet_core.lab.scoring import Bench, score_corpus, trained_on_all
from lancet_core.models.encoding import Encoded, encode_all, usable
from lancet_core.models.loading import LanguageModel, load_language_model
from lancet_core.models.settings import DEFAULT_TEMPLATE
from lancet_core.models.unit_layout import output_of
from lancet_core.models.units import Unit, find_linears, find_sublayers, input_of
from lancet_core.progress import Progress, silent

DAMPING = 0.1
TRAINING = TrainingSettings(epochs=20, batch=16, width=16, layers=2)
STAGE = "Exact Gauss-Newton matrix"
Parameters = dict[str, Tensor]
Provider = Callable[[LanguageModel], AbstractContextManager[Parameters]]


@dataclass(frozen=True)
class Measured:
    """What one text says of the parameters.

    Attributes:
        gradient: Gradient of log p of the response, shape (parameters,).
        root: R with Rᵀ R = Σ_t J_tᵀ H_t J_t, shape (rows, parameters).
    """

    gradient: Tensor
    root: Tensor


@dataclass(frozen=True)
class ExactScores:
    """Exact influence, shape (samples, queries) each.

    Attributes:
        full: With the whole Gauss-Newton matrix.
        block: With its diagonal blocks only, one for each unit.
    """

    full: NDArray[np.float64]
    block: NDArray[np.float64]


@contextmanager
def surrogates(lm: LanguageModel) -> Iterator[Parameters]:
    """Adds Z a to the output of each sublayer, with Z = 0: the parameters that LinFAC pretends a sublayer had."""
    units = find_sublayers(lm.model)
    parameters = {
        unit.name: torch.zeros(unit.outputs, unit.inputs, dtype=lm.model.dtype, requires_grad=True)
        for unit in units
    }
    handles: list[Any] = []
    for unit in units:
        handles += _hook(unit, parameters[unit.name])
    try:
        yield parameters
    finally:
        for handle in handles:
            handle.remove()


@contextmanager
def linear_weights(lm: LanguageModel) -> Iterator[Parameters]:
    """The weights of the linear layers, which EK-FAC tracks."""
    yield {unit.name: _weight(unit.writer) for unit in find_linears(lm.model)}


PARAMETERS: dict[str, Provider] = {"sublayers": surrogates, "linear layers": linear_weights}


def measure_text(lm: LanguageModel, text: Encoded, parameters: Parameters) -> Measured:
    """Takes the gradient of log p of one response and a root of its Gauss-Newton matrix.

    With logits W h the matrix is Σ_t K_tᵀ (Wᵀ H_t W) K_t, K_t the Jacobian of the last hidden state h_t: the same numbers, and no
    Jacobian as wide as the vocabulary.

    Args:
        lm: The model, whose head is W without a bias.
        text: Prompt and response.
        parameters: What is differentiated; flattened in order.
    """
    tokens = torch.tensor([text.input_ids])
    places = torch.arange(text.response_start - 1, len(text.input_ids) - 1)
    hidden = lm.model.base_model(input_ids=tokens, use_cache=False).last_hidden_state[0, places]
    flat = hidden.reshape(-1)
    rows = torch.autograd.grad(
        flat, list(parameters.values()), grad_outputs=torch.eye(len(flat)).to(flat), is_grads_batched=True
    )
    jacobian = torch.cat([row.flatten(1) for row in rows], dim=1).reshape(*hidden.shape, -1)
    with torch.no_grad():
        head = lm.model.get_output_embeddings().weight
        p = (hidden @ head.T).softmax(dim=1)
        mean = p @ head
        covariance = torch.einsum("tv,vi,vj->tij", p, head, head) - mean[:, :, None] * mean[:, None, :]
        values, vectors = torch.linalg.eigh(covariance)
        root = values.clamp(min=0.0).sqrt()[:, :, None] * vectors.transpose(1, 2)
        pull = head[tokens[0, places + 1]] - mean
        return Measured(torch.einsum("ti,tid->d", pull, jacobian), (root @ jacobian).flatten(0, 1))


def solve_damped(
    matrix: Tensor, gradients: Tensor, sizes: Sequence[int], *, damping: float, blocks: bool
) -> Tensor:
    """Solves (G + λ) v = g, λ = damping times the mean eigenvalue of each unit's block of G.

    Args:
        matrix: G, shape (parameters, parameters).
        gradients: Shape (queries, parameters).
        sizes: Number of parameters of each unit, in order.
        damping: Ratio of λ to the mean eigenvalue.
        blocks: Whether only the diagonal blocks of G count.

    Returns:
        Shape (queries, parameters).
    """
    starts = np.cumsum([0, *sizes])
    parts = [slice(int(a), int(b)) for a, b in pairwise(starts)]
    added = (
        torch.cat([matrix.diagonal()[part].mean().expand(part.stop - part.start) for part in parts]) * damping
    )
    if not blocks:
        return _solve(matrix + added.diag(), gradients)
    return torch.cat(
        [_solve(matrix[part, part] + added[part].diag(), gradients[:, part]) for part in parts], dim=1
    )


def exact_scores(
    lm: LanguageModel,
    provider: Provider,
    *,
    samples: Sequence[Encoded],
    queries: Sequence[Encoded],
    damping: float = DAMPING,
    progress: Progress = silent,
) -> ExactScores:
    """Computes exact damped Gauss-Newton influence of samples on queries.

    Args:
        lm: A small model in float64.
        provider: Gives its parameters.
        samples: Training samples, over which the Gauss-Newton matrix is averaged.
        queries: Responses whose cause is sought.
        damping: Ratio of λ to the mean eigenvalue of a unit's block.
        progress: Told after every sample.
    """
    lm.model.set_attn_implementation("eager")  # fused attention cannot differentiate many outputs at once
    with provider(lm) as parameters:
        sizes = [parameter.numel() for parameter in parameters.values()]
        matrix = torch.zeros(sum(sizes), sum(sizes), dtype=torch.float64)
        gradients = torch.empty(len(samples), sum(sizes), dtype=torch.float64)
        for number, text in enumerate(samples):
            progress(STAGE, number, len(samples))
            measured = measure_text(lm, text, parameters)
            matrix.addmm_(measured.root.T, measured.root, alpha=1 / len(samples))
            gradients[number] = measured.gradient
        query_gradients = torch.stack([measure_text(lm, text, parameters).gradient for text in queries])
    full, block = (
        gradients @ solve_damped(matrix, query_gradients, sizes, damping=damping, blocks=blocks).T
        for blocks in (False, True)
    )
    return ExactScores(full.numpy(), block.numpy())


def small_corpus(
    corpus: MeasuredCorpus, samples: int, training: TrainingSettings = TRAINING
) -> MeasuredCorpus:
    """Draws some samples of a corpus, and takes one query of each category."""
    chosen = np.sort(np.random.default_rng(0).permutation(len(corpus.samples))[:samples])
    first = {query.group: query for query in reversed(corpus.queries)}
    return MeasuredCorpus(
        f"{corpus.name}, {len(chosen)} samples",
        corpus.samples.iloc[chosen].reset_index(drop=True),
        tuple(first[group] for group in sorted(first)),
        training,
    )


def measure_exact(
    corpus: MeasuredCorpus, rows: Mapping[str, InfluenceSettings], work: Path, progress: Progress = silent
) -> dict[str, list[Interval]]:
    """Correlates each method's scores with exact influence, by ranks.

    Args:
        corpus: A small corpus; a model is trained on it.
        rows: Name of each row to its settings; factors are taken from all samples, in float64, and the damping is that of the exact
            influence unless they name another.
        work: Folder where results are kept.
        progress: Told at every step.

    Returns:
        Name of each row to its mean correlation over queries with each kind of exact influence, in the order of `truth_names`.
        The kinds themselves are the last rows.
    """
    bench = Bench(corpus, trained_on_all(corpus, work, progress), work)
    truths = _exact_truths(bench, progress)
    scored = {
        name: score_corpus(bench, _at_full_precision(settings), progress).singles
        for name, settings in rows.items()
    }
    settings = MetricSettings()
    return {
        name: [
            bootstrap_mean(rank_correlations(scores, truth).tolist(), settings) for truth in truths.values()
        ]
        for name, scores in {**scored, **truths}.items()
    }


def _at_full_precision(settings: InfluenceSettings) -> InfluenceSettings:
    usual = settings.solve == PRESETS[settings.method].solve
    damping = DAMPING if usual else settings.solve.damping
    return changed(settings, factor_samples=0, dtype="float64", device="cpu", damping=damping)


def truth_names() -> list[str]:
    """Names the kinds of exact influence."""
    return [f"exact, {kind}, {part}" for kind in PARAMETERS for part in ("full", "block-diagonal")]


def exact_table(rows: Mapping[str, Sequence[Interval]]) -> str:
    """Writes the rows as a Markdown table."""
    return table(
        ("method", *truth_names()),
        [(name, *map(format_interval, intervals)) for name, intervals in rows.items()],
    )


def _exact_truths(bench: Bench, progress: Progress) -> dict[str, NDArray[np.float64]]:
    """Exact influence of each kind, computed once and kept."""
    truths: dict[str, NDArray[np.float64]] = {}
    for kind, provider in PARAMETERS.items():

        def compute(provider: Provider = provider) -> Kept:
            lm = load_language_model(str(bench.model), device="cpu", dtype="float64")
            query_pairs = [(query.prompt, query.response) for query in bench.corpus.queries]
            samples, queries = (
                usable(encode_all(lm, exchanges(pairs), DEFAULT_TEMPLATE))
                for pairs in (bench.corpus.pairs, query_pairs)
            )
            scores = exact_scores(lm, provider, samples=samples, queries=queries, progress=progress)
            return Kept(vars(scores))

        key = f"exact-{kind.replace(' ', '-')}-{bench.fingerprint}"
        arrays = Keeper(bench.work).result(key, compute).arrays
        truths |= {f"exact, {kind}, full": arrays["full"], f"exact, {kind}, block-diagonal": arrays["block"]}
    return truths


def _solve(matrix: Tensor, gradients: Tensor) -> Tensor:
    return torch.cholesky_solve(gradients.T, torch.linalg.cholesky(matrix)).T


def _weight(module: nn.Module) -> Tensor:
    weight: Tensor = module.get_parameter("weight")
    return weight.requires_grad_(True)


def _hook(unit: Unit, added: Tensor) -> list[Any]:
    """Adds `added` times a unit's input to its output."""
    seen: list[Tensor] = []

    def read(_module: nn.Module, arguments: tuple[Any, ...], keywords: dict[str, Any]) -> None:
        seen[:] = [input_of(arguments, keywords, unit.inputs)]

    def write(_module: nn.Module, _arguments: Any, output: Any) -> Any:
        value = output_of(output) + seen[0] @ added.T
        return (value, *output[1:]) if isinstance(output, tuple) else value

    return [
        unit.reader.register_forward_pre_hook(read, with_kwargs=True),
        unit.writer.register_forward_hook(write),
    ]
