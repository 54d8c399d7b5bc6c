"""A free prompt, answered by the model before and after, one after the other, streamed."""

from collections.abc import Sequence
from contextlib import closing

import streamlit as st

from lancet_core.study.cases import stream_answer
from lancet_core.study.study import Study
from pages.shared import frame
from pages.shared.diff import diff_sides
from pages.shared.reading import Card, Passage, show_card

ANSWERS = "prove-answers"
SIDES = ("Before", "After")


@st.fragment
@frame.guarded
def draw_both_models(study: Study, *, after: str) -> None:
    """Draws the prompt and both answers.

    Args:
        study: The study; its model is the one before.
        after: Folder of the corrected model.
    """
    with (
        st.form("prove-free", border=False, enter_to_submit=True),
        st.container(horizontal=True, vertical_alignment="bottom"),
    ):
        prompt = st.text_input(
            "Prompt",
            key="p_prompt",
            bind="query-params",
            max_chars=4000,
            placeholder="Ask both models the same",
            help="Both answer greedily, so that the same prompt always gets the same answers.",
        )
        asked = st.form_submit_button("Ask both", key="prove-ask", icon=":material/play_arrow:")
        stop = st.empty()
    columns = st.columns(2, gap="small")
    if asked and not (prompt or "").strip():
        st.caption("Type a prompt first.")
    elif asked:
        with stop.container():
            st.form_submit_button(
                "Stop",
                key="prove-stop",
                icon=":material/stop:",
                help="Stops writing and keeps what is there.",
            )
        _ask(study, prompt=str(prompt), models=("", after), columns=columns)
        stop.empty()
    kept = st.session_state.get(ANSWERS, {})
    if kept.get("prompt") == prompt and kept.get("after") == after and kept.get("texts"):
        _show_answers(kept["texts"], columns)


def _ask(
    study: Study,
    *,
    prompt: str,
    models: tuple[str, str],
    columns: "Sequence[st.delta_generator.DeltaGenerator]",
) -> None:
    texts = ["", ""]
    st.session_state[ANSWERS] = {"prompt": prompt, "after": models[1], "texts": texts}
    slots = [column.empty() for column in columns]
    for slot, name in zip(slots, SIDES, strict=True):
        slot.text(f"{name}: waiting")
    for number, (model, slot) in enumerate(zip(models, slots, strict=True)):
        pieces = stream_answer(study, prompt, model=model)
        with closing(pieces):  # type: ignore[type-var]
            for piece in pieces:
                texts[number] += piece
                slot.text(texts[number])
    for slot in slots:
        slot.empty()


def _show_answers(texts: list[str], columns: "Sequence[st.delta_generator.DeltaGenerator]") -> None:
    marked = diff_sides(texts[0], texts[1])
    for name, pieces, column in zip(SIDES, marked, columns, strict=True):
        with column:
            show_card(Card(name, (Passage("Answer", pieces),)), key=f"prove-free-{name}")
