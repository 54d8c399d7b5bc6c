"""What changed between two models, with intervals: a forest plot and its table."""

from typing import TYPE_CHECKING, Any

import streamlit as st

from pages.parts import figure, tables
from pages.parts.numbers import three

if TYPE_CHECKING:
    import pandas as pd

SPLITS = {"queries": "Queries", "unseen": "Unseen", "validation": "Validation"}
KINDS = {"wrong": "wrong prompts", "benign": "benign prompts", "unknown": "prompts"}
# Metric: its name with unit, and which way is better.
METRICS = {
    "harmful": ("Harmful score", "lower"),
    "harmful_unknown": ("Harmful score, unknown categories", "lower"),
    "helpful": ("Helpful score", "higher"),
    "c_r": ("C-R, harmful minus helpful score", "lower"),
    "log_probability": ("Log-probability of the query's answer, nats", "lower"),
    "nll": ("Token NLL of good answers, nats", "lower"),
    "msttr_50": ("MSTTR 50", "higher"),
    "msttr_100": ("MSTTR 100", "higher"),
    "entropy": ("Entropy of an answer, bits", "higher"),
    "corpus_entropy": ("Entropy of all answers, bits", "higher"),
    "distinct_share": ("Share of distinct answers", "higher"),
    "self_bleu_3": ("Self-BLEU 3", "lower"),
    "self_bleu_4": ("Self-BLEU 4", "lower"),
}
SHORT = {"harmful": "Harmful", "helpful": "Helpful", "log_probability": "Log p(query)", "nll": "Token NLL"}
# What a person wants to know first: split, kind, metric, words.
HEADLINES = (
    ("queries", "", "harmful", "Harmful, queries"),
    ("unseen", "wrong", "harmful", "Harmful, unseen wrong"),
    ("unseen", "benign", "helpful", "Helpful, unseen benign"),
    ("queries", "", "log_probability", "Log p(bad answer), nats"),
)
PLOTS = (
    (("harmful", "helpful"), "Change of the mean score"),
    (("log_probability", "nll"), "Change in nats"),
)
_ROW_PIXELS = 46


def draw_changes(metrics: "pd.DataFrame") -> None:
    """Draws forest plots of the metrics that have an interval, and the table of all.

    Args:
        metrics: Columns `split`, `kind`, `metric`, `before`, `after`, `change`, `low`, `high`, `n`.
    """
    named = metrics.assign(
        where=[place(split, kind) for split, kind in zip(metrics["split"], metrics["kind"], strict=True)],
        what=[METRICS.get(name, (name.replace("_", " "), ""))[0] for name in metrics["metric"]],
        short=[SHORT.get(name, name) for name in metrics["metric"]],
        better=[METRICS.get(name, ("", ""))[1] for name in metrics["metric"]],
    )
    for number, (column, (names, title)) in enumerate(zip(st.columns(2, gap="large"), PLOTS, strict=True)):
        with column:
            _draw_forest(named[named["metric"].isin(names)], title=title, key=f"prove-forest-{number}")
    _draw_table(named)


def draw_headline(metrics: "pd.DataFrame") -> None:
    """Draws the few numbers that matter most, before and after, with the interval of the change."""
    found = [(title, row) for *where, title in HEADLINES if (row := _find(metrics, *where)) is not None]
    if not found:
        return
    for column, (title, row) in zip(st.columns(len(found), gap="small"), found, strict=True):
        with column.container(border=True, height="stretch"):
            st.metric(
                title,
                f"{three(row['before'])} → {three(row['after'])}",
                help=f"Mean over {int(row['n']):,} prompts, before → after the correction.",
            )
            st.caption(f"Change {three(row['change'])} {_span(row['low'], row['high'])}")


def place(split: str, kind: str) -> str:
    """Names a set of prompts: split and kind in words."""
    return f"{SPLITS.get(split, split)}, {KINDS.get(kind, kind)}"


def _find(metrics: "pd.DataFrame", split: str, kind: str, metric: str) -> "pd.Series[Any] | None":
    rows = metrics[(metrics["split"] == split) & (metrics["metric"] == metric)]
    rows = rows[rows["kind"] == kind] if kind else rows
    return None if rows.empty else rows.iloc[0]


def _draw_forest(rows: "pd.DataFrame", *, title: str, key: str) -> None:
    measured = rows.dropna(subset=["low", "high"])
    if measured.empty:
        return
    names = [f"{what}<br>{where}" for what, where in zip(measured["short"], measured["where"], strict=True)]
    plot = figure.figure(title, "", height=90 + _ROW_PIXELS * len(measured))
    spans = list(zip(measured["low"].tolist(), measured["high"].tolist(), strict=True))
    figure.add_intervals(plot, names, measured["change"].tolist(), spans, color=figure.ACCENT)
    plot.add_vline(x=0, line={"color": figure.MUTED, "width": 1, "dash": "dot"})
    plot.update_yaxes(autorange="reversed", showgrid=False, nticks=None, dtick=1)
    figure.show(plot, key=key, alt=f"{title}: one point with its 95 % interval for each set of prompts.")


def _draw_table(named: "pd.DataFrame") -> None:
    shown = named.assign(
        span=[_span(low, high) for low, high in zip(named["low"], named["high"], strict=True)],
    )
    tables.show(
        shown,
        {
            "where": tables.text("Prompts"),
            "what": tables.text("Measure"),
            "before": tables.number("Before"),
            "after": tables.number("After"),
            "change": tables.number("Change"),
            "span": tables.text(
                "95 % interval", width=140, help="Of the paired change, by bootstrap over prompts."
            ),
            "better": tables.text("Better", width=80),
            "n": tables.count("Prompts, n"),
        },
        key="prove-table",
    )


def _span(low: float | None, high: float | None) -> str:
    missing = low is None or high is None or low != low or high != high
    return "–" if missing else f"[{three(low)}, {three(high)}]"
