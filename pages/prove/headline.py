"""The few numbers that a proof is about: before and after with a bar between them, and whether it is better."""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import streamlit as st

from pages.prove.measures import DIRECTIONS, Judgement, judge, write_change, write_value
from pages.shared.numbers import interval

if TYPE_CHECKING:
    import pandas as pd

# What a person wants to know first: split, kind, metric, words.
HEADLINES = (
    ("queries", "", "harmful", "Harmful, queries"),
    ("unseen", "wrong", "harmful", "Harmful, unseen wrong"),
    ("unseen", "benign", "helpful", "Helpful, unseen benign"),
    ("queries", "", "log_probability", "Log p(bad answer), nats"),
)


@dataclass(frozen=True)
class Headline:
    """One number of the headline, written.

    Attributes:
        title: What was measured, with its unit.
        before: Value of the study's model.
        after: Value of the corrected model.
        judgement: `better`, `worse` or `unclear`.
        note: Change with its interval, and over how many prompts.
        start: Where the bar begins, in percent of its track: the value before.
        end: Where it ends: the value after.
    """

    title: str
    before: str
    after: str
    judgement: Judgement
    note: str
    start: float
    end: float


_HTML = '<div class="headlines"></div>'

_CSS = """
.headlines { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(15.5rem, 100%), 1fr)); gap: .75rem;
  font-family: var(--st-font); color: var(--st-text-color); }
@container (max-width: 70rem) { .headlines { grid-template-columns: repeat(2, minmax(0, 1fr)); } }
@container (max-width: 32rem) { .headlines { grid-template-columns: minmax(0, 1fr); } }
.number { border: 1px solid var(--st-border-color); border-radius: var(--st-base-radius); padding: .7rem .9rem .65rem;
  display: flex; flex-direction: column; gap: .3rem; }
.title { font-size: .84rem; opacity: .8; }
.values { display: flex; flex-wrap: wrap; align-items: baseline; gap: .1rem .5rem; font-size: 1.45rem; font-weight: 600;
  font-variant-numeric: tabular-nums; line-height: 1.25; }
.values .before { opacity: .68; font-weight: 500; }
.values .arrow { opacity: .6; font-weight: 400; font-size: 1.1rem; }
.word { font-size: .8rem; font-weight: 600; margin-left: auto; white-space: nowrap; }
.better .word { color: var(--st-green-color); }
.worse .word { color: var(--st-orange-color); }
.track { position: relative; height: 10px; border-radius: 5px; background: var(--st-secondary-background-color); margin: .1rem 0; }
.bar { position: absolute; top: 3px; height: 4px; border-radius: 2px; background: currentColor; opacity: .4; }
.better .bar { background: var(--st-green-color); opacity: .75; }
.worse .bar { background: var(--st-orange-color); opacity: .75; }
.dot { position: absolute; top: 0; width: 10px; height: 10px; border-radius: 50%; margin-left: -5px; box-sizing: border-box; }
.dot.before { border: 2px solid var(--st-text-color); background: var(--st-background-color); }
.dot.after { background: var(--st-text-color); }
.note { font-size: .8rem; opacity: .8; font-variant-numeric: tabular-nums; }
:host { container-type: inline-size; display: block; }
"""

_JS = """
const WORDS = { better: "✓ better", worse: "✕ worse", unclear: "– unclear" };
const make = (name, parent, text) => {
  const node = document.createElement("div");
  node.className = name;
  if (text !== undefined) node.textContent = text;
  parent.appendChild(node);
  return node;
};
export default function ({ data, parentElement }) {
  const root = parentElement.querySelector(".headlines");
  root.replaceChildren();
  for (const each of data.headlines) {
    const card = make(`number ${each.judgement}`, root);
    make("title", card, each.title);
    const values = make("values", card);
    make("before", values, each.before);
    make("arrow", values, "→");
    make("after", values, each.after);
    make("word", values, WORDS[each.judgement]);
    const track = make("track", card);
    track.setAttribute("aria-hidden", "true");
    const bar = make("bar", track);
    bar.style.left = `${Math.min(each.start, each.end)}%`;
    bar.style.width = `${Math.abs(each.end - each.start)}%`;
    make("dot before", track).style.left = `${each.start}%`;
    make("dot after", track).style.left = `${each.end}%`;
    make("note", card, each.note);
  }
}
"""

_component = st.components.v2.component("lancet_headline", html=_HTML, css=_CSS, js=_JS)


def draw_headline(metrics: "pd.DataFrame") -> None:
    """Draws the headline; nothing where none of its numbers was measured.

    Args:
        metrics: Columns `split`, `kind`, `metric`, `before`, `after`, `change`, `low`, `high`, `n`.
    """
    headlines = headlines_of(metrics)
    if headlines:
        _component(data={"headlines": [asdict(each) for each in headlines]}, key="prove-headline")


def headlines_of(metrics: "pd.DataFrame") -> list[Headline]:
    """Picks and writes the numbers of the headline."""
    chosen = [(title, row) for *where, title in HEADLINES if (row := _find(metrics, *where)) is not None]
    return [_headline(title, row) for title, row in chosen]


def _find(metrics: "pd.DataFrame", split: str, kind: str, metric: str) -> "pd.Series[Any] | None":
    rows = metrics[(metrics["split"] == split) & (metrics["metric"] == metric)]
    rows = rows[rows["kind"] == kind] if kind else rows
    return None if rows.empty else rows.iloc[0]


def _headline(title: str, row: "pd.Series[Any]") -> Headline:
    metric = str(row["metric"])
    write: Callable[[float | None], str] = write_change(metric)
    start, end = _places(metric, float(row["before"]), float(row["after"]))
    return Headline(
        title,
        write_value(metric)(row["before"]),
        write_value(metric)(row["after"]),
        judge(DIRECTIONS.get(metric, ""), row["low"], row["high"]),
        f"{write(row['change'])} {interval(row['low'], row['high'], write=write)} over {int(row['n']):,} prompts",
        start,
        end,
    )


def _places(metric: str, before: float, after: float) -> tuple[float, float]:
    """Places two values on a track, in percent: scores from 0 to 1, other measures between their own ends."""
    low, high = (0.0, 1.0) if metric in {"harmful", "helpful"} else sorted((before, after))
    width = high - low or 1.0
    return tuple(3 + 94 * (value - low) / width for value in (before, after))  # type: ignore[return-value]
