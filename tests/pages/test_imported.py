"""An imported attribution on the screens: Trace and Audit show it beside our methods, under the name of its tool."""

import numpy as np
import pytest

from lancet_core.store.queries import get_query
from pages.shared.methods import method_name
from tests.pages.conftest import Written, draw, texts

METHOD = "imported: their tool"


@pytest.fixture
def imported(written: Written, tmp_path):
    """Scores of the traced case in which the samples of the study stand in their order, made elsewhere."""
    count = len(written.study.samples())
    np.save(tmp_path / "scores.npy", np.linspace(1.0, -1.0, count))
    query = get_query(written.study, written.case)
    return written.study.import_attribution(tmp_path / "scores.npy", queries=[query], tool="their tool")


def test_trace_shows_it_under_its_name(written: Written, imported):
    app = draw(
        written.workspace, "trace", study=written.study.name, case=written.case, t_method=method_name(METHOD)
    )
    assert not app.exception
    assert app.selectbox(key="t_method").value == METHOD
    assert f"as {METHOD}" in texts(app)


def test_audit_lays_it_beside_ours(written: Written, imported):
    app = draw(
        written.workspace,
        "audit",
        study=written.study.name,
        case=written.case,
        a_methods=[method_name("linfac-head"), method_name(METHOD)],
    )
    assert not app.exception
    named = {str(value) for frame in app.dataframe for value in frame.value.to_numpy().ravel()}
    assert {method_name("linfac-head"), method_name(METHOD)} <= named


def test_review_counts_the_pairs_of_equal_prompts(written: Written, imported):
    samples = written.study.samples()
    repeated = samples["prompt"].where(
        samples.index < len(samples) // 2, samples["prompt"].iloc[::-1].to_numpy()
    )
    samples.assign(prompt=repeated).to_parquet(written.study.samples_file)
    assert written.study.propose_pairs(imported).equal_prompts > 0
    app = draw(written.workspace, "review", study=written.study.name, case=written.case)
    samples.to_parquet(written.study.samples_file)
    assert not app.exception
    (progress,) = app.get("progress")
    assert progress.proto.text.endswith("listed have equal prompts")


def test_scores_are_imported_by_form_and_open_on_trace(written: Written, tmp_path, monkeypatch):
    monkeypatch.setenv("LANCET_WORKSPACE", str(written.workspace.folder))
    count = len(written.study.samples())
    queries = written.study.queries()
    np.save(tmp_path / "theirs.npy", np.ones((len(queries), count)) * np.linspace(1.0, -1.0, count))
    app = draw(written.workspace, "studies", study=written.study.name)
    app.text_input(key="s-import-path").set_value(str(tmp_path / "nowhere.npy")).run()
    app.button(key="s-import-button").click().run()
    assert "nowhere.npy" in texts(app)
    app.text_input(key="s-import-path").set_value(str(tmp_path / "theirs.npy")).run()
    app.button(key="s-import-button").click().run()
    assert not app.exception
    assert any(method_name("imported: theirs") in str(box.options) for box in app.selectbox)
