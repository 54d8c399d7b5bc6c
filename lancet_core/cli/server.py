"""Runs Streamlit on `app.py`: `python -m lancet_core.cli.server run app.py …`, in place of `python -m streamlit`.

Streamlit takes a folder named `pages` for its old scheme of pages until some session has called `st.navigation`. Where the
first request to a cold server is a deep link, it then covers the right screen with "Page not found". It is told beforehand
that the old scheme is not used here; there is no setting for that in 1.67.

What every screen reads with is imported while the browser still loads the page: the first screen stands about a second earlier.
"""

import importlib
import threading

from streamlit.runtime.pages_manager import PagesManager
from streamlit.web.cli import main

READERS = "lancet_core.workbench.studies"

if __name__ == "__main__":
    PagesManager.uses_pages_directory = False
    threading.Thread(target=importlib.import_module, args=(READERS,), daemon=True).start()
    main(prog_name="streamlit")
