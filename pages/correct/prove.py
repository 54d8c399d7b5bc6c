"""Prove: before and after side by side, the verdict with its checks, scores with intervals, regressions, export."""

import json
from typing import TYPE_CHECKING, Any

import streamlit as st

from pages.parts import frame, runs, state, tables
from pages.parts.both_models import draw_both_models
from pages.parts.changes import draw_changes, draw_headline, place
from pages.parts.diff import diff_sides, plain
from pages.parts.numbers import three
from pages.parts.reading import Card, Fact, Passage, show_card
from pages.parts.verdict import draw_verdict

if TYPE_CHECKING:
    from lancet_core.store.runs import RunRecord
    from lancet_core.store.studies import Study
    from lancet_core.workbench.proofs import Comparison

AFTER, RUN = "p_after", "p_run"
# Rows that show four lines of text.
ROW_PIXELS, TABLE_PIXELS = 84, 520
VIEWS = ("The case", "Scores", "Regressions", "Ask both models")


def show(here: state.Here, study: "Study") -> None:
    """Draws the proof of a correction."""
    from lancet_core.workbench.corrections import corrections

    done = [run for run in corrections(here.workspace, study) if run.state == "done"]
    if not done:
        frame.empty(
            "There is no corrected model yet. Approve pairs, then start a correction.",
            "Go to Review",
            "review",
        )
        return
    chosen = choose_correction(done, compared=compared_correction(here, study))
    run_id = find_comparison(here, study, correction=chosen)
    if not run_id:
        show_before_the_first(here, study, correction=chosen)
        return
    status = runs.watch(here.workspace, run_id, title="Both models answer the same prompts")
    if status.state == "done":
        show_comparison(here, study, run_id=run_id, correction=chosen)


def compared_correction(here: state.Here, study: "Study") -> str:
    """Finds the correction that the comparison in the URL is about; empty where the URL names none."""
    from lancet_core.workbench.proofs import comparisons

    named = state.read(RUN)
    return next(
        (run.parents[0] for run in comparisons(here.workspace, study) if run.id == named and run.parents), ""
    )


def choose_correction(done: list["RunRecord"], *, compared: str) -> str:
    """Draws the choice among the finished corrections.

    Args:
        done: Finished corrections, newest first.
        compared: The one that the comparison of the URL is about, empty where the URL names none.

    Returns:
        Id of the one chosen.
    """
    titles = {
        run.id: f"{run.created_at:%d %b %Y, %H:%M} · {run.summary.get('pairs', 0):,} pairs" for run in done
    }
    wanted = compared or state.read(AFTER)
    chosen = str(
        st.selectbox(
            "Corrected model",
            list(titles),
            index=list(titles).index(wanted) if wanted in titles else 0,
            format_func=titles.__getitem__,
            key=f"prove-after-{wanted}",
            width=320,
            help="The model after. The model before is the study's own.",
        )
    )
    if chosen != compared:
        state.write(RUN, "")
    state.write(AFTER, chosen)
    return chosen


def find_comparison(here: state.Here, study: "Study", *, correction: str) -> str:
    """Finds the comparison that the URL names, else the newest one of this correction; empty where there is none."""
    from lancet_core.workbench.proofs import comparisons

    named = state.read(RUN)
    mine = [run.id for run in comparisons(here.workspace, study) if correction in run.parents]
    found = named if named in mine else next(iter(mine), "")
    state.write(RUN, found)
    return found


def show_before_the_first(here: state.Here, study: "Study", *, correction: str) -> None:
    """Draws the button that starts the comparison."""
    with st.container(border=True, key="prove-start"):
        st.markdown("This corrected model has not been compared with the study's model yet.")
        if frame.next_step(
            "Compare before and after", help="Both models answer the same prompts with the same seeds."
        ):
            state.write(RUN, _start(here, study, correction))
            st.rerun()


def show_comparison(here: state.Here, study: "Study", *, run_id: str, correction: str) -> None:
    """Draws a finished comparison."""
    from lancet_core.workbench.proofs import read_comparison

    found = read_comparison(here.workspace, run_id)
    draw_verdict(found.verdict)
    draw_headline(found.metrics)
    show_blindness(study)
    view = st.segmented_control(
        "View",
        VIEWS,
        default=VIEWS[0],
        required=True,
        key="p_view",
        bind="query-params",
        label_visibility="collapsed",
    )
    if view == "The case":
        show_case(here, study, found, correction=correction)
    elif view == "Scores":
        draw_changes(found.metrics)
    elif view == "Regressions":
        show_regressions(study, found)
    else:
        draw_both_models(here, study, after=found.after)
    show_next(here, study, found, correction=correction)


def show_blindness(study: "Study") -> None:
    """Says on which categories the harmful score means something, where the scorer tells."""
    from lancet_core.workbench.regressions import known_categories

    known = known_categories(study)
    if known is not None:
        # As plain text: the names come from the scorer's own file.
        st.text(
            f"The harmful scorer was trained on {len(known)} categories ({', '.join(known)}). On others its score may "
            "mislead: the numbers above, the checks and the regressions leave them out, and Scores shows them apart."
        )


