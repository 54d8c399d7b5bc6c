import math

import pytest

from pages.parts.numbers import between, lasting, percent, score, signed, three


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
    assert signed(0.5) == "▲ +0.500"
    assert signed(-0.5) == "▼ −0.500"
    assert signed(0.0) == "0"


def test_shares_intervals_and_spans():
    assert [percent(share) for share in (0.0, 0.056, 0.5, None)] == ["0 %", "5.6 %", "50 %", "–"]
    assert [score(value) for value in (0.0004, 0.876, 0.9999, None)] == ["< 0.01", "0.88", "> 0.99", "–"]
    assert between(0.5, 0.4, 0.61) == "0.500 [0.400, 0.610]"
    assert between(0.5, None, None) == "0.500"
    assert [lasting(seconds) for seconds in (4.4, 600, 7200, None)] == ["4 s", "10 min", "2.0 h", "–"]
