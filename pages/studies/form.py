"""The form that a study is made by: model, training data, how its rows are read, scorers, queries and prompts."""

from pathlib import Path

import streamlit as st

from lancet_core.acts.prepare import CUT, REJECT
from lancet_core.data.adapters import AUTO, FORMATS
from lancet_core.data.columns import CATEGORY, LABEL, TEXTS, ColumnMap, write_columns
from lancet_core.data.conversations import ALL, LAST
from lancet_core.data.loading import UnderstoodRow
from lancet_core.models.templates import has_chat_template, template_names
from lancet_core.study.creation import Materials
from lancet_core.study.study import list_studies
from lancet_core.study.uploads import keep_upload
from lancet_core.workspace import Workspace
from pages.shared import frame
from pages.studies.preview import draw_preview, read_first_rows

HERE, UPLOAD = "A file on this machine", "Upload"
ENDINGS = ["jsonl", "json", "ndjson", "csv", "tsv", "parquet", "gz"]
FORMAT_NAMES = {
    AUTO: "Seen in each row",
    "plain": "Prompt and response",
    "messages": "Messages",
    "preference": "Chosen and rejected",
    "hh": "Anthropic HH dialogues",
    "pku": "PKU-SafeRLHF",
}
TURNS_NAMES = {LAST: "The last answer", ALL: "Every answer"}
TOO_LONG_NAMES = {CUT: "Keep its beginning", REJECT: "Leave it out"}
USUAL, AS_IT_IS, OWN = "", "raw", "own"
TEMPLATE_NAMES = {USUAL: "Chosen for the model", AS_IT_IS: "None: texts as they are", OWN: "A text of my own"}
OWN_TEXT = "\n\nHuman: {prompt}\n\nAssistant:"
TARGET_NAMES = {
    "prompt": "Prompt",
    "response": "Response",
    "messages": "Messages",
    "chosen": "Chosen",
    "rejected": "Rejected",
    CATEGORY: "Category",
    LABEL: "Safety label",
}


def ask(workspace: Workspace) -> tuple[str, Materials]:
    """Draws the form; returns the name and what the study would be made of as the form stands, empty texts where nothing is given."""
    left, right = st.columns(2, gap="large")
    with left:
        name = st.text_input(
            "Name of the study",
            key="s_name",
            bind="query-params",
            max_chars=64,
            placeholder="my-model",
            help="Letters, digits, '-', '_' and '.'.",
        )
        model = ask_model(workspace)
    with right:
        train = ask_training_data(workspace)
    rows: list[UnderstoodRow] = []
    format, columns = AUTO, ""
    if train:
        with frame.problem_shown():
            format, columns = ask_reading(train)
            rows = read_first_rows(train, format, columns)
            draw_preview(rows)
    turns, too_long, template = ask_encoding(model)
    harmful, helpful, queries, prompts = ask_files()
    return name or "", Materials(
        model=model,
        train=train,
        format=format,
        columns=columns,
        turns=turns,
        too_long=too_long,
        template=template,
        harmful_scorer=harmful,
        helpful_scorer=helpful,
        queries=queries,
        prompts=prompts,
    )


def ask_model(workspace: Workspace) -> str:
    """Draws the field for the model; those that studies use already can be chosen."""
    used = list(dict.fromkeys(study.model for study in list_studies(workspace=workspace)))
    chosen = st.selectbox(
        "Model",
        used,
        index=None,
        accept_new_options=True,
        key="s_model",
        placeholder="Folder or hub id",
        help="A causal language model that transformers loads from safetensors: a folder, an adapter's folder, or an id on the "
        "Hub. Those of the other studies are offered.",
    )
    return str(chosen or "").strip()


def ask_training_data(workspace: Workspace) -> str:
    """Draws the choice between a path and an upload; returns the path, empty where there is none yet."""
    way = st.segmented_control(
        "Training data", [HERE, UPLOAD], default=HERE, required=True, key="s_way", bind="query-params"
    )
    if way == HERE:
        path = st.text_input(
            "Path",
            key="s_train",
            bind="query-params",
            label_visibility="collapsed",
            placeholder="train.jsonl, a folder of shards, or one saved by datasets",
        )
        return (path or "").strip()
    given = st.file_uploader(
        "File",
        type=ENDINGS,
        key="s_upload",
        label_visibility="collapsed",
        help="Larger files are given by their path.",
    )
    return "" if given is None else str(keep_upload(workspace, given.name, given.getbuffer()))


