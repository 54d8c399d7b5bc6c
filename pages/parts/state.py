"""What the URL says: study, case and the choices of a screen.

A refresh is a new session, so the URL and the store are the only memory. The sidebar's links drop the query string;
study and case of the last screen are therefore remembered for the session and written back into the URL.
"""

import getpass
from dataclasses import dataclass

import streamlit as st

from lancet_core.store.studies import Study
from lancet_core.workspace import Workspace, open_workspace

REVIEWER = "reviewer"
_REMEMBERED = ("study", "case")


@dataclass(frozen=True)
class Here:
    """Where a person stands.

    Attributes:
        workspace: The workspace.
        study: The study at hand, None where the workspace has none.
        case_id: Id of the query at hand, empty where none is chosen.
        reviewer: Name under which decisions are kept.
    """

    workspace: Workspace
    study: Study | None
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


def here() -> Here:
    """Reads where a person stands from URL and store.

    Raises:
        StoreError: The URL names a study that does not exist; the message lists those that do.
    """
    from lancet_core.store.studies import get_study, list_studies

    workspace = open_workspace()
    name = read("study")
    studies = [get_study(workspace, name)] if name else list_studies(workspace)
    study = studies[0] if studies else None
    return Here(workspace, study, read("case"), reviewer())


def reviewer() -> str:
    """Names the reviewer: the field in the bar, else the account that runs the server."""
    return str(st.session_state.get(REVIEWER) or read(REVIEWER) or account())


def account() -> str:
    """Names the account that runs the server, `reviewer` where the system knows none."""
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return "reviewer"
