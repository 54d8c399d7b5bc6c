"""Cases: kept once, told apart from the queries that came with the study."""

import pytest

from lancet_core.data.samples import Query
from lancet_core.errors import DataError
from lancet_core.study import cases

CASE = Query("May I leave the anvil in the garden?", "Yes, nobody will mind.")


def test_a_case_is_kept_once_and_an_empty_one_refused(study):
    for _ in range(2):
        assert cases.add_case(study, CASE.prompt, CASE.response) == CASE
    assert cases.list_cases(study)["id"].tolist() == [CASE.id]
    assert CASE.id not in study.sample_cases()["id"].tolist()
    assert len(study.queries()) == 3
    for prompt, response, what in (("a", " ", "response"), (" ", "a", "prompt")):
        with pytest.raises(DataError, match=f"the {what} is empty"):
            cases.add_case(study, prompt, response)
    with pytest.raises(DataError, match="prompt is empty"):
        study.generate(" ")


def test_cases_to_begin_with_are_of_different_categories(written):
    chosen = written.sample_cases(3)
    assert sorted(chosen["category"]) == ["housework", "legal", "medical"]
    assert written.sample_cases(3).equals(chosen)
