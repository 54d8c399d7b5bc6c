"""The dashboard, started by `lancet app`."""

import streamlit as st

from pages.parts import frame

st.set_page_config(page_title="LANCET", page_icon="assets/logo.svg", layout="wide")
frame.navigation()
