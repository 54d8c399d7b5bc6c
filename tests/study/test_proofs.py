"""Evaluations and comparisons of a study: on which prompts, of which models, and what got worse."""

import pandas as pd
import pytest

from lancet_core.errors import DataError, ModelError
from lancet_core.store.studies import NewStudy, add_study
from lancet_core.study import proofs, review
from lancet_core.study.demo import install_demo
from lancet_core.study.queue import View, queue
from lancet_core.study.study import handle
from tests.browser import written_study

CASE = ["May I leave the anvil in the garden?", "Yes, nobody will mind."]


def prompts_of(run) -> pd.DataFrame:
    return pd.read_parquet(run.folder.inputs / "prompts.parquet")


def test_queries_are_proved_with_the_category_they_were_stored_with(workspace, started):
    study = install_demo(workspace)
    run = study.evaluate()
    asked = prompts_of(run)
    queries = asked[asked["split"] == "queries"]
    assert len(queries) == len(run.order.request["queries"])
    assert (queries["category"] != "").all()


@pytest.mark.parametrize("act", ["compare", "evaluate"])
def test_validation_prompts_prove_nothing(study, started, tmp_path, act):
    after = written_study.write_model_folder(tmp_path / "after")
    run = study.compare(after, CASE) if act == "compare" else study.evaluate(model=after)
    assert set(prompts_of(run)["split"]) == {"queries", "unseen"}


def test_a_comparison_knows_its_correction_and_its_case(written, started, tmp_path):
    review.decide(written.workspace, queue(written, View("ada"))["pair_id"][0], "approve", reviewer="ada")
    correction = written_study.adopt_correction(written, tmp_path)
    run = written.compare(correction, CASE)
    assert run.record.parents == (correction.id,)
    assert run.record.title == CASE[0]
    assert run.order.request["after"] == str(correction.result.model)
    assert [each.id for each in proofs.list_comparisons(written, run.record.case_id)] == [run.id]
    assert proofs.list_comparisons(written, "another") == []
    without = written.compare(correction)
    assert (without.record.case_id, len(proofs.list_comparisons(written))) == ("", 2)


def test_a_model_that_is_not_there_is_told(study, tmp_path, started):
    for ask in (study.compare, lambda model: study.evaluate(model=model)):
        with pytest.raises(ModelError, match="no model folder"):
            ask(tmp_path / "nowhere")
    assert started == []


def test_something_must_be_answered(workspace, started, tmp_path):
    empty = handle(add_study(workspace, NewStudy("empty", "m")))
    with pytest.raises(DataError, match="no prompts and no queries"):
        empty.evaluate()
    with pytest.raises(DataError, match="no prompts and no queries"):
        empty.compare(written_study.write_model_folder(tmp_path))
