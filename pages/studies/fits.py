"""How likely the model finds its samples under each template that it may have been trained with: a wrong one is a silent error."""

import pandas as pd
import streamlit as st

from lancet_core.study.changes import Changes, scorer_means
from lancet_core.study.study import Study
from pages.shared import frame, tables
from pages.shared.numbers import score, three
from pages.shared.plain_text import plain
from pages.studies.changing import take

NAMES = {
    "auto": "Chosen for the model",
    "raw": "Texts as they are",
    "human": "Human and Assistant",
    "safe-rlhf": "As Safe-RLHF's models",
    "alpaca": "As Alpaca",
    "vicuna": "As Vicuna",
    "llama-2": "As Llama 2",
    "chatml": "ChatML",
    "question": "Question and Answer",
}


def draw_fits(study: Study) -> None:
    """Draws the templates, likeliest first, and offers the likeliest where it is surely another than the study's."""
    fits = study.template_fits
    if not fits:
        return
    st.markdown(
        "#### Templates",
        help=f"Mean negative log-likelihood of {fits[0].samples} samples under each, in nats per token of the study's template. The one "
        "that the model was trained with is the likeliest.",
    )
    rows = [(name_of(fit.template), three(fit.nll), f"{fit.difference:+.3f}") for fit in fits]
    columns = {
        "template": tables.text("Template"),
        "nll": tables.text("NLL", width=70),
        "difference": tables.text("Beside the study's", width=140),
    }
    tables.show(pd.DataFrame(rows, columns=list(columns)), columns, key="s-fits")
    best = fits[0]
    if best.is_likelier:
        with st.container(horizontal=True, vertical_alignment="center", key="s-likelier"):
            st.caption(
                f":orange[:material/warning:] The samples are likelier under *{plain(name_of(best.template))}*, by {-best.difference:.3f} ± "
                f"{best.error:.3f} nats per token. Was the model trained with it?"
            )
            if st.button("Take this template", icon=":material/check:", key="s-take-template"):
                with frame.problem_shown():
                    take(study, Changes(template=best.template))


def draw_scorer_means(samples: pd.DataFrame) -> None:
    """Says how the scorers see labelled samples: one that is upside down shows."""
    means = scorer_means(samples)
    for name, word in (("harmful", "Harmful"), ("helpful", "Helpful")):
        safe, unsafe = means.get(f"{name}_of_safe"), means.get(f"{name}_of_unsafe")
        if safe is None or unsafe is None:
            continue
        upside_down = unsafe < safe if name == "harmful" else False
        st.caption(
            f"{word} score, mean of the samples labelled safe {score(safe)}, unsafe {score(unsafe)}."
            + (
                " :orange[:material/warning: Safe samples score higher: is the scorer upside down?]"
                if upside_down
                else ""
            )
        )


def name_of(template: str) -> str:
    """A template in words."""
    return NAMES.get(template.partition("@")[0], template)
