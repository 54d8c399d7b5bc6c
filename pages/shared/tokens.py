"""Training text on screen, token by token, written through `textContent` only.

Training text is hostile: as Markdown or HTML it would fetch images and run directives. The component here sets text
and colours, never markup.
"""

from collections.abc import Sequence
from typing import Any

import streamlit as st

from lancet_core.models.token_list import TokenList

_CSS = """
.text { font-family: var(--st-font); font-size: 0.94rem; line-height: 1.85; color: var(--st-text-color);
  white-space: pre-wrap; overflow-wrap: anywhere; }
.part { font-size: 0.74rem; letter-spacing: .02em; opacity: .62; margin: 0 0 .1rem 0; color: var(--st-text-color); }
.part + .text { margin-bottom: .6rem; }
.token { border-radius: 3px; padding: .12em 0; border-bottom: 2px solid transparent; }
.token:hover { outline: 1px solid var(--st-text-color); }
.towards { border-bottom-color: rgba(212,119,42,.95); }
.away { border-bottom-color: rgba(59,125,191,.95); border-bottom-style: dotted; }
.legend { display: flex; gap: 1rem; align-items: center; flex-wrap: wrap; font-size: .78rem; opacity: .85;
  color: var(--st-text-color); font-family: var(--st-font); margin-top: .35rem; }
.ramp { display: inline-block; width: 84px; height: 8px; border-radius: 4px; margin: 0 .45rem; vertical-align: middle;
  background: linear-gradient(90deg, rgba(59,125,191,.85), rgba(59,125,191,0), rgba(212,119,42,0), rgba(212,119,42,.85)); }
.counted { background: color-mix(in srgb, var(--st-primary-color) 20%, transparent); border-bottom-color: var(--st-primary-color); }
.uncounted { opacity: .72; }
.token:focus-visible { outline: 2px solid var(--st-primary-color); }
.told { min-height: 1.2em; font-variant-numeric: tabular-nums; }
"""

# How both components begin: an element is made of a tag, a class and a text, never of markup.
_OPENING_JS = """
export default function ({ data, parentElement }) {
  const root = parentElement.querySelector(".heat");
  root.replaceChildren();
  const make = (tag, name, text) => {
    const element = document.createElement(tag);
    element.className = name;
    if (text !== undefined) element.textContent = text;
    return element;
  };
"""

_HEAT_JS = (
    _OPENING_JS
    + """
  const told = make("span", "told", "Point at a token for its share of the score.");
  const strongest = Math.max(...data.heat.map(Math.abs), 1e-300);
  const write = (title, from, to) => {
    if (to <= from) return;
    root.append(make("div", "part", title));
    const text = make("div", "text");
    for (let i = from; i < to; i++) {
      const value = data.heat[i];
      const token = make("span", "token", data.tokens[i].replaceAll("\\n", "↵"));
      const strength = Math.abs(value) / strongest;
      token.style.backgroundColor = `rgba(${value > 0 ? "212,119,42" : "59,125,191"},${(0.62 * strength).toFixed(3)})`;
      if (strength > 0.35) token.classList.add(value > 0 ? "towards" : "away");
      token.tabIndex = -1;
      token.onmouseenter = () => { told.textContent =
        `${value > 0 ? "▲ +" : value < 0 ? "▼ −" : ""}${Math.abs(value).toPrecision(3)} from “${data.tokens[i].trim()}”`; };
      text.append(token);
    }
    root.append(text);
  };
  write("Prompt", 0, data.start);
  write("Response", data.start, data.tokens.length);
  const legend = make("div", "legend");
  const scale = make("span", "scale");
  scale.append("▼ pushes away", make("span", "ramp"), "▲ pushes towards");
  legend.append(scale, told);
  root.append(legend);
}
"""
)

_draw_heat = st.components.v2.component("lancet_heat", html='<div class="heat"></div>', css=_CSS, js=_HEAT_JS)


def draw_heat(tokens: Sequence[str], heat: Sequence[float], *, response_start: int, key: str) -> None:
    """Draws the tokens of a training sample, coloured by their share of its influence score.

    Args:
        tokens: Text of each token, in order; written together they are the sample.
        heat: Share of each token in the score, in units of the score; they add up to it.
        response_start: Position of the first token of the response.
        key: Name of the element on the screen.
    """
    data: dict[str, Any] = {
        "tokens": list(tokens),
        "heat": [float(value) for value in heat],
        "start": response_start,
    }
    _draw_heat(key=key, data=data)


_COUNTED_JS = (
    _OPENING_JS
    + """
  const told = make("span", "told", "Point at a token for its id.");
  told.setAttribute("role", "status");
  const text = make("div", "text");
  data.texts.forEach((words, place) => {
    const counts = data.counts[place];
    const token = make("span", counts ? "token counted" : "token uncounted", words.replaceAll("\\n", "↵\\n"));
    token.tabIndex = place ? -1 : 0;
    const tell = () => { told.textContent =
      `Token ${place + 1} of ${data.texts.length}: id ${data.ids[place]}, ${counts ? "counts" : "does not count"}`; };
    token.onmouseenter = tell;
    token.onfocus = tell;
    token.onkeydown = (event) => {
      const next = { ArrowRight: token.nextElementSibling, ArrowLeft: token.previousElementSibling }[event.key];
      if (next) { event.preventDefault(); next.focus(); }
    };
    text.append(token);
  });
  root.append(text);
  const legend = make("div", "legend");
  const mark = make("span", "token counted", "counts");
  legend.append(mark, told);
  root.append(legend);
}
"""
)

_draw_counted = st.components.v2.component(
    "lancet_counted", html='<div class="heat"></div>', css=_CSS, js=_COUNTED_JS
)


def draw_counted(tokens: TokenList, *, key: str) -> None:
    """Draws the tokens of a sample as the model reads them, those marked whose log-probability counts.

    Args:
        tokens: The tokens.
        key: Name of the element on the screen.
    """
    data = {"ids": list(tokens.ids), "texts": list(tokens.texts), "counts": list(tokens.counts)}
    _draw_counted(key=key, data=data)
    words = f"{sum(tokens.counts):,} of {len(tokens.ids):,} tokens count; the model reads {tokens.context:,}"
    if tokens.cut or tokens.lost:
        words += f". Cut: {tokens.cut:,} from the left, {tokens.lost:,} from the right"
    st.caption(f"{words}.")
