"""Prove: before and after side by side, the verdict with its checks, scores with intervals, regressions, export."""

import streamlit as st

from lancet_core.acts.compare import CaseOutcome, Comparison
from lancet_core.acts.correct import Correction
from lancet_core.acts.results import FILE
from lancet_core.files import table_as_csv
from lancet_core.runs.run import Run
from lancet_core.store.queries import get_query
from lancet_core.study.corrections import list_corrections
from lancet_core.study.proofs import export_model, known_categories, list_comparisons, regressions
from lancet_core.study.recipes import recipe_of
from lancet_core.study.study import Study
from pages.prove.both_models import draw_both_models
from pages.prove.changes import draw_changes
from pages.prove.headline import draw_headline
from pages.prove.measures import place
from pages.prove.verdict import draw_verdict
from pages.shared import frame, state, tables
from pages.shared.copying import draw_copy
from pages.shared.diff import diff_sides, unmarked
from pages.shared.numbers import score, three
from pages.shared.plain_text import plain
from pages.shared.reading import Card, Fact, Passage, show_card
from pages.shared.runs import watch
from pages.shared.screens import SCREENS

AFTER, RUN = "p_after", "p_run"
# Rows that show four lines of text.
ROW_PIXELS, HEADER_PIXELS, TABLE_PIXELS = 84, 37, 520
VIEWS = ("The case", "Scores", "Regressions", "Ask both models")


def show(here: state.Here) -> None:
    """Draws the proof of a correction."""
    corrections = [run for run in list_corrections(here.study) if run.record.is_done]
    if not corrections:
        frame.empty(
            "There is no corrected model yet. Approve pairs, then start a correction.",
            "Go to Review",
            "review",
        )
        return
    comparisons = list_comparisons(here.study)
    named = next((run for run in comparisons if run.id == state.read(RUN)), None)
    correction = choose_correction(corrections, here, compared=named)
    if named is not None and correction.id not in named.record.parents:
        named = None
    mine = [run for run in comparisons if correction.id in run.record.parents]
    chosen = named or next((run for run in mine if here.case_id in {"", run.record.case_id}), None)
    state.write(RUN, chosen.id if chosen else "")
    if chosen is None:
        show_before_the_first(here, correction, others=mine)
        return
    if here.case_id and chosen.record.case_id != here.case_id:
        show_whose_proof(here, correction, chosen)
    if watch(chosen, title="Both models answer the same prompts").state == "done":
        draw_copy(lambda: recipe_of(chosen), key="prove")
        show_comparison(here, chosen.result, correction=correction)


def choose_correction(
    corrections: list[Run[Correction]], here: state.Here, *, compared: Run[Comparison] | None
) -> Run[Correction]:
    """Draws the choice among the finished corrections, those of this case first.

    Args:
        corrections: Finished corrections, newest first.
        here: Where the person stands.
        compared: The comparison that the URL names, None where it names none.
    """
    runs = {run.id: run for run in sorted(corrections, key=lambda run: run.record.case_id != here.case_id)}
    parents = compared.record.parents if compared else ()
    wanted = next((parent for parent in parents if parent in runs), state.read(AFTER))
    chosen = str(
        st.selectbox(
            "Corrected model",
            list(runs),
            index=list(runs).index(wanted) if wanted in runs else 0,
            format_func=lambda run_id: _title(runs[run_id]),
            key=f"prove-after-{wanted}",
            width=320,
            help="The model after. The model before is the study's own.",
        )
    )
    state.write(AFTER, chosen)
    return runs[chosen]


def _title(run: Run[Correction]) -> str:
    return f"{run.record.created_at:%d %b %Y, %H:%M} · {run.record.title}"


def show_before_the_first(
    here: state.Here, correction: Run[Correction], *, others: list[Run[Comparison]]
) -> None:
    """Draws the button that starts the comparison, and the way to proofs of other cases."""
    with st.container(border=True, key="prove-start"):
        on_this_case = " on this case" if here.case_id else ""
        st.markdown(f"This corrected model has not been compared with the study's model{on_this_case} yet.")
        if frame.next_step(
            "Compare before and after", help="Both models answer the same prompts with the same seeds."
        ):
            _start(here, correction)
    for run in others:
        st.page_link(
            SCREENS["prove"].path,
            label=f"Proof for another case: {plain(run.record.title)}",
            icon=":material/verified:",
            query_params=state.carried(case=run.record.case_id, **{AFTER: correction.id, RUN: run.id}),
        )


def show_whose_proof(here: state.Here, correction: Run[Correction], comparison: Run[Comparison]) -> None:
    """Says that the proof is that of another case, and offers this one's."""
    with st.container(border=True, key="prove-other"):
        if comparison.record.case_id:
            st.markdown("**This is the proof for another case:**")
            st.text(comparison.record.title)
        else:
            st.markdown("**This comparison was made without a case.**")
        if st.button("Compare this case", key="prove-with-case", icon=":material/add:"):
            _start(here, correction)


def show_comparison(here: state.Here, found: Comparison, *, correction: Run[Correction]) -> None:
    """Draws a finished comparison."""
    draw_verdict(found.verdict)
    draw_headline(found.changes)
    show_blindness(here.study)
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
        show_case(found.case)
    elif view == "Scores":
        draw_changes(found.changes)
    elif view == "Regressions":
        show_regressions(here.study, found)
    else:
        draw_both_models(here.study, after=found.after)
    show_next(here.study, found, correction=correction)


