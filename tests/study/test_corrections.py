"""Corrections of a study: what one would do, what it learns from, and the model that comes out."""

import json
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from lancet_core.correction.pair_files import read_pairs
from lancet_core.correction.settings import CorrectionSettings, PairSettings
from lancet_core.errors import ConfigError, DataError, JobError, StoreError
from lancet_core.models.fingerprints import count_parameters
from lancet_core.store.studies import update_study
from lancet_core.study import corrections, proofs, review
from lancet_core.study.attributions import latest_corpus_attribution
from lancet_core.study.queue import Scope, View, queue
from tests.browser import written_study
from tests.written_rows import write_lines

CASE = written_study.written_queries()[0]


def approve(study, places, scope=None):
    for pair_id in queue(study, View("me", scope or Scope()))["pair_id"].iloc[places]:
        review.decide(study.workspace, pair_id, "approve", reviewer="me")


@pytest.fixture
def approved(written):
    """The written study with three approved pairs of its clusters."""
    approve(written, [0, 1, 2])
    return written


def snapshot(folder: Path) -> dict[Path, int]:
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*") if "lancet.db" not in path.name}


def test_what_forgets_strengthens_no_wanted_answer(approved, started):
    wanted = replace(CASE, polarity="desirable")
    for settings, queries in (
        (CorrectionSettings(objective="npo"), [wanted]),
        (CorrectionSettings(objective="ga", polarity="desirable"), []),
    ):
        with pytest.raises(ConfigError, match="wanted answers"):
            corrections.correct(approved, None, settings, queries=queries)
    run = corrections.correct(approved, None, CorrectionSettings(objective="npo"))
    assert run.record.title == "npo, 3 pairs, 100 steps"


def test_preflight_says_what_blocks(study):
    assert "No pair is approved" in corrections.preflight(study, CorrectionSettings()).blocked


def test_preflight_counts_pairs_and_conflicts(approved):
    ready = corrections.preflight(approved, CorrectionSettings(steps=7))
    assert (ready.pairs, ready.conflicts, ready.blocked) == (3, 0, "")
    assert "7 steps" in ready.changes
    shown = queue(approved, View("you", show="approve")).iloc[0]
    review.decide(
        approved.workspace,
        shown["pair_id"],
        "reject",
        reviewer="you",
        seen_decision_id=int(shown["decision_id"]),
    )
    assert corrections.preflight(approved, CorrectionSettings()).conflicts == 1


@pytest.mark.parametrize("scope", [Scope(), Scope(CASE.id), Scope(CASE.id, "all")])
def test_preflight_writes_nothing_and_reads_no_table(approved, monkeypatch, scope):
    """It is asked for at every change of a widget."""
    before = snapshot(approved.workspace.folder)
    monkeypatch.setattr(pd, "read_parquet", None)
    assert corrections.preflight(approved, CorrectionSettings(), scope).pairs > 0
    assert snapshot(approved.workspace.folder) == before


def test_the_estimate_comes_from_the_last_correction_else_from_the_speed_of_the_model(approved, tmp_path):
    settings = CorrectionSettings(steps=60)
    assert corrections.preflight(approved, settings).basis == corrections.SIZES
    read = update_study(approved, counts={**approved.counts, "tokens_per_second": 1000, "mean_tokens": 50})
    ready = corrections.preflight(read, settings)
    # Three approved pairs and 24 retain samples a step.
    assert ready.seconds == pytest.approx(3.2 * 60 * (2 * 3 + 24) * 50 / 1000)
    assert ready.basis == corrections.SPEED
    written_study.adopt_correction(approved, tmp_path, steps=30)
    ready = corrections.preflight(read, settings)
    assert (ready.seconds, ready.basis) == (63.0, corrections.LAST)


def test_parameters_are_counted_without_loading(tiny_model_folder, tiny_model):
    counted = count_parameters(str(tiny_model_folder()))
    assert counted == sum(parameter.numel() for parameter in tiny_model().model.parameters())


def test_a_correction_gets_pairs_retain_set_and_validation_prompts(approved, started):
    prompts = pd.DataFrame(
        [("v", "What?", "validation", "wrong", "", None), ("u", "Why?", "unseen", "wrong", "", None)],
        columns=["id", "prompt", "split", "kind", "category", "reference"],
    )
    prompts.to_parquet(approved.folder / "prompts.parquet")
    run = approved.correct()
    inputs = run.folder.inputs
    assert run.record.parents == (latest_corpus_attribution(approved).id,)
    pairs = read_pairs(inputs / "pairs.jsonl")
    retained = set(pd.read_parquet(inputs / "retain.parquet")["id"])
    assert len(pairs) == run.order.request["pairs"] == 3
    assert {pair.verdict for pair in pairs} == {"approve"}
    assert 0 < len(retained) < 180
    assert not retained & {side.sample_id for pair in pairs for side in (pair.positive, pair.negative)}
    assert pd.read_parquet(inputs / "validation.parquet")["split"].tolist() == ["validation"]
    assert len(run.order.request["queries"]) == len(approved.queries())
    assert approved.correct().id == run.id


def test_another_pair_or_setting_is_another_correction(approved, started):
    first = approved.correct()
    assert approved.correct(settings=CorrectionSettings(steps=5)).id != first.id
    approve(approved, [0])
    assert approved.correct().id != first.id


