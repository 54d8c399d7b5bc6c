"""A renamed study keeps everything; an exported one is read back as it was."""

import json
import zipfile

import pandas as pd
import pytest

from lancet_core.acts.correct import Correction
from lancet_core.data.inputs import load_prompts, load_queries
from lancet_core.data.loading import load_samples
from lancet_core.data.samples import Query
from lancet_core.errors import DataError, StoreError
from lancet_core.runs.run import Run
from lancet_core.store.decisions import list_decisions
from lancet_core.store.queries import add_queries
from lancet_core.study.queue import Scope, counts
from lancet_core.study.study import Study, handle, open_study
from tests.browser import written_study


@pytest.fixture
def study(workspace, tmp_path) -> Study:
    """A study with pairs, decisions, a correction, and a query that is a conversation."""
    results = tmp_path / "results"
    results.mkdir()
    study = handle(written_study.write_study(workspace, results))
    case = written_study.written_queries()[0]
    written_study.adopt_trace(study, case, results / "trace")
    pairs = study.pairs()
    pairs.approve(pairs.table["pair_id"].tolist()[:3], reviewer="ada")
    written_study.adopt_correction(study, results, case_id=case.id)
    talk = [
        {"role": "system", "content": "Be short."},
        *({"role": role, "content": role} for role in ("user", "assistant")),
    ]
    add_queries(study, [Query.of(talk, category="law")], "talk")
    return study


def test_a_renamed_study_keeps_queries_pairs_decisions_and_runs(study, workspace):
    before = {
        "counts": counts(study),
        "queries": study.queries()["id"].tolist(),
        "runs": [run.id for run in study.runs()],
    }
    decided = list_decisions(study)
    renamed = study.rename("other")
    assert renamed == open_study("other", workspace=workspace)
    with pytest.raises(StoreError, match="no study"):
        open_study(study.name, workspace=workspace)
    after = {
        "counts": counts(renamed),
        "queries": renamed.queries()["id"].tolist(),
        "runs": [run.id for run in renamed.runs()],
    }
    assert after == before
    assert list_decisions(renamed)[["verdict", "reviewer"]].equals(decided[["verdict", "reviewer"]])
    assert len(renamed.pairs().approved()) == 3
    assert not study.folder.exists()


def test_runs_of_a_renamed_study_find_its_samples(study):
    renamed = study.rename("other")
    trace: Run[Correction] = next(run for run in renamed.runs("attribute") if run.record.case_id)
    assert trace.order.study == "other"
    assert trace.result.samples_file == renamed.samples_file
    assert len(trace.result.table)


def test_the_same_pairs_are_proposed_as_the_same_pairs_after_a_renaming(study):
    renamed = study.rename("other")
    trace = next(run for run in renamed.runs("attribute") if run.record.case_id)
    listed = set(renamed.propose_pairs(trace).table["pair_id"])
    again = set(renamed.propose_pairs(trace).table["pair_id"])
    assert listed == again


def test_the_log_of_decisions_is_append_only_after_a_renaming(study, workspace):
    import sqlalchemy as sa

    from lancet_core.store import schema
    from lancet_core.store.database import writing

    study.rename("other")
    with (
        pytest.raises((sa.exc.DatabaseError, StoreError), match="append-only"),
        writing(workspace) as connection,
    ):
        connection.execute(sa.update(schema.decisions).values(verdict="reject"))


@pytest.mark.parametrize("name", ["../up", "", "taken"])
def test_a_name_that_is_none_or_taken_leaves_everything_as_it_was(study, workspace, name):
    from lancet_core.store.studies import NewStudy, add_study

    add_study(workspace, NewStudy("taken", "model"))
    with pytest.raises(StoreError):
        study.rename(name)
    assert open_study(study.name, workspace=workspace) == study
    assert study.samples_file.is_file()


def test_a_study_with_a_run_going_is_not_renamed(study, monkeypatch):
    from lancet_core.store.runs import RunRecord

    monkeypatch.setattr(RunRecord, "is_final", property(lambda _run: False))
    with pytest.raises(StoreError, match="has a run going"):
        study.rename("other")


def test_where_the_files_cannot_be_moved_the_index_stays(study, workspace):
    (workspace.studies / "other").mkdir()
    with pytest.raises(StoreError, match="is there already"):
        study.rename("other")
    assert open_study(study.name, workspace=workspace) == study
    assert counts(study).approve == 3


def test_an_exported_study_is_read_back_as_it_was(study, tmp_path):
    rows = study.export(tmp_path / "out.zip")
    with zipfile.ZipFile(tmp_path / "out.zip") as archive:
        archive.extractall(tmp_path / "out")
    out = tmp_path / "out"
    samples, read = study.samples(), load_samples(out / "samples.jsonl").frame
    assert read["id"].tolist() == samples["id"].tolist()
    assert read["is_safe"].tolist() == samples["is_safe"].tolist()
    assert [list(each) for each in read["categories"]] == [list(each) for each in samples["categories"]]
    queries = load_queries(out / "queries.jsonl")
    assert [query.id for query in queries] == study.queries()["id"].tolist()
    assert queries[-1].messages
    assert queries[-1].category == "law"
    if study.prompts_file is not None:
        kept = pd.read_parquet(study.prompts_file)
        assert load_prompts(out / "prompts.jsonl")["id"].tolist() == kept["id"].tolist()
    lines = [json.loads(line) for line in (out / "pairs.jsonl").read_text().splitlines()]
    assert len(lines) == rows["pairs.jsonl"] == counts(study, Scope(reach="all")).approve
    assert str(tmp_path) not in (out / "study.json").read_text()


def test_an_export_into_no_folder_is_told(study, tmp_path):
    with pytest.raises(DataError, match="the folder of"):
        study.export(tmp_path / "nowhere" / "out.zip")
