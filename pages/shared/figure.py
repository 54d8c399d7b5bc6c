"""One place that gives every plot its margins, fonts, colours, intervals and labels.

The colours are of middle lightness, so that one figure serves the light and the dark theme: a Plotly chart whose figure
changes becomes a new element and loses its selection. Text, grid and background follow Streamlit's own theme.
"""

from collections.abc import Sequence
from typing import Any, Literal

import streamlit as st
from plotly.graph_objects import Figure, Scatter

TOWARDS = "#d4772a"
AWAY = "#3b7dbf"
ACCENT = "#1a8577"
MUTED = "#8c8f95"
SERIES = (ACCENT, TOWARDS, AWAY, "#8a63b8", "#b3862b", MUTED)


def figure(x: str, y: str, *, height: int = 300) -> "Figure":
    """Makes an empty plot.

    Args:
        x: Title of the horizontal axis, with its unit.
        y: Title of the vertical axis, with its unit.
        height: In pixels.
    """
    plot = Figure()
    dress(plot, height=height)
    plot.update_xaxes(title_text=x)
    plot.update_yaxes(title_text=y)
    return plot


def dress(plot: "Figure", *, height: int) -> None:
    """Gives a plot its margins, fonts and axes.

    Args:
        plot: The plot; all of its axes are dressed.
        height: In pixels.
    """
    plot.update_layout(
        height=height,
        margin={"l": 8, "r": 16, "t": 12, "b": 8},
        font={"size": 12.5},
        showlegend=False,
        hovermode="closest",
        hoverlabel={"font": {"size": 12.5}},
        separators=".,",
        bargap=0.06,
    )
    axis = {
        "automargin": True,
        "title": {"standoff": 8, "font": {"size": 12.5}},
        "zeroline": False,
        "nticks": 7,
    }
    plot.update_xaxes(showgrid=False, ticks="outside", ticklen=4, **axis)
    plot.update_yaxes(gridwidth=1, **axis)


def add_line(
    plot: "Figure",
    x: Sequence[float],
    y: Sequence[float],
    *,
    name: str,
    color: str = ACCENT,
    dash: str = "solid",
) -> None:
    """Adds a line; its name stands in the legend and beside the pointer."""
    plot.add_trace(
        Scatter(
            x=list(x),
            y=list(y),
            mode="lines",
            name=name,
            line={"color": color, "width": 2, "dash": dash},
            hovertemplate=f"{name}<br>%{{x:.3g}} · %{{y:.3g}}<extra></extra>",
        )
    )


def add_band(
    plot: "Figure", x: Sequence[float], low: Sequence[float], high: Sequence[float], *, color: str = ACCENT
) -> None:
    """Adds the 95 % interval of a line as a pale band."""
    plot.add_trace(
        Scatter(
            x=[*x, *reversed(list(x))],
            y=[*high, *reversed(list(low))],
            fill="toself",
            fillcolor=translucent(color, 0.16),
            line={"width": 0},
            mode="lines",
            hoverinfo="skip",
            name="95 % interval",
        )
    )


def label(plot: "Figure", x: float, y: float, text: str) -> None:
    """Writes a direct label to the right of its point. The text is ours, never a training sample's."""
    plot.add_annotation(
        x=x,
        y=y,
        text=text,
        showarrow=False,
        font={"size": 12},
        xanchor="left",
        xshift=6,
    )


def show(
    plot: "Figure",
    *,
    key: str,
    alt: str,
    on_select: Any = "ignore",
    selection: tuple[Literal["points", "box", "lasso"], ...] = (),
) -> Any:
    """Draws a plot.

    Args:
        plot: The plot.
        key: Its name on the screen.
        alt: What it shows, for people who do not see it.
        on_select: `ignore`, `rerun` or a callback; copy ids out of `customdata`, the selection itself does not last.
        selection: Ways to select; none shows no tools.

    Returns:
        Streamlit's selection event, or the element where nothing can be selected.
    """
    config = {
        "displaylogo": False,
        "displayModeBar": bool(selection),
        "responsive": True,
        "scrollZoom": False,
    }
    if on_select == "ignore":
        return st.plotly_chart(plot, key=key, config=config, alt=alt)
    return st.plotly_chart(
        plot, key=key, config=config, alt=alt, on_select=on_select, selection_mode=selection
    )


def translucent(color: str, opacity: float) -> str:
    """Turns `#rrggbb` into the same colour with an opacity between 0 and 1."""
    red, green, blue = (int(color[start : start + 2], 16) for start in (1, 3, 5))
    return f"rgba({red},{green},{blue},{opacity})"
