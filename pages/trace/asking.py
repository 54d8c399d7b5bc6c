"""Ask for an answer: type a prompt, then let the model answer (streamed, stoppable, seeded) or paste what it said."""

from contextlib import closing

import streamlit as st

from lancet_core.models.settings import GenerationSettings
from lancet_core.study.cases import add_case, stream_answer
from lancet_core.study.study import Study
from pages.shared import frame
from pages.shared.shortcuts import key_of
from pages.shared.state import read

DRAFT = "trace-draft"
DRAFTED_FOR = "trace-drafted-for"
PROMPT, ANSWER = "t-prompt-field", "t-answer-field"
GENERATE, PASTE = "Ask the model", "Paste an answer"


def draw_asking(study: Study) -> None:
    """Draws the two fields and leaves for the new case when a person traces it."""
    way = st.segmented_control(
        "Where the answer comes from",
        [GENERATE, PASTE],
        default=GENERATE,
        required=True,
        key="t_way",
        bind="query-params",
        label_visibility="collapsed",
    )
    _restore(PROMPT, read("t_prompt"))
    _restore(ANSWER)
    left, right = st.columns(2, gap="large")
    with left:
        prompt = st.text_area(
            "Prompt",
            height=130,
            max_chars=20_000,
            key=PROMPT,
            on_change=_keep,
            args=(PROMPT,),
            placeholder="What was asked, as the model gets it",
        )
        if way == GENERATE:
            _draw_generation(study, prompt=prompt or "", answer_side=right)
    answer = str(st.session_state.get(DRAFT, "")) if st.session_state.get(DRAFTED_FOR) == prompt else ""
    if way == PASTE:
        with right:
            answer = st.text_area(
                "Answer",
                height=130,
                max_chars=20_000,
                key=ANSWER,
                on_change=_keep,
                args=(ANSWER,),
                placeholder="What the model answered and should not have",
            )
    _draw_tracing(study, prompt=prompt or "", answer=answer or "")


def _keep(field: str) -> None:
    """Keeps what was typed: Streamlit forgets a field that another screen does not draw."""
    st.session_state[f"kept-{field}"] = st.session_state.get(field, "")


def _restore(field: str, given: str = "") -> None:
    """Gives a field that is drawn again what the URL says, else what was typed before."""
    if field not in st.session_state:
        st.session_state[field] = given or str(st.session_state.get(f"kept-{field}", ""))


def _forget() -> None:
    for field in (PROMPT, ANSWER):
        st.session_state.pop(f"kept-{field}", None)


def _draw_generation(study: Study, *, prompt: str, answer_side: "st.delta_generator.DeltaGenerator") -> None:
    with st.container(horizontal=True, vertical_alignment="bottom"):
        asked = st.button(
            "Generate",
            icon=":material/play_arrow:",
            shortcut=key_of("trace", "generate"),
            disabled=not prompt.strip(),
            help="The model of this study answers the prompt." if prompt.strip() else "Type a prompt first.",
        )
        st.button(
            "Stop",
            icon=":material/stop:",
            disabled=not asked,
            help="Stops writing and keeps what is there.",
            key="stop",
        )
        with st.popover("Sampling", icon=":material/tune:"):
            settings = GenerationSettings(
                max_new_tokens=int(st.number_input("Longest answer, tokens", 1, 1024, 64, key="t_length")),
                temperature=float(
                    st.number_input(
                        "Temperature",
                        0.0,
                        2.0,
                        0.0,
                        0.1,
                        key="t_heat",
                        help="0 always takes the likeliest token.",
                    )
                ),
                seed=int(
                    st.number_input("Seed", 0, 2**31 - 1, 0, key="t_seed", help="Same seed, same answer.")
                ),
            )
    with answer_side:
        st.markdown(":small[Answer]")
        with st.container(border=True, key="drafted"):
            slot = st.empty()
            if asked:
                st.session_state[DRAFT], st.session_state[DRAFTED_FOR] = "", prompt
                with closing(stream_answer(study, prompt, settings)) as pieces:
                    with st.skeleton(height=40):
                        st.session_state[DRAFT] = next(pieces, "")
                    for piece in pieces:
                        st.session_state[DRAFT] += piece
                        slot.text(st.session_state[DRAFT])
                st.rerun()
            drafted = str(st.session_state.get(DRAFT, ""))
            if drafted:
                slot.text(drafted)
            else:
                slot.caption("The answer appears here, word by word.")


def _draw_tracing(study: Study, *, prompt: str, answer: str) -> None:
    ready = bool(prompt.strip() and answer.strip())
    if frame.next_step(
        "Trace this answer",
        disabled=not ready,
        why="Needs a prompt and an answer.",
        help="Finds the training samples behind it.",
    ):
        case = add_case(study, prompt.strip(), answer.strip())
        st.session_state.pop(DRAFT, None)
        _forget()
        frame.go("trace", case=case.id)
