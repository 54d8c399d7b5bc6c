"""Studies: what is loaded, and making one of your own model and data."""

import streamlit as st

from lancet_core.workspace import open_workspace
from pages.shared import frame, state
from pages.studies.making import NEW, show_making
from pages.studies.overview import show_study

place = frame.open_screen("studies")
if place is None or state.read(NEW):
    if place is not None and st.button("Back to the studies", icon=":material/arrow_back:"):
        state.write(NEW, "")
        st.rerun()
    show_making(open_workspace())
else:
    show_study(place.study)
