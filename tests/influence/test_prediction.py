"""Influence as a prediction: of leave-one-out refits, and of planted errors (tests 8 and 9 of the design). No network."""

import numpy as np
import torch
from sklearn.metrics import roc_auc_score

from lancet_core.influence.factors import FactorSums, decompose, pool_reduce
from lancet_core.influence.gradients import contract, modular_gradient
from lancet_core.influence.preconditioner import precondition
from tests.influence.solving import solved


def as_unit(rows, gradients):
    """Samples of one position each, as a and δ of a unit with one output."""
    return torch.from_numpy(rows)[:, None, :], torch.from_numpy(gradients)[:, None, None]


def influence(rows, gradients, curvature, *, query, damping):
    """I of each sample on one query; all given as (input, gradient) of a linear unit."""
    a, delta = as_unit(rows, gradients)
    mask = torch.ones(len(rows), 1, dtype=torch.bool)
    factors = decompose(FactorSums.of(pool_reduce(a, as_unit(rows, curvature)[1], mask)))
    query_gradient = modular_gradient(*as_unit(*query)).mean(dim=0, keepdim=True)
    direction = solved(precondition(factors, damping=damping, kind="absolute"), query_gradient)
    return contract(a, delta, direction)[:, 0].numpy()


def test_leave_one_out_of_ridge_regression():
    """ℓ = -½(y - w·x)², so δ = y - w·x and the Hessian's root is 1; ridge μ is a damping of μ / N.

    Removing a sample changes log p of the query by about -I / N; the exact change comes from a refit.
    """
    rng = np.random.default_rng(0)
    N, D, ridge = 60, 5, 1.0
    X = rng.normal(size=(N, D))
    y = X @ rng.normal(size=D) + rng.normal(size=N)
    x_query, y_query = rng.normal(size=D), 1.5

    def fit(rows):
        return np.linalg.solve(X[rows].T @ X[rows] + ridge * np.eye(D), X[rows].T @ y[rows])

    def log_p(w):
        return -0.5 * (y_query - w @ x_query) ** 2

    every = np.arange(N)
    w = fit(every)
    query = (x_query[None], np.array([y_query - w @ x_query]))
    predicted = -influence(X, y - X @ w, np.ones(N), query=query, damping=ridge / N) / N
    refitted = np.array([log_p(fit(every[every != n])) - log_p(w) for n in range(N)])
    assert np.corrcoef(predicted, refitted)[0, 1] >= 0.99
    assert 0.7 < np.polyfit(predicted, refitted, 1)[0] < 1.5


def test_flipped_labels_push_away_from_right_answers():
    """Logistic regression on data of which 15 % have the wrong label; the query is a batch of clean answers."""
    rng = np.random.default_rng(1)
    N, D = 400, 6
    truth = rng.normal(size=D) * 2
    X = rng.normal(size=(N, D))
    clean = (X @ truth > 0).astype(float)
    flipped = rng.random(N) < 0.15
    y = np.where(flipped, 1 - clean, clean)
    w = np.zeros(D)
    for _ in range(500):
        w += 0.5 * (X.T @ (y - 1 / (1 + np.exp(-X @ w))) / N - 0.01 * w)
    p = 1 / (1 + np.exp(-X @ w))
    queries = rng.normal(size=(50, D))
    right = (queries @ truth > 0) - 1 / (1 + np.exp(-queries @ w))
    scores = influence(X, y - p, np.sqrt(p * (1 - p)), query=(queries, right), damping=0.01)
    assert roc_auc_score(flipped, -scores) >= 0.9
    chance = [roc_auc_score(flipped, rng.random(N)) for _ in range(20)]
    assert abs(np.mean(chance) - 0.5) < 0.05
