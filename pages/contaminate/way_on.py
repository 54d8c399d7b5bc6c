"""The third step: a study of the impure model, and queries mined beside the safe one."""

from pathlib import Path

import streamlit as st

from lancet_core.acts.contaminate import CANDIDATES, IMPURE, PROMPTS, Contaminated
from lancet_core.study.study import list_studies
from lancet_core.workspace import Workspace
from pages.shared import frame
from pages.shared.plain_text import plain


def show_way_on(workspace: Workspace, mixed: Contaminated, models: dict[str, Path]) -> None:
    """Draws the way to the study, and from it to its queries."""
    st.markdown("### 3 · Study and queries")
    impure, safe = models.get("impure"), models.get("safe")
    studies = (
        []
        if impure is None
        else [each for each in list_studies(workspace=workspace) if each.model == str(impure)]
    )
    if not studies:
        st.markdown(
            "A study of the impure model: the contaminated set as training data, the held-out prompts for its proof. Give it a harmful "
            "scorer, which mining needs."
        )
        if frame.next_step("Make the study", disabled=impure is None, why="Train both models first."):
            st.session_state["s_model"] = str(impure)
            raw = {} if mixed.template == "auto" else {"s_template": mixed.template}
            st.session_state.update(raw)
            frame.go(
                "studies",
                s_new="1",
                s_train=str(mixed.files / IMPURE),
                s_prompts=str(mixed.files / PROMPTS),
            )
        return
    st.markdown(
        f"The study **{plain(studies[-1].name)}** is made. Both models answer the prompts of the unsafe samples that were not mixed in; the "
        "worst answers become its queries."
    )
    if frame.next_step("Mine its queries", disabled=safe is None, why="The safe model has to be trained."):
        frame.go(
            "studies",
            study=studies[-1].name,
            case="",
            s_safe=str(safe),
            s_candidates=str(mixed.files / CANDIDATES),
        )
