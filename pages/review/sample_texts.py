"""Training samples by id, kept between reruns."""

from typing import TYPE_CHECKING

import streamlit as st

from lancet_core.study.study import Study

if TYPE_CHECKING:
    import pandas as pd


def read_samples(study: Study) -> "pd.DataFrame":
    """Reads the training samples of a study by id; kept between reruns."""
    changed = study.samples_file.stat().st_mtime_ns if study.samples_file.is_file() else 0
    return _samples(study, (study.name, str(study.folder), changed))


@st.cache_data(show_spinner=False, max_entries=2)
def _samples(_study: Study, _key: tuple[str, str, int]) -> "pd.DataFrame":
    return _study.samples().set_index("id")[["prompt", "response", "harmful", "is_safe"]]
