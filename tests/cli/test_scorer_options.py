"""Scorers and scores by options of the shell: no file needs to be written by hand."""

import pytest

from tests.evaluation.tiny_scorers import save_beaver, save_classifier
from tests.written_rows import plain_rows, write_lines

ROWS = plain_rows(12)


@pytest.fixture(scope="module")
def scorers(tmp_path_factory):
    place = tmp_path_factory.mktemp("scorers")
    return {
        "cost": save_beaver(place / "beaver-7b-v1.0-cost"),
        "plain": save_classifier(place / "plain", labels=3),
    }


def test_the_shell_says_what_a_scorer_is_and_shows_it(
    lancet, lancet_json, tmp_path, tiny_model_folder, scorers
):
    train = write_lines(tmp_path / "train.jsonl", ROWS)
    made = ("study", "create", "mine", "--model", tiny_model_folder("llama"), "--train", train)
    code, _out, err = lancet(*made, "--harmful-scorer", scorers["plain"])
    assert code == 2
    assert "--harmful-scorer-as" in err
    said = "family=classifier,higher_is=harmless,label_index=1,template=Q: {prompt}, A: {response}"
    shown = lancet_json(*made, "--harmful-scorer", scorers["plain"], "--harmful-scorer-as", said)
    assert shown["harmful_scorer"] == str(scorers["plain"])
    assert shown["harmful_scorer_as"] == said
    assert 0 < shown["counts"]["harmful_of_safe"] < 1
    code, _out, err = lancet("study", "set", "mine", "--helpful-scorer", scorers["cost"])
    assert code == 2
    assert "given as the helpful scorer, but its card says that higher is harmful" in err


def test_scores_of_a_file_are_counted(lancet, tmp_path, tiny_model_folder):
    train = write_lines(tmp_path / "train.jsonl", ROWS)
    scores = write_lines(tmp_path / "scores.jsonl", [{"score": place - 6} for place in range(12)])
    made = ("study", "create", "mine", "--model", tiny_model_folder("llama"), "--train", train)
    code, _out, err = lancet(*made, "--scores", scores)
    assert code == 2
    assert "--scores-as" in err
    code, _out, err = lancet(*made, "--scores", scores, "--scores-as", "higher_is=harmful,mapping=sigmoid")
    assert code == 0, err
    assert "12 of 12 samples have a score from the file; 0 of its rows belong to no sample" in err
