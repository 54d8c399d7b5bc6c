"""Learn: the loop in four minutes on the demo, the words, and how to read each number."""

from typing import Any

import streamlit as st

from pages.learn.lessons import GLOSSARY, LESSONS, NUMBERS, Lesson
from pages.shared import frame, reading
from pages.shared.state import Here, read, write


def show(here: Here | None) -> None:
    """Draws the tour, then the words and the numbers."""
    tour, words, numbers = st.tabs(
        ["Tour, four minutes", "The words", "How to read each number"],
        key="l_tab",
        bind="query-params",
        on_change="rerun",
    )
    with tour:
        if tour.open:
            draw_tour(here)
    for tab, rows in ((words, GLOSSARY), (numbers, NUMBERS)):
        with tab:
            if tab.open:
                draw_words(rows)
                if frame.next_step("Start with a bad answer"):
                    frame.go("home")


def draw_tour(here: Here | None) -> None:
    """Draws one lesson, its screen beside it, and the way to the next."""
    named = read("l_lesson", "1")
    number = int(named) if named in {str(each) for each in range(1, len(LESSONS) + 1)} else 1
    lesson = LESSONS[number - 1]
    st.progress(number / len(LESSONS), text=f"{number} of {len(LESSONS)} · {lesson.minutes}")
    left, right = st.columns([3, 2], gap="large")
    with left:
        st.markdown(f"#### {lesson.title}")
        for paragraph in lesson.text:
            st.markdown(paragraph)
        if lesson.look_for:
            st.markdown("**Look for**")
            st.markdown("\n".join(f"- {each}" for each in lesson.look_for))
    with right:
        draw_example(here, lesson)
    draw_steps(here, number)


def draw_example(here: Here | None, lesson: Lesson) -> None:
    """Draws the first sample case of the study, the running example of the tour."""
    if here is None:
        st.info("Open the demo study on Home, and the examples of this tour stand here.")
        return

    samples = here.study.sample_cases(1)
    if samples.empty:
        st.caption("This study has no sample case yet.")
        return
    case: Any = next(samples.itertuples())
    title = "The case of this tour"
    reading.show_card(
        reading.Card(title, reading.passages(case.prompt, case.response), (), "towards"), key="tour-case"
    )
    if lesson.screen and st.button(
        f"Try it on {lesson.screen.capitalize()}", icon=":material/open_in_new:", key="try"
    ):
        frame.go(lesson.screen, case=case.id)


def draw_steps(here: Here | None, number: int) -> None:
    """Draws the way back, and the primary button: the next lesson, at the end the first case."""
    with st.container(horizontal=True, vertical_alignment="center", key="lesson-steps"):
        if st.button("Back", icon=":material/arrow_back:", disabled=number == 1, key="lesson-back"):
            write("l_lesson", str(number - 1))
            st.rerun()
        if number < len(LESSONS):
            if frame.next_step(f"Next: {LESSONS[number].title}"):
                write("l_lesson", str(number + 1))
                st.rerun()
        elif frame.next_step("Start with a bad answer"):
            frame.go("home")


def draw_words(rows: dict[str, str]) -> None:
    """Draws words and what they mean, as text that wraps."""
    for word, text in rows.items():
        left, right = st.columns([1, 4], gap="small")
        left.markdown(f"**{word}**")
        right.markdown(text)


place = frame.open_screen("learn")
show(place)
