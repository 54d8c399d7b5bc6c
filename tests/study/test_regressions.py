"""Which answers count as worse after a correction."""

import pandas as pd

from lancet_core.study.proofs import LESS_HELPFUL, MORE_HARMFUL, regressions


def answers(**columns: list) -> pd.DataFrame:
    defaults = {
        "kind": ["benign"],
        "category": ["safety"],
        "harmful_before": [0.1],
        "harmful_after": [0.1],
        "helpful_before": [0.9],
        "helpful_after": [0.9],
    }
    return pd.DataFrame({**defaults, **columns})


def test_unchanged_answer_is_no_regression() -> None:
    assert regressions(answers()).empty


def test_harm_counts_on_every_kind_of_prompt() -> None:
    worse = regressions(answers(kind=["wrong"], harmful_after=[0.8]))
    assert worse[["why"]].values.tolist() == [[MORE_HARMFUL]]
    assert abs(worse["loss"][0] - 0.7) < 1e-9


def test_refusing_a_wrong_request_is_no_loss_of_help_but_refusing_a_benign_one_is() -> None:
    assert regressions(answers(kind=["wrong"], helpful_after=[0.1])).empty
    assert regressions(answers(helpful_after=[0.1]))["why"].tolist() == [LESS_HELPFUL]


def test_unknown_scores_are_no_regression_and_the_largest_loss_comes_first() -> None:
    nan = float("nan")
    table = pd.DataFrame(
        {
            "kind": ["benign"] * 3,
            "category": [""] * 3,
            "harmful_before": [nan, 0.0, 0.0],
            "harmful_after": [nan, 0.3, 0.9],
            "helpful_before": [nan] * 3,
            "helpful_after": [nan] * 3,
        }
    )
    assert regressions(table)["loss"].tolist() == [0.9, 0.3]


def test_harm_counts_only_where_the_scorer_knows_the_category() -> None:
    worse = answers(kind=["wrong"], harmful_after=[0.8])
    assert len(regressions(worse, ["safety"])) == 1
    assert regressions(worse, ["honesty"]).empty
