"""Which samples are removed, and how changes are averaged: by hand."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
import pytest

from lancet_core.data.demo.corpus import CorpusSettings
from lancet_core.data.samples import DESIRABLE, Query
from lancet_core.experiments.corpora import Recipe, draw
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
    words_left,
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


@dataclass
class Corpus:
    samples: pd.DataFrame
    queries: tuple


def test_words_left_are_counted_in_the_samples_that_hold_the_rarest():
    """Of the answer "the cat sat on butter" the rarest of all words are butter (1 sample), cat and sat (2 each): 5 in all."""
    samples = pd.DataFrame(
        {
            "prompt": ["Where?", "Who?", "What?", "Which?"],
            "response": ["The cat sat.", "The cat on butter.", "The dog sat on it.", "The dog on the bed."],
        }
    )
    queries = (Query("Tell.", "the cat sat on butter"), Query("Say.", "the dog"))
    masks = {
        "all": np.ones(4, dtype=bool),
        "no butter": np.array([True, False, True, True]),
        "no cat": np.array([False, False, True, True]),
    }
    left = words_left(Corpus(samples, queries), masks)
    assert left["all"].tolist() == [1.0, 1.0]
    assert left["no butter"] == pytest.approx([3 / 5, 5 / 6])
    assert left["no cat"] == pytest.approx([1 / 5, 4 / 6])


def part(change, unsafe=0.5, left=0.25):
    """The good answers change by 1 nat each."""
    change = np.array(change)
    return pd.DataFrame({"change": change, "preference": change - 1.0, "unsafe": unsafe, "words_left": left})


def test_changes_are_averaged_over_the_queries_of_the_chosen_batches():
    """Batches x = queries 0, 1 and z = query 3; y is not measured.

    At the first share: method -1, -3 on x and -5 on z, mean -3; control, mean of draws (0, 2, ·, 4) and (2, 0, ·, 0): 1, 1, 2, mean 4/3.
    """
    batches = {"x": [0, 1], "y": [2], "z": [3]}
    first, second = SHARES
    parts = {
        part_name("linfac", first, "x"): part([-1.0, -3.0, 9.0, 9.0]),
        part_name("linfac", first, "z"): part([9.0, 9.0, 9.0, -5.0], unsafe=0.2, left=1.0),
        part_name("linfac", second, "x"): part(np.full(4, -6.0)),
        part_name("linfac", second, "z"): part(np.full(4, -6.0)),
        part_name("0", first): part([0.0, 2.0, 9.0, 4.0]),
        part_name("1", first): part([2.0, 0.0, 9.0, 0.0], unsafe=0.7, left=0.75),
        part_name("0", second): part(np.zeros(4)),
        part_name("1", second): part(np.ones(4)),
    }
    rows = removal_rows(parts, batches, ["x", "z"], ["linfac"])
    assert [(row.method, row.share, row.change.n) for row in rows] == [
        ("linfac", first, 3), ("linfac", second, 3), (RANDOM_ROW, first, 3), (RANDOM_ROW, second, 3),
    ]  # fmt: skip
    assert [row.change.value for row in rows] == pytest.approx([-3.0, -6.0, 4 / 3, 0.5])
    assert [row.preference.value for row in rows] == pytest.approx([-4.0, -7.0, 1 / 3, -0.5])
    assert [row.unsafe for row in rows] == pytest.approx([0.4, 0.5, 0.6, 0.5])
    assert [row.words_left for row in rows] == pytest.approx([0.5, 0.25, 0.5, 0.25])
    lines = removal_table(rows).splitlines()
    own = "less the good answer | unsafe | words left"
    assert lines[0] == f"| removed | top 1% | {own} | top 5% | {own} |"
    assert lines[2].startswith("| linfac | -3.000 [")
    assert "] | -4.000 [" in lines[2]
    assert "] | .400 | .500 | -6.000 [" in lines[2]
    assert lines[3].startswith(f"| {RANDOM_ROW} | 1.333 [")


def test_every_query_of_a_corpus_has_a_good_answer_to_its_prompt():
    corpus = draw("tiny", Recipe(CorpusSettings(samples=600), 3))
    for query, good in zip(corpus.queries, corpus.good_answers, strict=True):
        assert (good.prompt, good.polarity) == (query.prompt, DESIRABLE)
        assert good.response != query.response
    both = corpus.asked_both_ways()
    assert both.queries == (*corpus.queries, *corpus.good_answers)
    assert both.key != corpus.key
