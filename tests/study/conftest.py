"""Studies whose tables are written, and runs that are entered without setting anybody to work."""

from dataclasses import replace

import pytest

from lancet_core.acts.results import write_result
from lancet_core.data.inputs import load_prompts
from lancet_core.data.loading import load_samples
from lancet_core.data.samples import Query
from lancet_core.runs import launcher
from lancet_core.runs.run_folder import RunFolder
from lancet_core.store import database
from lancet_core.store.queries import add_queries
from lancet_core.store.run_status import DONE, Status, now
from lancet_core.store.studies import NewStudy, add_study
from lancet_core.study.study import handle
from lancet_core.workspace import open_workspace
from tests.browser import written_study
from tests.written_rows import plain_rows, query_rows, write_lines


@pytest.fixture
def workspace(tmp_path):
    opened = open_workspace(tmp_path / "ws")
    yield opened
    database.close(opened)


@pytest.fixture
def study(workspace, tmp_path):
    """A study with 40 samples, two queries, and prompts of two splits."""
    model = written_study.write_model_folder(tmp_path)
    made = add_study(workspace, NewStudy("mine", str(model), counts={"samples": 40}))
    loaded = load_samples(write_lines(tmp_path / "train.jsonl", plain_rows(40)))
    loaded.frame.assign(harmful=float("nan"), helpful=float("nan")).to_parquet(made.samples_file)
    queries = [Query(row["prompt"], row["response"]) for row in query_rows(2)]
    add_queries(made, [replace(queries[0], category="tools"), queries[1]], "mined")
    rows = [{"prompt": "a?", "split": "validation"}, {"prompt": "b?"}, {"prompt": "c?", "kind": "benign"}]
    load_prompts(write_lines(tmp_path / "prompts.jsonl", rows)).to_parquet(made.folder / "prompts.parquet")
    return handle(made)


@pytest.fixture
def written(workspace, tmp_path):
    """The written study: three topics, clusters, their attribution over the whole corpus, pairs of the clusters."""
    return written_study.write_study(workspace, tmp_path / "results")


@pytest.fixture
def started(monkeypatch):
    """Enters runs in the index and leaves them going, without setting anybody to work: lists their folders."""
    kept = []
    monkeypatch.setattr(launcher, "_set_to_work", lambda _workspace, folder, _lock, warm: kept.append(folder))
    monkeypatch.setattr("lancet_core.store.run_status.is_locked", lambda _folder: True)
    return kept


@pytest.fixture
def end():
    """Ends a run that `started` entered: `end(run)`, `end(run, "failed")`, `end(run, result=…)`."""

    def end_run(run, state=DONE, *, result=None):
        folder = RunFolder(run.record.folder)
        if result is not None:
            write_result(folder.path, result)
        folder.write_status(Status(state, started_at=now(), updated_at=now()))

    return end_run
