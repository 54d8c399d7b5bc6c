"""Correct: what a correction will do, its settings, its live curves, and the way to the proof."""

import streamlit as st

from lancet_core.acts.correct import Correction
from lancet_core.config import describe
from lancet_core.correction.settings import ABOUT, CORRECTION_PRESETS, CorrectionSettings
from lancet_core.runs.run import Run, open_run
from lancet_core.store.queries import get_query
from lancet_core.study.corrections import (
    CORRECT,
    Preflight,
    correct,
    list_corrections,
    preflight,
    reviewed_source,
)
from lancet_core.study.queue import CASE_ONLY, EVERYTHING, Scope
from lancet_core.study.recipes import correction_recipe, recipe_of
from lancet_core.text import lasting
from pages.shared import frame, state
from pages.shared.copying import draw_copy
from pages.shared.curves import draw_curves
from pages.shared.numbers import size
from pages.shared.plain_text import plain
from pages.shared.runs import watch
from pages.shared.screens import SCREENS
from pages.shared.settings_form import label, settings_form

RUN = "k_run"
FIRST_SETTINGS = ("objective", "steps", "learning_rate", "adapter", "pair_batch", "seed")
LOG_LINES = 30
PRESETS = {"usual": "Usual", "paper": "As in the paper"}
REACH = {CASE_ONLY: "This case", EVERYTHING: "All cases"}


def show(here: state.Here) -> None:
    """Draws the run that the URL names, or the card before the start."""
    run_id = state.read(RUN)
    if run_id:
        show_run(here, open_run(here.study.workspace, run_id, CORRECT))
    else:
        show_preflight(here)


def show_preflight(here: state.Here) -> None:
    """Draws what will happen, the settings, and the start."""
    card = st.container(border=True, key="correct-preflight")
    scope = _choose_scope(here)
    st.markdown("### Settings", help="The defaults suit the demo study and models of its size.")
    settings = _choose_settings()
    ready = preflight(here.study, settings, scope)
    with card:
        _show_facts(ready)
    st.caption(ABOUT[settings.objective])
    if settings.objective == "ibo" and settings.form == "literal":
        st.warning(
            "The literal form follows the printed equation and is unbounded below: it can destroy the model. "
            "The guard stops the run when the retain NLL passes its limit.",
            icon=":material/warning:",
        )
    if frame.next_step(
        "Start correction",
        disabled=bool(ready.blocked),
        why=plain(ready.blocked),
        help="Curves appear with the first step.",
    ):
        run = correct(here.study, reviewed_source(here.study, scope), settings, case_id=here.case_id)
        state.write(RUN, run.id)
        st.rerun()
    if ready.blocked:
        _link("review", "Go to Review", ":material/fact_check:")
    else:
        draw_copy(lambda: correction_recipe(here.study, settings, scope), key="correct")
    show_earlier(here, current="")


def show_run(here: state.Here, run: Run[Correction]) -> None:
    """Draws a correction: live while it runs, with its result when it is over."""

    def details() -> None:
        draw_curves(run.metrics, key="correct-live")
        _show_log(run)

    status = watch(run, title="Correcting the model", details=details)
    done = status.state == "done"
    if done:
        _show_result(run.result)
    if status.is_final:
        details()
    _show_settings(run)
    draw_copy(lambda: recipe_of(run), key="correction")
    _show_way_on(here, run, done=done, over=status.is_final)
    show_earlier(here, current=run.id)


def show_earlier(here: state.Here, *, current: str) -> None:
    """Lists the other corrections: those of this case first, then those of the rest of the study."""
    others = [run for run in list_corrections(here.study) if run.id != current]
    if not others:
        return
    mine = [run for run in others if here.case_id and run.record.case_id == here.case_id]
    rest = [run for run in others if run not in mine]
    with st.expander(f"Other corrections of this study ({len(others)})"):
        for title, runs in (("This case", mine), ("Other cases" if here.case_id else "", rest)):
            if runs and title:
                st.caption(title)
            for run in runs:
                _link_to_correction(run)


