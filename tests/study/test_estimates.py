"""What training, contaminating and correcting would take is judged by what the same took here, and by nothing else where nothing did."""

import dataclasses

import pandas as pd
import pytest

from lancet_core.acts.contaminate import Contaminated
from lancet_core.acts.train import Trained
from lancet_core.correction.needs import training_need
from lancet_core.correction.settings import CorrectionSettings, TrainSettings
from lancet_core.data.samples import count_characters
from lancet_core.models.needs import model_size
from lancet_core.runs import launcher
from lancet_core.runs.run import Run
from lancet_core.study.contamination import contamination_task
from lancet_core.study.corrections import preflight
from lancet_core.study.estimates import (
    UNMEASURED,
    estimate_contamination,
    estimate_correction,
    estimate_training,
)
from lancet_core.study.training import training_task
from tests.written_rows import plain_rows, write_lines

ONCE = TrainSettings(epochs=1)


@pytest.fixture
def task(workspace, tmp_path, tiny_model_folder):
    """Describes a training on rows with these settings."""

    def described(settings, rows=8, model="llama"):
        train = write_lines(tmp_path / f"{rows}.jsonl", plain_rows(rows))
        return training_task(workspace, settings, model=tiny_model_folder(model), train=train)

    return described


@pytest.fixture
def took(workspace, started, end):
    """Enters a finished run of a task."""

    def enter(task, result):
        run = Run(workspace, launcher.start(workspace, task))
        end(run, result=result)
        return run

    return enter


def characters(task):
    return count_characters(task.inputs["samples.parquet"])


def tell_steps(run, *seconds):
    """Writes when each step of a training was told."""
    rows = [
        {"stage": "Training", "step": step, "seconds": told, "loss": 1.0}
        for step, told in enumerate(seconds, start=1)
    ]
    write_lines(run.record.folder / "metrics.jsonl", rows)


def test_a_training_is_judged_by_the_steps_of_an_earlier_one(workspace, task, took):
    """Eight samples in steps of four took 2 s a step; loading took 30 s and does not count."""
    first = task(TrainSettings(epochs=2.0, batch=4))
    tell_steps(took(first, Trained(characters=characters(first), seconds=38.0)), 32.0, 34.0, 36.0, 38.0)
    found = estimate_training(workspace, task(TrainSettings(epochs=3.0, batch=4)))
    assert found.seconds == pytest.approx(6 * 2.0)
    assert found.basis == "as an earlier training of this model took"
    larger = estimate_training(workspace, task(TrainSettings(epochs=3.0, batch=8)))
    assert larger.seconds == pytest.approx(3 * 4.0)
    longer = task(TrainSettings(epochs=1.0, batch=4), rows=16)
    expected = 4 * 2.0 * (characters(longer) / 16) / (characters(first) / 8)
    assert estimate_training(workspace, longer).seconds == pytest.approx(expected)


@pytest.mark.parametrize(
    "other", ["another model", "an adapter", "a resumed run", "an older version", "a single step"]
)
def test_a_training_is_judged_by_no_other(workspace, task, took, other):
    settings = TrainSettings(epochs=1, adapter="lora") if other == "an adapter" else ONCE
    earlier = task(settings, model="gpt2" if other == "another model" else "llama")
    result = Trained(
        characters=0 if other == "an older version" else 800,
        seconds=10.0,
        resumed_from=3 if other == "a resumed run" else 0,
    )
    tell_steps(took(earlier, result), *([1.0] if other == "a single step" else [1.0, 2.0]))
    asked = task(TrainSettings(epochs=2.0))
    found = estimate_training(workspace, asked)
    assert (found.seconds, found.basis) == (None, UNMEASURED)
    assert found.memory_bytes == training_need(model_size(asked.subject.model), asked.request.train).total


def test_contaminating_is_judged_by_an_earlier_run_that_compared_the_same(workspace, tmp_path, took):
    data = write_lines(tmp_path / "train.jsonl", plain_rows(40))
    more = write_lines(tmp_path / "more.jsonl", plain_rows(60))
    asked = contamination_task(data=more)
    assert dataclasses.astuple(estimate_contamination(workspace, asked)) == (None, "", 0)
    took(contamination_task(data=data), Contaminated(samples=40, seconds=2.0))
    assert estimate_contamination(workspace, asked).seconds == pytest.approx(3.0)


def test_a_correction_costs_what_its_screen_says(study):
    settings = CorrectionSettings(steps=7)
    found, shown = estimate_correction(study, settings), preflight(study, settings)
    assert (found.seconds, found.memory_bytes) == (shown.seconds, shown.memory_bytes)
    assert found.basis == shown.basis


def test_a_conversation_is_as_long_as_all_its_messages():
    rows = {"prompt": ["ab", "c"], "response": ["d", "ef"], "messages": ["", "[12345]"]}
    assert count_characters(pd.DataFrame(rows)) == 3 + 7
