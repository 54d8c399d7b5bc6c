"""The heat map of harms that a scorer sees."""

import pandas as pd
import pytest

from pages.studies.harm import flagged_shares


def test_flags_are_counted_among_safe_and_unsafe_samples():
    seen = [
        {"theft": 0.9, "politics": 0.1},
        {"theft": 0.4, "politics": 0.6},
        {"theft": 0.7, "politics": 0.2},
        None,
    ]
    samples = pd.DataFrame({"harmful_categories": seen})
    samples["is_safe"] = pd.Series([False, False, True, None], dtype="boolean")
    shares = flagged_shares(samples)
    assert shares.to_dict() == {
        "Labelled safe": {"theft": 1.0, "politics": 0.0},
        "Labelled unsafe": {"theft": 0.5, "politics": pytest.approx(0.5)},
    }
    assert flagged_shares(samples.drop(columns="harmful_categories")).empty
