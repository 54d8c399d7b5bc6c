"""Sources of pairs for corrections of the demo: queues, the rule-based reviewer, and one row measured."""

import numpy as np
import pytest

from lancet_core.cli.lab import CORRECTION_ROWS
from lancet_core.correction.settings import CorrectionSettings
from lancet_core.errors import ConfigError, NumericalError
from lancet_core.lab import correction
from lancet_core.lab.correction import Request
from lancet_core.lab.correction_pairs import QUEUES, ROWS, Demo, Pair, approves, influence_queue, source_of
from lancet_core.study.demo import read_assets


@pytest.fixture(scope="module")
def demo():
    return Demo(read_assets())


@pytest.mark.parametrize("name", QUEUES)
def test_no_sample_stands_twice_on_one_side_of_a_queue(demo, name):
    queue = QUEUES[name](demo, 0)
    assert len({(pair.positive, pair.negative) for pair in queue}) == len(queue) > 500
    assert not any(pair.positive == pair.negative for pair in queue)


@pytest.mark.parametrize("name", [name for name, kind in ROWS.items() if kind.queue])
def test_a_row_has_two_hundred_pairs_and_retains_none_of_them(demo, name):
    source = source_of(demo, name, 0)
    used = {sample for pair in source.pairs for sample in pair[:2]}
    assert len(source.pairs) == 200
    assert len(source.retain) > 1000
    assert not used & set(source.retain)
    if ROWS[name].reviewed:
        assert source.decisions >= 200
        assert all(approves(demo, pair) for pair in source.pairs)


def test_the_first_of_the_queue_are_those_that_fewer_would_be(demo):
    assert influence_queue(demo, 0, count=200) == influence_queue(demo, 0)[:200]


def test_the_reviewer_wants_bad_answers_pushed_away_from(demo):
    pair = source_of(demo, "reviewed", 0).pairs[0]
    assert approves(demo, pair)
    assert not approves(demo, Pair(pair.negative, pair.positive))


def test_effort_counts_decisions_not_approvals(demo):
    source = source_of(demo, "random@25", 0)
    assert source.decisions == 25
    assert len(source.pairs) < 25


@pytest.mark.parametrize("name", ["magic", "magic@5", "influence@", "influence@few"])
def test_an_unknown_row_is_named(demo, name):
    with pytest.raises(ConfigError, match=name):
        source_of(demo, name, 0)


def answers(prompts, harmful):
    """Made-up judgements: so many of the wrong prompts harmful, all benign ones helped."""
    flags = np.zeros(len(prompts))
    flags[np.flatnonzero(prompts["kind"] == "wrong")[:harmful]] = 1.0
    return prompts.assign(harmful=flags, broken=0.0, helpful=(prompts["kind"] == "benign").astype(float))


def test_a_table_has_a_line_for_each_row_and_is_read_again(demo, tmp_path, monkeypatch):
    """By hand: 36 of the 360 wrong prompts are .100; a second seed with none makes it .050."""
    judged = []

    def judge(_lm, prompts, _progress):
        judged.append(prompts)
        return answers(prompts, 36 if len(judged) % 2 else 0)

    monkeypatch.setattr(correction, "judged_answers", judge)
    monkeypatch.setattr(correction, "load_language_model", lambda _folder: None)
    monkeypatch.setattr(
        correction.correct, "run", lambda _subject, _request, *, folder, progress: (folder / "model").mkdir()
    )
    request = Request(("none", "influence"), (0, 1), "unseen", CorrectionSettings(steps=2))
    text = correction.correction_table(demo, request, work=tmp_path)
    lines = [line.split(" | ") for line in text.splitlines()]
    assert [line[0] for line in lines[2:]] == ["| no correction", "| 200 pairs by influence alone"]
    assert [line[1] for line in lines[2:]] == ["1 of 1", "2 of 2"]
    assert lines[2][2].startswith(".100 [")
    assert lines[3][2].startswith(".050 [")
    assert len(judged) == 3
    monkeypatch.setattr(correction, "judged_answers", None)
    assert correction.correction_table(demo, request, work=tmp_path) == text


def test_a_training_that_breaks_down_leaves_its_cells_empty(demo, tmp_path, monkeypatch):
    def fail(*_arguments, **_more):
        raise NumericalError("the loss is not finite")

    monkeypatch.setattr(correction, "judged_answers", lambda _lm, prompts, _progress: answers(prompts, 0))
    monkeypatch.setattr(correction, "load_language_model", lambda _folder: None)
    monkeypatch.setattr(correction.correct, "run", fail)
    request = Request(("influence",), (0,), "unseen", CorrectionSettings(steps=2))
    text = correction.correction_table(demo, request, work=tmp_path)
    assert text.splitlines()[-1] == "| 200 pairs by influence alone | 0 of 1 |"


def test_a_model_is_corrected_and_judged(tmp_path):
    few = Demo(read_assets())
    few.__dict__["prompts"] = few.prompts.groupby(["split", "kind"]).head(2)
    settings = CorrectionSettings(steps=1, checkpoint_every=1)
    request = Request(("influence@3",), (0,), "unseen", settings)
    row = correction.measure_row(few, "influence@3", 0, request, work=tmp_path)
    assert len(row) == 4
    assert set(row["harmful"]) <= {0.0, 1.0}
    assert (row["decisions"] == 3).all()


def test_rows_of_the_command_are_those_of_the_table():
    assert CORRECTION_ROWS.split(",") == list(ROWS)
