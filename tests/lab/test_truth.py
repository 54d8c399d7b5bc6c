"""Influence predicts retrained models (test 10 of the design): a bank of 60 models that is kept in the repository."""

import pytest

from lancet_core.cli.lab import TRUTH
from lancet_core.evaluation.datamodels import datamodel_report
from lancet_core.influence.presets import preset
from lancet_core.lab.corpora import draw_named
from lancet_core.lab.keeper import Keeper
from lancet_core.lab.retraining import read_bank
from lancet_core.lab.scoring import Bench, score_corpus, trained_on_all


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    """Gives the linear datamodeling scores of a method."""
    corpus, work = draw_named("tiny"), tmp_path_factory.mktemp("truth")
    bank = read_bank(Keeper(TRUTH), corpus)
    bench = Bench(corpus, trained_on_all(corpus, work), work)

    def measure(method):
        settings = preset(method, recall="all", factor_samples=0, device="cpu")
        scores = score_corpus(bench, settings).singles
        return datamodel_report(scores, bank.masks, bank.log_likelihoods)

    return measure


@pytest.mark.parametrize("method", ["linfac", "linfac-expand", "linfac-head", "ekfac", "graddot"])
def test_gradient_methods_predict_retrained_models(report, method):
    """Both intervals are clear of 0: over queries, and over retrained models."""
    found = report(method)
    assert found.over_queries.low > 0.1
    assert found.over_subsets.low > 0.1


def test_random_scores_predict_nothing(report):
    found = report("random")
    assert found.over_queries.low < 0 < found.over_queries.high or abs(found.over_queries.value) < 0.1
