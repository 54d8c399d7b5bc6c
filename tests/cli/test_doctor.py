"""`lancet doctor`: one line for each check, what to do about what is not in order, and the exit code."""

import json
import shutil
from importlib import metadata
from types import SimpleNamespace

import numpy as np
import psutil
import pytest

from lancet_core.cli import checkup
from lancet_core.cli.checkup import check_demo, check_memory, check_versions, judge_scores
from lancet_core.cli.doctor import FAILED, OK, WARNING, attempt
from lancet_core.errors import DataError, NumericalError
from lancet_core.models.loading import load_language_model
from lancet_core.operations.batch_dependence import ONE_BY_ONE, largest_difference, score_in_batches
from lancet_core.study.demo import FOLDER

TEXTS = [(f"Question number {number}?", "word " * (1 + number % 5)) for number in range(8)]
QUICK = "check_versions"
CHECKS = [name for name in vars(checkup) if name.startswith("check_") and name != "check_model_folder"]
NAMES = ["versions", "device", "memory", "workspace", "disk", "host", "index", "demo", "scores"]


@pytest.fixture
def only(monkeypatch):
    """Leaves out all checks but some: they find nothing."""

    def keep(*names):
        for name in CHECKS:
            if name not in names:
                monkeypatch.setattr(checkup, name, lambda *_: "left out")

    return keep


def lines_of(out):
    """State and rest of each line by the name of its check."""
    return {line[9:21].strip(): (line[:9].strip(), line[21:]) for line in out.splitlines()}


def test_this_machine_is_in_order(lancet, tmp_path):
    code, out, err = lancet("doctor")
    lines = lines_of(out)
    assert code == 0, out
    assert {state for state, _ in lines.values()} <= {OK, WARNING}
    assert list(lines) == NAMES
    assert lines["workspace"] == (OK, f"{tmp_path / 'workspace'} can be written")
    assert lines["scores"][0] == OK
    assert "9 checks: 0 failed" in err


def test_json_lists_the_findings(lancet, only):
    only(QUICK)
    code, out, _err = lancet("doctor", "--json")
    findings = json.loads(out)
    assert code == 0
    assert [finding["name"] for finding in findings] == NAMES
    assert findings[0].keys() == {"name", "state", "detail", "remedy"}
    assert f"LANCET {metadata.version('lancet')}, Python 3." in findings[0]["detail"]


@pytest.mark.parametrize(
    ("needs", "says", "remedy"),
    [
        (["torch<1"], "torch {torch}", "pip install 'torch<1'"),
        (["torch>=999"], "torch {torch}", "pip install 'torch>=999'"),
        (["torch<1", "streamlit<1"], "streamlit {streamlit}", "pip install 'torch<1' 'streamlit<1'"),
        (["no-such-package>=1"], "no-such-package is missing", "pip install 'no-such-package>=1'"),
    ],
)
def test_a_package_that_is_missing_or_of_another_version_fails(monkeypatch, needs, says, remedy):
    names = tuple(need.rstrip("<>=0123456789") for need in needs)
    monkeypatch.setattr(checkup, "PACKAGES", names)
    monkeypatch.setattr(metadata, "requires", lambda _: needs)
    finding = attempt("versions", check_versions)
    installed = {name: metadata.version(name) for name in ("torch", "streamlit")}
    assert finding.state == FAILED
    assert says.format(**installed) in finding.detail
    assert finding.remedy == remedy


def test_another_python_than_accepted_fails(monkeypatch):
    monkeypatch.setattr(checkup.platform, "python_version", lambda: "3.8.1")
    finding = attempt("versions", check_versions)
    assert finding.state == FAILED
    assert finding.detail.startswith("Python 3.8.1, ")
    assert finding.remedy.startswith("make a new environment with 'Python>=")


def test_a_failed_check_ends_with_2_and_the_line_says_what_to_do(lancet, only, monkeypatch):
    only()
    monkeypatch.setattr(checkup, "check_scores", lambda: judge_scores(1.0))
    code, out, err = lancet("doctor")
    assert code == 2
    state, text = lines_of(out)["scores"]
    assert state == FAILED
    assert "--dtype float64" in text
    assert "9 checks: 1 failed" in err


def test_a_workspace_that_cannot_be_made_fails(lancet, only, tmp_path):
    only(QUICK, "check_workspace")
    (tmp_path / "file").write_text("")
    code, out, _err = lancet("doctor", "--workspace", tmp_path / "file" / "inside")
    state, text = lines_of(out)["workspace"]
    assert (code, state) == (2, FAILED)
    assert "give another folder with --workspace" in text
    assert lines_of(out)["versions"][0] == OK


def test_a_workspace_that_cannot_be_written_fails(lancet, only, tmp_path, monkeypatch):
    only("check_workspace", "check_disk")

    def refuse(**_options):  # the tests may run as root, who can write everywhere
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(checkup.tempfile, "TemporaryFile", refuse)
    code, out, _err = lancet("doctor")
    state, text = lines_of(out)["workspace"]
    assert (code, state) == (2, FAILED)
    assert "cannot be written: Permission denied; give another folder" in text
    assert lines_of(out)["disk"][0] in {OK, WARNING}


