"""Fixtures that all layers use."""

from pathlib import Path

import pytest

SHARED_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"


@pytest.fixture(scope="session")
def shared_data():
    """The folder of real data beside the checkout; skips where it is missing."""
    if not SHARED_DATA.is_dir():
        pytest.skip(
            f"no real data: {SHARED_DATA} does not exist; the same schemas are tested on written rows"
        )
    return SHARED_DATA
