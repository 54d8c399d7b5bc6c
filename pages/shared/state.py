"""What the URL says: study, case and the choices of a screen.

A refresh is a new session, so the URL and the store are the only memory. The sidebar's links drop the query string;
study and case of the last screen are therefore remembered for the session and written back into the URL.

Streamlit makes a step of the browser's history of each value that a script writes into the URL. Back would then undo what
nobody did: a script in the page (`keep_history`) lets only what a person opened be a step, the rest is written over.
"""

import getpass
from dataclasses import dataclass

import streamlit as st

from lancet_core.errors import StoreError
from lancet_core.store.queries import get_query
from lancet_core.study.study import Study, list_studies, open_study
from lancet_core.workspace import open_workspace

REVIEWER = "reviewer"
_REMEMBERED = ("study", "case")


@dataclass(frozen=True)
class Here:
    """Where a person stands.

    Attributes:
        study: The study at hand.
        case_id: Id of the query at hand, empty where none is chosen.
        reviewer: Name under which decisions are kept.
    """

    study: Study
    case_id: str
    reviewer: str


def read(name: str, default: str = "") -> str:
    """Reads one value of the URL."""
    return str(st.query_params.get(name, default))


def write(name: str, value: str) -> None:
    """Writes one value into the URL; an empty value removes it."""
    if name in _REMEMBERED:
        st.session_state[f"remembered-{name}"] = value
    if value:
        st.query_params[name] = value
    elif name in st.query_params:
        del st.query_params[name]


_STEPS = ("case", "l_lesson", "runs_run")
"""Parameters whose every change is a step that Back undoes."""
_OPENED = ("t_sample", "c_sample", "s_sample")
"""Parameters that are a step when something is opened, not when it is closed."""

_HISTORY_JS = """
export default function ({ data }) {
  if (window.lancetPushState) return;
  window.lancetPushState = window.history.pushState.bind(window.history);
  window.history.pushState = (state, title, url) => {
    const from = new URL(window.location.href);
    const to = new URL(url ?? "", from);
    const changed = (name) => (from.searchParams.get(name) ?? "") !== (to.searchParams.get(name) ?? "");
    const isStep = from.pathname !== to.pathname || data.steps.some(changed)
      || data.opened.some((name) => to.searchParams.get(name) && changed(name));
    if (isStep) window.lancetPushState(state, title, url);
    else window.history.replaceState(state, title, url);
  };
}
"""

_draw_history = st.components.v2.component("lancet_history", html="<span></span>", js=_HISTORY_JS)


def keep_history() -> None:
    """Lets Back lead to the place before, whatever the screens write into the URL; drawn once on every screen."""
    _draw_history(key="history", data={"steps": list(_STEPS), "opened": list(_OPENED)}, height=1)


def restore() -> None:
    """Puts study and case back into the URL after a link that dropped them."""
    for name in _REMEMBERED:
        if name not in st.query_params:
            write(name, st.session_state.get(f"remembered-{name}", ""))
        else:
            st.session_state[f"remembered-{name}"] = read(name)


def carried(**values: str) -> dict[str, str]:
    """Lists what a link to another screen takes along: study, case, reviewer and the given values."""
    kept = {name: read(name) for name in (*_REMEMBERED, REVIEWER)} | values
    return {name: value for name, value in kept.items() if value}


def note_screen(screen: str) -> None:
    """Notes on which screen a person is; called at each run of the app."""
    st.session_state["has-arrived"] = st.session_state.get("screen") != screen
    st.session_state["screen"] = screen


def has_arrived() -> bool:
    """Tells whether this is the first run on the screen: the person comes from another one, or opens the app."""
    return bool(st.session_state["has-arrived"])


def forget_unknown() -> dict[str, str]:
    """Forgets a study or a case that does not exist; returns what a link takes along of the others."""
    workspace = open_workspace()
    study, case = read("study"), read("case")
    studies = {each.name: each for each in list_studies(workspace=workspace)}
    if study not in studies:
        study = case = ""
    try:
        case = get_query(studies[study], case).id if case else ""
    except StoreError:
        case = ""
    st.session_state.update({"remembered-study": study, "remembered-case": case})
    return {name: value for name, value in (("study", study), ("case", case)) if value}


def here() -> Here | None:
    """Reads where a person stands from URL and store; None where the workspace has no study yet.

    Raises:
        StoreError: The URL names a study that does not exist; the message lists those that do.
    """
    workspace = open_workspace()
    name = read("study")
    studies = [open_study(name, workspace=workspace)] if name else list_studies(workspace=workspace)
    return Here(studies[0], read("case"), reviewer()) if studies else None


def reviewer() -> str:
    """Names the reviewer: the field in the bar, else the account that runs the server."""
    return str(st.session_state.get(REVIEWER) or read(REVIEWER) or account())


def is_named() -> bool:
    """Whether somebody typed a name; else all browsers share that of the account."""
    return reviewer() != account()


def account() -> str:
    """Names the account that runs the server, `reviewer` where the system knows none."""
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return "reviewer"