def test_a_damaged_index_fails(lancet, only, tmp_path):
    only("check_index")
    (tmp_path / "workspace").mkdir()
    (tmp_path / "workspace" / "lancet.db").write_text("no database at all " * 100)
    code, out, _err = lancet("doctor")
    state, text = lines_of(out)["index"]
    assert (code, state) == (2, FAILED)
    assert "is damaged" in text
    assert "restore a copy" in text


@pytest.mark.parametrize("error", [ImportError("no torch"), OSError("no disk"), RuntimeError("no driver")])
def test_a_check_that_raises_takes_no_other_down(lancet, only, monkeypatch, error):
    only(QUICK)

    def raises():
        raise error

    monkeypatch.setattr(checkup, "check_device", raises)
    code, out, _err = lancet("doctor")
    state, text = lines_of(out)["device"]
    assert (code, state) == (2, FAILED)
    assert str(error) in text
    assert lines_of(out)["versions"][0] == OK


@pytest.fixture
def demo_copy(tmp_path):
    return shutil.copytree(FOLDER, tmp_path / "demo")


def test_a_whole_demo_is_in_order(demo_copy):
    assert check_demo(demo_copy) == f"{demo_copy} is whole"


@pytest.mark.parametrize("lost", ["demo.json", "samples.parquet", "impure/model.safetensors", "runs/cluster"])
def test_a_demo_that_lacks_a_part_fails(demo_copy, lost):
    part = demo_copy / lost
    shutil.rmtree(part) if part.is_dir() else part.unlink()
    finding = attempt("demo", lambda: check_demo(demo_copy))
    assert finding.state == FAILED
    assert finding.remedy


def test_a_table_of_the_demo_that_was_cut_fails(demo_copy):
    table = demo_copy / "queries.parquet"
    table.write_bytes(table.read_bytes()[:100])
    with pytest.raises(DataError, match=r"queries\.parquet cannot be read"):
        check_demo(demo_copy)


@pytest.mark.parametrize(
    ("name", "free_gib", "state"),
    [("memory", 1.9, WARNING), ("memory", 2.0, OK), ("disk", 0.9, WARNING), ("disk", 1.0, OK)],
)
def test_little_room_is_a_warning(monkeypatch, name, free_gib, state):
    bytes_free = int(free_gib * 2**30)
    memory, disk = SimpleNamespace(available=bytes_free, total=2**40), SimpleNamespace(free=bytes_free)
    monkeypatch.setattr(psutil, "virtual_memory", lambda: memory)
    monkeypatch.setattr(checkup.shutil, "disk_usage", lambda _: disk)
    check = {"memory": check_memory, "disk": lambda: checkup.check_disk(SimpleNamespace(folder="here"))}[name]
    finding = attempt(name, check)
    assert finding.state == state
    assert bool(finding.remedy) == (state == WARNING)


@pytest.mark.parametrize(("difference", "state"), [(0.0, OK), (1e-5, OK), (1.1e-5, FAILED)])
def test_scores_may_change_with_the_batch_by_rounding_only(difference, state):
    finding = attempt("scores", lambda: judge_scores(difference))
    assert finding.state == state
    assert bool(finding.remedy) == (state == FAILED)


def test_the_largest_difference_of_all_ways_counts_in_units_of_the_largest_score():
    found = {
        ONE_BY_ONE: np.array([2.0, -4.0]),
        "batch": np.array([2.0, -4.1]),
        "order": np.array([2.2, -4.0]),
    }
    assert largest_difference(found) == pytest.approx(0.2 / 4)


@pytest.mark.parametrize(
    ("alone", "batch", "words"),
    [([1.0], [np.nan], "not finite"), ([np.inf], [1.0], "not finite"), ([0.0], [0.0], "all scores are 0")],
)
def test_scores_that_cannot_be_compared_are_told(alone, batch, words):
    with pytest.raises(NumericalError, match=words):
        largest_difference({ONE_BY_ONE: np.array(alone), "batch": np.array(batch)})


def test_every_way_gives_the_scores_in_the_order_of_the_samples(tiny_model_folder):
    found = score_in_batches(str(tiny_model_folder()), samples=TEXTS, query=TEXTS[0])
    assert len(found) == 3
    alone = found[ONE_BY_ONE]
    assert len(set(alone)) == len(TEXTS)
    for values in found.values():
        np.testing.assert_allclose(values, alone, atol=1e-5 * np.abs(alone).max())


def test_a_network_whose_rows_feel_each_other_is_found(tiny_model_folder):
    def load(folder):
        lm = load_language_model(folder, device="cpu")
        lm.model.get_input_embeddings().register_forward_hook(lambda *given: given[-1] * (1 + len(given[-1])))
        return lm

    found = score_in_batches(str(tiny_model_folder()), samples=TEXTS, query=TEXTS[0], load=load)
    with pytest.raises(NumericalError, match="change with the batch"):
        judge_scores(largest_difference(found))
