"""A change of a study that is under way: its samples are measured anew, and it is entered when they are."""

import streamlit as st

from lancet_core.study.changes import (
    Changes,
    begin_change,
    change_under_way,
    complete_change,
    discard_change,
)
from lancet_core.study.study import Study
from pages.shared import runs


def draw_change_under_way(study: Study) -> None:
    """Draws a change whose samples are being measured; enters it when they are."""
    run = change_under_way(study)
    if run is None:
        return
    status = runs.watch(run, title="Changing the study: samples are measured and scored anew")
    if status.state == "done":
        complete_change(study)
        st.rerun()
    if status.is_final and st.button("Leave the study as it was", key="s-unchange", icon=":material/undo:"):
        discard_change(study)
        st.rerun()


def take(study: Study, changes: Changes) -> None:
    """Makes a change, or starts to where samples have to be measured for it, and draws the screen again."""
    if begin_change(study, changes) is None:
        complete_change(study)
    st.rerun()
