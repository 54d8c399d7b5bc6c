import pandas as pd
import pytest

from lancet_core.errors import DataError
from pages.audit.thresholds import cut_after


@pytest.fixture
def rows() -> pd.DataFrame:
    """Six candidates, best first: unsafe, safe, unlabelled, unsafe, safe, safe."""
    labels = pd.array([False, True, None, False, True, True], dtype="boolean")
    return pd.DataFrame({"sample_id": list("abcdef"), "influence": [6.0, 5, 4, 3, 2, 1], "is_safe": labels})


def test_counts_labelled_samples_only(rows: pd.DataFrame):
    """Above the cut after three: one unsafe among two labelled; two unsafe in all."""
    cut = cut_after(rows, 3)
    assert (cut.threshold, cut.unsafe, cut.precision, cut.share_found) == (4.0, 1, 0.5, 0.5)


def test_names_who_leaves_and_who_enters(rows: pd.DataFrame):
    cut = cut_after(rows, 3, shown=2)
    assert list(cut.leaving["sample_id"]) == ["c", "b"]
    assert list(cut.entering["sample_id"]) == ["d", "e"]


def test_a_desirable_query_is_read_from_the_other_end(rows: pd.DataFrame):
    assert list(cut_after(rows, 2, desirable=True).leaving["sample_id"]) == ["e", "f"]


@pytest.mark.parametrize("count", [0, 7])
def test_refuses_to_take_what_is_not_there(rows: pd.DataFrame, count: int):
    with pytest.raises(DataError, match=r"between 1 and 6"):
        cut_after(rows, count)


def test_no_label_gives_no_precision(rows: pd.DataFrame):
    cut = cut_after(rows.assign(is_safe=pd.array([None] * 6, dtype="boolean")), 3)
    assert cut.precision != cut.precision
    assert cut.share_found != cut.share_found
