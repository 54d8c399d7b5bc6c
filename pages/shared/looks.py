"""The few rules of style that Streamlit's theme has no setting for: rail, bar, cards, narrow screens."""

import streamlit as st

STYLE = """
<style>
[data-testid="stMainBlockContainer"] { max-width: 1680px; padding-left: 2.25rem; padding-right: 2.25rem; }
[data-testid="stHeader"] { background: transparent; height: 2.6rem; min-height: 2.6rem; }
[data-testid="stStatusWidget"] { display: none; }
[data-testid="stMetricValue"], .st-key-rail, [data-testid="stCaptionContainer"] { font-variant-numeric: tabular-nums; }
[data-testid="stCaptionContainer"] { color: var(--lancet-quiet) !important; opacity: 1 !important; }
[data-testid="stCaptionContainer"] p, [data-testid="stCaptionContainer"] li { color: inherit; opacity: 1; }
[data-testid="stPlotlyChart"] :is([class$="tick"] text, [class^="g-x"] text, [class^="g-y"] text, .legendtext) { fill: var(--lancet-text) !important; fill-opacity: .75 !important; }
[data-testid="stMain"]:focus, [data-testid="stMain"]:focus-visible { outline: none !important; box-shadow: none !important; }
[data-testid="stText"], .stText { line-height: 1.5; overflow-wrap: anywhere; }

@media (min-width: 641px) {
  [data-testid="stMain"]:not(:has([data-testid="stExpandSidebarButton"])) .st-key-bar { margin-top: -2.35rem; }
  [data-testid="stHeader"], [data-testid="stToolbar"] { pointer-events: none; }
  [data-testid="stMainMenu"], [data-testid="stExpandSidebarButton"] { pointer-events: auto; }
  .st-key-bar { padding-right: 2.2rem; }
}
.st-key-bar { border-bottom: 1px solid var(--lancet-line); padding-bottom: .55rem; justify-content: space-between; }

.st-key-rail { gap: 0 !important; border: 1px solid var(--lancet-line); border-radius: 8px; overflow: hidden;
  background: var(--lancet-panel); flex-wrap: nowrap !important; }
.st-key-rail > [data-testid="stLayoutWrapper"] { flex: 1 1 0 !important; min-width: 0 !important; }
[class*="st-key-step-"] { padding: .4rem .75rem .5rem .55rem; border-right: 1px solid var(--lancet-line);
  border-bottom: 2px solid transparent; height: 100%; gap: 0 !important; min-width: 0; }
.st-key-rail > :last-child [class*="st-key-step-"] { border-right: 0; }
[class*="st-key-step-"] a { padding: .1rem .25rem !important; background: transparent !important; min-height: 0; }
[class*="st-key-step-"] [data-testid="stElementContainer"] { margin-bottom: 0 !important; }
[class*="st-key-step-"] a:focus-visible, [data-testid="stSidebarNavLink"]:focus-visible { outline: 2px solid var(--lancet-accent) !important;
  outline-offset: 1px; border-radius: 4px; }
[class*="st-key-step-"] a p { font-weight: 580; }
[class*="st-key-step-"] [data-testid="stCaptionContainer"] { padding-left: 1.95rem; margin-top: -.1rem; }
[class*="st-key-step-"] [data-testid="stCaptionContainer"] p { font-size: .83rem; white-space: nowrap;
  overflow: hidden; text-overflow: ellipsis; margin: 0; }
[class*="st-key-step-"][class*="-current"] { border-bottom-color: var(--lancet-accent); background: var(--lancet-page); }
[class*="st-key-step-"][class*="-blocked"] a { opacity: .62; }
[class*="st-key-step-"][class*="-done"] [data-testid="stIconMaterial"],
[class*="st-key-step-"][class*="-current"] [data-testid="stIconMaterial"] { color: var(--lancet-accent); }

.st-key-rail [data-testid="stCaptionContainer"], .st-key-next [data-testid="stCaptionContainer"],
.st-key-rail [data-testid="stMarkdownContainer"], .st-key-purpose [data-testid="stMarkdownContainer"],
.st-key-next [data-testid="stMarkdownContainer"] { margin-bottom: 0 !important; }
.st-key-purpose h2 { padding: .3rem 0 .05rem 0; }
.st-key-purpose p { opacity: .8; margin: 0; }
.st-key-samples [data-testid="stColumn"] > [data-testid="stVerticalBlock"] { height: 100%; justify-content: space-between; }
.st-key-error { border-left: 3px solid var(--lancet-towards) !important; }
.st-key-empty { padding: 2.4rem 1.5rem !important; }
.st-key-empty p { text-align: center !important; }
[data-testid="stLayoutWrapper"]:has(> .st-key-next), [data-testid="stLayoutWrapper"]:has(> [class*="-next"] .st-key-next) {
  position: sticky; bottom: 0; z-index: 20; }
/* Where a screen repeats an act, its buttons float, and the next step stands at its place. */
[data-testid="stMain"]:has(.st-key-review-actions) [data-testid="stLayoutWrapper"]:has(> .st-key-next) { position: static; }
[data-testid="stLayoutWrapper"]:has(> .st-key-review-actions) { position: sticky; bottom: 0; z-index: 20; }
.st-key-review-actions { background: var(--lancet-page); padding: .5rem 0; border-top: 1px solid var(--lancet-line); row-gap: .25rem; }
.st-key-review-actions button code, .st-key-next-step button code, .st-key-review-undo button code { background: transparent; color: inherit; opacity: .75;
  border: 1px solid currentColor; border-radius: 4px; padding: 0 .3rem; margin-left: .25rem; font-size: .74rem; line-height: 1.35; }
.st-key-review-keys, .st-key-history { position: absolute; width: 1px !important; height: 0; overflow: hidden; }
[data-testid="stSliderThumbValue"] { color: var(--lancet-accent) !important; }
/* One height and one baseline for a row of controls. */
:is(.st-key-controls, .st-key-review-controls, .st-key-clusters-controls, .st-key-runs-controls) [data-testid="stButtonGroup"] button { min-height: 2.45rem; }
:is(.st-key-controls, .st-key-review-controls, .st-key-clusters-controls, .st-key-runs-controls) [data-testid="stButtonGroup"] { gap: 0; }
:is(.st-key-controls, .st-key-review-controls, .st-key-clusters-controls, .st-key-runs-controls) [data-testid="stButton"] button { min-height: 2.45rem; }
[data-testid="stCheckbox"] label { align-items: center; }
/* Cards beside each other are equally tall. */
[data-testid="stHorizontalBlock"]:has(> [data-testid="stColumn"] [data-testid="stBidiComponentRegular"]) { align-items: stretch; }
/* A dialog darkens what is behind it, in both themes. */
[data-testid="stDialog"], [role="presentation"]:has(> [role="dialog"]) { background-color: rgba(4, 10, 14, .62) !important; }
.st-key-next, [class*="-next"]:has(.st-key-next) { background: color-mix(in srgb, var(--lancet-page) 92%, transparent); padding: .6rem 0 .7rem 0;
  border-top: 1px solid var(--lancet-line); }
[class*="-next"] .st-key-next, .st-key-lesson-steps .st-key-next, .st-key-empty .st-key-next, [data-testid="stColumn"] .st-key-next { border-top: 0; padding: 0; background: transparent; }
.st-key-empty .st-key-next { justify-content: center; }
.st-key-next [data-testid="stCaptionContainer"] p { margin: 0; }
.st-key-index-offer { flex-wrap: nowrap !important; justify-content: space-between; gap: 1rem; padding: .45rem .5rem .45rem .85rem;
  border: 1px solid var(--lancet-line); border-radius: 8px; background: var(--lancet-panel); }
.st-key-index-offer [data-testid="stCaptionContainer"] { margin-bottom: 0 !important; }
.st-key-index-offer [data-testid="stCaptionContainer"] p { margin: 0; }
.st-key-index-offer > :first-child { flex: 1 1 auto !important; min-width: 0 !important; }
[data-testid="stButtonGroup"] button[data-selected="true"] { color: var(--lancet-accent) !important; }
[data-testid="stSelectboxVirtualDropdown"] [role="listbox"] { max-height: 21.5rem; }
.st-key-drafted { min-height: 8.7rem; }

@media (max-width: 1100px) { [class*="st-key-step-"] [data-testid="stCaptionContainer"] p { font-size: .78rem; white-space: normal; } }
@media (max-width: 640px) {
  [data-testid="stMainBlockContainer"] { padding-left: .9rem; padding-right: .9rem; }
  [class*="st-key-step-"] { padding: .35rem .1rem .3rem .1rem; }
  [class*="st-key-step-"] a { justify-content: center; padding: .1rem 0 !important; }
  [class*="st-key-step-"] a p { font-size: .8rem; }
  [class*="st-key-step-"] [data-testid="stCaptionContainer"] { display: none; }
  [class*="st-key-step-"] a { flex-direction: column; gap: .1rem; }
  .st-key-index-offer { flex-wrap: wrap !important; gap: .5rem; padding: .6rem .7rem; }
  .st-key-review-actions button code, .st-key-next-step button code { display: none; }
  .st-key-bar { gap: .5rem; flex-wrap: nowrap; }
  .st-key-bar > div { flex: 1 1 0 !important; min-width: 0 !important; width: auto !important; }
}
</style>
"""

COLORS = {
    "light": {
        "line": "#dde3e7",
        "panel": "#f7f9fa",
        "page": "#ffffff",
        "accent": "#0f766e",
        "text": "#16212b",
        "quiet": "#5d656c",
    },
    "dark": {
        "line": "#2a363d",
        "panel": "#12191d",
        "page": "#0f1518",
        "accent": "#4fc2b2",
        "text": "#e3e9ec",
        "quiet": "#a4afb6",
    },
}


def apply() -> None:
    """Writes the style into the page, in the colours of the theme that the browser shows."""
    names = COLORS["dark" if st.context.theme.type == "dark" else "light"]
    variables = "".join(f"--lancet-{name}:{value};" for name, value in names.items())
    st.html(f"<style>:root{{{variables}--lancet-towards:#d4772a;--lancet-away:#3b7dbf}}</style>{STYLE}")
