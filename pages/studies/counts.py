"""What was understood of training data: counts, labels, categories, lengths in tokens, and what was rejected and why."""

import html
from collections import Counter
from collections.abc import Iterable

import pandas as pd
import streamlit as st
from plotly.graph_objects import Bar, Histogram

from lancet_core.acts.look import count_reasons
from lancet_core.files import table_as_csv
from pages.shared import figure, tables
from pages.shared.numbers import percent

MOST_CATEGORIES, MOST_ROWS, MOST_CONTEXTS = 12, 1000, 2
SAFE, UNSAFE, UNKNOWN = "Safe", "Unsafe", "No label"


def draw_balance(is_safe: "pd.Series[bool]") -> None:
    """Draws how many samples are labelled safe and unsafe."""
    counts = is_safe.map({True: SAFE, False: UNSAFE}).fillna(UNKNOWN).value_counts()
    st.markdown("#### Labels")
    if set(counts.index) == {UNKNOWN}:
        st.caption("No sample has a label: rankings cannot be audited, everything else works.")
        return
    names = [name for name in (SAFE, UNSAFE, UNKNOWN) if name in counts]
    colors = {SAFE: figure.AWAY, UNSAFE: figure.TOWARDS, UNKNOWN: figure.MUTED}
    plot = figure.figure("Samples", "", height=60 + 34 * len(names))
    plot.add_trace(
        Bar(
            x=[int(counts[name]) for name in names],
            y=names,
            orientation="h",
            marker={"color": [colors[name] for name in names]},
            text=[f"{int(counts[name]):,} · {percent(counts[name] / counts.sum())}" for name in names],
            textposition="auto",
            hovertemplate="%{y}<br>%{x:,} samples<extra></extra>",
        )
    )
    plot.update_yaxes(autorange="reversed", nticks=None, showgrid=False)
    figure.show(
        plot, key="s-labels", alt="Bars: samples labelled safe, labelled unsafe, and without a label."
    )


def draw_categories(categories: Iterable[Iterable[str]]) -> None:
    """Draws the most frequent categories; nothing where no sample has one."""
    counted = Counter(name for names in categories for name in names)
    if not counted:
        return
    frequent = counted.most_common(MOST_CATEGORIES)
    st.markdown("#### Categories")
    plot = figure.figure("Samples", "", height=60 + 22 * len(frequent))
    plot.add_trace(
        Bar(
            x=[count for _, count in frequent],
            y=[html.escape(name.replace("_", " "))[:60] for name, _ in frequent],
            orientation="h",
            marker={"color": figure.ACCENT},
            hovertemplate="%{y}<br>%{x:,} samples<extra></extra>",
        )
    )
    plot.update_yaxes(autorange="reversed", nticks=None, showgrid=False)
    figure.show(plot, key="s-categories", alt="Bars: samples of each category.")
    if len(counted) > MOST_CATEGORIES:
        st.caption(f"The {MOST_CATEGORIES} most frequent of {len(counted):,} categories.")


def draw_lengths(lengths: "pd.Series[int]", context: int) -> None:
    """Draws how long the samples are, with the context of the model, which what is longer is cut to."""
    st.markdown("#### Length in tokens")
    if lengths.empty:
        st.caption("No sample can be used.")
        return
    longest = int(lengths.max())
    drawn = lengths.clip(upper=MOST_CONTEXTS * context) if context else lengths
    plot = figure.figure("Tokens of a sample", "Samples", height=230)
    plot.add_trace(
        Histogram(
            x=drawn.tolist(),
            nbinsx=40,
            marker={"color": figure.ACCENT},
            hovertemplate="%{x} tokens<br>%{y:,} samples<extra></extra>",
        )
    )
    if context and longest > context / 3:
        plot.add_vline(x=context, line={"color": figure.TOWARDS, "dash": "dot", "width": 1.5})
        plot.add_annotation(
            x=context, y=1, yref="paper", text="context", showarrow=False, xanchor="left", xshift=4,
            font={"size": 12, "color": figure.TOWARDS},
        )  # fmt: skip
    figure.show(plot, key="s-lengths", alt="Histogram of the lengths of the samples in tokens.")
    beyond = (
        f" Longer ones than {MOST_CONTEXTS * context:,} stand at the end." if longest > drawn.max() else ""
    )
    middle = f"Half of the samples have at most {int(lengths.median()):,} tokens, the longest has {longest:,}"
    st.caption(f"{middle}; the model reads {context:,}.{beyond}" if context else f"{middle}.")


def draw_rejected(rejected: pd.DataFrame, *, rows: int, name: str) -> None:
    """Draws why rows were rejected, which, and the way to all of them.

    Args:
        rejected: Columns `row` and `reason`.
        rows: Rows of the file.
        name: Start of the name of the file to download.
    """
    if rejected.empty:
        st.caption("Every row can be used.")
        return
    share = percent(rejected["row"].nunique() / rows) if rows else "–"
    st.markdown(f"#### Rejected&ensp;:gray[:small[{rejected['row'].nunique():,} rows, {share} of the file]]")
    columns = {
        "reason": tables.text("Reason"),
        "rows": tables.count("Rows", width=80),
        "first": tables.text("First row numbers", width=180),
    }
    tables.show(count_reasons(rejected).head(MOST_ROWS), columns, key="s-reasons")
    st.download_button(
        "Download all rejected rows",
        table_as_csv(rejected),
        f"{name}-rejected.csv",
        "text/csv",
        icon=":material/download:",
        key="s-rejected-download",
        on_click="ignore",
    )
