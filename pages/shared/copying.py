"""Copy as command and as Python: what asks for the same from a shell or a notebook."""

from collections.abc import Callable

import streamlit as st

from lancet_core.study.recipe_texts import Recipe
from pages.shared import frame

TALLEST_PIXELS = 320


def draw_copy(make: Callable[[], Recipe | None], *, key: str) -> None:
    """Draws the menu with both forms; they are made when it is opened.

    Args:
        make: Gives the recipe; None where nothing asks for the same.
        key: Name of the menu on the screen.
    """

    @st.fragment
    @frame.guarded
    def menu() -> None:
        opened = st.popover("Copy as", icon=":material/terminal:", key=f"copy-{key}", on_change="rerun")
        if not opened.open:
            return
        recipe = make()
        with opened:
            if recipe is None:
                st.markdown(
                    "No command asks for the same: it came with the demo, was made of objects in memory, or by another version."
                )
                return
            for title, text, language in (
                ("Command", recipe.command, "bash"),
                ("Python", recipe.python, "python"),
            ):
                st.markdown(f"**{title}**")
                tall = text.count("\n") > 14
                st.code(
                    text, language=language, wrap_lines=True, height=TALLEST_PIXELS if tall else "content"
                )

    menu()
