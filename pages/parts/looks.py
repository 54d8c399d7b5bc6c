"""The few rules of style that Streamlit's theme has no setting for: rail, bar, cards, narrow screens."""

import streamlit as st

STYLE = """
<style>
[data-testid="stMainBlockContainer"] { max-width: 1680px; padding-left: 2.25rem; padding-right: 2.25rem; }
[data-testid="stHeader"] { background: transparent; height: 2.6rem; min-height: 2.6rem; }
[data-testid="stMetricValue"], .st-key-rail, [data-testid="stCaptionContainer"] { font-variant-numeric: tabular-nums; }
[data-testid="stText"], .stText { line-height: 1.5; overflow-wrap: anywhere; }

.st-key-bar { border-bottom: 1px solid var(--lancet-line); padding-bottom: .55rem; justify-content: space-between; }

.st-key-rail { gap: 0 !important; border: 1px solid var(--lancet-line); border-radius: 8px; overflow: hidden;
  background: var(--lancet-panel); flex-wrap: nowrap !important; }
.st-key-rail > [data-testid="stLayoutWrapper"] { flex: 1 1 0 !important; min-width: 0 !important; }
[class*="st-key-step-"] { padding: .4rem .75rem .5rem .55rem; border-right: 1px solid var(--lancet-line);
  border-bottom: 2px solid transparent; height: 100%; gap: 0 !important; min-width: 0; }
.st-key-rail > :last-child [class*="st-key-step-"] { border-right: 0; }
[class*="st-key-step-"] a { padding: .1rem .25rem !important; background: transparent !important; min-height: 0; }
[class*="st-key-step-"] a p { font-weight: 580; }
[class*="st-key-step-"] [data-testid="stCaptionContainer"] { padding-left: 1.95rem; margin-top: -.1rem; }
[class*="st-key-step-"] [data-testid="stCaptionContainer"] p { font-size: .78rem; white-space: nowrap;
  overflow: hidden; text-overflow: ellipsis; margin: 0; }
[class*="st-key-step-"][class*="-current"] { border-bottom-color: var(--lancet-accent); background: var(--lancet-page); }
[class*="st-key-step-"][class*="-blocked"] a { opacity: .62; }
[class*="st-key-step-"][class*="-done"] [data-testid="stIconMaterial"],
[class*="st-key-step-"][class*="-current"] [data-testid="stIconMaterial"] { color: var(--lancet-accent); }

.st-key-purpose h2 { padding: .35rem 0 .1rem 0; }
.st-key-purpose p { opacity: .74; margin-bottom: .2rem; }
.st-key-error { border-left: 3px solid var(--lancet-towards) !important; }
.st-key-empty { padding: 2.4rem 1.5rem !important; text-align: center; }
.st-key-next { padding-top: .15rem; }
.st-key-next [data-testid="stCaptionContainer"] p { margin: 0; }

@media (max-width: 640px) {
  [data-testid="stMainBlockContainer"] { padding-left: .9rem; padding-right: .9rem; }
  .st-key-rail { overflow-x: auto; }
  .st-key-rail > [data-testid="stLayoutWrapper"] { flex: 1 0 auto !important; }
  [class*="st-key-step-"] { padding: .3rem .45rem .35rem .25rem; }
  [class*="st-key-step-"] [data-testid="stCaptionContainer"] { display: none; }
  .st-key-bar { gap: .5rem; }
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
