"""The few rules of style that Streamlit's theme has no setting for: rail, bar, cards, narrow screens."""

import streamlit as st

STYLE = """
<style>
[data-testid="stMainBlockContainer"] { max-width: 1680px; padding-left: 2.25rem; padding-right: 2.25rem; }
[data-testid="stHeader"] { background: transparent; height: 2.6rem; min-height: 2.6rem; }
[data-testid="stStatusWidget"] { display: none; }
[data-testid="stMetricValue"], .st-key-rail, [data-testid="stCaptionContainer"] { font-variant-numeric: tabular-nums; }
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
[class*="st-key-step-"] a p { font-weight: 580; }
[class*="st-key-step-"] [data-testid="stCaptionContainer"] { padding-left: 1.95rem; margin-top: -.1rem; }
[class*="st-key-step-"] [data-testid="stCaptionContainer"] p { font-size: .78rem; white-space: nowrap;
  overflow: hidden; text-overflow: ellipsis; margin: 0; }
[class*="st-key-step-"][class*="-current"] { border-bottom-color: var(--lancet-accent); background: var(--lancet-page); }
[class*="st-key-step-"][class*="-blocked"] a { opacity: .62; }
[class*="st-key-step-"][class*="-done"] [data-testid="stIconMaterial"],
[class*="st-key-step-"][class*="-current"] [data-testid="stIconMaterial"] { color: var(--lancet-accent); }

.st-key-rail [data-testid="stCaptionContainer"], .st-key-next [data-testid="stCaptionContainer"],
.st-key-rail [data-testid="stMarkdownContainer"], .st-key-purpose [data-testid="stMarkdownContainer"],
.st-key-next [data-testid="stMarkdownContainer"] { margin-bottom: 0 !important; }
.st-key-purpose h2 { padding: .3rem 0 .05rem 0; }
.st-key-purpose p { opacity: .74; margin: 0; }
.st-key-samples [data-testid="stColumn"] > [data-testid="stVerticalBlock"] { height: 100%; justify-content: space-between; }
.st-key-error { border-left: 3px solid var(--lancet-towards) !important; }
.st-key-empty { padding: 2.4rem 1.5rem !important; }
.st-key-empty p { text-align: center !important; }
[data-testid="stLayoutWrapper"]:has(> .st-key-next), [data-testid="stLayoutWrapper"]:has(> [class*="-next"] .st-key-next) {
  position: sticky; bottom: 0; z-index: 20; }
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

@media (max-width: 640px) {
  [data-testid="stMainBlockContainer"] { padding-left: .9rem; padding-right: .9rem; }
  [class*="st-key-step-"] { padding: .35rem .1rem .3rem .1rem; }
  [class*="st-key-step-"] a { justify-content: center; padding: .1rem 0 !important; }
  [class*="st-key-step-"] a p { font-size: .8rem; }
  [class*="st-key-step-"] [data-testid="stIconMaterial"], [class*="st-key-step-"] [data-testid="stCaptionContainer"] {
    display: none; }
  [class*="st-key-step-"] a > span:first-child { display: none; }
  .st-key-index-offer { flex-wrap: wrap !important; gap: .5rem; padding: .6rem .7rem; }
  .st-key-bar { gap: .5rem; flex-wrap: nowrap; }
  .st-key-bar > div { flex: 1 1 0 !important; min-width: 0 !important; width: auto !important; }
}
</style>
"""

COLORS = {
    "light": {"line": "#dde3e7", "panel": "#f7f9fa", "page": "#ffffff", "accent": "#0f766e"},
    "dark": {"line": "#2a363d", "panel": "#12191d", "page": "#0f1518", "accent": "#4fc2b2"},
}


def apply() -> None:
    """Writes the style into the page, in the colours of the theme that the browser shows."""
    names = COLORS["dark" if st.context.theme.type == "dark" else "light"]
    variables = "".join(f"--lancet-{name}:{value};" for name, value in names.items())
    st.html(f"<style>:root{{{variables}--lancet-towards:#d4772a;--lancet-away:#3b7dbf}}</style>{STYLE}")
