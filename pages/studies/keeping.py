"""Keeping a study: rename, export, delete by typed name."""

from pathlib import Path
from tempfile import TemporaryDirectory

import streamlit as st

from lancet_core.study.study import Study
from pages.shared import frame, state
from pages.shared.plain_text import plain


def draw_keeping(study: Study) -> None:
    """Draws the three small menus."""
    with st.popover("Rename", icon=":material/edit:", key="s-rename"):
        draw_renaming(study)
    with st.popover("Export", icon=":material/download:", key="s-export"):
        st.markdown(
            "Samples, queries, prompts, pairs and decisions in one zip file, each as LANCET reads it back."
        )
        st.download_button(
            "Download the zip file",
            lambda: exported(study),
            f"{study.name}.zip",
            "application/zip",
            icon=":material/download:",
            key="s-export-button",
            on_click="ignore",
        )
    with st.popover("Delete", icon=":material/delete:", key="s-delete"):
        draw_deletion(study)


def draw_renaming(study: Study) -> None:
    """Draws the field for the new name."""
    name = st.text_input(
        "New name",
        study.name,
        key=f"s-new-name-{study.name}",
        max_chars=64,
        help="Nothing of the study is lost by it.",
    )
    if st.button("Rename the study", key="s-rename-button", disabled=not name or name == study.name):
        with frame.problem_shown():
            renamed = study.rename(str(name))
            frame.go("studies", study=renamed.name)


def draw_deletion(study: Study) -> None:
    """Draws the field that the name is typed into, and the button that it sets free."""
    st.markdown(
        f"The study goes for good, with its {len(study.queries()):,} queries, its pairs and decisions, and {len(study.runs()):,} "
        "runs. Its model folder and the training file stay."
    )
    typed = st.text_input(f"Type {plain(study.name)} to delete it", key=f"s-typed-{study.name}", live=True)
    if st.button(
        "Delete the study", key="s-delete-button", icon=":material/delete:", disabled=typed != study.name
    ):
        with frame.problem_shown():
            study.delete()
            state.write("study", "")
            state.write("case", "")
            st.rerun()


def exported(study: Study) -> bytes:
    """The zip file."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "study.zip"
        study.export(path)
        return path.read_bytes()
