"""Runs: every long operation, newest first, with details, steering, and up to four side by side."""

import json
from typing import TYPE_CHECKING, Any

import streamlit as st

from pages.parts import frame, state, tables
from pages.parts.numbers import lasting
from pages.parts.runs import status_of, watch
from pages.parts.screens import SCREENS

if TYPE_CHECKING:
    import pandas as pd

    from lancet_core.store.run_status import Status
    from lancet_core.store.runs import RunRecord
    from lancet_core.workbench.runs import RunDetails

RUN, VERSUS = "runs_run", "runs_vs"
ALL = "all"
OPERATIONS = {
    "attribute": "Attribution",
    "index": "Gradient index",
    "cluster": "Clustering",
    "score": "Scoring",
    "prepare": "Preparation",
    "correct": "Correction",
    "evaluate": "Evaluation",
    "compare": "Comparison",
    "build_demo": "Demo build",
}
STATES = {
    "queued": "○ waiting",
    "running": "◐ running",
    "done": "● done",
    "failed": "✕ failed",
    "cancelled": "– cancelled",
}
# Screen that shows the result of an operation, and the URL value that names the run there.
SHOWN_ON = {"cluster": ("clusters", "c_run"), "correct": ("correct", "k_run"), "compare": ("prove", "p_run")}
LINES_BEFORE_SCROLLING, SCROLLING_PIXELS = 18, 380
LOG_LINES = 200
MOST_COMPARED = 4


def show(here: state.Here) -> None:
    """Draws the list and the run that the URL names."""
    from lancet_core.workbench import runs

    found = runs.list_runs(here.workspace)
    if not found:
        frame.empty(
            "Nothing has been run in this workspace yet. Trace a bad answer to begin.", "Open a case", "home"
        )
        return
    chosen = filter_runs(here, found)
    draw_table(here, [run.id for run in chosen])
    run_id = state.read(RUN)
    if run_id in {run.id for run in found}:
        show_details(here, run_id)
        show_comparison(here, run_id, found)
    show_next(here, next((run for run in found if run.id == run_id), None))


