"""Changing a study: template, scorers, scores, prompts, number type and device; queries, runs and decisions stay."""

from pathlib import Path
from typing import Any

import streamlit as st

from lancet_core.evaluation.scorer_cards import COLUMNS, scorer_card, scorer_folder
from lancet_core.models.settings import DEVICES, DTYPES
from lancet_core.study.changes import NONE, Changes
from lancet_core.study.study import Study
from pages.shared import frame
from pages.studies.changing import take
from pages.studies.form import OWN, OWN_TEXT, ask_scorer, template_choices

SAME = "same"


def draw_changing(study: Study) -> None:
    """Draws the button that opens the form."""
    if st.button("Change", icon=":material/settings:", key="s-change"):
        ask_changes(study)


@st.dialog("Change the study", width="large")
def ask_changes(study: Study) -> None:
    """Draws the form; what is not touched stays."""
    st.caption(
        "Queries, runs, pairs and decisions stay. With another template or scorer all samples are measured anew."
    )
    template, prompts = st.columns(2, gap="large")
    with template:
        values: dict[str, Any] = {"template": _ask_template(study)}
    with prompts:
        values["prompts"] = _ask_prompts(study)
    for cell, column in zip(st.columns(2, gap="large"), COLUMNS, strict=True):
        with cell:
            values |= _ask_scorer(study, column)
    scores, scores_as = st.columns(2, gap="large")
    values["scores"] = _typed(scores, "Scores made elsewhere", "File with harmful or helpful")
    values["scores_as"] = _typed(
        scores_as, "What they mean, if not from 0 to 1", "higher_is=harmful,mapping=sigmoid"
    )
    dtype, device = st.columns(2, gap="large")
    values["dtype"] = _ask_other(dtype, "Number type", DTYPES, study.dtype)
    values["device"] = _ask_other(device, "Device", DEVICES, study.device)
    changes = Changes(**{name: value for name, value in values.items() if value})
    if st.button(
        "Change the study",
        key="s-change-button",
        disabled=changes.is_empty,
        help="Nothing is changed unless all of it can be.",
    ):
        with frame.problem_shown():
            take(study, changes)


def _typed(cell: "st.delta_generator.DeltaGenerator", label: str, placeholder: str) -> str:
    return (cell.text_input(label, placeholder=placeholder, key=f"s-change-{label}") or "").strip()


def _ask_other(
    cell: "st.delta_generator.DeltaGenerator", label: str, choices: tuple[str, ...], current: str
) -> str | None:
    chosen = cell.selectbox(label, choices, choices.index(current), key=f"s-change-{label}")
    return None if chosen == current else str(chosen)


def _ask_template(study: Study) -> str | None:
    """Draws the template; None where it stays."""
    choices = {SAME: "As it is"} | template_choices(Path(study.model)) | {"auto": "Chosen for the model"}
    del choices[""]
    chosen = st.selectbox("Template", list(choices), format_func=choices.__getitem__, key="s-change-template")
    if chosen == OWN:
        return st.text_area(
            "Text with {prompt} where the prompt goes", OWN_TEXT, key="s-change-own", height=130
        )
    return None if chosen == SAME else str(chosen)


def _ask_prompts(study: Study) -> str:
    typed = st.text_input(
        "Prompts that prove a correction",
        key="s-change-prompts",
        placeholder="File with prompt, and split, kind, category",
    )
    without = study.prompts_file is not None and st.toggle("Take the prompts away", key="s-change-no-prompts")
    return NONE if without else (typed or "").strip()


def _ask_scorer(study: Study, column: str) -> dict[str, str | None]:
    """Draws one scorer as it is; None where it stays."""
    current = getattr(study, f"{column}_scorer")
    folder, said = scorer_folder(current), scorer_card(current).declaration if current else ""
    asked = ask_scorer(column, key=f"s-change-{column}", current=folder)
    typed, declared = asked[f"{column}_scorer"], asked.get(f"{column}_scorer_as", "")
    return {
        f"{column}_scorer": None if typed == folder else typed or NONE,
        f"{column}_scorer_as": "" if declared == said else declared,
    }
