"""Runs: every long operation, newest first, with details, steering, and up to four side by side."""

import json
from typing import TYPE_CHECKING, Any

import pandas as pd
import streamlit as st

from lancet_core.acts.results import FILE
from lancet_core.acts.table import ACTS
from lancet_core.files import read_json_or_none
from lancet_core.runs.run import Run, list_runs
from lancet_core.store.run_status import Status
from lancet_core.store.runs import queries_of
from lancet_core.study.imports import method_of
from lancet_core.study.recipes import recipe_of
from lancet_core.text import lasting
from lancet_core.workspace import open_workspace
from pages.runs.run_comparison import differing_settings, results_side_by_side
from pages.shared import frame, state, tables
from pages.shared.copying import draw_copy
from pages.shared.curves import draw_curves
from pages.shared.methods import method_name
from pages.shared.plain_text import plain
from pages.shared.runs import watch
from pages.shared.screens import SCREENS

if TYPE_CHECKING:
    from collections.abc import Sequence

RUN, VERSUS = "runs_run", "runs_vs"
ALL = "all"
STATES = {
    "queued": "○ waiting",
    "running": "◐ running",
    "done": "● done",
    "failed": "✕ failed",
    "cancelled": "– cancelled",
}
LINES_BEFORE_SCROLLING, SCROLLING_PIXELS = 18, 380
LOG_LINES, LOG_PIXELS = 200, 360
MOST_COMPARED = 4


def show(study: str) -> None:
    """Draws the list and the run that the URL names.

    Args:
        study: Name of the study at hand, empty where there is none.
    """
    runs = list_runs(open_workspace())
    if not runs:
        frame.empty(
            "Nothing has been run in this workspace yet. Trace a bad answer to begin.", "Open a case", "home"
        )
        return
    draw_table([run.id for run in choose_runs(study, runs)])
    open_one = next((run for run in runs if run.id == state.read(RUN)), None)
    if open_one is not None:
        show_details(open_one)
        show_comparison(open_one, runs)
    show_next(open_one)


def choose_runs(study: str, runs: list[Run[Any]]) -> list[Run[Any]]:
    """Draws the filters; returns the runs that they leave."""
    with st.container(horizontal=True, vertical_alignment="bottom", key="runs-controls"):
        act = st.selectbox(
            "Act",
            [ALL, *dict.fromkeys(run.record.act for run in runs)],
            format_func=lambda name: "All acts" if name == ALL else act_title(name),
            key="runs_act",
            bind="query-params",
            width=200,
        )
        status = st.selectbox(
            "State",
            [ALL, *STATES],
            format_func=lambda name: "All states" if name == ALL else name.capitalize(),
            key="runs_state",
            bind="query-params",
            width=160,
        )
        only = st.toggle("This study only", value=True, key="runs_mine", bind="query-params")
    return [
        run
        for run in runs
        if act in {ALL, run.record.act}
        and status in {ALL, run.record.state}
        and (not only or (run.record.study or "") == study)
    ]


def act_title(name: str) -> str:
    """Names an act in words; one that this version does not know by its key."""
    return ACTS[name].title if name in ACTS else name


@st.fragment(run_every=2.0)
@frame.guarded
def draw_table(ids: list[str]) -> None:
    """Draws the list, fresh every two seconds; a click opens a run."""
    if not ids:
        st.markdown("No run fits these filters.")
        return
    runs = {run.id: run for run in list_runs(open_workspace())}
    picked = tables.pick(
        pd.DataFrame([_row(runs[run_id]) for run_id in ids if run_id in runs]),
        {
            "act": tables.text("Act", width=110),
            "title": tables.text("What was asked", width=300),
            "state": tables.text("State", width=100),
            "outcome": tables.text("Outcome", width=260),
            "progress": tables.share("Progress"),
            "started": tables.moment("Asked for"),
            "lasted": tables.text("Duration", width=80),
            "study": tables.text("Study", width=90),
            "id": tables.text("Run"),
        },
        # A table whose rows moved is another table: a selection is a place in it, not a run.
        key=f"runs-table-{ids[0]}-{len(ids)}",
        id_column="id",
    )
    if picked and picked != st.session_state.get("runs-picked"):
        st.session_state["runs-picked"] = picked
        state.write(RUN, picked)
        st.rerun()


def _row(run: Run[Any]) -> dict[str, Any]:
    record, status = run.record, run.status
    ended, begun = record.finished_at or status.updated_at, status.started_at
    return {
        "id": run.id,
        "act": act_title(record.act),
        "title": record.title,
        "state": STATES[status.state],
        "outcome": _outcome(run, status),
        "progress": _share(status),
        "started": record.created_at,
        "lasted": lasting((ended - begun).total_seconds()) if begun and ended else "–",
        "study": record.study or "–",
    }


def _outcome(run: Run[Any], status: Status) -> str:
    """How it ended, why it failed, or what it does right now."""
    if status.state == "failed":
        return status.error.split(";")[0]
    return run.record.outcome if status.state == "done" else status.step


def _share(status: Status) -> float:
    if status.state == "done":
        return 1.0
    return min(1.0, status.done / status.total) if status.total else 0.0