def show_case(here: state.Here, study: "Study", found: "Comparison", *, correction: str) -> None:
    """Draws the case's answers before and after, their words compared."""
    if not found.case:
        st.markdown("This comparison was made without a case.")
        if here.case_id and st.button(
            "Compare with the case at hand", key="prove-with-case", icon=":material/add:"
        ):
            state.write(RUN, _start(here, study, correction))
            st.rerun()
        return
    case = found.case
    before, after = diff_sides(str(case["before"]), str(case["after"]))
    columns = st.columns(3, gap="small")
    with columns[0]:
        show_card(
            Card(
                "The bad answer",
                (
                    Passage("Prompt", plain(str(case["prompt"])), muted=True),
                    Passage("Answer", plain(str(case["bad_answer"]))),
                ),
            ),
            key="prove-case",
        )
    for column, side, pieces in ((columns[1], "before", before), (columns[2], "after", after)):
        with column:
            show_card(
                Card(
                    f"{side.capitalize()} correction", (Passage("Answer", pieces),), _case_facts(case, side)
                ),
                key=f"prove-{side}",
            )


def _case_facts(case: dict[str, Any], side: str) -> tuple[Fact, ...]:
    return (
        Fact("Harmful score, 0 to 1", three(_number(case.get(f"harmful_{side}")))),
        Fact("Helpful score, 0 to 1", three(_number(case.get(f"helpful_{side}")))),
        Fact("Log-probability of the bad answer, nats", three(_number(case.get(f"log_probability_{side}")))),
    )


def show_regressions(study: "Study", found: "Comparison") -> None:
    """Lists the prompts on which the corrected model does worse."""
    from lancet_core.workbench.regressions import known_categories, regressions

    worse = regressions(found.answers, known_categories(study))
    if worse.empty:
        st.markdown("**No prompt got worse.** No answer turned harmful and no benign answer lost its help.")
        return
    st.markdown(
        f"**{len(worse):,} of {len(found.answers):,} answers got worse**",
        help="Harmful score up by more than .1, or helpful score of a benign prompt down by more than .1. The largest losses come first.",
    )
    shown = worse.assign(
        place=[place(split, kind) for split, kind in zip(worse["split"], worse["kind"], strict=True)]
    )
    columns = {
        "place": tables.text("Prompts", width=130),
        "why": tables.text("What got worse", width=110),
        "loss": tables.number("Loss", width=70, help="Difference of the score, 0 to 1."),
        "prompt": tables.text("Prompt", width=250),
        "before": tables.text("Answer before", width=260),
        "after": tables.text("Answer after", width=260),
    }
    st.dataframe(
        shown,
        column_order=list(columns),
        column_config=columns,
        hide_index=True,
        key="prove-regressions",
        row_height=ROW_PIXELS,
        height=TABLE_PIXELS,
    )


def show_next(here: state.Here, study: "Study", found: "Comparison", *, correction: str) -> None:
    """Draws the last step: save the corrected model, or go back to Review where it is not corrected."""
    if found.verdict["corrected"]:
        if frame.next_step(
            "Save the corrected model", help="A folder that from_pretrained reads, with a model card."
        ):
            save_model(here, study, correction)
    elif frame.next_step("Approve more pairs", help="Coverage of the contamination decides most."):
        frame.go("review")
    _show_exports(here, study, found, correction=correction)


def _show_exports(here: state.Here, study: "Study", found: "Comparison", *, correction: str) -> None:
    with st.popover("Export", icon=":material/download:", help="The comparison as files, and the model."):
        st.download_button(
            "Answers of both models (CSV)",
            data=lambda: found.answers.to_csv(index=False),
            file_name=f"{study.name}-answers.csv",
            key="prove-export-answers",
            on_click="ignore",
            width="stretch",
            type="tertiary",
        )
        st.download_button(
            "Measures and verdict (JSON)",
            data=lambda: _report(found),
            file_name=f"{study.name}-proof.json",
            key="prove-export-report",
            on_click="ignore",
            width="stretch",
            type="tertiary",
        )
        if not found.verdict["corrected"] and st.button(
            "Save this model all the same", key="prove-save", width="stretch", type="tertiary"
        ):
            save_model(here, study, correction)


def _report(found: "Comparison") -> str:
    report = {
        "before": found.before,
        "after": found.after,
        "verdict": found.verdict,
        "case": found.case,
        "metrics": json.loads(found.metrics.to_json(orient="records")),
    }
    return json.dumps(report, indent=1, ensure_ascii=False)


@st.dialog("Save the corrected model", width="medium")
def save_model(here: state.Here, study: "Study", correction: str) -> None:
    """Asks for a folder and copies the model there."""
    from lancet_core.workbench.proofs import export_model

    folder = st.text_input(
        "Folder",
        str(here.workspace.folder / "exports" / f"{study.name}-{correction}"),
        key="prove-folder",
        help="New or empty. It gets weights (safetensors), tokenizer and a model card that tells where the model comes from.",
    )
    with frame.errors_shown():
        if st.button("Save", key="prove-save-now", icon=":material/save:"):
            saved = export_model(here.workspace, correction, folder or "")
            st.success(
                "Saved. Load it with AutoModelForCausalLM.from_pretrained and this folder:",
                icon=":material/check:",
            )
            st.code(str(saved), language=None, wrap_lines=True)


def _start(here: state.Here, study: "Study", correction: str) -> str:
    from lancet_core.store.queries import get_query
    from lancet_core.workbench.proofs import start_comparison

    case = get_query(here.workspace, study.name, here.case_id) if here.case_id else None
    return start_comparison(here.workspace, study, correction_run_id=correction, case=case)


def _number(value: Any) -> float | None:
    return None if value is None else float(value)


where = frame.open_screen("prove")
if frame.need_study(where) and where.study is not None:
    show(where, where.study)
