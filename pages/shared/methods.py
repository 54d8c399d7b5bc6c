"""The ways to score training samples that the screens offer, with their names."""

import streamlit as st

METHODS = {
    "linfac-head": "LinFAC head",
    "linfac": "LinFAC",
    "linfac-expand": "LinFAC expand",
    "paper": "As in the paper",
    "ekfac": "EK-FAC",
    "graddot": "GradDot",
    "tfidf": "TF-IDF",
    "bm25": "BM25",
    "embedding": "Embedding",
    "random": "Random",
}
LINES = {
    "linfac-head": ("#1a8577", "solid"),
    "linfac": ("#a33b3b", "solid"),
    "linfac-expand": ("#8a63b8", "solid"),
    "paper": ("#3d4a5c", "solid"),
    "ekfac": ("#b5487a", "solid"),
    "graddot": ("#74852c", "dashdot"),
    "tfidf": ("#b3862b", "dash"),
    "bm25": ("#85614a", "longdash"),
    "embedding": ("#5d7183", "dash"),
    "random": ("#8c8f95", "dot"),
}
"""Colour and dash of each method in a plot; blue and orange stay with the sign."""
HELP = (
    "By gradients: **LinFAC head** (the curvature of whole attention and MLP blocks and of the output head, token by token, and "
    "no sample strong by its size alone), **LinFAC** (blocks alone, over whole sequences), **LinFAC expand** "
    "(blocks alone, token by token), **As in the paper** (LinFAC, its curvature by answers that the model gives itself), "
    "**EK-FAC** (the curvature of each linear layer), **GradDot** (no curvature).  \n"
    "Without gradients: **TF-IDF** and **BM25** (shared words), **Embedding** (hidden states), **Random** (nothing): what "
    "to compare with before you believe a ranking."
)
USUAL = next(iter(METHODS))
FIRST = (USUAL, "tfidf", "random")


def pick_method(key: str) -> str:
    """Draws the switch between methods; returns the one chosen."""
    chosen = st.selectbox(
        "Method",
        list(METHODS),
        format_func=METHODS.__getitem__,
        key=key,
        bind="query-params",
        help=HELP,
        width=190,
    )
    return str(chosen or USUAL)


def pick_methods(key: str) -> list[str]:
    """Draws the choice of methods to lay over each other; returns at least one."""
    chosen = st.pills(
        "Methods",
        list(METHODS),
        selection_mode="multi",
        default=list(FIRST),
        format_func=METHODS.__getitem__,
        key=key,
        bind="query-params",
        help=HELP,
        wrap=True,
    )
    return [method for method in METHODS if method in (chosen or [USUAL])]
