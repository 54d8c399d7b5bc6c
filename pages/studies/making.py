"""Making a study: the form, what was found in the data before anything is written, and the run that makes it."""

import streamlit as st

from lancet_core.acts.look import Looked
from lancet_core.acts.prepare import Prepared
from lancet_core.runs.run import Run
from lancet_core.study import creation, making
from lancet_core.study.creation import Materials
from lancet_core.study.looking import find_look, look_at
from lancet_core.study.recipes import creation_recipe
from lancet_core.workspace import Workspace
from pages.shared import frame, runs, state
from pages.shared.copying import draw_copy
from pages.shared.facts import draw_facts
from pages.shared.numbers import percent
from pages.studies import counts
from pages.studies.form import ask

NEW = "s_new"


def show_making(workspace: Workspace) -> None:
    """Draws the studies that are being made, or the form for one."""
    under_way = making.list_making(workspace)
    if under_way:
        for name, run in under_way.items():
            draw_under_way(workspace, name, run)
        frame.next_step("Open the study", disabled=True, why="It is being made.")
        return
    name, materials = ask(workspace)
    draw_copy(lambda: creation_recipe(workspace, name or "my-study", materials), key="creation")
    look = _find(workspace, materials)
    if look is not None:
        status = runs.watch(look, title="Reading all rows and counting their tokens")
        if status.state == "done":
            draw_found(look.result)
            draw_creation(workspace, name, materials, look)
            return
        if not status.is_final:
            frame.next_step("Create the study", disabled=True, why="The rows are being read.")
            return
    missing = "" if materials.model and materials.train else "Needs a model and training data."
    if frame.next_step(
        "Check all rows",
        disabled=bool(missing),
        why=missing,
        help="Reads the whole file and counts tokens; nothing is written and no weight is loaded.",
    ):
        with frame.problem_shown():
            runs.wait_briefly(look_at(workspace, materials), seconds=0.2)
            st.rerun()


def draw_under_way(workspace: Workspace, name: str, run: Run[Prepared]) -> None:
    """Draws a study that is being made; enters it when its samples are measured, and opens it."""
    status = runs.watch(run, title=f"Making the study {name}: samples are measured and scored")
    if status.state == "done":
        study = making.complete(workspace, name)
        state.write(NEW, "")
        frame.go("studies", study=study.name, case="")
    if status.is_final and st.button("Discard it", key=f"s-discard-{name}", icon=":material/delete:"):
        making.discard(workspace, name)
        st.rerun()


def draw_found(found: Looked) -> None:
    """Draws what a study would be made of."""
    st.markdown("### What was found")
    draw_facts(
        {
            "Rows": found.rows,
            "Samples": found.samples,
            "Rejected": found.rejected,
            "Duplicates": found.duplicates,
            "Cut to the context": percent((found.cut + found.shortened) / found.samples)
            if found.samples
            else "–",
        }
    )
    table = found.table
    left, right = st.columns(2, gap="large")
    with left:
        counts.draw_balance(table["is_safe"])
        counts.draw_categories(table["categories"])
    with right:
        counts.draw_lengths(table["tokens"], found.context)
        if found.shortened:
            st.caption(
                f"Responses longer than the context by themselves: {found.shortened:,}; their beginning is kept."
            )
    counts.draw_rejected(found.rejected_rows, rows=found.rows, name="rows")


def draw_creation(workspace: Workspace, name: str, materials: Materials, look: Run[Looked]) -> None:
    """Draws the button that makes the study of what was found."""
    usable = look.result.samples > 0
    why = "" if usable and name else "No row can be used." if not usable else "Give the study a name."
    if frame.next_step(
        "Create the study",
        disabled=bool(why),
        why=why,
        help="Loads the model, measures each sample and scores it where there are scorers.",
    ):
        with frame.problem_shown():
            creation.begin(workspace, name, materials, look)
            st.rerun()


def _find(workspace: Workspace, materials: Materials) -> Run[Looked] | None:
    """Finds the look at what the form says; says what is wrong with the model or the file."""
    if not (materials.model and materials.train):
        return None
    with frame.problem_shown():
        return find_look(workspace, materials)
    return None
