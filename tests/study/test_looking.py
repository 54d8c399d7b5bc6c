"""What a study would be made of is told before one is, and is what it is then made of."""

import pandas as pd
import pytest

import lancet_core as lancet
from lancet_core.errors import ConfigError, DataError, JobError, StoreError
from lancet_core.study import creation, making
from lancet_core.study.creation import Materials
from lancet_core.study.looking import find_look, first_rows, look_at
from tests.tiny_models import CONTEXT
from tests.written_rows import plain_rows, write_lines


@pytest.fixture
def rows():
    """Twelve rows, of which row 3 has no response, row 5 no prompt, the last one another column; one is too long, one double."""
    made = plain_rows(12)
    made[2]["response"], made[4]["prompt"] = "", None
    return [*made, {"prompt": "long", "response": "word " * 400}, made[0], {"text": "b"}]


@pytest.fixture
def materials(tmp_path, rows, tiny_model_folder):
    return Materials(tiny_model_folder("llama"), write_lines(tmp_path / "train.jsonl", rows))


def test_a_look_counts_what_a_study_is_then_made_of(workspace, materials):
    look = look_at(workspace, materials).wait()
    found = look.result
    study = creation.create(workspace, "mine", materials)
    same = ("rows", "samples", "rejected", "duplicates", "cut", "shortened", "labelled", "unsafe")
    assert {name: getattr(found, name) for name in same} == {name: study.counts[name] for name in same}
    assert (found.rows, found.samples, found.rejected, found.duplicates, found.shortened) == (15, 11, 3, 1, 1)
    assert found.template == study.template
    assert found.lengths.tolist() == study.samples()["tokens"].tolist()
    assert (found.lengths > CONTEXT).sum() == 1


def test_a_look_says_why_rows_are_rejected_and_which(workspace, materials):
    reasons = look_at(workspace, materials).wait().result.reasons
    assert sorted(zip(reasons["first"], reasons["reason"].str.split(";").str[0], strict=True)) == [
        ("15", "the columns text are of no known format"),
        ("3", "response is empty"),
        ("5", "prompt is empty"),
    ]


def test_a_file_with_nothing_usable_is_looked_at_too(workspace, tmp_path, tiny_model_folder):
    file = write_lines(tmp_path / "train.jsonl", [{"a": "b"}] * 3)
    look = look_at(workspace, Materials(tiny_model_folder("llama"), file)).wait()
    assert (look.result.samples, look.result.rejected) == (0, 3)
    with pytest.raises(DataError, match="no row can be used; first: row 1: the columns a"):
        creation.begin(workspace, "mine", Materials(tiny_model_folder("llama"), file), look)
    assert list(workspace.studies.iterdir()) == []


def test_the_same_question_is_answered_from_what_is_there_until_the_file_changes(workspace, materials):
    first = look_at(workspace, materials).wait()
    assert look_at(workspace, materials).id == first.id
    write_lines(materials.train, plain_rows(3))
    assert find_look(workspace, materials) is None


def test_a_study_is_made_of_what_was_looked_at(workspace, materials):
    """The file is not read a second time: it may be gone by then."""
    look = look_at(workspace, materials).wait()
    materials.train.unlink()
    run = creation.begin(workspace, "mine", materials, look)
    assert list(making.list_making(workspace)) == ["mine"]
    with pytest.raises(StoreError, match=r"already a study|is being made"):
        creation.begin(workspace, "mine", materials, look)
    run.wait()
    study = making.complete(workspace, "mine")
    assert making.complete(workspace, "mine") == study
    assert making.list_making(workspace) == {}
    assert study.samples()["id"].tolist() == look.result.table["id"].tolist()
    assert sorted(pd.read_json(study.rejected_file, lines=True)["row"]) == [3, 5, 15]


def test_a_study_that_is_being_made_can_be_discarded(workspace, materials):
    creation.begin(workspace, "mine", materials)
    making.discard(workspace, "mine")
    assert making.list_making(workspace) == {}
    assert list(workspace.studies.iterdir()) == []
    assert list(workspace.runs.glob("prepare-*")) == []


def test_first_rows_are_told_without_a_model(materials):
    read = first_rows(materials.train, count=5)
    assert [(row.number, row.format, row.problem) for row in read] == [
        (1, "plain", ""), (2, "plain", ""), (3, "", "response is empty"), (4, "plain", ""), (5, "", "prompt is empty"),
    ]  # fmt: skip
    assert read[0].columns == ("prompt", "response", "is_safe")


def test_what_cannot_be_looked_at_is_told(workspace, materials, tmp_path):
    with pytest.raises(DataError, match="only files can be looked at"):
        lancet.look_at(workspace=workspace, model=materials.model, train=pd.DataFrame())
    with pytest.raises(ConfigError, match="turns is 'some'"):
        lancet.look_at(workspace=workspace, model=materials.model, train=materials.train, turns="some")
    with pytest.raises(JobError, match="does not exist"):
        lancet.look_at(workspace=workspace, model=materials.model, train=tmp_path / "nowhere.jsonl").wait()
