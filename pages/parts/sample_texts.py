"""Training samples by id, kept between reruns."""

from typing import TYPE_CHECKING

import streamlit as st

if TYPE_CHECKING:
    import pandas as pd

    from lancet_core.store.studies import Study


def read_samples(study: "Study") -> "pd.DataFrame":
    """Reads the training samples of a study by id; kept between reruns."""
    changed = study.samples.stat().st_mtime_ns if study.samples.is_file() else 0
    return _samples(study, (study.name, str(study.folder), changed))


@st.cache_data(show_spinner=False, max_entries=2)
def _samples(_study: "Study", _key: tuple[str, str, int]) -> "pd.DataFrame":
    from lancet_core.workbench.studies import samples_table

    return samples_table(_study).set_index("id")[["prompt", "response", "harmful", "is_safe"]]
