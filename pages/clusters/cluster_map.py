"""The map of queries: one point each, a hull and a label for each cluster."""

import html
import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Literal

from plotly.graph_objects import Figure, Scatter

from pages.shared import figure

if TYPE_CHECKING:
    import pandas as pd

Point = tuple[float, float]
Box = tuple[float, float, float]
Drag = Literal["pan", "lasso"]
SYMBOLS = ("circle", "square", "diamond", "triangle-up", "x", "star")
PADDING = 0.035
HEIGHT_PIXELS, LABEL_PIXELS, LINE_PIXELS, CHARACTER_PIXELS = 560, 26, 16, 6.5
RING = tuple((math.cos(turn * math.pi / 8), math.sin(turn * math.pi / 8)) for turn in range(16))
_SHOWN_CHARACTERS = 110


def cluster_map(points: "pd.DataFrame", terms: Mapping[str, Sequence[str]], *, drag: Drag) -> "Figure":
    """Draws the map.

    Args:
        points: `query_id`, `cluster`, `x`, `y` and `prompt` of each query.
        terms: Cluster number as text to its most telling words.
        drag: What dragging does. Streamlit lets a click pick a point only while dragging moves the map.

    Returns:
        The plot. `customdata` of a point is its query id and its cluster; colour and symbol both tell the cluster.
    """
    plot = figure.figure("", "", height=HEIGHT_PIXELS)
    plot.update_xaxes(visible=False)
    plot.update_yaxes(visible=False, scaleanchor="x")
    plot.update_layout(dragmode=drag)
    reach = PADDING * max(
        float(points["x"].max() - points["x"].min()), float(points["y"].max() - points["y"].min()), 1e-9
    )
    labels: list[Box] = []
    for number, (cluster, members) in enumerate(points.groupby("cluster", sort=True)):
        color = figure.SERIES[number % len(figure.SERIES)]
        places = list(zip(members["x"].tolist(), members["y"].tolist(), strict=True))
        _add_hull(plot, places, reach=reach, color=color)
        _add_points(plot, members, color=color, symbol=SYMBOLS[number // len(figure.SERIES) % len(SYMBOLS)])
        _add_label(
            plot,
            places,
            labels,
            name=cluster_name(str(cluster), terms),
            scale=HEIGHT_PIXELS * PADDING / reach,
        )
    return plot


def cluster_name(cluster: str, terms: Mapping[str, Sequence[str]]) -> str:
    """Names a cluster by its number and its first two terms."""
    words = ", ".join(terms.get(cluster, ())[:2])
    return f"{cluster} · {words}" if words else cluster


def hull(points: Sequence[Point]) -> list[Point]:
    """Lists the corners of the convex hull in turn, counter-clockwise (Andrew's monotone chain)."""
    ordered = sorted(set(points))
    if len(ordered) < 3:
        return ordered
    lower, upper = _chain(ordered), _chain(ordered[::-1])
    return lower[:-1] + upper[:-1]


def _chain(points: Sequence[Point]) -> list[Point]:
    chain: list[Point] = []
    for point in points:
        while len(chain) >= 2 and not _turns_left(chain[-2], chain[-1], point):
            chain.pop()
        chain.append(point)
    return chain


def _turns_left(start: Point, middle: Point, end: Point) -> bool:
    return (middle[0] - start[0]) * (end[1] - start[1]) > (middle[1] - start[1]) * (end[0] - start[0])


def _add_hull(plot: "Figure", places: Sequence[Point], *, reach: float, color: str) -> None:
    # The hull of a ring around each point is the points' hull, padded and with round corners.
    corners = hull([(x + reach * dx, y + reach * dy) for x, y in places for dx, dy in RING])
    closed = [*corners, corners[0]]
    plot.add_trace(
        Scatter(
            x=[x for x, _y in closed],
            y=[y for _x, y in closed],
            mode="lines",
            fill="toself",
            fillcolor=figure.translucent(color, 0.1),
            line={"color": figure.translucent(color, 0.55), "width": 1},
            hoverinfo="skip",
        )
    )


def _add_points(plot: "Figure", members: "pd.DataFrame", *, color: str, symbol: str) -> None:
    plot.add_trace(
        Scatter(
            x=members["x"].tolist(),
            y=members["y"].tolist(),
            mode="markers",
            marker={
                "color": color,
                "size": 10,
                "symbol": symbol,
                "line": {"width": 1, "color": "rgba(255,255,255,.7)"},
            },
            customdata=[
                [query, str(cluster)]
                for query, cluster in zip(members["query_id"], members["cluster"], strict=True)
            ],
            # Escaped: a hover text is drawn as markup, and a prompt is not ours.
            hovertext=[html.escape(_short(prompt)) for prompt in members["prompt"]],
            hovertemplate="%{hovertext}<extra></extra>",
        )
    )


def _add_label(plot: "Figure", places: Sequence[Point], taken: list[Box], *, name: str, scale: float) -> None:
    """Writes a cluster's name above its hull, or higher where another label stands already.

    Args:
        plot: The plot.
        places: Points of the cluster.
        taken: Middle, height and half width of the labels so far, in pixels; the new one is added.
        name: What to write.
        scale: Pixels in one unit of the map, about.
    """
    middle, top = sum(x for x, _y in places) / len(places), max(y for _x, y in places)
    half = len(name) * CHARACTER_PIXELS / 2
    lift = 0
    while any(
        abs(middle * scale - x) < half + other and abs(top * scale + lift - y) < LINE_PIXELS
        for x, y, other in taken
    ):
        lift += LINE_PIXELS
    taken.append((middle * scale, top * scale + lift, half))
    plot.add_annotation(
        x=middle,
        y=top,
        text=html.escape(name),
        showarrow=False,
        yshift=LABEL_PIXELS + lift,
        font={"size": 12},
    )


def _short(text: str) -> str:
    return text if len(text) <= _SHOWN_CHARACTERS else text[: _SHOWN_CHARACTERS - 1] + "…"
