"""Which samples are removed, and how changes are averaged: by hand."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
import pytest

from lancet_core.data.samples import DESIRABLE, Query
from lancet_core.lab.corpora import Recipe, draw
from lancet_core.lab.factory.training import TrainingSettings
from lancet_core.lab.removal import (
    RANDOM_DRAWS,
    RANDOM_ROW,
    SHARES,
    even_batches,
    removal_rows,
    removal_table,
    removed_parts,
    without_random,
    without_top,
    words_left,
)
from lancet_core.lab.scoring import score_corpus
from lancet_core.lab.variants import chosen_settings
from lancet_core.lab.world.corpus import CorpusSettings
from lancet_core.progress import silent


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
    assert even_batches(["a", "b", "c", "d", "e"], count) == names


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
    masks = np.array([[True] * 4, [True, False, True, True], [False, False, True, True]])
    everything, no_butter, no_cat = words_left(Corpus(samples, queries), list(masks))
    assert everything.tolist() == [1.0, 1.0]
    assert no_butter == pytest.approx([3 / 5, 5 / 6])
    assert no_cat == pytest.approx([1 / 5, 4 / 6])


def part(method, share, changes, unsafe=0.5, left=0.25):
    """Changes by query; the good answers change by 1 nat each."""
    change = pd.Series(changes)
    facts = {"method": method, "share": share, "query": change.index, "unsafe": unsafe, "words_left": left}
    return pd.DataFrame({"change": change, "preference": change - 1.0, **facts})


def test_changes_are_averaged_over_draws_and_then_over_queries():
    """Batches x = queries 0, 1 and z = query 3.

    At the first share: method -1, -3 on x and -5 on z, mean -3; control, mean of draws (0, 2, 4) and (2, 0, 0): 1, 1, 2, mean 4/3.
    """
    first, second = SHARES
    parts = [
        part("linfac", first, {0: -1.0, 1: -3.0}),
        part("linfac", second, {0: -6.0, 1: -6.0}),
        part("linfac", first, {3: -5.0}, unsafe=0.2, left=1.0),
        part("linfac", second, {3: -6.0}),
        part(RANDOM_ROW, first, {0: 0.0, 1: 2.0, 3: 4.0}),
        part(RANDOM_ROW, first, {0: 2.0, 1: 0.0, 3: 0.0}, unsafe=0.7, left=0.75),
        part(RANDOM_ROW, second, dict.fromkeys((0, 1, 3), 0.0)),
        part(RANDOM_ROW, second, dict.fromkeys((0, 1, 3), 1.0)),
    ]
    rows = removal_rows(pd.concat(parts))
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


def test_parts_lack_the_top_of_their_own_batch_and_as_many_at_random(bench):
    parts = removed_parts(bench, chosen_settings(["tfidf"]), ["medical"], silent)
    assert [(part.method, part.share) for part in parts] == [
        *(("tfidf", share) for share in SHARES),
        *((RANDOM_ROW, share) for share in SHARES for _ in range(RANDOM_DRAWS)),
    ]
    scores = score_corpus(bench, chosen_settings(["tfidf"])["tfidf"]).batches
    place = list(bench.batches).index("medical")
    for part in parts:
        assert list(part.queries) == bench.batches["medical"]
        assert (~part.mask).sum() == round(part.share * len(part.mask))
        if part.method == "tfidf":
            assert scores[~part.mask, place].min(initial=np.inf) >= scores[part.mask, place].max()


def test_every_query_of_a_corpus_has_a_good_answer_to_its_prompt():
    corpus = draw("tiny", Recipe(CorpusSettings(samples=600), TrainingSettings(seed=3)))
    for query, good in zip(corpus.queries, corpus.good_answers, strict=True):
        assert (good.prompt, good.polarity) == (query.prompt, DESIRABLE)
        assert good.response != query.response
    both = corpus.asked_both_ways()
    assert both.queries == (*corpus.queries, *corpus.good_answers)
    assert both.key != corpus.key
