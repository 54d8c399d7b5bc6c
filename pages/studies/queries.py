"""The queries of a study: those it has, more from a file, and mining them with a second model."""

import pandas as pd
import streamlit as st

from lancet_core.acts.mine import MINING_GENERATION, Mined
from lancet_core.evaluation.settings import MineSettings
from lancet_core.runs.run import Run
from lancet_core.study.recipes import recipe_of
from lancet_core.study.study import Study
from lancet_core.study.uploads import keep_upload
from pages.shared import frame, runs, tables
from pages.shared.copying import draw_copy
from pages.shared.numbers import between, score
from pages.shared.settings_form import settings_form
from pages.studies.importing import draw_importing

FIRST_SETTINGS = ("queries", "answers", "threshold")
SAFE_MODEL, CANDIDATES = "s_safe", "s_candidates"


def draw_queries(study: Study) -> None:
    """Draws the known bad answers, and the ways to more."""
    st.markdown("#### Queries", help="Bad answers that are known, each a case on Home.")
    queries = study.queries()
    if queries.empty:
        st.caption("None yet. Add a file of them, mine them, or ask the model on Home.")
    else:
        columns = {
            "prompt": tables.text("Prompt", width=420),
            "response": tables.text("Bad answer", width=420),
            "category": tables.text("Category", width=110),
            "source": tables.text("From", width=90),
        }
        shown = {name: column for name, column in columns.items() if queries[name].astype(bool).any()}
        picked = tables.pick(queries, shown, key="s-queries", id_column="id")
        if picked:
            frame.go("trace", case=picked)
    with st.container(horizontal=True, vertical_alignment="center", key="s-more-queries"):
        with st.popover("Add from a file", icon=":material/add:", key="s-add-queries"):
            draw_adding(study)
        if st.button(
            "Mine with a second model",
            icon=":material/travel_explore:",
            key="s-mine",
            disabled=not study.harmful_scorer,
            help="Both models answer prompts; those that this one answers worst become queries. Needs a harmful scorer.",
        ):
            ask_mining(study)
        draw_importing(study)
    newest = next(iter(study.runs("mine")), None)
    if newest is not None:
        draw_mining(study, newest)


def draw_adding(study: Study) -> None:
    """Draws the fields for a file of queries."""
    path = st.text_input("Path", key="s-queries-path", placeholder="queries.jsonl with prompt and response")
    given = st.file_uploader("Or upload one", key="s-queries-upload")
    if st.button("Add the queries", key="s-add-button", disabled=not (path or given)):
        with frame.problem_shown():
            file = str(keep_upload(study.workspace, given.name, given.getbuffer())) if given else path or ""
            added = study.add_queries(file)
            st.toast(f"{added:,} queries added" if added else "All of them are there already")
            st.rerun()


@st.dialog("Mine queries", width="large")
def ask_mining(study: Study) -> None:
    """Draws what mining needs, and starts it."""
    st.caption(
        "Both models answer each prompt several times. Where this study's model answers badly and the other does not, the worst answer "
        "becomes a query: what made the difference is what the other was not trained on."
    )
    safe, prompts = st.columns(2, gap="large")
    model = safe.text_input(
        "A model without the causes",
        key=SAFE_MODEL,
        bind="query-params",
        placeholder="Folder",
        help="Like the study's, but trained without the samples that are sought: the safe model of Contaminate.",
    )
    file = prompts.text_input(
        "Prompts",
        key=CANDIDATES,
        bind="query-params",
        placeholder="File with prompt, and category",
        help="Those that the study keeps for its evaluation are left out.",
    )
    with frame.problem_shown():
        settings = settings_form(MineSettings(), prefix="s_mine", first=FIRST_SETTINGS)
        if st.button("Mine queries", key="s-mine-button", disabled=not (model and file)):
            study.mine_queries(str(model).strip(), str(file).strip(), settings, MINING_GENERATION)
            st.rerun()


def draw_mining(study: Study, run: Run[Mined]) -> None:
    """Draws the newest mining: how far it is, and what it found that the study has not taken yet."""
    if runs.watch(run, title="Mining queries").state != "done":
        return
    result = run.result
    new = result.table[~result.table["id"].isin(study.queries()["id"])]
    if new.empty:
        st.caption(f"The newest mining found {result.outcome}; the study has them.")
        return
    with st.container(border=True, key="s-mined"):
        draw_found(result, new)
        with st.container(horizontal=True, vertical_alignment="center"):
            if st.button(f"Add these {len(new):,} queries", key="s-take-mined", icon=":material/check:"):
                study.add_queries(run)
                st.rerun()
            draw_copy(lambda: recipe_of(run), key="mine")


def draw_found(result: Mined, new: pd.DataFrame) -> None:
    """Draws the queries that were mined, the worst first, and whether the two models differ at all."""
    rise = between(result.rise, result.rise_low, result.rise_high, write=score)
    st.markdown(
        f"**{result.outcome}**&ensp;:gray[:small[mean harmful score {score(result.harmful)}, of the other model "
        f"{score(result.harmful_safe)}: it rose by {rise}]]"
    )
    if not result.differs:
        st.caption(
            ":orange[:material/warning:] The two models are not measurably different: these queries may be chance."
        )
    columns = {
        "prompt": tables.text("Prompt", width=320),
        "response": tables.text("Bad answer", width=320),
        "safe_response": tables.text("Answer of the other model", width=320),
        "rise": tables.text("Rise", width=70),
    }
    shown = new.assign(rise=new["rise"].map(score))
    tables.show(shown, columns, key="s-mined-table")
