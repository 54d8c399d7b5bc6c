"""A study is changed after it was made: queries, scorers, prompts, template. What was found out about it stays."""

import pandas as pd
import pytest
import torch

import lancet_core as lancet
from lancet_core.data.samples import Query
from lancet_core.errors import ConfigError, DataError, ModelError, StoreError
from lancet_core.models.encoding import encode
from lancet_core.models.likelihood import response_log_likelihoods
from lancet_core.models.loading import load_language_model
from lancet_core.study import review
from lancet_core.study.changes import (
    Changes,
    begin_change,
    change_under_way,
    complete_change,
    discard_change,
)
from tests.evaluation.test_scorers import save_scorer
from tests.written_rows import plain_rows, query_rows, write_lines

TRAINED_WITH = "safe-rlhf"


@pytest.fixture(scope="module")
def taught(tmp_path_factory, tiny_model_folder):
    """A model that was trained on the rows under a template that is not its own."""
    folder = tmp_path_factory.mktemp("taught")
    lm = load_language_model(str(tiny_model_folder("llama")))
    texts = [encode(lm, row["prompt"], row["response"], TRAINED_WITH) for row in plain_rows(12)]
    optimizer = torch.optim.Adam(lm.model.parameters(), lr=3e-3)
    for _ in range(40):
        for text in texts:
            ids, labels = torch.tensor([text.input_ids]), torch.tensor([text.labels])
            optimizer.zero_grad()
            lm.model(input_ids=ids, labels=labels).loss.backward()
            optimizer.step()
    lm.model.save_pretrained(folder)
    lm.tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture
def made(workspace, taught):
    return lancet.create_study("made", workspace=workspace, model=taught, train=pd.DataFrame(plain_rows(12)))


def test_the_template_that_a_model_was_trained_with_is_proposed_and_taken(made, taught):
    best, *others = made.template_fits
    assert (best.template, best.is_likelier) == (TRAINED_WITH, True)
    own = next(fit for fit in others if fit.template == made.template)
    assert (own.difference, own.error) == (0.0, 0.0)
    lm = load_language_model(str(taught))
    for fit in (best, own):
        texts = [encode(lm, row["prompt"], row["response"], fit.template) for row in plain_rows(12)]
        tokens = sum(encode(lm, row["prompt"], row["response"], "auto").count for row in plain_rows(12))
        assert fit.nll == pytest.approx(-sum(response_log_likelihoods(lm, texts)) / tokens, rel=1e-4)
    changed = made.change(template=best.template)
    assert changed.template == TRAINED_WITH
    assert not any(fit.is_likelier for fit in changed.template_fits)
    assert lancet.open_study("made", workspace=made.workspace) == changed


def test_another_scorer_scores_all_samples_anew_and_decisions_stay(made, tmp_path):
    (tmp_path / "scorer").mkdir()
    scorer = save_scorer(tmp_path / "scorer", card={"higher_is": "harmful"})
    trace = made.attribute(Query("May I?", "Yes."), lancet.preset("random")).wait()
    pairs = made.propose_pairs(trace)
    decided = pairs.approve(pairs.table["pair_id"].head(2).tolist(), reviewer="ada")
    changed = made.change(harmful_scorer=scorer)
    assert changed.samples()["harmful"].between(0, 1).all()
    assert changed.samples().drop(columns="harmful").equals(made.samples().drop(columns="harmful"))
    assert [run.id for run in changed.runs()] == [trace.id]
    assert trace.refreshed().result.table["harmful"].notna().all()
    approved = review.approved_pairs(changed, pairs.scope)
    assert {pair.pair_id for pair in approved} == {decision.pair_id for decision in decided}
    assert changed.attribute(Query("May I?", "Yes."), lancet.preset("random")).id == trace.id
    without = changed.change(harmful_scorer="none")
    assert without.harmful_scorer == ""
    assert without.samples()["harmful"].isna().all()


def test_prompts_are_given_and_taken_away_without_a_run(made, tmp_path):
    file = write_lines(tmp_path / "prompts.jsonl", [{"prompt": "b?"}])
    assert made.change(prompts=file).prompts_file is not None
    assert made.change(prompts="none").prompts_file is None
    assert made.runs() == []


def test_queries_are_added_once(made, tmp_path):
    rows = [row | {"category": "tools"} for row in query_rows(2)]
    assert made.add_queries(write_lines(tmp_path / "more.jsonl", rows)) == 2
    assert made.add_queries(write_lines(tmp_path / "more.jsonl", rows)) == 0
    assert made.add_queries([Query("Another?", "Yes.")]) == 1
    table = made.queries()
    assert table["source"].tolist() == ["more.jsonl", "more.jsonl", "given"]
    assert table["category"].tolist() == ["tools", "tools", ""]


def test_a_change_that_cannot_be_made_leaves_the_study_as_it_was(made, tmp_path):
    before = made.samples()
    wrong = [
        ({}, ConfigError, "nothing is to be changed"),
        ({"template": "nonesuch"}, ConfigError, "'nonesuch' is none of this model"),
        ({"harmful_scorer": tmp_path / "nowhere"}, ModelError, "there is no model folder"),
        ({"prompts": tmp_path / "nowhere.jsonl"}, DataError, "nowhere.jsonl"),
    ]
    for values, kind, words in wrong:
        with pytest.raises(kind, match=words):
            made.change(**values)
    assert lancet.open_study("made", workspace=made.workspace) == made
    assert made.samples().equals(before)
    assert made.runs() == []


def test_a_study_with_a_run_going_is_not_changed(study, started):
    run = study.attribute(Query("May I?", "Yes."))
    with pytest.raises(StoreError, match=f"has a run going: {run.id}"):
        study.change(template="raw")


def test_a_change_is_entered_by_whoever_comes_when_its_run_is_done(made):
    run = begin_change(made, Changes(template="raw"))
    with pytest.raises(StoreError, match="is being changed"):
        begin_change(made, Changes(template="human"))
    assert change_under_way(lancet.open_study("made", workspace=made.workspace)).id == run.id
    run.wait()
    assert lancet.open_study("made", workspace=made.workspace) == made
    assert complete_change(made).template == "raw"
    assert change_under_way(made) is None
    assert complete_change(made).template == "raw"


def test_a_change_that_nobody_came_back_to_is_entered_before_the_next(made, tmp_path):
    begin_change(made, Changes(template="raw")).wait()
    changed = made.change(prompts=write_lines(tmp_path / "prompts.jsonl", [{"prompt": "b?"}]))
    assert changed.template == "raw"
    assert changed.prompts_file is not None


def test_a_change_whose_run_was_deleted_changes_nothing(made, tmp_path):
    file = write_lines(tmp_path / "prompts.jsonl", [{"prompt": "b?"}])
    begin_change(made, Changes(template="raw", prompts=file)).wait().delete()
    with pytest.raises(StoreError, match="was deleted"):
        complete_change(made)
    assert lancet.open_study("made", workspace=made.workspace) == made
    assert made.prompts_file is None


def test_a_change_that_is_stopped_leaves_the_study_as_it_was(made, tmp_path):
    file = write_lines(tmp_path / "prompts.jsonl", [{"prompt": "b?"}])
    run = begin_change(made, Changes(template="raw", prompts=file, dtype="bfloat16"))
    discard_change(made)
    assert run.status.state in {"cancelled", "done"}
    complete_change(made)
    assert lancet.open_study("made", workspace=made.workspace) == made
    assert made.prompts_file is None
