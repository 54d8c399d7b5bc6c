"""Text that a file or a person can fill never reaches a place where Streamlit reads Markdown, and never a plot as markup."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import sqlalchemy as sa
from google.protobuf.message import Message
from streamlit.testing.v1 import AppTest
from streamlit.testing.v1.element_tree import Block

from lancet_core.acts.attribute import Attribution
from lancet_core.acts.compare import CaseOutcome
from lancet_core.data.samples import Query
from lancet_core.evaluation.verdict import Check, Verdict
from lancet_core.store import schema
from lancet_core.store.database import writing
from lancet_core.store.queries import add_queries
from lancet_core.store.runs import get_run
from lancet_core.study import review
from lancet_core.study.queue import View, queue
from pages.shared.plain_text import plain
from pages.shared.screens import SCREENS
from tests.browser import written_study
from tests.browser.written_study import NAME
from tests.pages.conftest import Written, draw, make_written

CORPUS = {
    "image": "![x](http://example.invalid/x.png)",
    "html": "<img src=http://example.invalid/i.png>",
    "link": "[x](http://example.invalid)",
    "address": "http://example.invalid/bare",
    "directive": ":red[x]",
    "icon": ":material/home:",
    "emoji": ":smile:",
    "formula": "$x^2$",
    "code": "`x`",
    "bold": "**x**",
    "control": "a\x07b",
    "direction": "a\u202eb",
}
EVERYTHING = " ".join(CORPUS.values())
INTERPRETED = {"label", "body", "help", "text", "tooltip", "title", "placeholder_markdown"}
"""Fields of Streamlit's messages that the browser reads as Markdown."""
PLAIN_ELEMENTS = {"text", "code", "bidi_component", "arrow_data_frame", "arrow_table", "html"}
"""Elements that show text letter by letter; `html` holds our style alone."""
PLAIN_LABELS = {"selectbox", "multiselect"}
VIEWS = {
    "prove": [{"p_view": view} for view in ("The case", "Scores", "Regressions", "Ask both models")],
    "runs": [{"runs_view": view} for view in ("Result", "Curves", "Settings", "Log")],
    "review": [{"r_show": "Flagged"}, {"r_diff": "true"}],
    "trace": [{}, {"case": "", "t_prompt": EVERYTHING}],
}


def elements(node: Any) -> Iterator[tuple[str, Message]]:
    """Walks over what was drawn: kind and message of each element and container."""
    if isinstance(node, Block):
        proto = getattr(node, "proto", None)
        if proto is not None:
            yield node.type, proto
        for child in node.children.values():
            yield from elements(child)
    else:
        yield node.type, node.proto


def interpreted(message: Message) -> Iterator[str]:
    """Lists the texts of a message that are read as Markdown."""
    for field, value in message.ListFields():
        values = value if isinstance(value, list) or hasattr(value, "append") else [value]
        for each in values:
            if isinstance(each, str) and field.name in INTERPRETED:
                yield each
            elif isinstance(each, Message):
                yield from interpreted(each)


def markdown_of(app: AppTest) -> list[str]:
    return [
        text
        for kind, message in elements(app._tree)
        if kind not in PLAIN_ELEMENTS
        for text in interpreted(message)
    ]


