"""A study as it stands: what it is made of, what was understood of its data, its index, and keeping it."""

from pathlib import Path

import pandas as pd
import streamlit as st

from lancet_core.data.reading import read_rows
from lancet_core.evaluation.scorer_cards import described
from lancet_core.influence.presets import preset
from lancet_core.study.creation import Materials
from lancet_core.study.looking import find_look, look_at
from lancet_core.study.making import list_making
from lancet_core.study.recipes import study_recipe
from lancet_core.study.study import Study, list_studies
from pages.shared import candidates, frame, reading, runs, state, tables
from pages.shared.copying import draw_copy
from pages.shared.diff import unmarked
from pages.shared.facts import draw_facts
from pages.shared.numbers import percent
from pages.studies import counts
from pages.studies.change_form import draw_changing
from pages.studies.changing import draw_change_under_way
from pages.studies.fits import draw_fits, draw_scorer_means
from pages.studies.harm import draw_harm
from pages.studies.keeping import draw_keeping
from pages.studies.making import NEW, draw_under_way
from pages.studies.queries import draw_queries
from pages.studies.samples import draw_samples


def show_study(study: Study) -> None:
    """Draws the study at hand, the others, and the way to a new one."""
    for name, run in list_making(study.workspace).items():
        draw_under_way(study.workspace, name, run)
    with st.container(horizontal=True, vertical_alignment="center"):
        if st.button("New study", icon=":material/add:", key="s-new"):
            state.write(NEW, "1")
            st.rerun()
        draw_changing(study)
        draw_keeping(study)
        draw_copy(lambda: study_recipe(study), key="study")
    draw_change_under_way(study)
    draw_made_of(study)
    samples = study.samples()
    draw_counts(study, samples)
    left, right = st.columns(2, gap="large")
    with left:
        counts.draw_balance(samples["is_safe"])
        counts.draw_categories(samples["categories"])
        draw_scorer_means(samples)
        draw_fits(study)
    with right:
        draw_lengths(study, samples)
        draw_harm(samples)
    draw_rejected(study)
    draw_samples(study, samples)
    draw_queries(study)
    st.markdown("#### Gradient index")
    candidates.draw_indexing(study, preset(), offered=True)
    draw_others(study)
    if frame.next_step("Open a case", help="A bad answer that is known, or one of your own."):
        frame.go("home")


def draw_made_of(study: Study) -> None:
    """Draws model, template and scorers."""
    parts = {
        "Model": study.model,
        "Template": {"auto": "chosen for the model", "raw": "none, texts as they are"}.get(
            study.template, study.template
        ),
        "Harmful scorer": described(study.harmful_scorer),
        "Helpful scorer": described(study.helpful_scorer),
    }
    passages = tuple(reading.Passage(name, unmarked(text)) for name, text in parts.items() if text)
    reading.show_card(reading.Card(study.name, passages), key="s-made-of")


def draw_counts(study: Study, samples: pd.DataFrame) -> None:
    """Draws how much there is, as far as it was counted when the study was made."""
    known = study.counts
    cut = known.get("cut", 0) + known.get("shortened", 0)
    facts: dict[str, int | str] = {"Samples": len(samples), "Queries": len(study.queries())}
    for name, title in (("rows", "Rows read"), ("rejected", "Rejected"), ("duplicates", "Duplicates")):
        if name in known:
            facts[title] = known[name]
    draw_facts(facts | {"Cut to the context": percent(cut / len(samples))})


def draw_lengths(study: Study, samples: pd.DataFrame) -> None:
    """Draws the lengths; where they were not counted when the study was made, it offers to."""
    if "tokens" in samples:
        counts.draw_lengths(samples["tokens"], study.counts.get("context", 0))
        return
    with frame.problem_shown():  # the model may be gone; all else can still be read
        _draw_counting(study, turns=str(samples["turns"].iloc[0]))


def _draw_counting(study: Study, *, turns: str) -> None:
    materials = Materials(study.model, study.samples_file, turns=turns, template=study.template)
    look = find_look(study.workspace, materials)
    if look is None:
        st.markdown("#### Length in tokens")
        if st.button("Count the tokens", icon=":material/straighten:", key="s-count"):
            look = look_at(study.workspace, materials)
    if look is not None and runs.watch(look, title="Counting the tokens of all samples").state == "done":
        counts.draw_lengths(look.result.lengths, look.result.context)


def draw_rejected(study: Study) -> None:
    """Draws the rows that were left out when the study was made."""
    if study.rejected_file.is_file():
        rows = [dict(row.values) for row in read_rows(study.rejected_file)]
        rejected = pd.DataFrame(rows, columns=["row", "reason"])
        counts.draw_rejected(rejected, rows=study.counts.get("rows", 0), name=study.name)


def draw_others(study: Study) -> None:
    """Lists the studies of the workspace where there are others."""
    studies = list_studies(workspace=study.workspace)
    if len(studies) < 2:
        return
    st.markdown("#### All studies")
    rows = [
        {
            "name": each.name,
            "samples": each.counts.get("samples"),
            "model": Path(each.model).name,
            "created": each.created_at,
        }
        for each in studies
    ]
    columns = {
        "name": tables.text("Study", width=200),
        "samples": tables.count("Samples"),
        "model": tables.text("Model"),
        "created": tables.moment("Made"),
    }
    picked = tables.pick(pd.DataFrame(rows), columns, key="s-others", id_column="name")
    if picked and picked != study.name:
        frame.go("studies", study=picked, case="")
