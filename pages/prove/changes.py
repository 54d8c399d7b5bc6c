"""What changed between two models, with intervals: one plot coloured by what is better and worse, and its table."""

import html
from typing import TYPE_CHECKING, Any

import streamlit as st
from plotly.graph_objects import Scatter
from plotly.subplots import make_subplots

from pages.prove.measures import DIRECTIONS, Judgement, judge, name, place, write_change, write_value
from pages.shared import figure, tables
from pages.shared.numbers import interval

if TYPE_CHECKING:
    import pandas as pd
    from plotly.graph_objects import Figure

SHORT = {"harmful": "Harmful", "helpful": "Helpful", "log_probability": "Log p(query)", "nll": "Token NLL"}
# Measures with one unit share a scale.
SCALES = (
    (("harmful", "helpful"), "Change of the mean score"),
    (("log_probability", "nll"), "Change in nats"),
)
STYLES: dict[Judgement, tuple[str, str]] = {
    "better": (figure.ACCENT, "circle"),
    "worse": (figure.TOWARDS, "diamond"),
    "unclear": (figure.MUTED, "circle-open"),
}
_ROW_PIXELS, _AXIS_PIXELS = 46, 92


def draw_changes(metrics: "pd.DataFrame") -> None:
    """Draws the changes that have an interval, and the table of all.

    Args:
        metrics: Columns `split`, `kind`, `metric`, `before`, `after`, `change`, `low`, `high`, `n`.
    """
    named = metrics.assign(
        where=[place(split, kind) for split, kind in zip(metrics["split"], metrics["kind"], strict=True)],
        judgement=[
            judge(DIRECTIONS.get(metric, ""), low, high)
            for metric, low, high in zip(metrics["metric"], metrics["low"], metrics["high"], strict=True)
        ],
    )
    scales = [
        (named[named["metric"].isin(shown)].dropna(subset=["low", "high"]), title) for shown, title in SCALES
    ]
    present = [(rows, title) for rows, title in scales if not rows.empty]
    if present:
        figure.show(
            forest(present),
            key="prove-forest",
            alt="Change of each measure with its 95 % interval, one point for each set of prompts, marked better, worse or unclear.",
        )
    _draw_table(named)


def forest(scales: list[tuple["pd.DataFrame", str]]) -> "Figure":
    """Makes the plot: one row for each measure and set of prompts, each scale below the one before."""
    lengths = [len(rows) for rows, _title in scales]
    height = sum(lengths) * _ROW_PIXELS + len(scales) * _AXIS_PIXELS
    plot = make_subplots(
        rows=len(scales), cols=1, row_heights=lengths, vertical_spacing=_AXIS_PIXELS / height
    )
    figure.dress(plot, height=height)
    for position, (rows, title) in enumerate(scales, start=1):
        labels = [
            f"{SHORT[metric]}<br>{html.escape(where)}"
            for metric, where in zip(rows["metric"], rows["where"], strict=True)
        ]
        labelled = rows.assign(row=labels)
        for judgement in STYLES:
            _add_points(plot, labelled[labelled["judgement"] == judgement], judgement, position=position)
        plot.add_vline(x=0, line={"color": figure.MUTED, "width": 1, "dash": "dot"}, row=position, col=1)
        plot.update_xaxes(title_text=title, row=position, col=1)
        plot.update_yaxes(categoryorder="array", categoryarray=labels[::-1], row=position, col=1)
    plot.update_yaxes(showgrid=False, nticks=None, dtick=1)
    plot.update_layout(showlegend=True, legend={"orientation": "h", "x": 0, "y": 1, "yanchor": "bottom"})
    plot.update_layout(margin={"t": 34})
    return plot


def _add_points(plot: "Figure", rows: "pd.DataFrame", judgement: Judgement, *, position: int) -> None:
    """Adds the points of one judgement with their intervals to one scale."""
    if rows.empty:
        return
    color, symbol = STYLES[judgement]
    plot.add_trace(
        Scatter(
            x=rows["change"].tolist(),
            y=rows["row"].tolist(),
            mode="markers",
            name=judgement,
            legendgroup=judgement,
            showlegend=not any(trace.name == judgement for trace in plot.data),
            marker={"color": color, "size": 9, "symbol": symbol, "line": {"color": color, "width": 1.5}},
            error_x={
                "type": "data",
                "symmetric": False,
                "array": (rows["high"] - rows["change"]).tolist(),
                "arrayminus": (rows["change"] - rows["low"]).tolist(),
                "color": color,
                "thickness": 1.5,
                "width": 4,
            },
            customdata=rows[["low", "high"]].to_numpy().tolist(),
            hovertemplate="%{y}<br>%{x:.3g} [%{customdata[0]:.3g}, %{customdata[1]:.3g}]<extra></extra>",
        ),
        row=position,
        col=1,
    )


def _draw_table(named: "pd.DataFrame") -> None:
    writers = [(write_value(metric), write_change(metric)) for metric in named["metric"]]
    rows: list[tuple[Any, Any]] = list(zip(named.itertuples(index=False), writers, strict=True))
    written = named.assign(
        what=[name(row.metric) for row, _writers in rows],
        before=[value(row.before) for row, (value, _change) in rows],
        after=[value(row.after) for row, (value, _change) in rows],
        change=[change(row.change) for row, (_value, change) in rows],
        span=[interval(row.low, row.high, write=change) for row, (_value, change) in rows],
    )
    tables.show(
        written,
        {
            "where": tables.text("Prompts"),
            "what": tables.text("Measure"),
            "before": tables.text("Before", width=90),
            "after": tables.text("After", width=90),
            "change": tables.text("Change", width=90),
            "span": tables.text(
                "95 % interval", width=140, help="Of the paired change, by bootstrap over prompts."
            ),
            "judgement": tables.text("Result", width=80, help="Unclear where the interval holds 0."),
            "n": tables.count("Prompts, n"),
        },
        key="prove-table",
    )
    st.caption(
        "Better: lower for harmful scores, log-probability of the bad answers, NLL and likeness; higher for the rest."
    )