def plots_of(app: AppTest) -> list[str]:
    return [message.spec for kind, message in elements(app._tree) if kind == "plotly_chart"]


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Written]:
    """The written study with hostile text in every field that a file or a person can fill."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(written_study, "write_model_folder", hostile_model_folder)
        patch.setattr(written_study, "_verdict", hostile_verdict)
        patch.setattr(written_study, "_metrics", hostile_metrics)
        patch.setattr(written_study, "_case_outcome", hostile_case)
        patch.setattr(written_study, "_terms", lambda: {str(number): [EVERYTHING] for number in range(3)})
        written = make_written(tmp_path_factory.mktemp("hostile"), patch)
        fill(written, patch)
        yield written


def hostile_model_folder(parent: Path, make=written_study.write_model_folder) -> Path:
    folder = make(parent)
    (folder / "config.json").write_text(json.dumps({"architectures": [EVERYTHING], "model_type": "llama"}))
    return folder


def hostile_verdict(corrected: bool, make=written_study._verdict) -> Verdict:
    verdict = make(corrected)
    checks = tuple(
        Check(EVERYTHING if number == 0 else check.name, check.passed, EVERYTHING, EVERYTHING, EVERYTHING)
        for number, check in enumerate(verdict.checks)
    )
    return replace(verdict, checks=checks, advice=(EVERYTHING,))


def hostile_metrics(make=written_study._metrics) -> tuple[dict[str, Any], ...]:
    first, *rest = make()
    return first | {"split": EVERYTHING, "kind": EVERYTHING}, *rest


def hostile_case(case: Query, corrected: bool, make=written_study._case_outcome) -> CaseOutcome:
    texts = dict.fromkeys(("prompt", "bad_answer", "before", "after", "category"), EVERYTHING)
    return replace(make(case, corrected), **texts)


def fill(written: Written, patch: pytest.MonkeyPatch) -> None:
    workspace, study = written.workspace, written.study
    samples = study.samples()
    samples.assign(prompt=EVERYTHING, response=EVERYTHING).to_parquet(study.samples_file, index=False)
    query = Query(EVERYTHING, EVERYTHING, category=EVERYTHING)
    add_queries(study, [query], "typed")
    pair = queue(study, View("x", order="influence"))["pair_id"].iloc[0]
    review.decide(workspace, pair, "flag", reviewer=EVERYTHING[:60])
    config = get_run(workspace, written.values["correct"]["k_run"]).folder / "config.json"
    config.write_text(config.read_text().replace('"bounded"', json.dumps(EVERYTHING)))
    answers = get_run(workspace, written.values["prove"]["p_run"]).folder / "answers.parquet"
    table = pd.read_parquet(answers)
    table.assign(
        **dict.fromkeys(("prompt", "before", "after", "category", "split", "kind"), EVERYTHING)
    ).to_parquet(answers, index=False)
    with writing(workspace) as connection:
        connection.execute(sa.update(schema.runs).values(title=EVERYTHING, outcome=EVERYTHING))
    patch.setattr(
        Attribution, "upgraded", classmethod(lambda _kind, values: values | {"notes": [EVERYTHING]})
    )


def assert_plain(app: AppTest) -> None:
    assert [str(error.value) for error in app.exception] == []
    written = markdown_of(app)
    assert written
    raw = {name: [text for text in written if piece in text] for name, piece in CORPUS.items()}
    assert {name: texts for name, texts in raw.items() if texts} == {}
    assert not [spec for spec in plots_of(app) if "<img" in spec or "<a " in spec]


@pytest.mark.parametrize(
    ("screen", "view"),
    [(screen, view) for screen in SCREENS for view in VIEWS.get(screen, [{}])],
    ids=lambda value: value if isinstance(value, str) else "-".join(value),
)
def test_no_screen_interprets_text_from_outside(hostile: Written, screen: str, view: dict[str, str]):
    values = {"study": NAME, "case": hostile.case, "reviewer": EVERYTHING[:60]} | hostile.values.get(
        screen, {}
    )
    assert_plain(draw(hostile.workspace, screen, **(values | view)))


@pytest.mark.parametrize("screen", ["trace", "correct", "prove", "home", "runs"])
@pytest.mark.parametrize("state", ["running", "failed"])
def test_no_run_interprets_its_step_or_its_error(hostile: Written, standing_at, screen: str, state: str):
    standing_at(state, step=EVERYTHING, error=EVERYTHING, done=1, total=2)
    values = {"study": NAME, "case": hostile.case} | hostile.values.get(screen, {})
    assert_plain(draw(hostile.workspace, screen, **values))


def test_an_error_names_what_the_url_said_as_plain_text(hostile: Written):
    assert_plain(draw(hostile.workspace, "trace", study=EVERYTHING))


@pytest.mark.parametrize("piece", CORPUS.values(), ids=CORPUS)
def test_the_door_leaves_no_piece_as_it_was(piece: str):
    assert piece not in plain(f"before {piece} after")


def test_the_door_keeps_words_and_their_order():
    shown = plain("Yes, 3.5 of   ten\nare fine").replace("\\", "")
    assert shown == "Yes, 3.5 of ten are fine"
