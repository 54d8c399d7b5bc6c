import math

import pytest

from lancet_core.text import lasting
from pages.shared.numbers import between, influence, percent, score, score_change, standing, three


@pytest.mark.parametrize(
    ("value", "written"),
    [
        (0.0, "0"),
        (0.00012345, "0.000123"),
        (-1.2345, "−1.23"),
        (0.9999, "1.00"),
        (12345.0, "12,300"),
        (123456.0, "1.23 × 10⁵"),
        (-1.234e-9, "−1.23 × 10⁻⁹"),
        (None, "–"),
        (math.nan, "–"),
    ],
)
def test_three_significant_digits(value: float | None, written: str):
    assert three(value) == written


def test_sign_is_told_by_mark_and_by_sign():
    assert influence(0.5) == "▲ +0.500"
    assert influence(-0.5) == "▼ −0.500"
    assert influence(0.0) == "0"


def test_shares_intervals_and_spans():
    assert [percent(share) for share in (0.0, 0.056, 0.5, None)] == ["0 %", "5.6 %", "50 %", "–"]
    assert [score(value) for value in (0.0004, 0.876, 0.9999, None)] == ["< 0.01", "0.88", "> 0.99", "–"]
    assert between(0.5, 0.4, 0.61) == "0.500 [0.400, 0.610]"
    assert between(0.5, None, None) == "0.500"
    assert [lasting(seconds) for seconds in (4.4, 600, 7200, None)] == ["4 s", "10 min", "2.0 h", "–"]


@pytest.mark.parametrize(
    ("change", "written"),
    [(-0.344, "−0.34"), (0.016, "+0.02"), (-0.001, "0.00"), (0.0, "0.00"), (None, "–"), (math.nan, "–")],
)
def test_a_change_of_a_score_has_its_sign_and_two_decimals(change: float | None, written: str):
    assert score_change(change) == written


@pytest.mark.parametrize(
    ("percentile", "towards", "words"),
    [
        (100.0, True, "strongest of 100 candidates"),
        (0.0, False, "strongest of 100 candidates"),
        (99.99, True, "stronger than 99 % of 100 candidates"),
        (1.0, False, "stronger than 99 % of 100 candidates"),
        (90.0, False, "stronger than 10 % of 100 candidates"),
        (0.0, True, "stronger than 0 % of 100 candidates"),
    ],
)
def test_a_place_among_candidates_is_told_in_words(percentile: float, towards: bool, words: str):
    assert standing(percentile, 100, towards=towards) == words
