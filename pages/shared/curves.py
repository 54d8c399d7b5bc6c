"""Live curves of a correction: one small plot for each logged term."""

from typing import TYPE_CHECKING

import streamlit as st

from pages.shared import figure

if TYPE_CHECKING:
    import pandas as pd

# Column of the metrics, title, what to look for, colour.
TERMS = (
    ("query_probability", "P̄(query)", "Mean probability of the bad answers. It should fall.", figure.TOWARDS),
    (
        "correction",
        "Correction term",
        "How far pairs are apart, or how likely is what is forgotten. It should fall.",
        figure.ACCENT,
    ),
    (
        "retain_nll",
        "Retain NLL, nats per token",
        "How well the model still knows the rest. It should stay flat.",
        figure.AWAY,
    ),
    (
        "divergence",
        "Divergence term",
        "Distance to the start on the retain set. It should stay small.",
        figure.AWAY,
    ),
    (
        "proximity",
        "Proximity term",
        "Distance of the parameters to the start. It grows, then levels off.",
        figure.MUTED,
    ),
)
CHECKS = (("harmful", "Harmful", figure.TOWARDS), ("helpful", "Helpful", figure.AWAY))
_COLUMNS = 3


def draw_curves(curves: "pd.DataFrame", *, key: str) -> None:
    """Draws what has been logged so far; a term without a value yet has no plot.

    Args:
        curves: One row for each logged step: `step` and the terms; empty cells where a term was not measured.
        key: Start of the plots' keys.
    """
    present = [term for term in TERMS if term[0] in curves and curves[term[0]].notna().any()]
    checked = [check for check in CHECKS if check[0] in curves and curves[check[0]].notna().any()]
    if not present and not checked:
        st.caption("The curves begin with the first step.")
        return
    cells = [cell for _row in range(2) for cell in st.columns(_COLUMNS, gap="medium")]
    for cell, (column, title, meaning, color) in zip(cells, present, strict=False):
        with cell:
            _draw_term(curves, column, title=title, meaning=meaning, color=color, key=key)
    if checked:
        with cells[len(present)]:
            _draw_checks(curves, checked, key=key)


def draw_loss(curves: "pd.DataFrame", *, key: str) -> None:
    """Draws the loss of a training so far; arguments as of `draw_curves`."""
    if "loss" not in curves or curves["loss"].isna().all():
        st.caption("The curve begins with the first step.")
        return
    _draw_term(
        curves,
        "loss",
        title="Loss, nats per token",
        meaning="How badly it fits its samples. It should fall.",
        color=figure.ACCENT,
        key=key,
    )


def _draw_term(
    curves: "pd.DataFrame", column: str, *, title: str, meaning: str, color: str, key: str
) -> None:
    measured = curves[["step", column]].dropna()
    st.markdown(f"**{title}**", help=meaning)
    plot = figure.figure("Step", "", height=170)
    figure.add_line(plot, measured["step"].tolist(), measured[column].tolist(), name=title, color=color)
    plot.update_yaxes(rangemode="tozero")
    figure.show(plot, key=f"{key}-{column}", alt=f"{title} by step. {meaning}")


def _draw_checks(curves: "pd.DataFrame", checked: list[tuple[str, str, str]], *, key: str) -> None:
    st.markdown(
        "**Validation, share of answers**",
        help="Mean harmful and helpful score on validation prompts at each checkpoint; the checkpoint with the largest "
        "helpful minus harmful is kept as the corrected model.",
    )
    plot = figure.figure("Step", "", height=170)
    for column, name, color in checked:
        measured = curves[["step", column]].dropna()
        steps, values = measured["step"].tolist(), measured[column].tolist()
        figure.add_line(
            plot, steps, values, name=name, color=color, dash="solid" if column == "helpful" else "dash"
        )
        figure.label(plot, steps[-1], values[-1], name)
    plot.update_layout(margin={"r": 70})
    plot.update_traces(mode="lines+markers")
    figure.show(plot, key=f"{key}-checks", alt="Harmful and helpful score on validation prompts by step.")
