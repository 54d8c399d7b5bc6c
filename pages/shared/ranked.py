"""A ranked list of training samples: influence bar, place, harmful score, label and text, in one element.

A table cuts texts off after a few words, and a widget for each row is slow. This component writes every text through
`textContent` and tells which row was opened and which rows were ticked.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import streamlit as st

_CSS = """
.rows { display: flex; flex-direction: column; font-family: var(--st-font); color: var(--st-text-color); }
.row { all: unset; display: grid; grid-template-columns: 2.1rem 6.6rem minmax(0, 1fr); column-gap: .7rem; padding: .55rem .5rem;
  border-top: 1px solid var(--st-border-color); cursor: pointer; box-sizing: border-box; width: 100%; }
.line { display: flex; align-items: flex-start; border-top: 1px solid var(--st-border-color); }
.line:first-child { border-top: 0; }
.line .row { border-top: 0; min-width: 0; }
.tick { margin: .78rem .1rem 0 .15rem; width: 1rem; height: 1rem; flex: none; accent-color: var(--st-primary-color); cursor: pointer; }
.row:hover { background: var(--st-secondary-background-color); }
.row:focus-visible { outline: 2px solid var(--st-primary-color); outline-offset: -2px; border-radius: 4px; }
.row[aria-current="true"] { background: var(--st-secondary-background-color); box-shadow: inset 3px 0 0 var(--st-primary-color); }
.rank { font-size: .8rem; opacity: .55; text-align: right; font-variant-numeric: tabular-nums; padding-top: .08rem; }
.score { font-size: .88rem; font-weight: 570; font-variant-numeric: tabular-nums; white-space: nowrap; }
.track { height: 5px; border-radius: 3px; background: var(--st-secondary-background-color); margin: .32rem 0 .28rem 0; overflow: hidden; }
.row:hover .track { background: var(--st-border-color); }
.bar { height: 100%; border-radius: 3px; }
.small { font-size: .75rem; opacity: .75; font-variant-numeric: tabular-nums; line-height: 1.3; }
.prompt { font-size: .86rem; opacity: .72; }
.response { font-size: .92rem; margin-top: .08rem; }
.prompt, .response { display: -webkit-box; -webkit-box-orient: vertical; overflow: hidden; overflow-wrap: anywhere; line-height: 1.42; }
.prompt { -webkit-line-clamp: 1; }
.response { -webkit-line-clamp: 2; }
.tags { display: flex; flex-wrap: wrap; gap: .4rem; margin-top: .3rem; align-items: center; }
.tag { font-size: .74rem; padding: .04rem .45rem; border-radius: 10px; border: 1px solid var(--st-border-color); white-space: nowrap; }
.tag.unsafe { border-color: rgba(212,119,42,.8); }
.tag.safe { border-color: rgba(59,125,191,.7); }
@media (max-width: 480px) { .row { grid-template-columns: 1.1rem 6.3rem minmax(0, 1fr); column-gap: .5rem; padding: .5rem .1rem; } }
"""

_JS = """
export default function ({ data, parentElement, setStateValue, setTriggerValue }) {
  const picked = new Set(data.picked);
  const rows = parentElement.querySelector(".rows");
  rows.replaceChildren();
  const make = (tag, name, text) => {
    const element = document.createElement(tag);
    element.className = name;
    if (text !== undefined) element.textContent = text;
    return element;
  };
  data.rows.forEach((sample, position) => {
    const row = make("button", "row");
    row.type = "button";
    row.dataset.sample = sample.sample_id;
    if (sample.sample_id === data.opened) row.setAttribute("aria-current", "true");
    row.append(make("span", "rank", sample.rank));
    const left = make("span", "");
    left.append(make("div", "score", sample.score));
    const track = make("div", "track");
    const bar = make("div", "bar");
    bar.style.width = `${(100 * Math.abs(sample.length)).toFixed(1)}%`;
    bar.style.backgroundColor = sample.length > 0 ? "#d4772a" : "#3b7dbf";
    track.append(bar);
    left.append(track, make("div", "small", sample.standing));
    const right = make("span", "");
    right.append(make("div", "prompt", sample.prompt), make("div", "response", sample.response));
    const tags = make("div", "tags");
    sample.tags.forEach(([kind, text]) => tags.append(make("span", `tag ${kind}`, text)));
    if (sample.tags.length) right.append(tags);
    row.append(left, right);
    row.onclick = () => setTriggerValue("opened", sample.sample_id);
    const line = make("div", "line");
    row.onkeydown = (event) => {
      const next = { ArrowDown: line.nextElementSibling, ArrowUp: line.previousElementSibling }[event.key];
      if (next) { event.preventDefault(); next.querySelector(".row").focus(); }
    };
    if (data.pickable) {
      const tick = make("input", "tick");
      tick.type = "checkbox";
      tick.checked = picked.has(sample.sample_id);
      tick.title = "Review this sample first";
      tick.setAttribute("aria-label", `Review sample ${sample.rank} first`);
      tick.onchange = () => {
        if (tick.checked) picked.add(sample.sample_id); else picked.delete(sample.sample_id);
        setStateValue("picked", [...picked]);
      };
      line.append(tick);
    }
    line.append(row);
    rows.append(line);
  });
}
"""

_draw = st.components.v2.component("lancet_ranked", html='<div class="rows"></div>', css=_CSS, js=_JS)


@dataclass(frozen=True)
class Row:
    """One training sample of a ranked list, its numbers already written as text.

    Attributes:
        sample_id: Told back when the row is opened.
        rank: Place in the list.
        score: Influence score, with its sign.
        length: Length and sign of the bar, from −1 to 1 (1 = strongest of both lists).
        standing: How strong it is among the candidates, in words.
        prompt: Prompt of the sample.
        response: Response of the sample.
        tags: Kind (`safe`, `unsafe` or empty) and text of each tag: harmful score, label, cluster.
    """

    sample_id: str
    rank: str
    score: str
    length: float
    standing: str
    prompt: str
    response: str
    tags: tuple[tuple[str, str], ...] = ()


def draw_ranked(rows: Sequence[Row], *, key: str, opened: str = "", pickable: bool = False) -> str | None:
    """Draws a ranked list.

    Args:
        rows: Samples, in order.
        key: Name of the element on the screen.
        opened: Id of the sample that is open at the moment.
        pickable: Whether rows can be ticked.

    Returns:
        Id of the sample that was opened just now, None where none was.
    """
    data = {
        "rows": [asdict(row) for row in rows],
        "opened": opened,
        "pickable": pickable,
        "picked": read_picked(key),
    }
    result = _draw(key=key, data=data, on_opened_change=_ignore, on_picked_change=_ignore)
    return str(result.opened) if result.opened else None


def read_picked(key: str) -> list[str]:
    """Lists the ids of the samples that are ticked in a list, in the order of ticking."""
    return [str(sample_id) for sample_id in (st.session_state.get(key) or {}).get("picked") or ()]


def _ignore() -> None:
    """A component reports a trigger only where a callback stands for it."""
