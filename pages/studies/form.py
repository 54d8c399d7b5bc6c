"""The form that a study is made by: model, training data, how its rows are read, scorers, queries and prompts."""

from pathlib import Path
from typing import Literal

import streamlit as st

from lancet_core.acts.prepare import CUT, REJECT
from lancet_core.config import Setting, describe
from lancet_core.data.adapters import AUTO, FORMATS
from lancet_core.data.columns import CATEGORY, LABEL, TEXTS, ColumnMap, write_columns
from lancet_core.data.conversations import ALL, LAST
from lancet_core.data.loading import UnderstoodRow
from lancet_core.evaluation.scorer_cards import ScorerDeclaration, resolve_scorer, scorer_card
from lancet_core.models.fingerprints import ADAPTER_CONFIG, CONFIG, tokenizer_folder
from lancet_core.models.template_names import KNOWN_TEXTS, has_chat_template, template_names
from lancet_core.study.creation import Materials
from lancet_core.workspace import Workspace
from pages.shared import frame
from pages.shared.materials import ask_data, ask_model
from pages.shared.plain_text import plain
from pages.studies.fits import name_of
from pages.studies.preview import draw_preview, read_first_rows

FORMAT_NAMES = {
    AUTO: "Seen in each row",
    "plain": "Prompt and response",
    "messages": "Messages",
    "preference": "Chosen and rejected",
    "hh": "Anthropic HH dialogues",
    "pku": "PKU-SafeRLHF",
    "date-lm": "DATE-LM",
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
    "system": "System message",
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
        base = ask_base(model)
    with right:
        train = ask_data(workspace)
    rows: list[UnderstoodRow] = []
    format, columns = AUTO, ""
    if train:
        with frame.problem_shown():
            format, columns = ask_reading(train)
            rows = read_first_rows(train, format, columns)
            draw_preview(rows)
    turns, too_long, template = ask_encoding(model)
    reading = {
        "format": format,
        "columns": columns,
        "turns": turns,
        "too_long": too_long,
        "template": template,
    }
    return name or "", Materials(model=model, train=train, base=base, **reading, **ask_files())


def ask_reading(train: str) -> tuple[str, str]:
    """Draws how the rows are read: the format, and columns that are called otherwise; returns both as `--format` and `--map` take them."""
    rows = read_first_rows(train, AUTO, "")
    found = list(dict.fromkeys(name for row in rows for name in row.columns))
    unknown = bool(rows) and all(row.problem for row in rows)
    with st.expander("Format and columns", icon=":material/view_column:", expanded=unknown):
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
        choices = template_choices(folder)
        chosen = template.selectbox(
            "Template",
            list(choices),
            format_func=choices.__getitem__,
            key="s_template",
            help="How a conversation becomes one text. The model's own chat template, where it has one; else Human and Assistant.",
        )
        if chosen == USUAL and folder.is_dir():
            with template, frame.problem_shown():
                own = has_chat_template(tokenizer_folder(folder), "auto")
                st.caption(
                    "The model's chat template"
                    if own
                    else "Human: … Assistant: …, or HH dialogues as they are"
                )
        text = OWN_TEXT
        if chosen == OWN:
            text = st.text_area(
                "Text with {prompt} where the prompt goes", OWN_TEXT, key="s_own_template", height=130
            )
    return str(counted), str(long), str(text if chosen == OWN else chosen)


def template_choices(folder: Path) -> dict[str, str]:
    """Templates that a study of this model folder can take, with what each is called."""
    named = {name: f"The model's template {name!r}" for name in template_names(folder)}
    return {**TEMPLATE_NAMES, **named, **{name: name_of(name) for name in KNOWN_TEXTS}}


def ask_base(model: str) -> str:
    """Draws the field for an adapter's base, where the model is an adapter; returns it, empty where it is what the adapter says."""
    folder = Path(model).expanduser() if model else None
    if folder is None or not (folder / ADAPTER_CONFIG).is_file() or (folder / CONFIG).is_file():
        return ""
    base = st.text_input(
        "The adapter's base",
        key="s_base",
        bind="query-params",
        placeholder="as the adapter says",
        help="Folder or hub id of the model that the adapter belongs to, where that is not what it says.",
    )
    return (base or "").strip()


def ask_files() -> dict[str, str]:
    """Draws the fields for scorers, queries and prompts, all of which may stay empty; returns them by the names of `Materials`."""
    with st.expander("Scorers, bad answers and prompts", icon=":material/rule:"):
        values: dict[str, str] = {}
        for cell, column in zip(st.columns(2, gap="large"), ("harmful", "helpful"), strict=True):
            with cell:
                values |= ask_scorer(column, key=f"s_{column}", bind="query-params")
        fields = (
            ("queries", "Known bad answers (queries)", "File with prompt and response"),
            ("prompts", "Prompts that prove a correction", "File with prompt, and split, kind, category"),
            ("scores", "Scores made elsewhere", "File with harmful or helpful; id, or prompt and response"),
            ("scores_as", "What they mean, if not from 0 to 1", "higher_is=harmful,mapping=sigmoid"),
        )
        cells = (*st.columns(2, gap="large"), *st.columns(2, gap="large"))
        for cell, (name, label, placeholder) in zip(cells, fields, strict=True):
            typed = cell.text_input(label, key=f"s_{name}", bind="query-params", placeholder=placeholder)
            values[name] = (typed or "").strip()
    return values


def ask_scorer(
    column: str, *, key: str, current: str = "", bind: Literal["query-params"] | None = None
) -> dict[str, str]:
    """Draws the field for one scorer, and what may be said of it where it is of no known family.

    Args:
        column: `harmful` or `helpful`.
        key: Key of the field, and start of the others'.
        current: Folder that stands in the field at first.
        bind: Where the field is kept beside the session.

    Returns:
        The folder and what is said of it, by the names of `Materials`.
    """
    folder = st.text_input(
        f"{column.capitalize()} scorer",
        current,
        key=key,
        bind=bind,
        placeholder="Folder or hub id",
        help="Published scorers are known by themselves, others by their scorer.json, or by what is said of them below.",
    )
    folder = (folder or "").strip()
    if not folder:
        return {f"{column}_scorer": ""}
    with st.popover("What its output means", icon=":material/tune:", key=f"{key}-as"):
        declared = ",".join(filter(None, (_ask_declared(each, key) for each in describe(ScorerDeclaration))))
    if Path(folder).expanduser().is_dir():  # one on the hub is looked at when the study is made
        with frame.problem_shown():
            st.caption(plain(scorer_card(resolve_scorer(folder, declared, column=column)).summary))
    return {f"{column}_scorer": folder, f"{column}_scorer_as": declared}


def _ask_declared(each: Setting, start: str) -> str:
    """Draws one field of a scorer's declaration; returns it as `--harmful-scorer-as` takes it, empty where nothing is said."""
    label, key = each.name.replace("_", " ").capitalize(), f"{start}-{each.name}"
    if each.choices:
        value = st.selectbox(
            label, each.choices, index=None, placeholder="as it says itself", key=key, help=each.help
        )
    else:
        value = st.text_input(label, key=key, help=each.help, placeholder="as it says itself")
    text = str(value or "").strip().replace("\n", "\\n")
    return f"{each.name}={text}" if text else ""