def filter_runs(here: state.Here, found: list["RunRecord"]) -> list["RunRecord"]:
    """Draws the filters; returns the runs that they leave."""
    with st.container(horizontal=True, vertical_alignment="bottom", key="runs-controls"):
        operation = st.selectbox(
            "Operation",
            [ALL, *dict.fromkeys(run.operation for run in found)],
            format_func=lambda name: "All operations" if name == ALL else OPERATIONS.get(name, name),
            key="runs_operation",
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
    name = here.study.name if here.study is not None else None
    return [
        run
        for run in found
        if operation in {ALL, run.operation}
        and status in {ALL, run.state}
        and (not only or run.study in {name, None})
    ]


@st.fragment(run_every=2.0)
@frame.guarded
def draw_table(here: state.Here, ids: list[str]) -> None:
    """Draws the list, fresh every two seconds; a click opens a run."""
    import pandas as pd

    from lancet_core.store.runs import get_run

    if not ids:
        st.markdown("No run fits these filters.")
        return
    rows = pd.DataFrame(
        [_row(get_run(here.workspace, run_id), status_of(here.workspace, run_id)) for run_id in ids]
    )
    picked = tables.pick(
        rows,
        {
            "operation": tables.text("Operation", width=120),
            "state": tables.text("State", width=110),
            "step": tables.text("Step"),
            "progress": tables.share("Progress"),
            "started": tables.moment("Asked for"),
            "lasted": tables.text("Duration", width=90),
            "study": tables.text("Study", width=110),
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


def _row(run: "RunRecord", status: "Status") -> dict[str, Any]:
    share = 1.0 if status.state == "done" else (status.done / status.total if status.total else 0.0)
    ended = run.finished_at or status.updated_at
    begun = status.started_at
    return {
        "id": run.id,
        "operation": OPERATIONS.get(run.operation, run.operation),
        "state": STATES[status.state],
        "step": status.error.split(";")[0] if status.state == "failed" else status.step,
        "progress": min(share, 1.0),
        "started": run.created_at,
        "lasted": lasting((ended - begun).total_seconds()) if begun and ended else "–",
        "study": run.study or "–",
    }


def show_details(here: state.Here, run_id: str) -> None:
    """Draws one run: live progress, settings, curves, result, log, where it comes from and what came of it."""
    from lancet_core.workbench import runs

    found = runs.show(here.workspace, run_id)
    st.markdown(f"### {OPERATIONS.get(found.record.operation, found.record.operation)}")
    st.caption(f"`{run_id}`")
    watch(here.workspace, run_id, title=OPERATIONS.get(found.record.operation, "The run"))
    _show_lineage(found)
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
        _show_json(found.record.summary, "There is no result yet.")
    elif view == "Curves":
        _show_curves(found.metrics, key="runs-curves")
    elif view == "Settings":
        _show_json({"settings": found.config, "software": found.versions}, "")
    else:
        text = runs.logs(here.workspace, run_id, LOG_LINES)
        st.code(text or "Nothing was written.", language=None, wrap_lines=True, height=360)
    _show_deletion(here, run_id)


def _show_lineage(found: "RunDetails") -> None:
    links = [("Made from", parent) for parent in found.record.parents]
    links += [("Used by", child.id) for child in found.children]
    for name, other in links:
        st.page_link(
            SCREENS["runs"].path,
            label=f"{name} `{other}`",
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
    from pages.parts.curves import draw_curves

    if metrics.empty:
        st.markdown("This run measured nothing by step.")
        return
    draw_curves(metrics, key=key)


def _show_deletion(here: state.Here, run_id: str) -> None:
    """Draws the way to delete a run; one whose results are used asks twice."""
    from lancet_core.workbench import runs

    going = status_of(here.workspace, run_id).state in {"queued", "running"}
    with st.popover(
        "Delete", icon=":material/delete:", disabled=going, help="Cancel it first." if going else None
    ):
        used = runs.dependents(here.workspace, run_id)
        st.markdown("The folder with its results is removed for good.")
        sure = True
        if used:
            st.text(f"Not without thought: {used}.")
            sure = st.checkbox("Delete it all the same", key=f"runs-sure-{run_id}")
        if st.button("Delete this run", key=f"runs-delete-{run_id}", disabled=not sure):
            runs.delete(here.workspace, run_id, even_if_used=bool(used))
            state.write(RUN, "")
            st.rerun()


def show_comparison(here: state.Here, run_id: str, found: list["RunRecord"]) -> None:
    """Draws up to three further runs of the same operation beside this one."""
    from lancet_core.workbench import run_comparison, runs

    operation = next(run.operation for run in found if run.id == run_id)
    others = {
        run.id: f"{run.created_at:%d %b, %H:%M} · {run.id}"
        for run in found
        if run.operation == operation and run.id != run_id
    }
    if not others:
        return
    st.markdown("### Compare")
    wanted = [name for name in state.read(VERSUS).split(",") if name in others]
    picked = st.multiselect(
        "Runs beside this one",
        list(others),
        default=wanted,
        format_func=others.__getitem__,
        max_selections=MOST_COMPARED - 1,
        key=f"runs-versus-{run_id}",
        help="Runs of the same operation, at most three.",
    )
    state.write(VERSUS, ",".join(picked))
    if not picked:
        return
    together = [runs.show(here.workspace, name) for name in (run_id, *picked)]
    for title, table in (
        ("Settings that differ", run_comparison.differing_settings(together)),
        ("Results", run_comparison.results_side_by_side(together)),
    ):
        st.markdown(f"**{title}**")
        if table.empty:
            st.caption("None.")
        else:
            columns = {
                "setting": tables.text("Name"),
                **{run.record.id: tables.text(run.record.id) for run in together},
            }
            tables.show(table, columns, key=f"runs-{title}")
    if operation == "correct":
        for column, run in zip(st.columns(len(together)), together, strict=True):
            with column:
                st.caption(f"`{run.record.id}`")
                _show_curves(run.metrics, key=f"runs-{run.record.id}")


def show_next(here: state.Here, run: "RunRecord | None") -> None:
    """Draws the way to the screen that shows the result of the run that is open."""
    if run is None:
        frame.next_step("Open the result", disabled=True, why="Choose a run in the table.")
        return
    screen, name = SHOWN_ON.get(run.operation, ("trace", ""))
    values = {name: run.id} if name else {}
    if run.operation == "compare" and run.parents:
        values["p_after"] = run.parents[0]
    if frame.next_step(
        f"Open {SCREENS[screen].title}", disabled=run.state != "done", why="It has no result yet."
    ):
        frame.go(screen, **({"study": run.study} if run.study else {}), **values)


show(frame.open_screen("runs"))
