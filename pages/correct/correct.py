"""Correct: what a correction will do, its settings, its live curves, and the way to the proof."""

from typing import TYPE_CHECKING

import streamlit as st

from lancet_core.correction.settings import CorrectionSettings
from pages.parts import frame, state
from pages.parts.curves import draw_curves
from pages.parts.numbers import lasting, size
from pages.parts.runs import watch
from pages.parts.screens import SCREENS
from pages.parts.settings_form import label, settings_form

if TYPE_CHECKING:
    from lancet_core.store.runs import RunRecord
    from lancet_core.store.studies import Study
    from lancet_core.workbench.corrections import Preflight

RUN = "k_run"
FIRST_SETTINGS = ("steps", "learning_rate", "form", "adapter", "pair_batch", "seed")
LOG_LINES = 30


def show(here: state.Here, study: "Study") -> None:
    """Draws the run that the URL names, or the card before the start."""
    run_id = state.read(RUN)
    if run_id:
        show_run(here, study, run_id)
    else:
        show_preflight(here, study)


def show_preflight(here: state.Here, study: "Study") -> None:
    """Draws what will happen, the settings, and the start."""
    from lancet_core.workbench import corrections

    card = st.container(border=True, key="correct-preflight")
    st.markdown("### Settings", help="The defaults suit the demo study and models of its size.")
    settings = settings_form(CorrectionSettings, prefix="k", first=FIRST_SETTINGS)
    ready = corrections.preflight(here.workspace, study, settings=settings)
    with card:
        _show_facts(ready)
    if settings.form == "literal":
        st.warning(
            "The literal form follows the printed equation and is unbounded below: it can destroy the model. "
            "The guard stops the run when the retain NLL passes its limit.",
            icon=":material/warning:",
        )
    if frame.next_step(
        "Start correction",
        disabled=bool(ready.blocked),
        why=ready.blocked,
        help="Curves appear with the first step.",
    ):
        state.write(RUN, corrections.start_correction(here.workspace, study, settings=settings))
        st.rerun()
    if ready.blocked:
        _link("review", "Go to Review", ":material/fact_check:")
    show_earlier(here, study, current="")


def show_run(here: state.Here, study: "Study", run_id: str) -> None:
    """Draws a correction: live while it runs, with its result when it is over."""
    from lancet_core.workbench import corrections

    def details() -> None:
        draw_curves(corrections.curves(here.workspace, run_id), key="correct-live")
        _show_log(here, run_id)

    status = watch(here.workspace, run_id, title="Correcting the model", details=details)
    over = status.state in {"done", "failed", "cancelled"}
    if over:
        if status.state == "done":
            _show_result(here, run_id)
        details()
    _show_settings(here, run_id)
    _show_way_on(here, study, run_id, done=status.state == "done", over=over)
    show_earlier(here, study, current=run_id)


def show_earlier(here: state.Here, study: "Study", *, current: str) -> None:
    """Lists the other corrections of the study."""
    from lancet_core.store.runs import list_runs

    others = [
        run for run in list_runs(here.workspace, study=study.name, operation="correct") if run.id != current
    ]
    if not others:
        return
    with st.expander(f"Other corrections of this study ({len(others)})"):
        for run in others:
            st.page_link(
                SCREENS["correct"].path,
                label=f"{run.created_at:%d %b %Y, %H:%M} · {run.state}{_told(run)}",
                query_params=state.carried(**{RUN: run.id}),
                icon=":material/tune:",
            )


def _show_facts(ready: "Preflight") -> None:
    st.markdown("### Before you start")
    pairs, conflicts, retain, seconds, memory = st.columns(5)
    pairs.metric("Approved pairs", f"{ready.pairs:,}", help="What the correction trains on, from Review.")
    conflicts.metric(
        "Conflicts",
        f"{ready.conflicts:,}",
        help="Pairs that one reviewer approved and another rejected. The newest verdict counts; look at them on Review.",
    )
    retain.metric(
        "Retain samples",
        f"{ready.retain:,}",
        help="Training samples of near-zero influence that hold the model to what it knows.",
    )
    source = (
        "Measured on this study's last correction."
        if ready.measured
        else "Reckoned from the sizes of model and texts."
    )
    seconds.metric("Time, estimated", lasting(ready.estimated_seconds), help=source)
    memory.metric(
        "Memory, estimated",
        size(ready.memory_bytes),
        help="Weights, gradients and optimizer; activations come on top.",
    )
    st.caption(ready.changes)


def _show_result(here: state.Here, run_id: str) -> None:
    from lancet_core.store.runs import get_run

    found = get_run(here.workspace, run_id).summary
    with st.container(border=True, key="correct-result"):
        st.markdown("**The corrected model is ready.** Whether it is corrected, the proof says.")
        steps, best, seconds, pairs = st.columns(4)
        steps.metric("Steps", f"{found['steps']:,}")
        best.metric(
            "Kept checkpoint, step",
            f"{found['best_step']:,}",
            help="The one with the largest helpful minus harmful score on the validation prompts.",
        )
        seconds.metric("Time", lasting(found["seconds"]))
        pairs.metric("Pairs", f"{found['pairs']:,}")


def _show_log(here: state.Here, run_id: str) -> None:
    from lancet_core.workbench import runs

    with st.expander("Log"):
        st.code(
            runs.logs(here.workspace, run_id, LOG_LINES) or "Nothing was written yet.",
            language=None,
            wrap_lines=True,
        )


def _show_settings(here: state.Here, run_id: str) -> None:
    from lancet_core.config import describe
    from lancet_core.runs.run_folder import RunFolder
    from lancet_core.store.runs import get_run

    chosen = RunFolder(get_run(here.workspace, run_id).folder).config["correction"]
    changed = [each for each in describe(CorrectionSettings) if chosen.get(each.name) != each.default]
    words = ", ".join(f"{label(each.name).lower()} {chosen.get(each.name)}" for each in changed)
    st.caption(f"Settings: {words or 'all as by default'}. The run keeps them whole; Runs shows them.")


def _show_way_on(here: state.Here, study: "Study", run_id: str, *, done: bool, over: bool) -> None:
    why = "Resume the run, or start another one." if over else "The correction has to finish first."
    if frame.next_step(
        "Prove it",
        disabled=not done,
        why=why,
        help="Lets both models answer the same prompts with the same seeds, and compares.",
    ):
        _start_proof(here, study, run_id)
    if over:
        _link("correct", "Start another correction", ":material/add:")


def _link(screen: str, words: str, icon: str) -> None:
    st.page_link(SCREENS[screen].path, label=words, icon=icon, query_params=state.carried())


def _start_proof(here: state.Here, study: "Study", run_id: str) -> None:
    from lancet_core.store.queries import get_query
    from lancet_core.workbench import proofs

    case = get_query(here.workspace, study.name, here.case_id) if here.case_id else None
    comparison = proofs.start_comparison(here.workspace, study, correction_run_id=run_id, case=case)
    frame.go("prove", p_after=run_id, p_run=comparison)


def _told(run: "RunRecord") -> str:
    pairs, steps = run.summary.get("pairs"), run.summary.get("steps")
    return f" · {pairs:,} pairs, {steps:,} steps" if pairs and steps else ""


place = frame.open_screen("correct")
if frame.need_study(place) and place.study is not None:
    show(place, place.study)
