"""Which samples are removed, and how changes are averaged: by hand."""

import numpy as np
import pytest

from lancet_core.experiments.removal import (
    RANDOM_DRAWS,
    RANDOM_ROW,
    SHARES,
    part_name,
    removal_rows,
    removal_table,
    spread_batches,
    without_random,
    without_top,
)


def test_the_top_is_removed():
    scores = np.array([0.1, 3.0, -5.0, 2.0, 3.0])
    assert without_top(scores, 0.2).tolist() == [True, False, True, True, True]
    assert without_top(scores, 0.6).tolist() == [True, False, True, False, False]


def test_as_many_are_removed_at_random():
    masks = [without_random(1000, 0.05, draw) for draw in range(RANDOM_DRAWS)]
    assert [int((~mask).sum()) for mask in masks] == [50, 50]
    assert not np.array_equal(*masks)
    assert np.array_equal(masks[0], without_random(1000, 0.05, 0))


def test_a_larger_share_holds_the_smaller():
    small, large = (without_random(1000, share, 0) for share in SHARES)
    assert not (large & ~small).any()


@pytest.mark.parametrize(
    ("count", "names"), [(1, ["a"]), (2, ["a", "e"]), (3, ["a", "c", "e"]), (9, ["a", "b", "c", "d", "e"])]
)
def test_batches_are_taken_evenly(count, names):
    assert spread_batches(["a", "b", "c", "d", "e"], count) == names


def test_changes_are_averaged_over_the_queries_of_the_chosen_batches():
    """Batches x = queries 0, 1 and z = query 3; y is not measured.

    At the first share: method -1, -3 on x and -5 on z, mean -3; control, mean of draws (0, 2, ·, 4) and (2, 0, ·, 0): 1, 1, 2, mean 4/3.
    """
    batches = {"x": [0, 1], "y": [2], "z": [3]}
    first, second = SHARES
    change = {
        part_name("linfac", first, "x"): np.array([-1.0, -3.0, 9.0, 9.0]),
        part_name("linfac", first, "z"): np.array([9.0, 9.0, 9.0, -5.0]),
        part_name("linfac", second, "x"): np.full(4, -6.0),
        part_name("linfac", second, "z"): np.full(4, -6.0),
        part_name("0", first): np.array([0.0, 2.0, 9.0, 4.0]),
        part_name("1", first): np.array([2.0, 0.0, 9.0, 0.0]),
        part_name("0", second): np.zeros(4),
        part_name("1", second): np.ones(4),
    }
    rows = removal_rows(change, batches, ["x", "z"], ["linfac"])
    assert [(row.method, row.share, row.change.n) for row in rows] == [
        ("linfac", first, 3), ("linfac", second, 3), (RANDOM_ROW, first, 3), (RANDOM_ROW, second, 3),
    ]  # fmt: skip
    assert [row.change.value for row in rows] == pytest.approx([-3.0, -6.0, 4 / 3, 0.5])
    lines = removal_table(rows).splitlines()
    assert lines[0] == "| removed | top 1% | top 5% |"
    assert lines[2].startswith("| linfac | -3.000 [")
    assert lines[3].startswith(f"| {RANDOM_ROW} | 1.333 [")