def show_blindness(study: Study) -> None:
    """Says on which categories the harmful score means something, where the scorer tells."""
    known = known_categories(study)
    if known is not None:
        # As plain text: the names come from the scorer's own file.
        st.text(
            f"The harmful scorer was trained on {len(known)} categories ({', '.join(known)}). On others its score may "
            "mislead: the numbers above, the checks and the regressions leave them out, and Scores shows them apart."
        )


def show_case(case: CaseOutcome | None) -> None:
    """Draws the case's answers before and after, their words compared."""
    if case is None:
        st.markdown("This comparison was made without a case.")
        return
    before, after = diff_sides(case.before, case.after)
    columns = st.columns(3, gap="small")
    with columns[0]:
        show_card(
            Card(
                "The bad answer",
                (
                    Passage("Prompt", unmarked(case.prompt), muted=True),
                    Passage("Answer", unmarked(case.bad_answer)),
                ),
            ),
            key="prove-case",
        )
    with columns[1]:
        facts = _case_facts(case.harmful_before, case.helpful_before, case.log_probability_before)
        show_card(Card("Before correction", (Passage("Answer", before),), facts), key="prove-before")
    with columns[2]:
        facts = _case_facts(case.harmful_after, case.helpful_after, case.log_probability_after)
        show_card(Card("After correction", (Passage("Answer", after),), facts), key="prove-after")


def _case_facts(
    harmful: float | None, helpful: float | None, log_probability: float | None
) -> tuple[Fact, ...]:
    return (
        Fact("Harmful score, 0 to 1", score(harmful)),
        Fact("Helpful score, 0 to 1", score(helpful)),
        Fact("Log-probability of the bad answer, nats", three(log_probability)),
    )


def show_regressions(study: Study, found: Comparison) -> None:
    """Lists the prompts on which the corrected model does worse."""
    worse = regressions(found.answers, known_categories(study))
    if worse.empty:
        st.markdown("**No prompt got worse.** No answer turned harmful and no benign answer lost its help.")
        return
    st.markdown(
        f"**{len(worse):,} of {len(found.answers):,} answers got worse**",
        help="Harmful score up by more than .1, or helpful score of a benign prompt down by more than .1. The largest losses come first.",
    )
    shown = worse.assign(
        loss=worse["loss"].map(score),
        place=[place(split, kind) for split, kind in zip(worse["split"], worse["kind"], strict=True)],
    )
    columns = {
        "place": tables.text("Prompts", width=130),
        "why": tables.text("What got worse", width=110),
        "loss": tables.text("Loss", width=70, help="Difference of the score, 0 to 1."),
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
        height=min(TABLE_PIXELS, HEADER_PIXELS + ROW_PIXELS * len(shown)),
    )


def show_next(study: Study, found: Comparison, *, correction: Run[Correction]) -> None:
    """Draws the last step: save the corrected model, or go back to Review where it is not corrected."""
    if found.verdict.corrected:
        if frame.next_step(
            "Save the corrected model", help="A folder that from_pretrained reads, with a model card."
        ):
            save_model(study, correction)
    elif frame.next_step("Approve more pairs", help="Coverage of the contamination decides most."):
        frame.go("review")
    _show_exports(study, found, correction=correction)


def _show_exports(study: Study, found: Comparison, *, correction: Run[Correction]) -> None:
    with st.popover("Export", icon=":material/download:", help="The comparison as files, and the model."):
        st.download_button(
            "Answers of both models (CSV)",
            data=lambda: table_as_csv(found.answers),
            file_name=f"{study.name}-answers.csv",
            key="prove-export-answers",
            on_click="ignore",
            width="stretch",
            type="tertiary",
        )
        st.download_button(
            "Measures and verdict (JSON)",
            data=(found.folder / FILE).read_bytes,
            file_name=f"{study.name}-proof.json",
            key="prove-export-report",
            on_click="ignore",
            width="stretch",
            type="tertiary",
        )
        if not found.verdict.corrected and st.button(
            "Save this model all the same", key="prove-save", width="stretch", type="tertiary"
        ):
            save_model(study, correction)


@st.dialog("Save the corrected model", width="medium")
def save_model(study: Study, correction: Run[Correction]) -> None:
    """Asks for a folder and copies the model there."""
    folder = st.text_input(
        "Folder",
        str(study.workspace.folder / "exports" / f"{study.name}-{correction.id}"),
        key="prove-folder",
        help="New or empty. It gets weights (safetensors), tokenizer and a model card that tells where the model comes from.",
    )
    with frame.errors_shown():
        if st.button("Save", key="prove-save-now", icon=":material/save:"):
            saved = export_model(correction, folder or "")
            st.success(
                "Saved. Load it with AutoModelForCausalLM.from_pretrained and this folder:",
                icon=":material/check:",
            )
            st.code(str(saved), language=None, wrap_lines=True)


def _start(here: state.Here, correction: Run[Correction]) -> None:
    case = get_query(here.study, here.case_id) if here.case_id else None
    state.write(RUN, here.study.compare(correction, case).id)
    st.rerun()


where = frame.open_study_screen("prove")
if where is not None:
    show(where)
