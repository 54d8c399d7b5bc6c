"""`lancet lab` on a tiny corpus: what is printed, what is kept, and how it says what is missing."""

import json

import pytest

from lancet_core.cli import lab
from lancet_core.cli.main import run
from lancet_core.lab import corpora
from lancet_core.lab.performance import alone
from tests.lab.conftest import tiny_corpus


@pytest.fixture
def lancet(tmp_path, monkeypatch, capfd):
    corpus = tiny_corpus("other-seed")
    monkeypatch.setattr(corpora, "draw", lambda _name, _recipe: corpus)
    monkeypatch.setattr(lab, "TRUTH", tmp_path / "truth")
    monkeypatch.chdir(tmp_path)

    def call(*arguments):
        capfd.readouterr()
        code = run(["lab", *map(str, arguments), "--work", str(tmp_path / "work")])
        return code, *capfd.readouterr()

    return call


def test_bank_table_and_removal(lancet, tmp_path):
    chosen = ("--corpus", "other-seed")
    code, out, err = lancet("attribution", *chosen, "--methods", "tfidf")
    assert code == 0, err
    assert "lancet lab bank --corpus other-seed" in err
    assert out.splitlines()[-2].split(" | ")[5] == "–"

    code, out, err = lancet("bank", *chosen, "--subsets", 6, "--json")
    assert code == 0, err
    made = json.loads(out)
    assert (made["subsets"], made["repeats"]) == (6, 6)
    assert (tmp_path / "truth" / "other-seed.safetensors").stat().st_size < 2000

    code, out, err = lancet("attribution", *chosen, "--methods", "tfidf,random")
    assert code == 0, err
    assert out.startswith("other-seed: 60 samples, 3 queries, 2 query batches, 6 retrained models\n")
    assert all(line.split(" | ")[5] != "–" for line in out.splitlines()[-4:-1])

    code, out, err = lancet("removal", *chosen, "--methods", "tfidf", "--batches", 1)
    assert code == 0, err
    assert [line.split(" | ")[0] for line in out.splitlines()[2:]] == [
        "| removed", "| ---", "| tfidf", "| drawn at random",
    ]  # fmt: skip


def test_an_unknown_method_ends_at_once(lancet):
    code, _out, err = lancet("attribution", "--corpus", "other-seed", "--methods", "magic")
    assert code == 2
    assert "magic is no method" in err


def test_the_shipped_demo_is_not_measured_with_other_samples(lancet):
    code, _out, err = lancet("attribution", "--corpus", "demo", "--methods", "tfidf")
    assert code == 2
    assert "made from other samples" in err


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (("performance", "--only", "magic"), "passes; precision"),
        (("performance", "--only", "rivals", "--rival", "magic"), "kronfluence"),
        (("correction", "--rows", "magic"), "reviewed"),
        (("correction", "--seeds", "0,x"), "'0,x'"),
        (("correction", "--seeds", ""), "''"),
        (("correction", "--settings", "{"), "--settings"),
        (("correction", "--settings", '{"magic": 1}'), "magic"),
        *((("correction", "--settings", text), "JSON object") for text in ("null", "[1]", "5", '"steps"')),
    ],
)
def test_what_cannot_be_measured_is_named_in_one_line(lancet, arguments, named):
    code, out, err = lancet(*arguments)
    assert (code, out) == (2, "")
    assert err.count("\n") == 1
    assert named in err


def test_a_part_is_printed_as_it_comes(lancet, monkeypatch):
    asked = []

    def run_alone(function, arguments):
        asked.append((function, arguments["part"]))
        return alone.Outcome("| a table |", {}, stopped=False, failed=arguments["part"] == "batches")

    monkeypatch.setattr(alone, "run_alone", run_alone)
    code, out, err = lancet("performance", "--only", "passes", "--only", "batches")
    assert [part for _, part in asked] == ["passes", "batches"]
    assert (code, out) == (1, "| a table |\n\n")
    assert "the part batches failed" in err
