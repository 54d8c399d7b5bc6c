"""Runs Streamlit on `app.py`: `python -m lancet_core.cli.server run app.py …`, in place of `python -m streamlit`.

Streamlit takes a folder named `pages` for its old scheme of pages until some session has called `st.navigation`. Where the
first request to a cold server is a deep link, it then covers the right screen with "Page not found". It is told beforehand
that the old scheme is not used here; there is no setting for that in 1.67.

What every screen reads with is imported while the browser still loads the page: the first screen stands about a second earlier.
What Streamlit logs, the texts in the trace of a screen that failed among it, is shown in the terminal and does not act there.
"""

import importlib
import io
import sys
import threading

from lancet_core.text import visible

READERS = "lancet_core.study.study"


class VisibleStream(io.TextIOWrapper):
    """A stream on which nothing acts: every text is made visible, and no colours are asked of it."""

    def write(self, text: str) -> int:
        """Writes a text as it can be shown."""
        super().write(visible(text))
        return len(text)

    def isatty(self) -> bool:
        """Says that escape sequences are not understood."""
        return False


def show_only_text() -> None:
    """Puts such streams in place of stdout and stderr; before Streamlit is imported, whose log keeps the one it finds."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        visible_stream = VisibleStream(
            stream.buffer, encoding=stream.encoding, errors="backslashreplace", line_buffering=True
        )
        setattr(sys, name, visible_stream)


if __name__ == "__main__":
    show_only_text()
    from streamlit.runtime.pages_manager import PagesManager
    from streamlit.web.cli import main

    PagesManager.uses_pages_directory = False
    threading.Thread(target=importlib.import_module, args=(READERS,), daemon=True).start()
    main(prog_name="streamlit")