def test_a_correction_of_a_case_takes_its_own_pairs_and_those_of_its_cluster(written, tmp_path, started):
    trace = written_study.adopt_trace(written, CASE, tmp_path / "trace")
    written.propose_pairs(trace)
    approve(written, [0, 1], scope=Scope(CASE.id))
    others = queue(written, View("me"))
    elsewhere = others.loc[others["cluster"] == "2", "pair_id"].iloc[0]
    review.decide(written.workspace, elsewhere, "approve", reviewer="me")
    run = written.correct(written.pairs(CASE.id))
    assert run.record.case_id == CASE.id
    pairs = read_pairs(run.folder.inputs / "pairs.jsonl")
    strongest = trace.result.read(CASE.id)["sample_id"].head(2).tolist()
    assert [pair.positive.sample_id for pair in pairs] == strongest
    assert run.record.parents == (trace.id, latest_corpus_attribution(written).id)
    assert len(read_pairs(written.correct().folder.inputs / "pairs.jsonl")) == 3


def test_without_a_whole_corpus_attribution_the_trace_chooses_what_is_retained(study, tmp_path, started):
    from lancet_core.acts.attribute import SCORES, Attribution
    from lancet_core.study.attributions import attribution_task

    ids = study.samples()["id"].tolist()
    case = study.queries()["id"][0]
    scores = pd.DataFrame(
        {"query_id": case, "sample_id": ids[:8], "influence": [8.0, 0.1, 0.1, 0.1, -0.1, -0.1, -0.1, -8.0], "percentile": 0.0, "rank": range(1, 9)}
    )  # fmt: skip
    query = corrections.read_queries(study)[0]
    task = attribution_task(study, [query])
    trace = written_study.adopt(study, task, Attribution(candidates=8), tmp_path / "trace", {SCORES: scores})
    study.propose_pairs(trace, PairSettings(count=1))
    approve(study, [0], scope=Scope(case))
    source = corrections.reviewed_source(study, Scope(case))
    assert source.parents == (trace.id,)
    assert set(source.retain) >= set(ids[8:])
    assert not {ids[0], ids[7]} & set(source.retain)


def test_no_approved_pair_is_told(written):
    with pytest.raises(DataError, match="no pair is approved yet"):
        written.correct()


def test_pairs_of_a_file_without_attribution_retain_all_the_rest(study, tmp_path):
    sides = study.samples()[["prompt", "response"]].to_dict("records")
    path = write_lines(tmp_path / "pairs.jsonl", [{"positive": sides[0], "negative": sides[1]}])
    source = corrections.file_source(study, path)
    assert len(source.retain) == 38
    assert source.parents == ()


def test_pairs_of_a_file_are_taken_by_path_and_by_text(written, tmp_path, started):
    sides = written.samples()[["prompt", "response"]].to_dict("records")
    path = write_lines(tmp_path / "pairs.jsonl", [{"positive": sides[0], "negative": sides[1]}])
    run = written.correct(path)
    assert written.correct(str(path)).id == run.id
    assert run.record.parents == (latest_corpus_attribution(written).id,)


def test_pairs_of_an_attribution_are_taken_unreviewed(written, started):
    batch = latest_corpus_attribution(written)
    source = corrections.attribution_source(written, batch, PairSettings(count=5))
    assert len(source.pairs) == 5
    assert source.parents == (batch.id,)
    every = corrections.attribution_source(written, batch)
    assert 0 < len(every.pairs) * 2 <= len(written.samples()) / 2
    assert every.retain
    run = written.correct(batch)
    assert len(read_pairs(run.folder.inputs / "pairs.jsonl")) == len(every.pairs)


def test_a_corrected_model_is_exported_once(approved, tmp_path):
    run = written_study.adopt_correction(approved, tmp_path)
    target = proofs.export_model(run, tmp_path / "out")
    assert (target / "model.safetensors").is_file()
    assert json.loads((target / "config.json").read_text())["model_type"] == "llama"
    with pytest.raises(DataError, match="is there already"):
        proofs.export_model(run, tmp_path / "out")
    (tmp_path / "empty").mkdir()
    assert proofs.export_model(run, tmp_path / "empty").is_dir()


def test_the_model_of_a_correction_that_is_going_cannot_be_taken(approved, started, tmp_path):
    with pytest.raises(JobError, match="has no result"):
        proofs.export_model(approved.correct(), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_what_chooses_the_retain_set_is_deleted_only_on_purpose_and_missed_in_words(written, tmp_path):
    batch = latest_corpus_attribution(written)
    trace = written_study.adopt_trace(written, CASE, tmp_path / "trace")
    review.propose_for_case(written, trace, CASE.id)
    other = written_study.adopt_trace(written, CASE, tmp_path / "other", seed=4)
    review.propose_for_clusters(written, other)
    approve(written, [0], scope=Scope(CASE.id))
    with pytest.raises(StoreError, match="the retain sets of 1 reviewed cases are chosen by it"):
        batch.delete()
    batch.delete(even_if_used=True)
    with pytest.raises(
        DataError, match=f"the attribution {batch.id}, .* was deleted; send the case to review again"
    ):
        corrections.reviewed_source(written, Scope(CASE.id))
