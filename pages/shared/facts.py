"""Names and numbers side by side."""

import streamlit as st


def draw_facts(facts: dict[str, int | str]) -> None:
    """Draws names and numbers side by side."""
    with st.container(horizontal=True, gap="medium", key="s-facts"):
        for name, value in facts.items():
            st.metric(name, f"{value:,}" if isinstance(value, int) else value, width="content")
