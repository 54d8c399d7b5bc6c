"""Which harms the study's scorer sees in which samples, where it tells harms apart."""

import html

import pandas as pd
import streamlit as st
from plotly.graph_objects import Heatmap

from pages.shared import figure

GROUPS = {True: "Labelled safe", False: "Labelled unsafe"}
UNLABELLED, FLAGGED = "No label", 0.5


def draw_harm(samples: pd.DataFrame) -> None:
    """Draws the share of samples that the scorer flags for each harm, among the safe and the unsafe ones."""
    shares = flagged_shares(samples)
    if shares.empty:
        return
    st.markdown("#### Harms that the scorer sees")
    plot = figure.figure("", "", height=70 + 22 * len(shares))
    plot.add_trace(
        Heatmap(
            z=shares.to_numpy().tolist(),
            x=[str(name) for name in shares],
            y=[html.escape(str(name).replace("_", " "))[:60] for name in shares.index],
            colorscale=[[0.0, "rgba(140,143,149,0.10)"], [1.0, figure.TOWARDS]],
            zmin=0,
            zmax=1,
            texttemplate="%{z:.0%}",
            hovertemplate="%{y}<br>%{x}: %{z:.1%}<extra></extra>",
            showscale=False,
        )
    )
    plot.update_yaxes(autorange="reversed", nticks=None, showgrid=False)
    figure.show(
        plot,
        key="s-harm",
        alt="Heat map: share of safe and unsafe samples that the scorer flags for each harm.",
    )


def flagged_shares(samples: pd.DataFrame) -> pd.DataFrame:
    """Share of samples that a scorer of several harms flags: one row for each harm, one column for each label; empty without such a scorer.

    Args:
        samples: `is_safe`, and `harmful_categories` where the scorer tells harms apart: harm to its score.
    """
    if "harmful_categories" not in samples:
        return pd.DataFrame()
    scored = samples.dropna(subset="harmful_categories")
    flagged = pd.DataFrame(scored["harmful_categories"].tolist(), index=scored.index) > FLAGGED
    groups = scored["is_safe"].map(GROUPS).fillna(UNLABELLED)
    return flagged.groupby(groups).mean().T