def ask_reading(train: str) -> tuple[str, str]:
    """Draws how the rows are read: the format, and columns that are called otherwise; returns both as `--format` and `--map` take them."""
    found = list(dict.fromkeys(name for row in read_first_rows(train, AUTO, "") for name in row.columns))
    with st.expander("Format and columns", icon=":material/view_column:"):
        format = st.selectbox(
            "Format of the rows",
            [AUTO, *FORMATS],
            format_func=lambda each: FORMAT_NAMES.get(each, each),
            key="s_format",
            bind="query-params",
            width=280,
        )
        st.caption(
            "Columns that are called otherwise than LANCET expects; what is left empty is found by itself."
        )
        mapping = _ask_columns(found)
    return str(format), write_columns(mapping)


def _ask_columns(found: list[str]) -> ColumnMap:
    key = f"s-map-{abs(hash(tuple(found)))}"
    chosen: dict[str, str] = {}
    for start in range(0, len(TARGET_NAMES), 4):
        targets = list(TARGET_NAMES)[start : start + 4]
        for cell, target in zip(st.columns(4), targets, strict=False):
            with cell:
                column = st.selectbox(
                    TARGET_NAMES[target], found, index=None, placeholder="as found", key=f"{key}-{target}"
                )
            if column is not None:
                chosen[target] = column
    inverted = LABEL in chosen and st.toggle(
        "The label says that a sample is harmful, not that it is safe", key=f"{key}-inverted"
    )
    return ColumnMap(
        {target: chosen[target] for target in (*TEXTS, LABEL) if target in chosen}, bool(inverted)
    )


def ask_encoding(model: str) -> tuple[str, str, str]:
    """Draws which turns count, what becomes of long answers, and the template."""
    folder = Path(model).expanduser() if model else Path("/nowhere")
    named = {name: f"The model's template {name!r}" for name in template_names(folder)}
    with st.expander("How the model was trained on it", icon=":material/token:"):
        turns, too_long, template = st.columns(3)
        counted = turns.segmented_control(
            "What counts in a conversation",
            list(TURNS_NAMES),
            default=LAST,
            required=True,
            format_func=TURNS_NAMES.__getitem__,
            key="s_turns",
            bind="query-params",
            help="As the trainer's loss took it: the last answer alone, or the answer of each turn.",
        )
        long = too_long.segmented_control(
            "A response longer than the context",
            list(TOO_LONG_NAMES),
            default=CUT,
            required=True,
            format_func=TOO_LONG_NAMES.__getitem__,
            key="s_long",
            bind="query-params",
        )
        choices = {**TEMPLATE_NAMES, **named}
        chosen = template.selectbox(
            "Template",
            list(choices),
            format_func=choices.__getitem__,
            key="s_template",
            help="How a conversation becomes one text. The model's own chat template, where it has one; else Human and Assistant.",
        )
        if model and chosen == USUAL:
            own = has_chat_template(folder, "auto")
            template.caption(
                "The model's chat template" if own else "Human: … Assistant: …, or HH dialogues as they are"
            )
        text = OWN_TEXT
        if chosen == OWN:
            text = st.text_area(
                "Text with {prompt} where the prompt goes", OWN_TEXT, key="s_own_template", height=130
            )
    return str(counted), str(long), str(text if chosen == OWN else chosen)


def ask_files() -> tuple[str, str, str, str]:
    """Draws the fields for scorers, queries and prompts, all of which may stay empty."""
    with st.expander("Scorers, bad answers and prompts", icon=":material/rule:"):
        first, second = st.columns(2), st.columns(2)
        fields = (
            (first[0], "Harmful scorer", "s_harmful", "Folder of a classifier with scorer.json"),
            (first[1], "Helpful scorer", "s_helpful", "Folder of a classifier with scorer.json"),
            (second[0], "Known bad answers (queries)", "s_queries", "File with prompt and response"),
            (
                second[1],
                "Prompts that prove a correction",
                "s_prompts",
                "File with prompt, and split, kind, category",
            ),
        )
        values = [
            cell.text_input(label, key=key, bind="query-params", placeholder=placeholder)
            for cell, label, key, placeholder in fields
        ]
    harmful, helpful, queries, prompts = ((value or "").strip() for value in values)
    return harmful, helpful, queries, prompts
