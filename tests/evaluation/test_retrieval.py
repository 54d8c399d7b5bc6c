"""DATE-LM's metrics against a literal reading of their definitions and against sklearn, and its rows as they are published."""

import json
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import auc, precision_recall_curve

from lancet_core.data.inputs import load_queries
from lancet_core.data.loading import load_samples
from lancet_core.errors import NumericalError
from lancet_core.evaluation.retrieval import area_under_curve, measure_retrieval, recall_and_rank

RANKED = st.lists(st.tuples(st.integers(-4, 4), st.booleans()), min_size=1, max_size=80)


def reference_area(scores, unsafe):
    """Trapezoids between the points of every threshold, from (share 0, precision 1) on."""
    points = [(0.0, 1.0)]
    for threshold in sorted(set(scores), reverse=True):
        taken = [label for score, label in zip(scores, unsafe, strict=True) if score >= threshold]
        points.append((sum(taken) / sum(unsafe), sum(taken) / len(taken)))
    return sum((b[0] - a[0]) * (a[1] + b[1]) / 2 for a, b in pairwise(points))


def reference_recall_and_rank(scores, relevant, k):
    order = sorted(range(len(scores)), key=lambda place: -scores[place])
    among = sum(relevant[place] for place in order[:k])
    first = next(rank for rank, place in enumerate(order, start=1) if relevant[place])
    return among / sum(relevant), 1 / first


@given(RANKED)
def test_the_area_is_that_of_the_definition_and_of_sklearn(rows):
    scores, unsafe = zip(*rows, strict=True)
    if not any(unsafe):
        with pytest.raises(NumericalError, match="none of"):
            area_under_curve(scores, unsafe)
        return
    found = area_under_curve(scores, unsafe)
    assert found == pytest.approx(reference_area(scores, unsafe))
    precision, recall, _thresholds = precision_recall_curve(unsafe, scores)
    assert found == pytest.approx(auc(recall, precision))


@given(RANKED.filter(lambda rows: any(relevant for _score, relevant in rows)), st.integers(1, 60))
def test_recall_and_rank_are_those_of_the_definition(rows, k):
    scores, relevant = zip(*rows, strict=True)
    assert recall_and_rank(scores, relevant, k) == pytest.approx(
        reference_recall_and_rank(scores, relevant, k)
    )


def table(**influence):
    rows = [
        (query, f"s{place}", value)
        for query, values in influence.items()
        for place, value in enumerate(values)
    ]
    return pd.DataFrame(rows, columns=["query_id", "sample_id", "influence"])


def samples_of(labels, categories=()):
    categories = categories or [[]] * len(labels)
    return pd.DataFrame(
        {"id": [f"s{n}" for n in range(len(labels))], "is_safe": labels, "categories": list(categories)}
    )


def test_unsafe_samples_are_ranked_by_their_mean_over_the_queries():
    # Means 2.5, 2, .5, -1: safe, unsafe, safe, unsafe; by hand the points are (0, 1), (0, 0), (.5, .5), (.5, 1/3), (1, .5).
    scores = table(p=[3.0, 1.0, 1.0, -1.0], q=[2.0, 3.0, 0.0, -1.0])
    found = measure_retrieval(scores, samples_of([True, False, True, False]), {})
    assert found.auprc == pytest.approx(0.5 * (0 + 0.5) / 2 + 0.5 * (1 / 3 + 0.5) / 2)
    assert (found.relevant, found.queries, found.recall_at_50) == ("unsafe", 2, 1.0)
    # p: s0 3, then s1 and s2 equal in their order, so that the first unsafe is second; q: the first is unsafe.
    assert found.mrr == pytest.approx((1 / 2 + 1) / 2)
    assert found.words.startswith("as DATE-LM measures: AUPRC 0.333, Recall@50 1.000, MRR 0.750")


def test_samples_of_unknown_label_are_left_out_of_the_area():
    scores = table(p=[3.0, 2.0, 1.0])
    assert measure_retrieval(scores, samples_of([None, False, True]), {}).auprc == 1.0


def test_a_fact_is_found_by_its_category():
    count = 120
    categories = [
        ["paris"] if place in {4, 60, 119} else ["rome"] if place == 0 else [] for place in range(count)
    ]
    scores = table(
        p=np.linspace(1, -1, count).tolist(), q=np.linspace(1, -1, count).tolist(), r=[0.0] * count
    )
    found = measure_retrieval(
        scores, samples_of([None] * count, categories), {"p": {"paris"}, "q": {"rome"}, "r": {"oslo"}}
    )
    assert (found.auprc, found.relevant, found.queries) == (None, "category", 2)
    assert found.recall_at_50 == pytest.approx((1 / 3 + 1) / 2)
    assert found.mrr == pytest.approx((1 / 5 + 1) / 2)


def test_without_labels_and_facts_nothing_is_measured():
    found = measure_retrieval(table(p=[1.0]), samples_of([None]), {"p": {""}})
    assert (found.auprc, found.recall_at_50, found.mrr, found.queries) == (None, None, None, 0)
    assert "AUPRC undefined" in found.words


def write(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_rows_of_filtering_are_read_with_their_type(tmp_path):
    kinds = ["Unsafe", "Safe", "UltraChat"]
    rows = [{"prompt": f"Q{kind}", "response": "A", "type": kind} for kind in kinds]
    path = write(tmp_path / "train.jsonl", rows)
    named = load_samples(path, "date-lm")
    assert (named.format, named.frame["is_safe"].tolist()) == ("date-lm", [False, True, True])
    seen = load_samples(path).frame["is_safe"]
    assert seen.tolist()[:2] == [False, True]
    assert pd.isna(seen[2])


def test_rows_of_facts_name_their_fact(tmp_path):
    rows = [
        {"prompt": "P", "response": "A", "true_entity": "Paris", "counterfactual_entity": "Rome"},
        {"prompt": "Q", "response": "B", "facts": ["f1", "f2"]},
    ]
    path = write(tmp_path / "train.jsonl", rows)
    loaded = load_samples(path)
    assert loaded.format == "date-lm"
    assert [list(each) for each in loaded.frame["categories"]] == [["Paris / Rome"], ["f1", "f2"]]
    assert [query.category for query in load_queries(path)] == ["Paris / Rome", "f1"]
