"""The tables of what attribution costs, on models and corpora small enough for a test."""

import importlib.util

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from lancet_core.lab.markdown import table_of
from lancet_core.lab.performance import index_search, parts, passes, rivals, subjects
from lancet_core.lab.performance.alone import Outcome
from lancet_core.lab.performance.names import BERGSON_INDEX, KRONFLUENCE, OURS, PARTS
from lancet_core.models.encoding import Encoded
from lancet_core.models.loading import LanguageModel


def subject(dtype=torch.float32):
    """Twelve random texts of eight to nineteen tokens and ten queries on a model of two blocks."""
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=60, hidden_size=16, intermediate_size=32, num_hidden_layers=2, num_attention_heads=2
    )
    model = LlamaForCausalLM(config).to(dtype).eval()
    lm = LanguageModel(model, None, "", torch.device("cpu"), 128, "random weights")
    texts = [Encoded(tuple(torch.randint(3, 60, (8 + place % 12,)).tolist()), 4) for place in range(22)]
    return subjects.Subject("tiny", lm, texts[:12], texts[12:])


def test_the_command_offers_every_part():
    assert tuple(parts._PARTS) == PARTS


def test_every_pass_has_a_row_with_its_ratio_to_the_floor():
    rows = passes.ratios(subject(), rounds=1)
    assert [row["pass"] for row in rows[:4]] == [
        "floor", "linfac, score, 1 query", "linfac, score, 10 queries", "linfac, factors",
    ]  # fmt: skip
    assert rows[0]["÷ floor"] == rows[0]["÷ floor (CPU)"] == 1.0
    assert rows[-1]["pass"] == "linfac-head, eigendecompositions"
    assert table_of(rows).count("\n") == len(rows) + 1 == 12


@pytest.mark.parametrize("method", ["linfac", "linfac-head"])
def test_scores_in_equal_precision_are_equally_ordered(method):
    row = passes.in_bfloat16(subject(), subject(), method)
    assert row["Spearman, least of 10 queries"] == row["median"] == pytest.approx(1.0)


def test_sorting_by_length_computes_less(monkeypatch):
    monkeypatch.setattr(passes, "AT_ONCE", 60)
    by_length, in_order = passes.sorting(subject())
    assert by_length["tokens"] == in_order["tokens"] == sum(range(8, 20))
    assert by_length["tokens"] <= by_length["computed"] <= in_order["computed"]


def test_texts_of_every_length_have_as_many_tokens(monkeypatch):
    monkeypatch.setattr(passes, "TOKENS", 128)
    rows = passes.linear_in_tokens(subject())
    assert [row["samples"] for row in rows] == [12 * 8, 12 * 4, 12 * 2, 12]


def test_a_rival_that_is_not_installed_is_named(monkeypatch):
    monkeypatch.setattr(rivals, "find_spec", lambda _name: None)
    rows = rivals.compare([KRONFLUENCE, BERGSON_INDEX], 1.0, lambda _text: None)
    assert rows == [
        {"method": "kronfluence", "stage": "not installed: kronfluence"},
        {"method": "bergson index", "stage": "not installed: bergson"},
    ]


@pytest.mark.parametrize("name", [*OURS, KRONFLUENCE])
def test_a_rival_says_its_stages(name, monkeypatch, capsys):
    if name == KRONFLUENCE and importlib.util.find_spec(name) is None:
        pytest.skip("kronfluence is not installed")
    monkeypatch.setattr(subjects, "wide", lambda _family: subject())
    threads = torch.get_num_threads()
    rivals.measure_rival(name)
    torch.set_num_threads(threads)
    told = capsys.readouterr().out
    assert told.index('"ready"') < told.index('"factors')
    assert "score" in told


def test_a_rival_that_fails_stops_nobody(monkeypatch):
    outcomes = iter([Outcome(None, {"factors": 2.0}, stopped, failed)
                     for stopped, failed in ((False, True), (True, False), (False, False))])  # fmt: skip
    monkeypatch.setattr(rivals, "run_alone", lambda *_arguments: next(outcomes))
    rows = rivals.compare(["linfac", "ekfac", "linfac-head"], 9.0, lambda _text: None)
    whole = [row for row in rows if "stopped" in row]
    assert [(row["stage"], row.get("seconds")) for row in whole] == [
        ("failed", None), ("end to end", 9.0), ("end to end", 2.0),
    ]  # fmt: skip


def test_a_typed_query_is_searched_in_an_index_of_drawn_samples(tmp_path, monkeypatch):
    monkeypatch.setattr(index_search, "DIMENSIONS", 64)
    (row,) = index_search.measure(tmp_path, 240, [200], queries=2)
    assert (row["samples"], row["candidates"], row["dimensions"]) == (240, 200, 64)
    assert 0.5 < row["top 50 found"] <= 1.0
    assert {"median s", "most s", "peak MB", "build s"} <= set(row)


def test_a_made_up_index_is_searched_like_one(tmp_path, monkeypatch):
    monkeypatch.setattr(index_search, "DIMENSIONS", 64)
    monkeypatch.setattr(index_search, "REPEATED", 240)
    row = index_search.measure_made_up(tmp_path, 500, queries=1)
    assert (row["samples"], row["dimensions"]) == (500, 64)


def test_a_part_is_printed_with_its_charts(monkeypatch):
    rows = [
        {"what": "query", "samples": count, "ms a sample": 2.0, "peak MB": 800.0} for count in parts.SCALES
    ]
    monkeypatch.setitem(parts._PARTS, "scaling", lambda _request: rows)
    text = parts.measure_part("scaling", work="", rounds=1, peer_limit=1, rivals=[])
    assert text.startswith("scaling: ")
    assert text.count("```mermaid") == 2
    assert text.count("\n| query |") == len(parts.SCALES)
