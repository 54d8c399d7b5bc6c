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
from tests.written_rows import write_lines

CASE = ["May I leave the anvil in the garden?", "Yes, nobody will mind."]


def prompts_of(run) -> pd.DataFrame:
    return pd.read_parquet(run.folder.inputs / "prompts.parquet")


def test_queries_are_proved_with_the_category_they_were_stored_with(workspace, started):
    study = install_demo(workspace)
    asked = study.evaluate().order.request["queries"]
    assert len(asked) == len(study.queries())
    assert {query["category"] for query in asked} == set(study.queries()["category"])
    assert "" not in {query["category"] for query in asked}


@pytest.mark.parametrize("act", ["compare", "evaluate"])
def test_validation_prompts_prove_nothing(study, started, tmp_path, act):
    after = written_study.write_model_folder(tmp_path / "after")
    run = study.compare(after, CASE) if act == "compare" else study.evaluate(model=after)
    assert set(prompts_of(run)["split"]) == {"unseen"}


def test_a_file_of_prompts_takes_the_place_of_the_studys(study, started, tmp_path):
    after = written_study.write_model_folder(tmp_path / "after")
    file = write_lines(tmp_path / "others.jsonl", [{"prompt": "Another?"}])
    assert prompts_of(study.compare(after, CASE, prompts=file))["prompt"].tolist() == ["Another?"]


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
