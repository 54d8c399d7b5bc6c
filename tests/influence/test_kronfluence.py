"""Our EK-FAC against the one that others wrote: kronfluence, same units, empirical Fisher and damping (test 7 of the design)."""

import numpy as np
import pytest
import torch
from scipy.stats import spearmanr

from lancet_core.influence import fitting, scores
from lancet_core.influence.preconditioner import preconditioners
from lancet_core.influence.presets import preset
from lancet_core.influence.shards import Shards
from lancet_core.models.encoding import encode
from lancet_core.models.units import UnitModel, find_linears, select_units
from lancet_core.progress import silent

pytest.importorskip(
    "kronfluence",
    reason="kronfluence is not installed; make test installs it: pip install --no-deps kronfluence==1.0.1, with einops, einconv "
    "and opt-einsum",
)

WORDS = [
    "the",
    "old",
    "keeper",
    "of",
    "rusty",
    "kettles",
    "asked",
    "a",
    "nurse",
    "why",
    "nobody",
    "near",
    "that",
    "barn",
    "ever",
    "came",
    "to",
    "harm",
]
SETTINGS = preset("ekfac", fisher="empirical", factor_samples=0, max_tokens=400)


@pytest.fixture
def texts_of():
    """Random words after prompts of random words: lengths differ, so that padding and masks matter."""

    def make(lm, count, seed):
        rng = np.random.default_rng(seed)
        words = lambda most: " ".join(rng.choice(WORDS, rng.integers(1, most)))  # noqa: E731
        return [encode(lm, words(9), words(12)) for _ in range(count)]

    return make


@pytest.mark.parametrize(
    ("architecture", "tracked"), [("llama", "all"), ("gpt_neox", "all"), ("opt", "attention")]
)
def test_scores_equal_those_of_kronfluence(tiny_model, texts_of, tmp_path, architecture, tracked):
    """Not only the order: both divide Λ by sequences and add 0.1 of its mean, so that the very numbers agree.

    Of OPT only attention can be compared: transformers joins rows and positions before OPT's MLP, where kronfluence then takes each
    token for a sample and stops. GPT-NeoX, like OPT, has biases.
    """
    from lancet_core.lab.performance.peers import kronfluence_ekfac

    lm = tiny_model(architecture, dtype="float64")
    samples, queries = texts_of(lm, 24, 0), texts_of(lm, 3, 9)
    network = UnitModel(lm, tuple(select_units(find_linears(lm.model), tracked=tracked)))
    theirs = kronfluence_ekfac.attribute(
        (lm.model, network.units), samples, queries, folder=str(tmp_path), batch_size=5, empirical=True
    ).numpy()
    ours = attribute(network, samples, queries).T
    for own, other in zip(ours, theirs, strict=True):
        assert spearmanr(own, other).statistic >= 0.999
    np.testing.assert_allclose(ours, theirs, rtol=1e-6, atol=1e-6 * np.abs(theirs).max())


def attribute(network, samples, queries):
    """Scores of our preset, shape (samples, queries)."""
    factors = fitting.fit_factors(
        network, encoded=samples, settings=SETTINGS, shards=Shards(None, "", ""), progress=silent
    )
    curvature = preconditioners(factors, SETTINGS.solve, device=network.lm.device, dtype=torch.float64)
    gradients = scores.query_gradients(network, curvature, encoded=queries, max_tokens=400)
    return scores.score_samples(
        network,
        encoded=samples,
        directions=scores.directions_of(gradients, curvature),
        max_tokens=400,
        tell=lambda done: None,
    )
