"""Pairs for one answer: what a trace shows comes first, each sample once, partners fit."""

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lancet_core.correction.case_pairs import pairs_of_case
from lancet_core.errors import DataError


def scored(*rows) -> pd.DataFrame:
    """Rows of sample id, influence, prompt and category."""
    table = pd.DataFrame(rows, columns=["sample_id", "influence", "prompt", "category"])
    return table.assign(categories=[[name] for name in table["category"]]).drop(columns="category")


def sides(pairs: pd.DataFrame) -> list[str]:
    return [f"{row.positive_id} {row.negative_id}" for row in pairs.itertuples()]


def test_the_strongest_come_first_in_the_order_that_a_trace_shows():
    table = scored(("p1", 2.0, "a", "x"), ("p2", 3.0, "b", "x"), ("p3", 1.0, "c", "x"),
                   ("n1", -1.0, "d", "x"), ("n2", -2.0, "e", "x"), ("n3", -0.5, "f", "x"))  # fmt: skip
    pairs = pairs_of_case(table, count=2)
    assert pairs["positive_id"].tolist() == ["p2", "p1"]
    assert pairs["rank"].tolist() == [1, 2]
    assert set(pairs["scored"]) == {6}
    assert pairs["positive_influence"].tolist() == [1.0, pytest.approx(2 / 3)]
    assert set(pairs["origin"]) == {"trace"}


def test_a_partner_answers_the_same_prompt_before_all_else():
    table = scored(("p1", 2.0, "cool a burn", "medical"), ("n1", -9.0, "cool a drink", "medical"),
                   ("n2", -1.0, "cool a burn", "other"))  # fmt: skip
    assert sides(pairs_of_case(table, count=9)) == ["p1 n2"]


def test_then_the_category_counts_then_shared_words_then_strength():
    table = scored(("p1", 2.0, "cool a burn", "medical"), ("n1", -9.0, "burn a burn", "legal"),
                   ("n2", -1.0, "other", "medical"))  # fmt: skip
    assert sides(pairs_of_case(table, count=9)) == ["p1 n2"]
    table = scored(
        ("p1", 2.0, "cool a burn", "a"),
        ("n1", -9.0, "sell a house", "b"),
        ("n2", -1.0, "treat the burn", "c"),
    )
    assert sides(pairs_of_case(table, count=9)) == ["p1 n2"]
    table = scored(("p1", 2.0, "one", "a"), ("n1", -1.0, "two", "b"), ("n2", -9.0, "three", "c"))
    assert sides(pairs_of_case(table, count=9)) == ["p1 n2"]


def test_picked_samples_come_first_whatever_their_rank():
    table = scored(
        *[(f"p{n}", 10.0 - n, "a", "x") for n in range(5)], *[(f"n{n}", n - 10.0, "b", "x") for n in range(5)]
    )
    pairs = pairs_of_case(table, count=2, picked=["p3", "p4", "p1", "n4"])
    assert pairs["positive_id"].tolist() == ["p1", "p3", "p4"]
    assert pairs["origin"].tolist() == ["picked"] * 3
    assert pairs["rank"].tolist() == [2, 4, 5]
    assert pairs["negative_id"].tolist()[0] == "n4"


@pytest.mark.parametrize(
    "rows",
    [[("a", -1.0, "x", "y"), ("b", -1.0, "x", "y")], [("a", 1.0, "x", "y")]],
    ids=["away", "one sample"],
)
def test_nothing_that_pushes_towards_and_one_sample_alone_make_no_pair(rows):
    with pytest.raises(DataError, match="no pair can be made"):
        pairs_of_case(scored(*rows), count=3)


def test_where_all_push_towards_the_weaker_half_stands_on_the_other_side():
    rows = [
        (name, influence, "x", "y")
        for name, influence in zip("abcde", (5.0, 4.0, 3.0, 2.0, 1.0), strict=True)
    ]
    pairs = pairs_of_case(scored(*rows), count=9)
    assert sides(pairs) == ["a e", "b d"]
    assert pairs["negative_raw"].tolist() == [1.0, 2.0]


def test_prompts_without_words_are_paired_all_the_same():
    assert sides(pairs_of_case(scored(("p", 1.0, "?", "x"), ("n", -1.0, "!", "y")), count=1)) == ["p n"]


@given(st.lists(st.floats(-5, 5, allow_nan=False), min_size=2, max_size=30), st.integers(1, 30))
def test_each_sample_stands_in_one_pair_and_sides_keep_their_signs(values, count):
    table = scored(*[(f"s{n}", value, "p", "c") for n, value in enumerate(values)])
    if not ((table["influence"] > 0).any() and (table["influence"] < 0).any()):
        return
    pairs = pairs_of_case(table, count=count)
    ids = [*pairs["positive_id"], *pairs["negative_id"]]
    assert len(set(ids)) == len(ids)
    assert (pairs["positive_raw"] > 0).all()
    assert (pairs["negative_raw"] < 0).all()
    assert len(pairs) <= count
