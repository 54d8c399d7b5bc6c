"""An uploaded file is kept under its content, by a name that shells and readers take."""

import pytest

from lancet_core.data.loading import load_samples
from lancet_core.study.uploads import FOLDER, keep_upload
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