def _link_to_correction(run: Run[Correction]) -> None:
    record = run.record
    st.page_link(
        SCREENS["correct"].path,
        label=f"{record.created_at:%d %b %Y, %H:%M} · {plain(record.state)} · {plain(record.title)}",
        query_params=state.carried(**{RUN: run.id}),
        icon=":material/tune:",
    )


def _choose_settings() -> CorrectionSettings:
    """Draws the preset and the form that starts from it."""
    preset = st.segmented_control(
        "Preset",
        list(PRESETS),
        default="usual",
        required=True,
        format_func=PRESETS.__getitem__,
        key="k_preset",
        bind="query-params",
        help="As in the paper: influence-weighted pairs, divergence of whole responses, 4,000 small steps. The documents say where "
        "it departs from what is printed, and why.",
    )
    prefix = "k" if preset == "usual" else f"k_{preset}"
    return settings_form(CORRECTION_PRESETS[str(preset)], prefix=prefix, first=FIRST_SETTINGS)


def _choose_scope(here: state.Here) -> Scope:
    """Draws whose approved pairs are trained on, where there is a choice."""
    if not here.case_id:
        return Scope()
    reach = st.segmented_control(
        "Train on the approved pairs of",
        list(REACH),
        default=CASE_ONLY,
        required=True,
        format_func=REACH.__getitem__,
        key="k_reach",
        bind="query-params",
        help="This case: its pairs and those of similar answers. All cases: every approved pair of the study.",
    )
    return Scope(here.case_id, str(reach))


def _show_facts(ready: Preflight) -> None:
    st.markdown("### Before you start")
    pairs, conflicts, seconds, memory = st.columns(4)
    pairs.metric("Approved pairs", f"{ready.pairs:,}", help="What the correction trains on, from Review.")
    conflicts.metric(
        "Conflicts",
        f"{ready.conflicts:,}",
        help="Pairs that one reviewer approved and another rejected. The newest verdict counts; look at them on Review.",
    )
    seconds.metric("Time, estimated", lasting(ready.seconds), help=f"Judged {ready.basis}.")
    memory.metric(
        "Memory, estimated",
        size(ready.memory_bytes),
        help="The whole process at its height: weights, gradients, optimizer, activations and logits.",
    )
    st.caption(plain(ready.changes))


def _show_result(found: Correction) -> None:
    with st.container(border=True, key="correct-result"):
        st.markdown("**The corrected model is ready.** Whether it is corrected, the proof says.")
        steps, best, seconds, pairs = st.columns(4)
        steps.metric("Steps", f"{found.steps:,}")
        best.metric(
            "Kept checkpoint, step", f"{found.best_step:,}", help=f"Chosen by: {plain(found.chosen_by)}"
        )
        seconds.metric("Time", lasting(found.seconds))
        pairs.metric("Pairs", f"{found.pairs:,}")
        for note in found.notes:
            st.caption(f":orange[:material/info:] {plain(note)}")


def _show_log(run: Run[Correction]) -> None:
    with st.expander("Log"):
        st.code(run.log(LOG_LINES) or "Nothing was written yet.", language=None, wrap_lines=True)


def _show_settings(run: Run[Correction]) -> None:
    chosen = run.order.request["correction"]
    changed = [each for each in describe(CorrectionSettings) if chosen.get(each.name) != each.default]
    words = ", ".join(f"{label(each.name).lower()} {plain(chosen.get(each.name))}" for each in changed)
    st.caption(f"Settings: {words or 'all as by default'}. The run keeps them whole; Runs shows them.")


def _show_way_on(here: state.Here, run: Run[Correction], *, done: bool, over: bool) -> None:
    why = "Resume the run, or start another one." if over else "The correction has to finish first."
    if frame.next_step(
        "Prove it",
        disabled=not done,
        why=why,
        help="Lets both models answer the same prompts with the same seeds, and compares.",
    ):
        case = get_query(here.study, here.case_id) if here.case_id else None
        frame.go("prove", p_after=run.id, p_run=here.study.compare(run, case).id)
    if over:
        _link("correct", "Start another correction", ":material/add:")


def _link(screen: str, words: str, icon: str) -> None:
    st.page_link(SCREENS[screen].path, label=words, icon=icon, query_params=state.carried())


place = frame.open_study_screen("correct")
if place is not None:
    show(place)
