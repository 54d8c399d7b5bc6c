"""A card that shows training text, answers and their numbers as plain text, with marks on changed words.

A mark is a background and an underline, dashed on the first side and solid on the second, so that it does not rest on
colour alone. Nothing is struck out: a text whose "not" is struck out reads as its opposite.

Text from training data and models is hostile: the component below sets `textContent` only, so that neither markdown
nor HTML in it is ever interpreted.
"""

from dataclasses import asdict, dataclass
from typing import Literal

import streamlit as st

from pages.shared.diff import Piece

Tone = Literal["neutral", "towards", "away"]


@dataclass(frozen=True)
class Passage:
    """One labelled text on a card.

    Attributes:
        label: What the text is ("Prompt", "Answer").
        pieces: The text, cut where its marks change.
        muted: Whether it is context rather than what the eye should read first.
    """

    label: str
    pieces: tuple[Piece, ...]
    muted: bool = False


@dataclass(frozen=True)
class Fact:
    """One number or word under a card's text.

    Attributes:
        name: What it is, with its unit.
        value: The formatted value.
        bar: Signed length of a bar beside it in [-1, 1], None for no bar.
    """

    name: str
    value: str
    bar: float | None = None


@dataclass(frozen=True)
class Card:
    """A titled block of texts and facts.

    Attributes:
        title: Heading of the card.
        passages: Texts from top to bottom.
        facts: Numbers under the texts.
        tone: Which side of the influence scale colours the card's edge; the title says it in words too.
    """

    title: str
    passages: tuple[Passage, ...]
    facts: tuple[Fact, ...] = ()
    tone: Tone = "neutral"


_HTML = '<section class="card"><h3></h3><div class="passages"></div><div class="legend"></div><dl class="facts"></dl></section>'

_CSS = """
.card { border: 1px solid var(--st-border-color); border-left: 4px solid var(--st-border-color);
  border-radius: var(--st-base-radius); padding: .8rem 1rem .7rem; font-family: var(--st-font);
  color: var(--st-text-color); background: var(--st-background-color); box-sizing: border-box;
  height: 100%; display: flex; flex-direction: column; }
:host, :host > div, :host > div > div { display: block; height: 100%; }
.card.towards { border-left-color: #d4772a; }
.card.away { border-left-color: #3b7dbf; }
h3 { font-size: .9rem; font-weight: 600; margin: 0 0 .55rem; padding: 0; letter-spacing: 0; line-height: 1.35; }
.label { font-size: .75rem; opacity: .65; margin-bottom: .1rem; }
.passage { margin-bottom: .6rem; }
.text { white-space: pre-wrap; overflow-wrap: anywhere; line-height: 1.5; font-size: 1rem; }
.muted .text { opacity: .8; font-size: .925rem; }
.added, .removed { border-radius: 3px; padding: .05em 0; text-underline-offset: 3px; text-decoration-skip-ink: none; }
.added { background: rgba(59,125,191,.18); text-decoration: underline 2px solid #3b7dbf; }
.removed { background: rgba(212,119,42,.2); text-decoration: underline 2px dashed #d4772a; }
.legend { font-size: .75rem; opacity: .8; margin: -.15rem 0 .55rem; }
.legend:empty { display: none; }
.facts { display: flex; flex-wrap: wrap; gap: .35rem 1.4rem; margin: auto 0 0; padding-top: .55rem;
  border-top: 1px solid var(--st-border-color); }
.facts:empty { display: none; }
.facts div { display: flex; flex-direction: column; }
dt { font-size: .72rem; opacity: .65; }
dd { margin: 0; font-size: .9rem; font-variant-numeric: tabular-nums; display: flex; align-items: center; gap: .45rem; }
.bar { position: relative; width: 64px; height: 8px; border-radius: 4px; background: var(--st-secondary-background-color); }
.bar::after { content: ""; position: absolute; left: 50%; top: -2px; bottom: -2px; width: 1px;
  background: var(--st-text-color); opacity: .4; }
.bar i { position: absolute; top: 0; bottom: 0; border-radius: 4px; }
.bar i.up { left: 50%; background: #d4772a; }
.bar i.down { right: 50%; background: #3b7dbf; }
"""

_JS = """
const make = (tag, parent, text, name) => {
  const node = document.createElement(tag);
  if (text !== undefined) node.textContent = text;
  if (name) node.className = name;
  parent.appendChild(node);
  return node;
};
const TAGS = { added: "ins", removed: "del" };
export default function ({ data, parentElement }) {
  const card = parentElement.querySelector(".card");
  card.className = "card " + data.tone;
  const title = card.querySelector("h3");
  title.textContent = data.title;
  title.style.display = data.title ? "" : "none";
  const marks = new Set();
  const passages = card.querySelector(".passages");
  passages.replaceChildren();
  for (const passage of data.passages) {
    const box = make("div", passages, undefined, passage.muted ? "passage muted" : "passage");
    if (passage.label) make("div", box, passage.label, "label");
    const text = make("div", box, undefined, "text");
    for (const piece of passage.pieces) {
      const marked = make(TAGS[piece.mark] ?? "span", text, piece.text, piece.mark);
      if (piece.mark) marked.setAttribute("aria-label", `only here: ${piece.text.trim()}`);
      if (piece.mark) marks.add(piece.mark);
    }
  }
  const legend = card.querySelector(".legend");
  legend.replaceChildren();
  for (const mark of marks) {
    make("span", legend, "marked", mark);
    legend.append(": only in this text");
  }
  const facts = card.querySelector(".facts");
  facts.replaceChildren();
  for (const fact of data.facts) {
    const box = make("div", facts);
    make("dt", box, fact.name);
    const value = make("dd", box, fact.value);
    if (fact.bar !== null) {
      const bar = make("i", make("span", value, undefined, "bar"), undefined, fact.bar < 0 ? "down" : "up");
      bar.style.width = Math.min(Math.abs(fact.bar), 1) * 50 + "%";
    }
  }
}
"""

_component = st.components.v2.component("lancet_reading_card", html=_HTML, css=_CSS, js=_JS)


def show_card(card: Card, *, key: str) -> None:
    """Draws one card.

    Args:
        card: What to show.
        key: Unique name on the page; keeps the element in place when its text changes.
    """
    _component(data=asdict(card), key=key, height="stretch")


def passages(prompt: str, response: str, *, answer_label: str = "Answer") -> tuple[Passage, ...]:
    """A prompt (muted) and its answer, unmarked."""
    return (
        Passage("Prompt", (Piece(prompt),), muted=True),
        Passage(answer_label, (Piece(response),)),
    )
