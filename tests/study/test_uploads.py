"""An uploaded file is kept under its content, by a name that shells and readers take, as long as something names it."""

import os
import time

import pytest

from lancet_core.data.loading import load_samples
from lancet_core.files import write_json
from lancet_core.study.creation import Materials
from lancet_core.study.looking import look_at
from lancet_core.study.making import MAKING
from lancet_core.study.uploads import FOLDER, KEPT_SECONDS, keep_upload
from tests.written_rows import plain_rows, write_lines


def test_an_upload_is_read_as_the_file_was_and_kept_once(workspace, tmp_path):
    content = write_lines(tmp_path / "train.jsonl", plain_rows(4)).read_bytes()
    kept = keep_upload(workspace, "train.jsonl", memoryview(content))
    assert kept == keep_upload(workspace, "train.jsonl", content)
    assert len(load_samples(kept).frame) == 4
    assert [path.name for path in kept.parent.iterdir()] == ["train.jsonl"]


@pytest.mark.parametrize(
    "name",
    [
        "../../up.jsonl",
        "..\\up.jsonl",
        "/etc/up.jsonl",
        ".up.jsonl",
        "a b$(x)`y`'.jsonl",
        "x" * 300 + ".jsonl",
    ],
)
def test_no_name_leads_out_of_the_folder_of_uploads(workspace, name):
    kept = keep_upload(workspace, name, b"{}")
    assert kept.parent.parent == workspace.folder / FOLDER
    assert kept.name.endswith(".jsonl")
    assert len(kept.name) <= 80


def aged(path, seconds=KEPT_SECONDS + 60):
    os.utime(path.parent, (time.time() - seconds,) * 2)
    return path


def test_an_upload_that_nothing_names_goes_after_a_day(workspace):
    old, young = (keep_upload(workspace, "train.jsonl", content) for content in (b"{}", b"[]"))
    aged(old)
    new = keep_upload(workspace, "other.jsonl", b"[{}]")
    assert [path.is_file() for path in (old, young, new)] == [False, True, True]
    assert not old.parent.exists()


def test_an_upload_that_a_form_holds_stays_and_is_the_same_file(workspace):
    held = aged(keep_upload(workspace, "train.jsonl", b"{}"))
    before = held.stat()
    assert keep_upload(workspace, "train.jsonl", b"{}") == held
    keep_upload(workspace, "other.jsonl", b"[]")
    assert held.stat() == before


def test_an_upload_that_a_run_was_asked_of_stays_until_the_run_goes(
    workspace, tmp_path, tiny_model_folder, started, end
):
    content = write_lines(tmp_path / "train.jsonl", plain_rows(4)).read_bytes()
    used = keep_upload(workspace, "train.jsonl", content)
    look = look_at(workspace, Materials(tiny_model_folder("llama"), used))
    aged(used)
    keep_upload(workspace, "other.jsonl", b"[]")
    assert used.is_file()
    end(look)
    look.refreshed().delete()
    keep_upload(workspace, "further.jsonl", b"[1]")
    assert not used.is_file()


def test_an_upload_that_a_study_was_made_of_goes_with_the_study(study):
    used = aged(keep_upload(study.workspace, "train.jsonl", b"{}"))
    write_json(study.folder / MAKING, {"materials": {"train": str(used)}})
    keep_upload(study.workspace, "other.jsonl", b"[]")
    assert used.is_file()
    study.delete()
    assert not used.is_file()


def test_no_upload_goes_while_it_cannot_be_read_what_is_named(study):
    used = aged(keep_upload(study.workspace, "train.jsonl", b"{}"))
    (study.folder / MAKING).write_bytes(b"\xff")
    keep_upload(study.workspace, "other.jsonl", b"[]")
    assert used.is_file()
