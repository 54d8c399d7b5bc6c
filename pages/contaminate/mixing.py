"""The first step: few and different unsafe samples are mixed into safe ones, and prompts are held out."""

import shutil
from pathlib import Path
from tempfile import TemporaryDirectory

import streamlit as st

from lancet_core.acts.contaminate import Contaminated
from lancet_core.data.contamination import CONTAMINATION_PRESETS, HIDDEN, ContaminationSettings
from lancet_core.runs.run import Run, open_run
from lancet_core.study.contamination import Sources, contaminate
from lancet_core.study.recipes import contamination_recipe
from lancet_core.workspace import Workspace
from pages.contaminate.training import forget_training
from pages.shared import frame, runs, state, tables
from pages.shared.copying import draw_copy
from pages.shared.facts import draw_facts
from pages.shared.materials import ask_data, ask_model
from pages.shared.plain_text import plain
from pages.shared.settings_form import settings_form

RUN = "x_mix"
PRESETS = {
    "usual": "Usual",
    "hh": "HH (paper)",
    "beavertails": "BeaverTails (paper)",
    "pku-saferlhf": "PKU-SafeRLHF (paper)",
}
LABELLED, APART = "Told by labels", "In two files"
# Ways of giving samples: fields of `Sources` to the key and label of each.
WAYS = {
    LABELLED: {"data": ("x", "Samples with labels")},
    APART: {"safe": ("x_of_safe", "Safe samples"), "unsafe": ("x_of_unsafe", "Unsafe samples")},
}
FIRST_SETTINGS = ("nearest", "unseen_prompts", "encoder")


def show_mixing(workspace: Workspace) -> Run[Contaminated] | None:
    """Draws the form, or the run that the URL names; returns the run when it is done."""
    st.markdown("### 1 · Mix")
    run_id = state.read(RUN)
    if not run_id:
        ask_mixing(workspace)
        return None
    run: Run[Contaminated] = open_run(workspace, run_id, "contaminate")
    status = runs.watch(run, title="Mixing unsafe samples into safe ones")
    if status.state == "done":
        draw_mixed(run)
    with st.container(horizontal=True, vertical_alignment="center", key="x-mixed"):
        if status.is_final and st.button("Mix others", icon=":material/restart_alt:", key="x-again"):
            state.write(RUN, "")
            forget_training()
            st.rerun()
        if status.state == "done":
            draw_files(run.result)
    return run if status.state == "done" else None


def ask_mixing(workspace: Workspace) -> None:
    """Draws what is mixed, and starts it."""
    given = ask_samples(workspace)
    unseen = st.text_input(
        "Prompts to evaluate on",
        key="x_unseen",
        bind="query-params",
        placeholder="empty: some of the samples' own are held out",
        help="A file of prompts; they are taken out of the training sets.",
    )
    preset = st.segmented_control(
        "Recipe",
        list(PRESETS),
        default="usual",
        required=True,
        format_func=PRESETS.__getitem__,
        key="x_preset",
        bind="query-params",
        help="Those of the paper's Table 1 cluster the unsafe samples as it does; what is here is shown beside its counts.",
    )
    settings = settings_form(CONTAMINATION_PRESETS[str(preset)], prefix=f"x_{preset}", first=FIRST_SETTINGS)
    hidden = settings.encoder == HIDDEN
    model = ask_model(workspace, key="x_model", label="Model whose states are compared") if hidden else ""
    sources = Sources(**given, unseen=(unseen or "").strip(), model=model)
    missing = "" if all(given.values()) else "Needs samples with labels, or both files."
    missing = missing or ("Needs a model." if hidden and not model else "")
    if frame.next_step(
        "Mix the samples",
        disabled=bool(missing),
        why=missing,
        help="Writes two training sets, with and without the unsafe samples, and prompts that neither holds. No model is trained yet.",
    ):
        start_mixing(workspace, sources, settings, preset=str(preset))
    if not missing:
        draw_copy(lambda: contamination_recipe(workspace, sources, settings, preset=str(preset)), key="mix")


def ask_samples(workspace: Workspace) -> dict[str, str]:
    """Draws the fields for the samples: one file with labels, or two whose sides say it; returns them by the names of `Sources`."""
    way = st.segmented_control(
        "Safe and unsafe samples",
        list(WAYS),
        default=LABELLED,
        required=True,
        key="x_from",
        bind="query-params",
        help="Of preferences without labels (HH) the chosen sides are taken as safe and the rejected ones as unsafe: give two files, which may "
        "be the same.",
    )
    fields = WAYS[str(way)]
    given = {}
    for cell, (name, (key, label)) in zip(st.columns(2, gap="large"), fields.items(), strict=False):
        with cell:
            given[name] = ask_data(workspace, key=key, label=label)
    return given


def start_mixing(
    workspace: Workspace, sources: Sources, settings: ContaminationSettings, *, preset: str
) -> None:
    """Starts the run and names it in the URL; says what is wrong with the data."""
    with frame.problem_shown():
        run = contaminate(settings, preset=preset, workspace=workspace, **vars(sources))
        runs.wait_briefly(run)
        state.write(RUN, run.id)
        st.rerun()


def draw_mixed(run: Run[Contaminated]) -> None:
    """Draws what was mixed, beside the paper's counts where it is a recipe of it."""
    result = run.result
    draw_facts(
        {
            "Samples": result.samples,
            "Safe set": result.safe,
            "Unsafe in it": result.unsafe,
            "Clusters": result.clusters,
            "Left to mine from": result.candidates,
            "Unseen prompts": result.unseen,
            "Validation prompts": result.validation,
        }
    )
    table = result.beside_table_1
    if len(table):
        columns = {
            "samples": tables.text("Samples", width=120),
            "table_1": tables.count("Table 1"),
            "here": tables.count("Here"),
        }
        tables.show(table, columns, key="x-table-1")
    for note in result.notes:
        st.caption(f":orange[:material/info:] {plain(note)}")


def draw_files(result: Contaminated) -> None:
    """Draws where the sets lie, and their download."""
    st.download_button(
        "Download the sets",
        lambda: packed(result.files),
        "contaminated.zip",
        "application/zip",
        icon=":material/download:",
        on_click="ignore",
    )
    st.caption(plain(str(result.files)))


def packed(folder: Path) -> bytes:
    """The files of a folder as a zip file."""
    with TemporaryDirectory() as place:
        return Path(shutil.make_archive(f"{place}/packed", "zip", folder)).read_bytes()
