"""The dashboard, started by `lancet app`."""

import streamlit as st

from pages.shared import frame

st.set_page_config(page_title="LANCET", page_icon="assets/logo.svg", layout="wide")
frame.navigation()
