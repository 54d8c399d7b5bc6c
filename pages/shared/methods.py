"""The ways to score training samples that the screens offer, with their names."""

from collections.abc import Iterable

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
IMPORTED_LINE = ("#1f2933", "dashdot")
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


def method_name(method: str) -> str:
    """Name of a method on the screens; one of another tool is named as it was imported."""
    return METHODS.get(method, method.capitalize())


def method_line(method: str) -> tuple[str, str]:
    """Colour and dash of a method in a plot."""
    return LINES.get(method, IMPORTED_LINE)


def pick_method(key: str, imported: Iterable[str] = ()) -> str:
    """Draws the switch between methods, after ours those that were imported; returns the one chosen."""
    methods = [*METHODS, *imported]
    chosen = st.selectbox(
        "Method",
        methods,
        format_func=method_name,
        key=key,
        bind="query-params",
        help=HELP,
        width=190,
    )
    return str(chosen or USUAL)


def pick_methods(key: str, imported: Iterable[str] = ()) -> list[str]:
    """Draws the choice of methods to lay over each other, after ours those that were imported; returns at least one."""
    methods = [*METHODS, *imported]
    chosen = st.pills(
        "Methods",
        methods,
        selection_mode="multi",
        default=list(FIRST),
        format_func=method_name,
        key=key,
        bind="query-params",
        help=HELP,
        wrap=True,
    )
    return [method for method in methods if method in (chosen or [USUAL])]
