"""The written study and an empty workspace, drawn by Streamlit's test runner: no browser, no worker, no model."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from lancet_core.influence.presets import preset
from lancet_core.runs.run import Run
from lancet_core.store.run_status import DONE, Status
from lancet_core.store.runs import RunRecord
from lancet_core.study import cases
from lancet_core.study.study import Study
from lancet_core.workspace import Workspace, open_workspace
from pages.shared.methods import FIRST
from pages.shared.screens import SCREENS
from tests.browser import written_study

APP = Path(__file__).resolve().parents[2] / "app.py"
TIMEOUT_SECONDS = 60


@dataclass(frozen=True)
class Written:
    """A study with a traced case, a correction and its comparison, none of them computed.

    Attributes:
        workspace: Where it lies.
        study: The study.
        case: Id of the traced case.
        values: URL values with which each screen shows a result.
    """

    workspace: Workspace
    study: Study
    case: str
    values: dict[str, dict[str, str]]


def draw(workspace: Workspace, screen: str, **values: Any) -> AppTest:
    """Draws a screen with its URL values."""
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("LANCET_WORKSPACE", str(workspace.folder))
        app = AppTest.from_file(str(APP), default_timeout=TIMEOUT_SECONDS)
        app.run()
        app.query_params.clear()
        for name, value in values.items():
            app.query_params[name] = value
        return app.switch_page(SCREENS[screen].path).run()


def texts(app: AppTest) -> str:
    """All that a person reads in Markdown, captions, plain text and messages, joined."""
    shown = (*app.markdown, *app.caption, *app.text, *app.info, *app.warning)
    return "\n".join(str(element.value) for element in shown)


@pytest.fixture
def empty_workspace(tmp_path: Path) -> Workspace:
    return open_workspace(tmp_path / "empty")


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Written]:
    with pytest.MonkeyPatch.context() as patch:
        yield make_written(tmp_path_factory.mktemp("written"), patch)


def make_written(folder: Path, patch: pytest.MonkeyPatch) -> Written:
    """Writes the study; whatever would start a worker finds its result instead."""
    workspace = open_workspace(folder / "workspace")
    results = folder / "results"
    results.mkdir()
    study = written_study.write_study(workspace, results)
    case = written_study.written_queries()[0]
    for method in FIRST:
        written_study.adopt_trace(study, case, results / method, settings=preset(method))
    pairs = study.pairs()
    pairs.approve(pairs.table["pair_id"].tolist()[:10], reviewer="ada")
    correction = written_study.adopt_correction(study, results, case_id=case.id)
    comparison = written_study.adopt_comparison(study, results, correction=correction, corrected=False)
    patch.setattr(cases, "score_answer", lambda *_arguments: {"harmful": 0.987})
    values = {
        "trace": {"case": case.id},
        "audit": {"case": case.id},
        "correct": {"k_run": correction.id},
        "prove": {"p_after": correction.id, "p_run": comparison.id},
        "runs": {"runs_run": correction.id},
    }
    return Written(workspace, study, case.id, values)


@pytest.fixture
def standing_at(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Lets every run stand in a state: `standing_at("failed", error="…")`."""

    def set_state(state: str, **values: Any) -> None:
        status = replace(Status(state), **values)
        monkeypatch.setattr(Run, "status", property(lambda _run: status))
        over = property(lambda record: record.state == DONE and record.act != "attribute")
        monkeypatch.setattr(RunRecord, "is_done", over)  # Audit shows what the index calls done

    return set_state
