"""Pairs and decisions as files."""

import tempfile
from functools import partial
from pathlib import Path

import streamlit as st

from lancet_core.study import review
from lancet_core.study.study import Study

EXPORTS = {
    "pairs": ("Pairs with verdicts (pairs.jsonl)", "pairs.jsonl", "What lancet correct --pairs reads."),
    "kto": (
        "TRL unpaired preference (KTO)",
        "kto.jsonl",
        "Both sides of the approved pairs, labelled false and true.",
    ),
    "dpo": ("TRL preference (DPO)", "dpo.jsonl", "Approved pairs whose two prompts are equal."),
    "csv": ("Table (CSV)", "pairs.csv", "All pairs with scores and verdicts."),
    "parquet": ("Table (Parquet)", "pairs.parquet", "All pairs with scores and verdicts."),
    "decisions": ("Decision log (JSONL)", "decisions.jsonl", "Every decision ever made, undone ones too."),
}


def draw_export(study: Study, *, approved: int) -> None:
    """Draws the menu of formats.

    Args:
        study: The study.
        approved: Pairs that are approved; some formats need one.
    """
    with st.popover("Export", icon=":material/download:", help="Pairs and decisions as files."):
        for form, (label, name, help_text) in EXPORTS.items():
            blocked = approved == 0 and form in {"kto", "dpo"}
            st.download_button(
                label,
                data=partial(_export, study, form),
                file_name=f"{study.name}-{name}",
                key=f"review-export-{form}",
                help="No pair is approved yet." if blocked else help_text,
                disabled=blocked,
                on_click="ignore",
                width="stretch",
                type="tertiary",
            )


def _export(study: Study, form: str) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "export"
        review.export_pairs(study, path, form)
        return path.read_bytes()
