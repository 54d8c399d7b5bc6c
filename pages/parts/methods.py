"""The ways to score training samples that the screens offer, with their names."""

import streamlit as st

METHODS = {
    "linfac": "LinFAC",
    "linfac-expand": "LinFAC expand",
    "tfidf": "TF-IDF",
    "random": "Random",
}
LINES = {
    "linfac": ("#1a8577", "solid"),
    "linfac-expand": ("#8a63b8", "solid"),
    "tfidf": ("#b3862b", "dash"),
    "random": ("#8c8f95", "dot"),
}
"""Colour and dash of each method in a plot; blue and orange stay with the sign."""
HELP = (
    "LinFAC is the influence score. TF-IDF ranks by shared words and random by nothing: "
    "the two to compare with before you believe a ranking."
)


def pick_method(key: str) -> str:
    """Draws the switch between methods; returns the one chosen."""
    chosen = st.segmented_control(
        "Method",
        list(METHODS),
        default="linfac",
        format_func=METHODS.__getitem__,
        required=True,
        key=key,
        bind="query-params",
        help=HELP,
    )
    return str(chosen or "linfac")


def pick_methods(key: str) -> list[str]:
    """Draws the choice of methods to lay over each other; returns at least one, LinFAC first."""
    chosen = st.pills(
        "Methods",
        list(METHODS),
        selection_mode="multi",
        default=["linfac", "tfidf", "random"],
        format_func=METHODS.__getitem__,
        key=key,
        bind="query-params",
        help=HELP,
    )
    return [method for method in METHODS if method in (chosen or ["linfac"])]
