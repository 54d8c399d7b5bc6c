"""Training samples by id, kept between reruns."""

from typing import TYPE_CHECKING

from lancet_core.study.study import Study
from pages.shared.cached import cached

if TYPE_CHECKING:
    import pandas as pd


@cached(max_entries=2)
def read_samples(study: Study) -> "pd.DataFrame":
    """Reads the training samples of a study by id."""
    return study.samples().set_index("id")[["prompt", "response", "harmful", "is_safe"]]
