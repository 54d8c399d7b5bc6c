"""Home: sample cases with the bad answer on screen, your own question, recent cases, running runs."""

from typing import Any

import streamlit as st

from lancet_core.study.cases import list_cases
from lancet_core.study.demo import install_demo
from lancet_core.study.study import Study
from lancet_core.workspace import open_workspace
from pages.home.environment import environment
from pages.shared import frame, reading, runs, state, tables
from pages.shared.plain_text import plain
from pages.shared.screens import SCREENS

PURPOSE_STEPS = (
    ("Ask", "A prompt and the answer that should not have come."),
    ("Trace", "The training samples that push the model towards it."),
    ("Review", "You decide pair by pair what to unlearn and what to keep."),
    ("Correct", "A short training run on the approved pairs."),
    ("Prove", "Before and after, on prompts the model has never seen."),
)


def show(study: Study) -> None:
    """Draws Home of a study."""
    samples = study.sample_cases(3)
    if samples.empty:
        frame.empty(
            "This study has no known bad answers yet. Ask its model for one.", "Ask the model", "trace"
        )
    else:
        st.markdown("#### Bad answers that this model gives")
        show_samples(samples)
    ask_your_own(study)
    running(study)
    recent(study)
    environment_line(study)


def show_samples(samples: Any) -> None:
    """Draws the sample cases side by side; the first one carries the primary button."""
    with st.container(key="samples"):
        columns = st.columns(len(samples))
    for place, (column, case) in enumerate(zip(columns, samples.itertuples(), strict=True)):
        with column:
            facts = (reading.Fact("Topic", str(case.category).replace("_", " ")),) if case.category else ()
            reading.show_card(
                reading.Card("", reading.passages(case.prompt, case.response), facts, "towards"),
                key=f"sample-{place}",
            )
            pressed = (
                frame.next_step("Trace this answer", help="Finds the training samples behind it.")
                if place == 0
                else st.button("Trace this answer", key=f"open-{case.id}")
            )
            if pressed:
                frame.go("trace", case=case.id)


def ask_your_own(study: Study) -> None:
    """Draws the field for a question of one's own."""
    st.markdown("#### Ask your own")
    with (
        st.form("ask", border=False, enter_to_submit=True),
        st.container(horizontal=True, vertical_alignment="bottom"),
    ):
        prompt = st.text_input(
            "Prompt",
            placeholder=f"A prompt for the model of {study.name}",
            label_visibility="collapsed",
            max_chars=2000,
        )
        if st.form_submit_button("Ask the model", icon=":material/arrow_forward:"):
            st.session_state["remembered-case"] = ""
            frame.go("trace", case="", t_prompt=prompt or "")


def running(study: Study) -> None:
    """Lists the runs that are under way, if there are any."""
    going = [run for run in study.runs() if not run.record.is_final]
    if going:
        st.markdown("#### Under way")
        for run in going[:3]:
            runs.watch(run)


def recent(study: Study) -> None:
    """Lists the cases that were asked or pasted, newest first."""
    own = list_cases(study)
    if own.empty:
        return
    st.markdown("#### Recent cases")
    columns = {
        "prompt": tables.text("Prompt"),
        "response": tables.text("Answer"),
        "created_at": tables.moment("Asked"),
    }
    picked = tables.pick(own.head(8), columns, key="recent", id_column="id")
    if picked:
        frame.go("trace", case=picked)


def environment_line(study: Study) -> None:
    """Writes what the study's model is and what the machine offers."""
    machine = environment(study)
    words = [
        f"{study.name}: {study.counts['samples']:,} training samples"
        if "samples" in study.counts
        else study.name,
        f"{plain(machine.architecture) or 'model'}, {machine.weights_bytes / 1e6:.1f} MB",
        "GPU" if machine.has_gpu else f"CPU, {machine.cores} cores",
        f"{machine.memory_bytes / 2**30:.0f} GB memory",
        "everything runs on this machine",
    ]
    st.caption(" · ".join(words))
    st.page_link(
        SCREENS["studies"].path,
        label="What this study is made of, and studies of your own",
        icon=SCREENS["studies"].icon,
        query_params=state.carried(),
    )


def show_first_visit() -> None:
    """Draws Home of an empty workspace: what this is, and the demo study."""
    st.markdown(
        "A language model gave a bad answer. Find the training samples that made it do so, have a person look at "
        "them, correct the model, and prove that it is corrected."
    )
    for column, (step, meaning) in zip(st.columns(len(PURPOSE_STEPS)), PURPOSE_STEPS, strict=True):
        with column, st.container(border=True, height="stretch"):
            st.markdown(f"**{step}**")
            st.caption(meaning)
    if frame.next_step(
        "Open the demo study", help="A small model that learned outdated advice; a few seconds to copy."
    ):
        with st.spinner("Copying the demo study into the workspace"):
            study = install_demo(open_workspace())
        frame.go("home", study=study.name, case="")
    if st.button(
        "Make a study of your own",
        icon=":material/add:",
        key="make-study",
        help="Your own model and the data it was trained on, by a form.",
    ):
        frame.go("studies", s_new="1")


place = frame.open_screen("home")
if place is None:
    show_first_visit()
else:
    show(place.study)
