"""The table of acts: each has its request, its result, its operation, and a screen that there is."""

import importlib
import inspect
from dataclasses import MISSING, fields, is_dataclass, replace
from pathlib import Path

import pytest

from lancet_core.acts.results import Result, read_result, write_result
from lancet_core.acts.subject import MODEL, SAMPLES, SCORERS, TEMPLATE, Subject
from lancet_core.acts.table import ACTS, find_act, run_key
from lancet_core.config import from_dict, to_dict
from lancet_core.data.samples import Query
from lancet_core.errors import JobError
from lancet_core.evaluation.verdict import Check, Verdict
from pages.shared.screens import SCREENS

PAGES = Path(__file__).parents[2] / "pages"
QUERIES = (Query("Why?", "Because.", group="a"), Query("How?", "So.", span="S"))
REQUIRED = {"queries": QUERIES, "after": "some/model", "query_id": "q", "sample_id": "s"}
VERDICT = Verdict("not corrected", (Check("case_answer", None, "Not judged."),), ("Train more.",))


def request_of(act):
    """A request with what it needs and its defaults else."""
    needed = {field.name for field in fields(act.request) if field.default is MISSING}
    return act.request(**{name: value for name, value in REQUIRED.items() if name in needed})


def result_of(act):
    names = {field.name for field in fields(act.result)}
    return act.result(**({"verdict": VERDICT} if "verdict" in names else {}))


every_act = pytest.mark.parametrize("name", ACTS)


@every_act
def test_an_act_is_described_in_words(name):
    act = ACTS[name]
    assert act.title
    assert act.doing
    assert is_dataclass(act.request)
    assert issubclass(act.result, Result)
    title = request_of(act).title
    assert isinstance(title, str)
    assert title.strip()
    outcome = result_of(act).outcome
    assert isinstance(outcome, str)
    assert outcome.strip()


@every_act
def test_an_act_has_an_operation_that_workers_call_alike(name):
    run = importlib.import_module(ACTS[name].operation).run
    parameters = inspect.signature(run).parameters
    assert list(parameters)[:4] == ["subject", "request", "folder", "progress"]
    assert parameters["folder"].kind is inspect.Parameter.KEYWORD_ONLY
    assert inspect.signature(run).return_annotation in {ACTS[name].result, ACTS[name].result.__name__}
    assert "load" in parameters or not ACTS[name].warm


@every_act
def test_a_request_travels_through_a_run_folder_unchanged(name):
    request = request_of(ACTS[name])
    assert from_dict(ACTS[name].request, to_dict(request)) == request


@every_act
def test_a_result_travels_through_a_run_folder_unchanged(name, tmp_path):
    result = result_of(ACTS[name])
    write_result(tmp_path, result)
    read = read_result(ACTS[name].result, tmp_path)
    assert read == result
    assert read.folder == tmp_path


@every_act
def test_an_act_names_parts_of_a_subject_and_fields_of_its_request(name):
    act = ACTS[name]
    assert set(act.depends_on) <= {MODEL, SAMPLES, TEMPLATE, SCORERS}
    assert set(act.models) <= {field.name for field in fields(act.request)}


@every_act
def test_the_screen_that_shows_a_result_is_there_and_reads_its_parameter(name):
    act = ACTS[name]
    if not act.screen:
        assert not act.parameter
        return
    assert act.screen in SCREENS
    if act.parameter:
        text = (PAGES / act.screen / "screen.py").read_text(encoding="utf-8")
        assert f'"{act.parameter}"' in text


@every_act
@pytest.mark.parametrize("content", ["", "{", "[]", "3", "null", "\x00", '{"FIELD": "\u20ac"}'])
def test_a_broken_result_is_one_sentence(name, tmp_path, content):
    kind = ACTS[name].result
    field = [field.name for field in fields(kind) if field.name != "folder" and field.type is not str][-1]
    (tmp_path / "result.json").write_text(content.replace("FIELD", field))
    with pytest.raises(JobError, match=f"the result of run {tmp_path.name} is missing or broken") as caught:
        read_result(kind, tmp_path)
    assert "\n" not in str(caught.value)


def test_an_unknown_act_is_named():
    with pytest.raises(JobError, match="there is no act 'dance'; known acts: attribute, build_demo"):
        find_act("dance")


def test_equal_requests_have_equal_keys_and_others_others():
    act, subject = ACTS["attribute"], Subject("s", "some/model", "nowhere.parquet")
    request = request_of(act)

    def key(subject=subject, request=request, inputs=()):
        return run_key("attribute", act, subject, request=request, inputs=dict(inputs))

    assert key() == key()
    others = [
        key(subject=replace(subject, model="another/model")),
        key(subject=replace(subject, template="raw")),
        key(request=replace(request, top=3)),
        key(request=replace(request, queries=QUERIES[:1])),
        key(inputs=[("table", "f")]),
        run_key("another", act, subject, request=request, inputs={}),
    ]
    assert len({key(), *others}) == 1 + len(others)
    same = replace(subject, study="t", factors="there", indexes="there", harmful_scorer="some/scorer")
    assert key(subject=same) == key()


def test_another_way_of_encoding_is_another_run(monkeypatch):
    named = Subject("s", "some/model", "").contents([TEMPLATE])
    monkeypatch.setattr("lancet_core.acts.subject.ENCODING", "apart")
    assert Subject("s", "some/model", "").contents([TEMPLATE]) != named
