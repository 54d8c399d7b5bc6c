"""Results are kept whole, come back as they were, and are made again where their file is broken."""

import numpy as np
import pytest

from lancet_core.lab.keeper import Keeper, Kept


@pytest.fixture
def keeper(tmp_path):
    return Keeper(tmp_path / "kept")


@pytest.mark.parametrize(
    "result",
    [
        Kept({"a": np.arange(6.0).reshape(2, 3), "b": np.array([True, False])}, {"row": "{}"}),
        Kept({"a": np.zeros((0, 3))}),
        Kept({"a": np.arange(6.0).reshape(2, 3).T, "b": np.arange(9)[::2]}),
        Kept(facts={"text": "§ 1\n🙂"}),
    ],
    ids=["arrays and facts", "no rows", "arrays not contiguous", "facts only"],
)
def test_a_result_comes_back_as_it_was(keeper, result):
    keeper.write("key", result)
    read = keeper.read("key")
    assert read.facts == result.facts
    assert set(read.arrays) == set(result.arrays)
    for name, values in result.arrays.items():
        assert np.array_equal(read.arrays[name], values)
        assert read.arrays[name].dtype == values.dtype
    assert [path.name for path in keeper.folder.iterdir()] == ["key.safetensors"]


def test_a_result_is_computed_once(keeper):
    calls = []

    def compute():
        calls.append("computed")
        return Kept(facts={"value": "1"})

    assert keeper.result("key", compute).facts == keeper.result("key", compute).facts == {"value": "1"}
    assert calls == ["computed"]


@pytest.mark.parametrize("broken", ["cut", "no tensors", "empty", "a folder"])
def test_a_broken_file_counts_as_not_there(keeper, broken):
    keeper.write("key", Kept({"a": np.arange(100.0)}))
    path, content = keeper.path("key"), keeper.path("key").read_bytes()
    path.unlink()
    if broken == "a folder":
        path.mkdir()
    else:
        path.write_bytes({"cut": content[:-8], "no tensors": b"no tensors", "empty": b""}[broken])
    assert keeper.read("key") is None
    assert keeper.read("another") is None


def test_files_and_folders_are_made_once_and_whole(keeper):
    def fail(_path):
        raise RuntimeError("stopped half-way")

    with pytest.raises(RuntimeError):
        keeper.file("a.txt", fail)
    with pytest.raises(RuntimeError):
        keeper.subfolder("model", fail)
    assert not list(keeper.folder.iterdir())
    assert keeper.file("a.txt", lambda path: path.write_text("1")).read_text() == "1"
    assert (keeper.subfolder("model", lambda path: (path / "w").write_text("2")) / "w").read_text() == "2"
    assert keeper.file("a.txt", fail).read_text() == "1"
    assert (keeper.subfolder("model", fail) / "w").read_text() == "2"
