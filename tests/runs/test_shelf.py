"""The shelf that lends models."""

import threading

import pytest

from lancet_core.errors import Cancelled
from lancet_core.runs.shelf import Shelf


@pytest.fixture
def loads():
    return []


@pytest.fixture
def shelf(loads):
    return Shelf(lambda folder: loads.append(folder) or f"model {folder}", capacity=2)


def use(shelf: Shelf, folder: str) -> str:
    with shelf.lend(folder) as model:
        return model


def test_what_is_unused_for_longest_makes_room(shelf, loads):
    for folder in "abacab":
        assert use(shelf, folder) == f"model {folder}"
    assert loads == ["a", "b", "c", "b"]
    assert sorted(shelf.loaded()) == ["a", "b"]


def test_a_lent_model_stays(shelf, loads):
    with shelf.lend("a"), shelf.lend("b"):
        threads = [threading.Thread(target=use, args=(shelf, folder)) for folder in "cd"]
        for thread in threads:
            thread.start()
            thread.join(10)
        assert {"a", "b"} <= set(shelf.loaded())
    shelf.clear()
    assert shelf.loaded() == []


def test_one_borrower_may_ask_twice_and_another_waits_or_gives_up(shelf):
    def give_up():
        raise Cancelled

    refused = []

    def other():
        with pytest.raises(Cancelled), shelf.lend("a", give_up):
            pass
        refused.append(True)

    with shelf.lender() as load:
        assert load("a") == load("a")
        thread = threading.Thread(target=other)
        thread.start()
        thread.join(10)
    assert refused == [True]
    assert use(shelf, "a") == "model a"


def test_changed_files_are_loaded_again(shelf, loads, tmp_path):
    use(shelf, str(tmp_path))
    (tmp_path / "weights").write_text("1")
    use(shelf, str(tmp_path))
    assert len(loads) == 2


def test_a_model_that_does_not_load_leaves_the_shelf_usable(loads):
    def load(folder):
        loads.append(folder)
        if len(loads) == 1:
            raise OSError("gone")
        return folder

    shelf = Shelf(load)
    with pytest.raises(OSError, match="gone"):
        use(shelf, "a")
    assert use(shelf, "a") == "a"
