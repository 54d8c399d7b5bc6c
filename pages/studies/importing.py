"""Importing a ranking that another tool made: it is then audited, reviewed and corrected from like our own."""

import streamlit as st

from lancet_core.data.inputs import load_queries
from lancet_core.study.imports import method_of
from lancet_core.study.study import Study
from lancet_core.study.uploads import keep_upload
from pages.shared import frame
from pages.shared.methods import method_name

ENDINGS = ["npy", "safetensors", "parquet", "csv", "jsonl"]
AS_SEEN = "As the file tells"
SIGNS = {AS_SEEN: None, "Positive pushes towards the answer": False, "Positive pushes away": True}
ROWS = {AS_SEEN: "", "Each row is a query": "queries", "Each row is a sample": "samples"}


def draw_importing(study: Study) -> None:
    """Draws the menu with the fields; a ranking that was imported opens on Trace."""
    with st.popover("Import scores", icon=":material/input:", key="s-import"):
        path = st.text_input(
            "Scores that another tool made",
            key="s-import-path",
            placeholder="File or folder",
            help="A matrix (.npy, .safetensors), a table (.parquet, .csv, .jsonl), scores of kronfluence or bergson, or a TRAK folder.",
        )
        given = st.file_uploader("Or upload a file", type=ENDINGS, key="s-import-upload")
        queries = st.text_input(
            "Queries, in the order of the scores",
            key="s-import-queries",
            placeholder="empty: those of the study",
        )
        sign = st.selectbox("Sign", list(SIGNS), key="s-import-sign")
        rows = st.selectbox("Shape", list(ROWS), key="s-import-rows")
        tool = st.text_input("Made by", key="s-import-tool", placeholder="as the file tells")
        batch = st.toggle("Scores of each group of queries as one", key="s-import-batch")
        if st.button("Import the scores", key="s-import-button", disabled=not (path or given)):
            with frame.problem_shown():
                run = study.import_attribution(
                    keep_upload(study.workspace, given.name, given.getbuffer())
                    if given
                    else str(path).strip(),
                    queries=load_queries(str(queries).strip()) if queries else (),
                    negate=SIGNS[str(sign)],
                    rows=ROWS[str(rows)],
                    tool=(tool or "").strip(),
                    batch=bool(batch),
                )
                group = run.result.queries[0]
                if len(group.members) == 1:
                    frame.go("trace", case=group.query_id, t_method=method_name(method_of(run.order.request)))
                frame.go("runs", runs_run=run.id)
