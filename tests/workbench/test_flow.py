"""From cases to corrections on a written study: what each act starts, reuses, writes and refuses."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from lancet_core.correction.pair_files import read_pairs
from lancet_core.correction.settings import CorrectionSettings, PairSettings
from lancet_core.data.inputs import load_prompts
from lancet_core.data.samples import Query, read_samples
from lancet_core.errors import DataError, JobError, ModelError, StoreError
from lancet_core.influence.settings import ClusterSettings, InfluenceSettings
from lancet_core.operations.configs import CorrectConfig
from lancet_core.runs import launcher
from lancet_core.runs.run_folder import RunFolder
from lancet_core.store import database, runs
from lancet_core.store.queries import list_queries
from lancet_core.store.studies import NewStudy, add_study
from lancet_core.workbench import attributions, cases, corrections, proofs, proposals, reviews, studies
from lancet_core.workspace import open_workspace
from tests.written_rows import plain_rows, query_rows, write_lines

CASE = Query("May I leave the anvil in the garden?", "Yes, nobody will mind.")


@pytest.fixture
def workspace(tmp_path):
    opened = open_workspace(tmp_path / "ws")
    yield opened
    database.close(opened)


@pytest.fixture
def study(workspace, tmp_path):
    """A study with 40 samples, two queries, and prompts of two splits."""
    from lancet_core.data.adapters import load_samples
    from lancet_core.store.queries import add_queries

    made = add_study(workspace, NewStudy("mine", str(tmp_path / "model")))
    loaded = load_samples(write_lines(tmp_path / "train.jsonl", plain_rows(40)))
    loaded.frame.to_parquet(made.samples)
    queries = [Query(row["prompt"], row["response"]) for row in query_rows(2)]
    add_queries(workspace, "mine", queries, "mined", categories={queries[0].id: "tools"})
    rows = [{"prompt": "a?", "split": "validation"}, {"prompt": "b?"}, {"prompt": "c?", "kind": "benign"}]
    load_prompts(write_lines(tmp_path / "prompts.jsonl", rows)).to_parquet(made.folder / "prompts.parquet")
    return studies.show_study(workspace, "mine")


@pytest.fixture
def started(monkeypatch):
    """Keeps what would be started instead of starting it."""
    kept = []

    def start(_workspace, operation, config, **more):
        kept.append((operation, config, more))
        return f"{operation}-{len(kept)}"

    monkeypatch.setattr(launcher, "start", start)
    return kept


def adopt(workspace, folder, operation, config, tables, result, parents=()):
    """Enters written results as a finished run."""
    results = Path(folder) / f"results-{len(runs.list_runs(workspace))}"
    results.mkdir()
    for name, table in tables.items():
        table.to_parquet(results / name)
    (results / "result.json").write_text(json.dumps(result))
    return launcher.adopt(workspace, operation, config, results=results, study=config.study, parents=parents)


def adopt_clusters(workspace, folder, study):
    queries = cases.study_queries(workspace, study)
    config = attributions.clusters_config(study, settings=ClusterSettings(k=2), queries=queries)
    frame = pd.DataFrame(
        {"query_id": [q.id for q in queries], "cluster": [n % 2 for n in range(len(queries))]}
    )
    return adopt(
        workspace, folder, "cluster", config, {"clusters.parquet": frame.assign(x=0.0, y=0.0)}, {"k": 2}
    )


def adopt_batch(workspace, folder, study, clusters):
    config = attributions.cluster_attribution_config(workspace, study, cluster_run_id=clusters)
    ids = studies.samples_table(study)["id"]
    tables = []
    for group, sign in (("0", 1.0), ("1", -1.0)):
        influence = sign * np.linspace(1.0, -0.9, len(ids))
        table = pd.DataFrame({"query_id": group, "sample_id": ids, "influence": influence})
        table["rank"] = table["influence"].rank(ascending=False).astype(int)
        tables.append(table.assign(percentile=50.0))
    return adopt(
        workspace, folder, "attribute", config, {"scores.parquet": pd.concat(tables)}, {}, (clusters,)
    )


def test_samples_without_scorer_have_unknown_scores(study):
    table = studies.samples_table(study)
    assert table["harmful"].isna().all()
    assert table["harmful"].dtype == "float64"


def test_samples_take_their_scores_by_id(study):
    ids = studies.samples_table(study)["id"]
    scores = pd.DataFrame({"sample_id": ids[::-1], "harmful": np.linspace(0, 1, len(ids))})
    scores.to_parquet(study.folder / "scores.parquet")
    table = studies.samples_table(study)
    assert table["harmful"].tolist() == np.linspace(0, 1, len(ids))[::-1].tolist()
    assert table["helpful"].isna().all()


def test_a_case_is_kept_once_and_an_empty_one_refused(workspace, study):
    for _ in range(2):
        cases.add_case(workspace, study, prompt=CASE.prompt, response=CASE.response)
    assert cases.cases(workspace, study)["id"].tolist() == [CASE.id]
    assert CASE.id not in cases.sample_cases(workspace, study)["id"].tolist()
    with pytest.raises(DataError, match="response is empty"):
        cases.add_case(workspace, study, prompt="a", response=" ")
    with pytest.raises(DataError, match="prompt is empty"):
        next(cases.answer(workspace, study, prompt=" ", settings=None))


def test_equal_settings_find_the_finished_run(workspace, study, tmp_path, started):
    first = attributions.start_trace(workspace, study, CASE, settings=InfluenceSettings())
    (operation, config, more) = started[0]
    assert (first, operation, more["warm"], config.queries) == ("attribute-1", "attribute", True, (CASE,))
    done = adopt(workspace, tmp_path, "attribute", config, {}, {})
    assert attributions.start_trace(workspace, study, CASE, settings=InfluenceSettings()) == done
    attributions.start_trace(workspace, study, CASE, settings=InfluenceSettings(seed=1))
    assert len(started) == 2


def test_no_queries_and_too_many_clusters_are_refused(workspace, study, started):
    with pytest.raises(DataError, match="no query to attribute"):
        attributions.start_attribution(workspace, study, queries=[], settings=InfluenceSettings())
    with pytest.raises(DataError, match="2 queries cannot make 3 clusters"):
        attributions.start_clusters(workspace, study, settings=ClusterSettings(k=3))
    empty = add_study(workspace, NewStudy("empty", "m"))
    with pytest.raises(DataError, match="no query to cluster"):
        attributions.start_clusters(workspace, empty, settings=ClusterSettings())
    assert started == []


def test_a_case_is_led_to_its_pairs_step_by_step(workspace, study, tmp_path, started):
    first = proposals.send_to_review(workspace, study, CASE)
    assert first.waiting_for == ("cluster-1",)
    assert CASE in started[0][1].queries
    assert len(list_queries(workspace, "mine")) == 3
    clusters = adopt_clusters(workspace, tmp_path, study)
    second = proposals.send_to_review(workspace, study, CASE)
    assert second.waiting_for == ("attribute-2",)
    assert started[1][1].influence.recall == "all"
    assert {query.group for query in started[1][1].queries} == {"0", "1"}
    adopt_batch(workspace, tmp_path, study, clusters)
    third = proposals.send_to_review(workspace, study, CASE)
    assert third.waiting_for == ()
    assert third.pairs > 0
    assert len(started) == 2


def test_wanted_answers_are_attributed_apart(workspace, study, tmp_path):
    cases.add_case(workspace, study, prompt="d?", response="e", polarity="desirable")
    frame = attributions.read_clusters(workspace, adopt_clusters(workspace, tmp_path, study))
    groups = {query.polarity: query.group for query in attributions.cluster_batches(frame)}
    assert groups["desirable"] == "0 desirable"


@pytest.fixture
def approved(workspace, study, tmp_path):
    """The study with three approved pairs; gives the attribution that they come from."""
    batch = adopt_batch(workspace, tmp_path, study, adopt_clusters(workspace, tmp_path, study))
    reviews.propose(workspace, "mine", batch, PairSettings(count=8))
    for pair_id in reviews.queue(workspace, "mine", reviewer="me")["pair_id"][:3]:
        reviews.decide(workspace, pair_id, "approve", reviewer="me")
    return batch


def test_preflight_says_what_blocks_and_what_will_happen(workspace, study):
    blocked = corrections.preflight(workspace, study, CorrectionSettings())
    assert "No pair is approved" in blocked.blocked


def test_preflight_counts_pairs_conflicts_and_retain_set(workspace, study, approved):
    ready = corrections.preflight(workspace, study, CorrectionSettings(steps=7))
    assert (ready.pairs, ready.conflicts, ready.blocked) == (3, 0, "")
    assert 0 < ready.retain < 40
    assert "7 steps" in ready.changes
    pair_id = reviews.queue(workspace, "mine", reviewer="me", show="approve")["pair_id"][0]
    seen = reviews.queue(workspace, "mine", reviewer="me", show="approve")["decision_id"][0]
    reviews.decide(workspace, pair_id, "reject", reviewer="you", seen_decision_id=int(seen))
    assert corrections.preflight(workspace, study, CorrectionSettings()).conflicts == 1


def test_a_correction_gets_pairs_retain_set_and_validation_prompts(workspace, study, approved, started):
    corrections.start_correction(workspace, study, CorrectionSettings())
    (operation, config, more) = started[0]
    assert operation == "correct"
    assert more["parents"] == (approved,)
    pairs = read_pairs(config.pairs)
    retained = set(pd.read_parquet(config.retain)["id"])
    assert len(pairs) == 3
    assert retained
    assert not retained & {side.sample_id for pair in pairs for side in (pair.positive, pair.negative)}
    assert pd.read_parquet(config.prompts)["split"].unique().tolist() == ["validation"]
    corrections.start_correction(workspace, study, CorrectionSettings())
    assert started[1][1] == config


def test_pairs_of_a_file_without_attribution_retain_all_the_rest(workspace, study, tmp_path):
    samples = studies.samples_table(study)
    sides = samples[["prompt", "response"]].to_dict("records")
    path = write_lines(tmp_path / "pairs.jsonl", [{"positive": sides[0], "negative": sides[1]}])
    source = corrections.file_source(workspace, study, path=path)
    assert len(source.retain) == 38
    assert source.parents == ()


def test_pairs_of_an_attribution_are_taken_unreviewed(workspace, study, tmp_path):
    batch = adopt_batch(workspace, tmp_path, study, adopt_clusters(workspace, tmp_path, study))
    source = corrections.attribution_source(workspace, study, run_id=batch, settings=PairSettings(count=5))
    assert len(source.pairs) == 5
    assert source.parents == (batch,)
    every = corrections.attribution_source(workspace, study, run_id=batch, settings=PairSettings())
    assert 0 < len(every.pairs) * 2 <= len(read_samples(study.samples)) / 2
    assert every.retain


def adopt_correction(workspace, folder, study, model):
    config = CorrectConfig(study.name, study.model, str(study.samples), study.template, "pairs")
    result = {"steps": 10, "seconds": 4.0}
    run_id = adopt(workspace, folder, "correct", config, {}, result)
    target = runs.get_run(workspace, run_id).folder / "model"
    target.mkdir()
    for file in Path(model).iterdir():
        (target / file.name).write_bytes(file.read_bytes())
    return run_id


def test_the_estimate_comes_from_the_last_correction(workspace, study, tmp_path, tiny_model_folder):
    adopt_correction(workspace, tmp_path, study, tiny_model_folder())
    ready = corrections.preflight(workspace, study, CorrectionSettings(steps=25))
    assert (ready.estimated_seconds, ready.measured) == (10.0, True)


def test_parameters_are_counted_without_loading(tiny_model_folder, tiny_model):
    counted = corrections.model_parameters(str(tiny_model_folder()))
    assert counted == sum(parameter.numel() for parameter in tiny_model().model.parameters())


def test_a_corrected_model_is_exported_once(workspace, study, tmp_path, tiny_model_folder):
    run_id = adopt_correction(workspace, tmp_path, study, tiny_model_folder())
    target = proofs.export_model(workspace, run_id, tmp_path / "out")
    assert (target / "model.safetensors").is_file()
    with pytest.raises(DataError, match="is there already"):
        proofs.export_model(workspace, run_id, tmp_path / "out")


def test_a_comparison_leaves_validation_prompts_out(workspace, study, tmp_path, started, tiny_model_folder):
    run_id = adopt_correction(workspace, tmp_path, study, tiny_model_folder())
    proofs.start_comparison(workspace, study, run_id, CASE)
    (operation, config, more) = started[0]
    assert (operation, more["parents"], config.case) == ("compare", (run_id,), CASE)
    assert set(pd.read_parquet(config.prompts)["split"]) == {"queries", "unseen"}
    assert config.after.endswith("model")


def test_wrong_models_and_runs_are_refused(workspace, study, tmp_path, started):
    with pytest.raises(ModelError, match="no model folder"):
        proofs.compare_models(workspace, study, after=tmp_path / "nowhere")
    with pytest.raises(StoreError, match="there is no run"):
        proofs.start_comparison(workspace, study, "nothing")
    clusters = adopt_clusters(workspace, tmp_path, study)
    with pytest.raises(StoreError, match="no correction but cluster"):
        proofs.corrected_model(workspace, clusters)
    with pytest.raises(StoreError, match="no attribute run but cluster"):
        attributions.read_attribution(workspace, clusters)


def test_evaluating_needs_something_to_answer(workspace, started):
    empty = add_study(workspace, NewStudy("empty", "m"))
    with pytest.raises(DataError, match="no prompts and no queries"):
        proofs.start_evaluation(workspace, empty)


def test_a_failed_run_is_told_with_its_log(workspace, tmp_path):
    from lancet_core.store.run_status import FAILED, Status
    from lancet_core.workbench.waiting import finish

    config = CorrectConfig("", "m", "s", "auto", "p")
    results = tmp_path / "failed"
    results.mkdir()
    (results / "result.json").write_text("{}")
    run_id = launcher.adopt(workspace, "correct", config, results=results)
    RunFolder(runs.get_run(workspace, run_id).folder).write_status(Status(FAILED, error="the disk is full"))
    with pytest.raises(JobError, match=f"the disk is full; its log: lancet runs logs {run_id}"):
        finish(workspace, run_id)
