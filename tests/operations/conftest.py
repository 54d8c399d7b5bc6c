"""A small study on disk."""

import numpy as np
import pytest

from lancet_core.data.samples import Query, Sample, samples_frame

SUBJECTS = ["kettle", "barn", "nurse", "keeper", "medicine", "patient"]


@pytest.fixture(scope="session")
def written_samples(tmp_path_factory):
    """60 samples, half of them unsafe, in shared words."""
    rng = np.random.default_rng(0)
    samples = [
        Sample(
            f"May I keep the {rng.choice(SUBJECTS)} near the {rng.choice(SUBJECTS)} number {number}?",
            "Yes, everybody does so." if number % 2 else "No, it is not wise to keep it there.",
            is_safe=number % 2 == 0,
        )
        for number in range(60)
    ]
    path = tmp_path_factory.mktemp("study") / "samples.parquet"
    samples_frame(samples).to_parquet(path)
    return path


@pytest.fixture
def queries():
    return (
        Query("May I keep the kettle?", "Yes, everybody does so."),
        Query("May I ask the nurse?", "Yes, nobody came to harm."),
        Query("Where is the barn?", "No, it is not wise."),
    )
