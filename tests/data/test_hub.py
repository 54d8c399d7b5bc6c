"""Data sets on the Hub: an id is fetched and read like a folder of shards; what is a path is never asked for."""

import json

import huggingface_hub
import pandas as pd
import pytest

from lancet_core.data.hub import local_data
from lancet_core.data.loading import load_samples
from lancet_core.errors import DataError
from tests.written_rows import plain_rows


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """A stand-in for the network alone: gives a snapshot with two splits in shards, and keeps what was asked for."""
    asked = []
    data = tmp_path / "snapshot" / "data"
    data.mkdir(parents=True)
    for split, rows in (("train", plain_rows(8)), ("test", plain_rows(3))):
        pd.DataFrame(rows).to_parquet(data / f"{split}-00000-of-00001.parquet")

    def download(name, **options):
        asked.append((name, options))
        if name != "some/set":
            raise OSError(f"404 for {name}")
        return str(tmp_path / "snapshot")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
    return asked


def test_a_split_of_a_data_set_is_read(hub):
    assert len(load_samples(local_data("some/set/train")).frame) == 8
    assert len(load_samples(local_data("some/set/test")).frame) == 3
    assert {name for name, _ in hub} == {"some/set"}
    assert all(options["repo_type"] == "dataset" for _, options in hub)
    assert not any(pattern.endswith(".py") for _, options in hub for pattern in options["allow_patterns"])


def test_several_splits_are_named(hub):
    with pytest.raises(DataError, match="holds the splits test, train"):
        load_samples(local_data("some/set"))


def test_a_data_set_that_is_not_there_is_told(hub):
    with pytest.raises(
        DataError, match="no file other/set, and the Hub does not give a data set of that name: 404"
    ):
        local_data("other/set")


@pytest.mark.parametrize("given", ["rows.jsonl", "folder/rows.jsonl", "/a/b", "./a/b", "a/b/c/d", "one"])
def test_what_is_a_path_is_not_asked_for(hub, given):
    assert str(local_data(given)).endswith(given.removeprefix("./"))
    assert hub == []


def test_a_file_that_is_there_wins(hub, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "some").mkdir()
    (tmp_path / "some" / "set").write_text(json.dumps(plain_rows(1)[0]))
    assert len(load_samples(local_data("some/set")).frame) == 1
    assert hub == []
