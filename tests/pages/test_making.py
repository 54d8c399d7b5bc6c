"""The form that a study is made by says what is wrong before a run is started."""

from pathlib import Path
from typing import Any

import pytest

from lancet_core.store.runs import RunFilter, list_runs
from lancet_core.store.studies import NewStudy, add_study
from lancet_core.workspace import Workspace
from pages.studies.form import OWN
from tests.pages.conftest import draw, texts
from tests.written_rows import plain_rows, write_lines


def test_a_template_that_is_none_is_told_in_the_form(
    empty_workspace: Workspace, tmp_path: Path, tiny_model_folder: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LANCET_WORKSPACE", str(empty_workspace.folder))
    train = write_lines(tmp_path / "train.jsonl", plain_rows(4))
    model = str(tiny_model_folder("llama"))
    add_study(empty_workspace, NewStudy("other", model, "auto"))  # models of other studies are offered
    app = draw(empty_workspace, "studies", s_new="1", s_name="mine", s_train=str(train))
    app.selectbox(key="s_model").set_value(model)
    app.selectbox(key="s_template").set_value(OWN).run()
    app.text_area(key="s_own_template").set_value("Question").run()
    assert [str(each.value) for each in app.exception] == []
    assert "the template 'Question' is none of this model; it has auto, safe-rlhf, alpaca," in texts(app)
    assert list_runs(empty_workspace, RunFilter()) == []