def show_details(run: Run[Any]) -> None:
    """Draws one run: live progress, settings, curves, result, log, where it comes from and what came of it."""
    title = act_title(run.record.act)
    st.markdown(f"### {plain(title)}")
    st.caption(plain(run.id))
    watch(run, title=title)
    _show_lineage(run)
    view = st.segmented_control(
        "View",
        ["Result", "Curves", "Settings", "Log"],
        default="Result",
        required=True,
        key="runs_view",
        bind="query-params",
        label_visibility="collapsed",
    )
    if view == "Result":
        _show_json(result_of(run), "There is no result yet.")
    elif view == "Curves":
        _show_curves(run.metrics, key="runs-curves")
    elif view == "Settings":
        _show_json(settings_of(run) | {"software": run.folder.versions}, "")
    else:
        st.code(
            run.log(LOG_LINES) or "Nothing was written.", language=None, wrap_lines=True, height=LOG_PIXELS
        )
    with st.container(horizontal=True):
        draw_copy(lambda: recipe_of(run), key="run")
        _show_deletion(run)


def result_of(run: Run[Any]) -> dict[str, Any]:
    """Reads the numbers and words that a run found, whichever version made it; empty before the end."""
    values = read_json_or_none(run.record.folder / FILE)
    return values if isinstance(values, dict) else {}


def settings_of(run: Run[Any]) -> dict[str, Any]:
    """Reads what a run was asked, and of what."""
    return {"request": run.order.request, "subject": run.order.subject}


def _show_lineage(run: Run[Any]) -> None:
    links = [("Made from", parent) for parent in run.record.parents]
    links += [("Used by", child.id) for child in run.children]
    for name, other in links:
        st.page_link(
            SCREENS["runs"].path,
            label=f"{name} {plain(other)}",
            icon=":material/subdirectory_arrow_right:",
            query_params=state.carried(**{RUN: other}),
        )


def _show_json(values: dict[str, Any], nothing: str) -> None:
    if not values:
        st.markdown(nothing)
        return
    text = json.dumps(values, indent=1, ensure_ascii=False, default=str)
    tall = text.count("\n") > LINES_BEFORE_SCROLLING
    st.code(text, language="json", wrap_lines=True, height=SCROLLING_PIXELS if tall else "content")


def _show_curves(metrics: "pd.DataFrame", *, key: str) -> None:
    if metrics.empty:
        st.markdown("This run measured nothing by step.")
        return
    draw_curves(metrics, key=key)


def _show_deletion(run: Run[Any]) -> None:
    """Draws the way to delete a run; one whose results are used asks twice."""
    going = not run.status.is_final
    with st.popover(
        "Delete", icon=":material/delete:", disabled=going, help="Cancel it first." if going else None
    ):
        used = run.dependents()
        st.markdown("The folder with its results is removed for good.")
        sure = True
        if used:
            st.text(f"Not without thought: {used}.")
            sure = st.checkbox("Delete it all the same", key=f"runs-sure-{run.id}")
        if st.button("Delete this run", key=f"runs-delete-{run.id}", disabled=not sure):
            run.delete(even_if_used=bool(used))
            state.write(RUN, "")
            st.rerun()


def show_comparison(run: Run[Any], runs: "Sequence[Run[Any]]") -> None:
    """Draws up to three further runs of the same act beside this one."""
    others = {other.id: other for other in runs if other.record.act == run.record.act and other.id != run.id}
    if not others:
        return
    st.markdown("### Compare")
    picked = st.multiselect(
        "Runs beside this one",
        list(others),
        default=[name for name in state.read(VERSUS).split(",") if name in others],
        format_func=lambda run_id: f"{others[run_id].record.created_at:%d %b, %H:%M} · {run_id}",
        max_selections=MOST_COMPARED - 1,
        key=f"runs-versus-{run.id}",
        help="Runs of the same act, at most three.",
    )
    state.write(VERSUS, ",".join(picked))
    if picked:
        _draw_side_by_side([run, *(others[name] for name in picked)])


def _draw_side_by_side(together: "Sequence[Run[Any]]") -> None:
    settings = {run.id: settings_of(run) for run in together}
    results = {run.id: result_of(run) for run in together}
    for title, table in (
        ("Settings that differ", differing_settings(settings)),
        ("Results", results_side_by_side(results)),
    ):
        st.markdown(f"**{title}**")
        if table.empty:
            st.caption("None.")
        else:
            columns = {"setting": tables.text("Name"), **{name: tables.text(name) for name in settings}}
            tables.show(table, columns, key=f"runs-{title}")
    if together[0].record.act == "correct":
        for column, run in zip(st.columns(len(together)), together, strict=True):
            with column:
                st.caption(plain(run.id))
                _show_curves(run.metrics, key=f"runs-{run.id}")


def show_next(run: Run[Any] | None) -> None:
    """Draws the way to the screen that shows the result of the run that is open."""
    if run is None:
        frame.next_step("Open the result", disabled=True, why="Choose a run in the table.")
        return
    act = ACTS.get(run.record.act)
    if act is None or not act.screen:
        frame.next_step("Open the result", disabled=True, why="No screen shows results of this act.")
        return
    if frame.next_step(
        f"Open {SCREENS[act.screen].title}", disabled=not run.record.is_done, why="It has no result yet."
    ):
        frame.go(act.screen, **_address(run))


def _address(run: Run[Any]) -> dict[str, str]:
    """What the URL of the screen says about a run, so that this very run opens there."""
    record, act = run.record, ACTS[run.record.act]
    address = {"study": record.study or "", "case": record.case_id}
    if act.parameter:
        address[act.parameter] = run.id
    if record.act == "compare" and record.parents:
        address["p_after"] = record.parents[0]
    if record.act == "attribute":
        queries = queries_of(run.workspace, run.id)
        address["case"] = record.case_id or (queries[0][0] if queries else "")
        address["t_method"] = method_name(method_of(run.order.request))  # the URL holds what the switch shows
    return {name: value for name, value in address.items() if value}


place = frame.open_screen("runs")
show(place.study.name if place is not None else "")
