"""Functions in processes of their own: what they return and tell, how they end."""

import sys
import time

import pytest

from lancet_core.lab.performance.alone import run_alone, say_ready, say_stage, timed_stage

HERE = "tests.lab.test_alone"


def doubled(values):
    sys.stdout.write("a library prints what it likes\n")
    say_ready()
    say_stage("first", 1.5)
    return {"doubled": [2 * timed_stage("second", lambda value=value: value) for value in values]}


def failing():
    say_stage("first", 1.5)
    raise RuntimeError("no luck")


def endless():
    say_ready()
    say_stage("first", 1.5)
    time.sleep(3600)


def test_a_result_comes_back_with_its_stages():
    outcome = run_alone(f"{HERE}:doubled", {"values": [1, 2]})
    assert outcome.result == {"doubled": [2, 4]}
    assert list(outcome.stages) == ["first", "second"]
    assert outcome.stages["first"] == 1.5
    assert (outcome.stopped, outcome.failed) == (False, False)


@pytest.mark.parametrize(("name", "stopped", "failed"), [("failing", False, True), ("endless", True, False)])
def test_what_was_told_before_the_end_stays(name, stopped, failed, capfd):
    outcome = run_alone(f"{HERE}:{name}", {}, limit_seconds=0.1)
    assert (outcome.result, outcome.stages) == (None, {"first": 1.5})
    assert (outcome.stopped, outcome.failed) == (stopped, failed)
    assert ("no luck" in capfd.readouterr().err) == failed
