"""What a screen keeps between reruns: read once, and again when what it was read from has changed.

Streamlit leaves arguments whose names begin with `_` out of the key, silently: two studies then share one entry. Nothing is
left out here; a study, a run and a query are told apart by `KEYS`.
"""

from functools import partial
from pathlib import Path

import streamlit as st

from lancet_core.acts.attribute import Attribution
from lancet_core.data.samples import Query
from lancet_core.runs.run import Run
from lancet_core.store.run_status import DONE
from lancet_core.study.study import Study


def study_key(study: Study) -> tuple[str, ...]:
    """Names a study, its scorers and its samples as they stand."""
    scorers = (study.harmful_scorer, study.helpful_scorer)
    return (str(study.folder), study.created_at.isoformat(), *scorers, _changed(study.samples_file))


def run_key(run: Run[Attribution]) -> tuple[str, str]:
    """Names an attribution, and the samples that its rows are shown with."""
    return (run.id, _changed(run.result.samples_file) if run.status.state == DONE else "")


def _changed(path: Path) -> str:
    return str(path.stat().st_mtime_ns) if path.is_file() else ""


KEYS = {Study: study_key, Run: run_key, Query: repr}
cached = partial(st.cache_data, show_spinner=False, hash_funcs=KEYS)
"""Decorator: keeps what a function returns for the arguments it is given; the caller gets a copy."""
