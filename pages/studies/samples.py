"""The training samples of a study: search, read, and see as the model reads them."""

from typing import Any

import pandas as pd
import streamlit as st

from lancet_core.study.study import Study
from pages.shared import reading, state, tables
from pages.shared.numbers import score
from pages.shared.sample_drawer import draw_tokens, label_words

SAMPLE = "s_sample"
MOST, LONGEST = 200, 300


def draw_samples(study: Study, samples: pd.DataFrame) -> None:
    """Draws the samples that hold the words searched for; a click opens one."""
    st.markdown("#### Training samples")
    words = st.text_input(
        "Search",
        key="s_words",
        bind="query-params",
        placeholder="Words in prompt or response",
        label_visibility="collapsed",
        icon=":material/search:",
        width=420,
    )
    found = samples[_holds(samples, str(words or ""))]
    shown = found.head(MOST)
    if shown.empty:
        st.caption("No sample holds these words.")
        return
    table = pd.DataFrame(
        {
            "id": shown["id"],
            "row": shown["source_row"],
            "prompt": shown["prompt"].str[:LONGEST],
            "response": shown["response"].str[:LONGEST],
            "label": [label[0] if (label := label_words(value)) else "" for value in shown["is_safe"]],
        }
    )
    columns = {
        "row": tables.count("Row", width=70),
        "prompt": tables.text("Prompt"),
        "response": tables.text("Response"),
        "label": tables.text("Label", width=80),
    }
    if "tokens" in shown:
        table["tokens"] = shown["tokens"]
        columns["tokens"] = tables.count("Tokens", width=80)
    picked = tables.pick(table, columns, key=f"s-samples-{words}", id_column="id")
    st.caption(f"{len(shown):,} of {len(found):,} samples. Click on one to read it, and to see its tokens.")
    if picked and picked != st.session_state.get("s-picked"):
        state.write(SAMPLE, picked)
    st.session_state["s-picked"] = picked
    opened = samples[samples["id"] == state.read(SAMPLE)]
    if not opened.empty:
        open_sample(study, next(opened.itertuples(index=False)))


def open_sample(study: Study, sample: Any) -> None:
    """Opens the drawer of a sample."""

    @st.dialog(
        "Training sample", width="medium", position="right", on_dismiss=lambda: state.write(SAMPLE, "")
    )
    def drawer() -> None:
        label = label_words(sample.is_safe)
        harmful = getattr(sample, "harmful", None)
        facts = [
            reading.Fact("Row of the file", f"{int(sample.source_row):,}"),
            reading.Fact("Label", label[0] if label else "none"),
            reading.Fact("Category", ", ".join(sample.categories) or "none"),
        ]
        if harmful is not None and not pd.isna(harmful):
            facts.append(reading.Fact("Harmful score", score(harmful)))
        reading.show_card(
            reading.Card(
                "", reading.passages(sample.prompt, sample.response, answer_label="Response"), tuple(facts)
            ),
            key="s-sample-text",
        )
        draw_tokens(study, str(sample.id))

    drawer()


def _holds(samples: pd.DataFrame, words: str) -> "pd.Series[bool]":
    """Which samples hold all of some words, in whatever case."""
    holds = pd.Series(True, index=samples.index)
    texts = samples["prompt"] + " " + samples["response"]
    for word in words.split():
        holds &= texts.str.contains(word, case=False, regex=False)
    return holds
