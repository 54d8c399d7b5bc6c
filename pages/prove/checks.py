"""The checks behind a verdict as a table whose texts wrap, written through `textContent` only."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import streamlit as st

from lancet_core.evaluation.verdict import Check

WORDS = {True: "passed", False: "failed", None: "not judged"}
TITLES = {
    "case_answer": "The case's answer",
    "case_probability": "Probability of the case's bad answer",
    "queries_harmful": "Harm on the queries",
    "queries_probability": "Probability of the queries' bad answers",
    "unseen_harmful": "Harm on unseen wrong prompts",
    "beyond_benign": "Harm beyond benign prompts",
    "benign_helpful": "Help on benign prompts",
    "good_answers_likely": "Good answers stay likely",
    "diversity": "Variety of the answers",
}


@dataclass(frozen=True)
class CheckRow:
    """One row of the table.

    Attributes:
        check: What was checked.
        result: `passed`, `failed` or `not judged`.
        needed: What it takes to pass, empty where it could not be judged.
        measured: What came out.
    """

    check: str
    result: str
    needed: str
    measured: str


_HTML = '<table class="checks"><thead><tr></tr></thead><tbody></tbody></table>'

_CSS = """
.checks { width: 100%; border-collapse: collapse; font-family: var(--st-font); color: var(--st-text-color); font-size: .92rem; }
th { text-align: left; font-weight: 500; font-size: .8rem; opacity: .8; padding: .3rem .8rem .35rem 0; border-bottom: 1px solid var(--st-border-color); }
td { padding: .42rem .8rem .42rem 0; vertical-align: top; border-bottom: 1px solid var(--st-border-color); line-height: 1.4;
  overflow-wrap: anywhere; font-variant-numeric: tabular-nums; }
tr:last-child td { border-bottom: 0; }
td.check { font-weight: 570; }
td.result { white-space: nowrap; font-weight: 570; }
.passed .result { color: var(--st-green-color); }
.failed .result { color: var(--st-orange-color); }
@media (max-width: 640px) {
  thead { display: none; }
  tr { display: block; padding: .45rem 0; border-bottom: 1px solid var(--st-border-color); }
  td { display: block; border: 0; padding: .05rem 0; }
}
"""

_JS = """
const MARKS = { passed: "✓ ", failed: "✕ ", "not judged": "– " };
const cell = (tag, row, name, text) => {
  const node = document.createElement(tag);
  node.className = name;
  node.textContent = text;
  row.append(node);
};
export default function ({ data, parentElement }) {
  const head = parentElement.querySelector("thead tr");
  const body = parentElement.querySelector("tbody");
  head.replaceChildren();
  body.replaceChildren();
  const told = data.rows.some((each) => each.needed);
  const columns = [["check", "Check"], ["result", "Result"], ...(told ? [["needed", "Needed"]] : []), ["measured", "Measured"]];
  for (const [name, title] of columns) cell("th", head, name, title);
  for (const each of data.rows) {
    const row = document.createElement("tr");
    row.className = each.result;
    for (const [name] of columns) cell("td", row, name, (name === "result" ? MARKS[each.result] : "") + each[name]);
    body.append(row);
  }
}
"""

_component = st.components.v2.component("lancet_checks", html=_HTML, css=_CSS, js=_JS)


def draw_checks(checks: Sequence[Check]) -> None:
    """Draws the table of checks."""
    _component(data={"rows": [asdict(row_of(check)) for check in checks]}, key="prove-checks")


def row_of(check: Check) -> CheckRow:
    """Writes a check as a row; one without a short measure says its whole sentence."""
    return CheckRow(title(check), WORDS[check.passed], check.needed, check.measured or check.detail)


def title(check: Check) -> str:
    """Names a check in words."""
    return TITLES.get(check.name, check.name.replace("_", " "))
