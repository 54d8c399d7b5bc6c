"""The frame of every screen: context bar, rail, purpose, next step, and how errors and empty screens look."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import TYPE_CHECKING, ParamSpec, TypeVar

import streamlit as st

from lancet_core.errors import LancetError
from lancet_core.store.studies import list_studies
from lancet_core.study.standing import Step, standing
from lancet_core.workspace import open_workspace
from pages.shared import looks, state
from pages.shared.plain_text import plain
from pages.shared.screens import RAIL, SCREENS, SECTIONS, Screen
from pages.shared.shortcuts import key_of

if TYPE_CHECKING:
    from streamlit.navigation.page import StreamlitPage

P = ParamSpec("P")
T = TypeVar("T")

STEP_ICONS = {
    "done": ":material/check_circle:",
    "ready": ":material/radio_button_unchecked:",
    "running": ":material/pending:",
    "blocked": ":material/lock:",
}


@contextmanager
def errors_shown() -> Iterator[None]:
    """Shows an error of ours as text where the person stands; the one place of the dashboard that does."""
    try:
        yield
    except LancetError as error:
        with st.container(border=True, key="error"):
            st.markdown(f":orange[:material/error:] **{_error_title(error)}**")
            st.text(str(error))
            _draw_ways_out()


@contextmanager
def problem_shown() -> Iterator[None]:
    """Shows an error of ours as text under the field that it is about; the rest of the screen is drawn."""
    try:
        yield
    except LancetError as error:
        with st.container(horizontal=True, gap="small"):
            st.markdown(":orange[:material/error:]", width="content")
            st.text(str(error), width="stretch")


def guarded(function: Callable[P, T]) -> Callable[P, T | None]:
    """Shows errors inside a fragment, which reruns without the frame around it."""

    @wraps(function)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> T | None:
        with errors_shown():
            return function(*args, **kwargs)
        return None

    return wrapped


def navigation() -> None:
    """Lists the screens in the sidebar and runs the one that the URL names, inside the frame."""
    looks.apply()
    st.logo("assets/wordmark.svg", size="large", icon_image="assets/logo.svg")
    pages = {section: [_page(SCREENS[name]) for name in names] for section, names in SECTIONS.items()}
    page = st.navigation(pages)
    state.note_screen(page.url_path)
    with errors_shown():
        state.restore()
        draw_bar()
        page.run()


def _page(screen: Screen) -> "StreamlitPage":
    return st.Page(
        screen.path, title=screen.title, icon=screen.icon, url_path=screen.name, default=screen.name == "home"
    )


def draw_bar() -> None:
    """Draws the slim bar with study and reviewer, the same on every screen."""
    names = [study.name for study in list_studies(open_workspace())]
    with st.container(horizontal=True, vertical_alignment="center", key="bar"):
        if names:
            _draw_study_switch(names)
        st.text_input(
            "Reviewer",
            value=state.account(),
            key=state.REVIEWER,
            bind="query-params",
            icon=":material/person:",
            label_visibility="collapsed",
            width=180,
            max_chars=60,
            help="Your decisions are kept under this name.",
        )
        state.keep_history()


def open_screen(name: str) -> state.Here | None:
    """Draws rail and purpose of a screen.

    Returns:
        Where the person stands; None where the workspace has no study yet.
    """
    screen = SCREENS[name]
    here = state.here()
    if here is not None:
        draw_rail(standing(here.study, here.case_id), current=screen.step)
    with st.container(key="purpose", gap=None):
        st.markdown(f"## {screen.title}")
        st.markdown(screen.purpose)
    return here


def open_study_screen(name: str) -> state.Here | None:
    """Draws rail and purpose of a screen that needs a study; says what to do where the workspace has none yet."""
    here = open_screen(name)
    if here is None:
        empty("This workspace holds no study yet.", "Open the demo study on Home", "home")
    return here


def draw_rail(steps: list[Step], *, current: str) -> None:
    """Draws Ask · Trace · Review · Correct · Prove with count and state of each.

    Args:
        steps: The five steps, in order.
        current: Name of the step of this screen, empty on screens beside the rail.
    """
    with st.container(horizontal=True, key="rail", gap="small"):
        for step in steps:
            place = "current" if step.name == current else step.state
            with st.container(key=f"step-{step.name.lower()}-{place}", gap=None, width="stretch"):
                st.page_link(
                    SCREENS[RAIL[step.name]].path,
                    label=step.name,
                    icon=STEP_ICONS[step.state],
                    query_params=state.carried(),
                    help=step.reason or None,
                    width="stretch",
                )
                st.caption(plain(step.detail))


def go(name: str, **values: str) -> None:
    """Leaves for another screen, taking study, case and reviewer along."""
    for key in ("study", "case"):
        if key in values:
            st.session_state[f"remembered-{key}"] = values[key]
    # The field of the reviewer stays, and writes its own value into the URL: Streamlit refuses whoever else does.
    carried = {key: value for key, value in state.carried(**values).items() if key != state.REVIEWER}
    st.switch_page(SCREENS[name].path, query_params=carried)


def next_step(
    label: str, *, disabled: bool = False, why: str = "", help: str = "", has_key: bool = True
) -> bool:
    """Draws the one primary button of a screen, which leads to the next step; `N` presses it.

    Args:
        label: What it does, beginning with a verb.
        disabled: Whether it is blocked.
        why: What is missing where it is blocked; shown beside the button.
        help: What happens when it is pressed.
        has_key: Whether `N` presses it; a screen that hears keys itself asks first.

    Returns:
        Whether it was pressed.
    """
    with st.container(horizontal=True, vertical_alignment="center", key="next"):
        pressed = st.button(
            label,
            type="primary",
            key="next-step",
            disabled=disabled,
            help=help or None,
            shortcut=None if disabled or not has_key else key_of("", "next"),
        )
        if disabled and why:
            st.caption(f":material/lock: {why}")
    return pressed and not disabled


def empty(why: str, action: str, screen: str, **values: str) -> None:
    """Draws an empty state: why there is nothing, and the one button that helps."""
    with st.container(border=True, key="empty", horizontal_alignment="center"):
        st.markdown(why)
        if next_step(action):
            go(screen, **values)


def _draw_study_switch(names: list[str]) -> None:
    chosen = state.read("study")
    picked = st.selectbox(
        "Study",
        names,
        index=names.index(chosen) if chosen in names else 0,
        key=f"study-switch-{chosen}",
        label_visibility="collapsed",
        icon=":material/science:",
        width=240,
        help="One model, its training samples, its scorers and everything found out about them.",
    )
    if chosen in names and picked != chosen:
        state.write("case", "")
        go("home", study=str(picked))
    if not chosen:
        state.write("study", str(picked))


def _draw_ways_out() -> None:
    """Draws links that lead on from an error, without a study or a case that does not exist."""
    kept = state.forget_unknown()
    with st.container(horizontal=True, key="error-ways"):
        for screen, label in (("home", "Open a case"), ("runs", "Show runs")):
            st.page_link(SCREENS[screen].path, label=label, icon=SCREENS[screen].icon, query_params=kept)


def _error_title(error: LancetError) -> str:
    titles = {
        "ConfigError": "A setting cannot be used",
        "DataError": "The data cannot be used",
        "ModelError": "The model cannot be used",
        "NumericalError": "The result is not a number that means anything",
        "StoreError": "Not found, or changed in the meantime",
        "JobError": "The run did not finish",
    }
    known = [titles[kind.__name__] for kind in type(error).__mro__ if kind.__name__ in titles]
    return known[0] if known else "This did not work"
